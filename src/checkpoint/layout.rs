//! The layout of a checkpoint: which files hold its settings and weights.

use serde_json::Value;

use super::file_names;

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `config.json` with a `model_type`, as transformers writes it.
    Transformers,
    /// `open_clip_config.json`, or such a configuration in `config.json`.
    OpenClip,
}

impl Layout {
    /// Returns the layout of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Transformers, Self::OpenClip].into_iter().find(|layout| layout.name() == name)
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformers => "transformers",
            Self::OpenClip => "open_clip",
        }
    }

    /// Chooses the layout of a checkpoint by its `config.json`, and by whether it has an `open_clip_config.json`.
    /// transformers' layout comes first if both exist.
    pub fn of(config: Option<&Value>, has_open_clip: bool) -> Self {
        let says = |key: &str| config.and_then(|config| config.get(key)).is_some_and(|value| !value.is_null());
        let bare = says("vision_cfg") && says("text_cfg") || says("model_cfg");
        let plain = says("model_type") && !(has_open_clip && says("open_clip_model_name"));
        if !plain && (has_open_clip || bare) { Self::OpenClip } else { Self::Transformers }
    }

    /// Returns the file of the model's settings; `has` knows which files are there.
    pub fn config(self, has: impl Fn(&str) -> bool) -> &'static str {
        match self {
            Self::OpenClip if has(file_names::OPEN_CLIP_CONFIG) => file_names::OPEN_CLIP_CONFIG,
            _ => file_names::CONFIG,
        }
    }

    /// Returns the sets of files that weights may be in, best first.
    pub fn weights(self) -> &'static [&'static str] {
        match self {
            Self::Transformers => &file_names::WEIGHTS,
            Self::OpenClip => &file_names::OPEN_CLIP_WEIGHTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn transformers_goes_first_where_it_has_a_model() {
        let of = |config: Value, has| Layout::of(Some(&config), has);
        assert_eq!(of(json!({"model_type": "clip"}), true), Layout::Transformers);
        assert_eq!(of(json!({"architecture": "vit_base_patch32_clip_224"}), true), Layout::OpenClip);
        assert_eq!(of(json!({"embed_dim": 512, "vision_cfg": {}, "text_cfg": {}}), false), Layout::OpenClip);
        let wrapped = json!({"model_type": "clip", "open_clip_model_name": "hf-hub:Marqo/marqo-fashionCLIP"});
        assert_eq!((of(wrapped.clone(), true), of(wrapped, false)), (Layout::OpenClip, Layout::Transformers));
        assert_eq!((Layout::of(None, true), Layout::of(None, false)), (Layout::OpenClip, Layout::Transformers));
    }
}
