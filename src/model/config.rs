//! `config.json` of a CLIP checkpoint, with the defaults of transformers' CLIPConfig (5.23) for what it omits.

use serde::Deserialize;
use serde_json::Value;

/// The nonlinearity between the two products of an MLP, by its names in transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// `x * Phi(x)`, by the error function
    Gelu,
    /// `x * Phi(x)`, by the tanh approximation
    #[serde(alias = "gelu_new")]
    GeluPytorchTanh,
    /// `max(x, 0)`
    Relu,
}

/// The text tower.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of config.json
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: HiddenAct,
    pub layer_norm_eps: f64,
    pub eos_token_id: u32,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

/// The image tower.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of config.json
pub struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: HiddenAct,
    pub layer_norm_eps: f64,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

/// A whole checkpoint's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// The text tower.
    pub text: TextConfig,
    /// The image tower.
    pub vision: VisionConfig,
    /// Values in an embedding.
    pub projection_dim: usize,
}

/// The file as it is written.
#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    architectures: Option<Names>,
    auto_map: Option<Value>,
    open_clip_model_name: Option<Value>,
    text_config: Option<Value>,
    vision_config: Option<Value>,
    text_config_dict: Option<Value>,
    vision_config_dict: Option<Value>,
    #[serde(default = "default_projection")]
    projection_dim: usize,
}

/// One name, or a list of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "architectures is neither a name nor a list of names")]
enum Names {
    One(String),
    More(Vec<String>),
}

fn default_projection() -> usize {
    512
}

impl File {
    /// Refuses what calls itself a `clip` and has the weights of something else.
    fn check_kind(&self) -> Result<(), String> {
        let says = |value: &Option<Value>| match value {
            None | Some(Value::Null) => false,
            Some(value) => value.as_object().is_none_or(|map| !map.is_empty()),
        };
        if says(&self.open_clip_model_name) {
            let reason = "is of an open_clip model (open_clip_model_name)";
            return Err(format!("{reason}; use a checkpoint in the layout of transformers"));
        }
        if says(&self.auto_map) {
            return Err("needs code of its own (auto_map), which zsic does not run; use a plain CLIPModel".to_owned());
        }
        let architectures = match &self.architectures {
            Some(Names::One(name)) => std::slice::from_ref(name),
            Some(Names::More(names)) => names,
            None => &[],
        };
        if !architectures.is_empty() && !architectures.iter().any(|name| name == "CLIPModel") {
            let names = architectures.join(", ");
            return Err(format!("has the architecture {names}; zsic runs CLIPModel, a text and an image tower in one"));
        }
        Ok(())
    }
}

impl ClipConfig {
    /// Settings from the JSON of `config.json`.
    ///
    /// # Errors
    /// A line saying which value is of a kind, or a size, that no CLIP has.
    pub fn from_json(json: Value) -> Result<Self, String> {
        let file: File = serde_json::from_value(json).map_err(|e| e.to_string())?;
        match file.model_type.as_deref() {
            Some("clip") => {}
            Some(other) => return Err(format!("model_type `{other}` is not supported; zsic reads `clip`")),
            None => return Err("has no model_type; zsic reads `clip`".to_owned()),
        }
        file.check_kind()?;
        // The legacy dicts were completed with defaults before they overrode the newer sections, so where one is
        // present nothing of the newer section remains.
        let text = section("text_config", file.text_config_dict.or(file.text_config))?;
        let vision = section("vision_config", file.vision_config_dict.or(file.vision_config))?;
        let config = Self { text, vision, projection_dim: file.projection_dim };
        config.check()?;
        Ok(config)
    }

    /// Sizes that the arithmetic relies on.
    fn check(&self) -> Result<(), String> {
        let (text, vision) = (&self.text, &self.vision);
        let sizes = [
            ("text_config.vocab_size", text.vocab_size),
            ("text_config.hidden_size", text.hidden_size),
            ("text_config.intermediate_size", text.intermediate_size),
            ("text_config.num_hidden_layers", text.num_hidden_layers),
            ("text_config.max_position_embeddings", text.max_position_embeddings),
            ("vision_config.hidden_size", vision.hidden_size),
            ("vision_config.intermediate_size", vision.intermediate_size),
            ("vision_config.num_hidden_layers", vision.num_hidden_layers),
            ("vision_config.image_size", vision.image_size),
            ("vision_config.patch_size", vision.patch_size),
            ("projection_dim", self.projection_dim),
        ];
        for (name, size) in sizes {
            if size == 0 || size > 1 << 24 {
                return Err(format!("{name} is {size}, which no model has"));
            }
        }
        let heads = [
            ("text_config", text.hidden_size, text.num_attention_heads),
            ("vision_config", vision.hidden_size, vision.num_attention_heads),
        ];
        for (name, width, heads) in heads {
            if heads == 0 || width % heads != 0 {
                return Err(format!("{name}: hidden_size {width} cannot be shared by {heads} attention heads"));
            }
        }
        if vision.num_channels != 3 {
            return Err(format!("vision_config.num_channels is {}; zsic reads images of 3", vision.num_channels));
        }
        if vision.patch_size > vision.image_size {
            let (patch, image) = (vision.patch_size, vision.image_size);
            return Err(format!("vision_config: patch_size {patch} is larger than image_size {image}"));
        }
        Ok(())
    }
}

