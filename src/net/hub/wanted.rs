//! The files of a repository that a checkpoint needs: one tokenizer, one set of weights, and the settings beside them.
//! It knows their names, and reads only an index of shards.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::error::HubError;
use super::layout::stand_in;
use super::settings::MAX_READ;
use crate::checkpoint::file_names::{self, CONFIG, TOKENIZER};
use crate::checkpoint::{Layout, parse_json};
use crate::net::reason;
use crate::regular;
use crate::stand_in::StandIn;

/// The settings of an image processor. One of these must be there.
const PROCESSORS: [&str; 2] = [file_names::NESTED_PROCESSOR, file_names::PROCESSOR];
/// Files that a tokenizer reads if they are there.
const EXTRAS: [&str; 3] = [file_names::TOKENIZER_SETTINGS, file_names::SPECIAL_TOKENS, file_names::ADDED_TOKENS];

/// The kinds of repositories without the settings of a model, each recognised by a file.
const OTHERS: [(&str, &str); 3] = [
    ("adapter_config.json", "holds a LoRA adapter, which must be merged into its base model first"),
    ("0_CLIPModel/config.json", "is laid out for sentence-transformers; use the checkpoint that it was made from"),
    ("modules.json", "is laid out for sentence-transformers; use the checkpoint that it was made from"),
];
/// Weights that zsic does not read.
const OTHER_WEIGHTS: [(&str, &str); 5] = [
    ("onnx/model.onnx", "only weights for ONNX"),
    ("model.fp16.safetensors", "only weights of half the precision (model.fp16.safetensors)"),
    ("adapter_model.safetensors", "only a LoRA adapter, which must be merged into its base model first"),
    ("tf_model.h5", "only weights for TensorFlow"),
    ("flax_model.msgpack", "only weights for Flax"),
];

/// The files to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WantedFiles {
    /// All files but the weights.
    pub small: Vec<&'static str>,
    /// The weights, or the index of their shards.
    pub weights: &'static str,
    /// Optional files that are not there.
    pub absent: Vec<&'static str>,
}

impl WantedFiles {
    /// Returns whether the weights are in shards.
    pub fn sharded(&self) -> bool {
        self.weights.ends_with(".index.json")
    }
}

/// Chooses among the files that `has` knows, in a layout.
///
/// # Errors
/// The missing file.
pub(super) fn choose(layout: Layout, has: impl Fn(&str) -> bool) -> Result<WantedFiles, String> {
    let processors: &[&str] = if layout == Layout::Transformers { &PROCESSORS } else { &[] };
    let mut small = vec![layout.config(&has)];
    let optional = processors.iter().copied().chain(EXTRAS);
    small.extend(optional.clone().filter(|name| has(name)));
    small.extend([file_names::SENTENCEPIECE, TOKENIZER].into_iter().filter(|name| has(name)));
    if !has(TOKENIZER) && !has(file_names::SENTENCEPIECE) {
        match [file_names::VOCABULARY, file_names::WORD_PIECES, file_names::SENTENCEPIECE_BPE].map(&has) {
            [false, true, _] => small.push(file_names::WORD_PIECES),
            [false, false, true] => small.push(file_names::SENTENCEPIECE_BPE),
            _ => small.extend([file_names::VOCABULARY, file_names::MERGES]),
        }
    }
    if !has(small[0]) {
        let other = OTHERS.iter().find(|(file, _)| has(file)).map(|(_, what)| format!("; it {what}"));
        return Err(format!("it has no {}{}", small[0], other.unwrap_or_default()));
    }
    if !processors.is_empty() && !processors.iter().any(|name| has(name)) {
        return Err(format!("it has no {}", PROCESSORS[1]));
    }
    if let Some(missing) = small.iter().find(|name| !has(name)) {
        return Err(format!("it has no tokenizer.json and no {missing}"));
    }
    let sets = layout.weights();
    let weights = sets.iter().copied().find(|name| has(name));
    let weights = weights.ok_or_else(|| {
        let other = OTHER_WEIGHTS.iter().find(|(file, _)| has(file)).map(|(_, what)| format!("; it has {what}"));
        format!("it has no weights (looked for {}){}", sets.join(", "), other.unwrap_or_default())
    })?;
    let looked_for = optional.chain([TOKENIZER]).chain(sets.iter().copied());
    let absent = looked_for.take_while(|name| *name != weights).filter(|name| !has(name)).collect();
    Ok(WantedFiles { small, weights, absent })
}

/// Returns the shards that an index names.
///
/// # Errors
/// If it is not an index, or names files outside the folder.
pub(super) fn shards(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct WeightMap {
        weight_map: HashMap<String, String>,
    }
    let index: WeightMap = serde_json::from_slice(index).map_err(|e| format!("is not an index of shards: {e}"))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|name| name.contains(['/', '\\', '\0']) || name.starts_with('.')) {
        Some(name) => Err(format!("names a shard outside the repository's folder: {name:?}")),
        None => Ok(shards),
    }
}

/// How much of a checkpoint a directory holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// It cannot be opened; with what is missing.
    Part(String),
    /// It can be opened, but lacks small files of its repository.
    Enough,
    /// It is complete.
    All,
}