fn section<T: serde::de::DeserializeOwned + Default>(name: &str, json: Option<Value>) -> Result<T, String> {
    json.map_or_else(|| Ok(T::default()), |json| serde_json::from_value(json).map_err(|e| format!("{name}: {e}")))
}

impl VisionConfig {
    /// Patches along one side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_omitted_has_the_reference_defaults() {
        let config = ClipConfig::from_json(json!({"model_type": "clip"})).unwrap();
        assert_eq!((config.text.eos_token_id, config.vision.patch_size, config.projection_dim), (49407, 32, 512));
        let config =
            ClipConfig::from_json(json!({"model_type": "clip", "text_config": {"eos_token_id": 2, "junk": []}}));
        assert_eq!(config.unwrap().text, TextConfig { eos_token_id: 2, ..TextConfig::default() });
    }

    #[test]
    fn what_is_no_plain_clip_is_refused_by_its_own_words() {
        let with = |name: &str, value: Value| {
            ClipConfig::from_json(json!({"model_type": "clip", name: value})).err().unwrap_or_default()
        };
        assert!(with("auto_map", json!({"AutoModel": "code.Model"})).contains("auto_map"));
        assert!(with("open_clip_model_name", json!("hf-hub:Marqo/marqo-fashionCLIP")).contains("open_clip_model_name"));
        for part in ["CLIPTextModelWithProjection", "CLIPVisionModel", "CLIPForImageClassification", "EvaCLIPModel"] {
            let error = with("architectures", json!([part]));
            assert!(error.contains(part) && error.contains("zsic runs CLIPModel"), "{error}");
        }
        for name in ["auto_map", "open_clip_model_name", "architectures"] {
            assert_eq!(with(name, Value::Null), "");
        }
        assert_eq!((with("auto_map", json!({})), with("architectures", json!([]))), (String::new(), String::new()));
        assert_eq!(
            (with("architectures", json!(["CLIPModel"])), with("architectures", json!("CLIPModel"))),
            Default::default()
        );
        assert!(with("architectures", json!("CLIPTextModel")).contains("has the architecture CLIPTextModel;"));
        assert_eq!(with("architectures", json!(5)), "architectures is neither a name nor a list of names");
    }

    #[test]
    fn a_legacy_dict_replaces_the_whole_section() {
        let config = ClipConfig::from_json(json!({
            "model_type": "clip",
            "text_config": {"eos_token_id": 2, "hidden_act": "gelu"},
            "text_config_dict": {"hidden_size": 64},
            "vision_config": {"patch_size": 16},
            "vision_config_dict": null,
        }))
        .unwrap();
        assert_eq!(config.text, TextConfig { hidden_size: 64, ..TextConfig::default() });
        assert_eq!(config.vision.patch_size, 16);
    }

    #[test]
    fn unknown_values_are_errors() {
        let error = |json| ClipConfig::from_json(json).unwrap_err();
        assert!(error(json!({"model_type": "siglip"})).contains("`siglip`"));
        assert!(error(json!({})).contains("model_type"));
        let swish = error(json!({"model_type": "clip", "text_config": {"hidden_act": "swish"}}));
        assert!(swish.contains("swish") && swish.contains("text_config"), "{swish}");
        assert!(error(json!({"model_type": "clip", "vision_config": {"num_attention_heads": 7}})).contains("7"));
        assert!(error(json!({"model_type": "clip", "vision_config": {"patch_size": 0}})).contains("patch_size"));
        assert!(error(json!({"model_type": "clip", "vision_config": {"patch_size": 225}})).contains("image_size"));
        assert!(error(json!({"model_type": "clip", "text_config": {"num_hidden_layers": 0}})).contains("layers"));
        assert!(error(json!({"model_type": "clip", "projection_dim": -1})).contains("-1"));
        assert!(error(json!([])).contains("map") || error(json!([])).contains("struct"));
    }
}