/// Examines a snapshot; `listed` are the files of its commit, if they are known, and `layout` is the one that is asked for.
pub(super) fn held(
    snapshot: &Path,
    listed: Option<&HashMap<String, Option<String>>>,
    layout: Option<Layout>,
) -> Completeness {
    let here = |name: &str| snapshot.join(name).exists();
    match std::fs::metadata(snapshot.join(".")) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Completeness::Part(HubError::reading(snapshot, e).to_string());
        }
        Err(_) => return Completeness::Part("none of its files is there".to_owned()),
        Ok(_) => {}
    }
    let missing = |what: &str| Completeness::Part(what.replace("it has no", "its copy has no"));
    let layout = layout.unwrap_or_else(|| {
        let config = regular::read_unnoticed(&snapshot.join(CONFIG), MAX_READ).ok();
        let config = config.and_then(|json| parse_json(&json).ok());
        Layout::of(config.as_ref(), here(file_names::OPEN_CLIP_CONFIG))
    });
    let wanted = match choose(layout, here) {
        Ok(wanted) => wanted,
        Err(reason) => return missing(&reason),
    };
    let unpacked = |name: &str| stand_in(&snapshot.join(name)) == Some(StandIn::Link);
    let text = |name: &str| Completeness::Part(format!("its {name} is a link that was unpacked as text"));
    if let Some(name) = wanted.small.iter().chain([&wanted.weights]).find(|name| unpacked(name)) {
        return text(name);
    }
    if wanted.sharded() {
        let index = regular::read(&snapshot.join(wanted.weights), MAX_READ).map_err(|e| reason(&e));
        match index.and_then(|index| shards(&index)) {
            Err(reason) => return Completeness::Part(format!("its {} {reason}", wanted.weights)),
            Ok(shards) => {
                if let Some(shard) = shards.iter().find(|shard| !here(shard)) {
                    return missing(&format!("it has no {shard}"));
                }
                if let Some(shard) = shards.iter().find(|shard| unpacked(shard)) {
                    return text(shard);
                }
            }
        }
    }
    let whole = listed.and_then(|listed| choose(layout, |name| listed.contains_key(name)).ok());
    match whole {
        Some(whole) if !whole.small.iter().all(|name| here(name)) => Completeness::Enough,
        _ => Completeness::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> Result<WantedFiles, String> {
        choose(Layout::Transformers, |name| files.contains(&name))
    }

    #[test]
    fn one_tokenizer_and_one_set_of_weights() {
        let all = [
            "config.json",
            "preprocessor_config.json",
            "tokenizer.json",
            "vocab.json",
            "merges.txt",
            "tokenizer_config.json",
            "flax_model.msgpack",
            "pytorch_model.bin",
            "model.safetensors",
        ];
        let wanted = of(&all).unwrap();
        assert_eq!(wanted.weights, "model.safetensors");
        assert_eq!(
            wanted.small,
            ["config.json", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json"]
        );
        let absent = ["processor_config.json", "special_tokens_map.json", "added_tokens.json"];
        assert_eq!(wanted.absent, absent);
        let old = of(&["config.json", "preprocessor_config.json", "vocab.json", "merges.txt", "pytorch_model.bin"]);
        let old = old.unwrap();
        assert_eq!(old.small[2..], ["vocab.json", "merges.txt"]);
        let spiece = ["config.json", "preprocessor_config.json", "spiece.model", "model.safetensors"];
        assert_eq!(of(&spiece).unwrap().small[2..], ["spiece.model"]);
        assert!(old.absent.contains(&"model.safetensors") && !old.absent.contains(&"pytorch_model.bin"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(of(&[]).unwrap_err().contains("config.json"));
        assert!(of(&["config.json"]).unwrap_err().contains("preprocessor_config.json"));
        let no_merges = of(&["config.json", "processor_config.json", "vocab.json"]).unwrap_err();
        assert!(no_merges.contains("merges.txt"), "{no_merges}");
        let other = |file: &str| of(&[file]).unwrap_err();
        assert!(other("adapter_config.json").contains("it has no config.json; it holds a LoRA adapter"));
        assert!(other("0_CLIPModel/config.json").contains("sentence-transformers"));
        let onnx = of(&["config.json", "processor_config.json", "tokenizer.json", "onnx/model.onnx"]).unwrap_err();
        assert!(onnx.ends_with("; it has only weights for ONNX"), "{onnx}");
        let no_weights = of(&["config.json", "processor_config.json", "tokenizer.json"]).unwrap_err();
        assert!(no_weights.contains("model.safetensors"), "{no_weights}");
    }

    #[test]
    fn an_index_may_not_lead_elsewhere() {
        let names = |json: &str| shards(json.as_bytes());
        assert_eq!(names(r#"{"weight_map":{"a":"x-1","b":"x-2","c":"x-1"}}"#).unwrap().len(), 2);
        for evil in [r#"{"weight_map":{"a":"../x"}}"#, r#"{"weight_map":{"a":"/x"}}"#, r#"{"weight_map":{"a":".."}}"#] {
            assert!(names(evil).is_err(), "{evil}");
        }
    }
}
