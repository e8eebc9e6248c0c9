//! The table of checkpoints that this version runs. It lists them, and suggests one for an unknown name.

use serde::{Deserialize, Serialize};

/// The built-in checkpoint's name, even if there is a directory of that name; `./demo` is the directory.
pub const DEMO: &str = "demo";

/// The table, written by tools/known.py.
const TABLE: &str = include_str!("known.csv");

/// A checkpoint in the layout of transformers.
#[derive(Debug, Deserialize, Serialize)]
pub struct Known {
    /// Its name on the hub.
    pub name: String,
    /// Its `model_type`.
    pub family: String,
    /// Bytes of its weights.
    pub size: u64,
    /// The work of its image tower for one image.
    pub gflop: f64,
    /// Zero-shot accuracy in percent.
    pub imagenet_top1: Option<f64>,
    /// Where the accuracy is published.
    pub top1_source: Option<String>,
    /// The licence that its repository states.
    pub licence: String,
    /// The languages of its prompts.
    pub languages: String,
}

/// Returns the known checkpoints, by family and work.
pub fn all() -> Vec<Known> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(TABLE.as_bytes());
    reader.deserialize().flatten().collect() // a test shows that no row is lost
}

/// The least similarity of a suggestion, from 0 to 1.
const ALIKE: f64 = 0.5;
/// The most suggestions.
const SUGGESTIONS: usize = 3;

/// Returns other known names that are similar to `name`, most similar first. The part after the owner also counts alone: people
/// remember it.
pub fn nearest(asked: &str) -> Vec<String> {
    let name = asked.to_lowercase();
    let tail = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        let known = known.to_lowercase();
        let whole = strsim::normalized_damerau_levenshtein(&name, &known);
        whole.max(0.95 * strsim::normalized_damerau_levenshtein(&tail(&name), &tail(&known)))
    };
    let mut alike: Vec<(f64, String)> = all().into_iter().map(|known| (likeness(&known.name), known.name)).collect();
    alike.retain(|(likeness, known)| *likeness >= ALIKE && *known != asked);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(SUGGESTIONS).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slips_lead_to_the_name_that_was_meant() {
        for (slip, meant) in [
            ("openai/clip-vit-base-patch23", "openai/clip-vit-base-patch32"),
            ("opanai/clip-vit-large-patch14", "openai/clip-vit-large-patch14"),
            ("clip-vit-base-patch16", "openai/clip-vit-base-patch16"),
            ("laion/clip-vit-b-32-laion2b-s34b-b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
            ("fashion-clip", "patrickjohncyh/fashion-clip"),
        ] {
            assert_eq!(nearest(slip).first().map(String::as_str), Some(meant), "{slip}");
        }
        assert!(nearest("bert-base-uncased").is_empty());
        let known = "openai/clip-vit-base-patch32";
        assert!(nearest(known).iter().all(|other| other != known));
    }

    #[test]
    fn rows_are_complete_and_in_order() {
        let all = all();
        for known in &all {
            assert!(zsic::net::hub::is_name(&known.name), "{known:?}");
            assert!(["clip", "siglip"].contains(&&*known.family), "{known:?}");
            assert!(known.size > 90_000_000 && known.gflop > 1.0, "{known:?}");
            assert!(known.imagenet_top1.is_none_or(|top1| (40.0..100.0).contains(&top1)), "{known:?}");
            assert_eq!(known.top1_source.is_some(), known.imagenet_top1.is_some(), "{known:?}");
            assert!(!known.licence.is_empty() && !known.languages.is_empty(), "{known:?}");
        }
        let place = |known: &Known| (known.family.clone(), (known.gflop * 10.0) as u64, known.name.clone());
        assert!(all.iter().map(place).is_sorted());
        let names: HashSet<_> = all.iter().map(|known| &known.name).collect();
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!((names.len(), all.len()), (lines - 1, lines - 1));
    }

    #[test]
    fn figures_are_those_of_the_benchmarks() {
        let work = |name: &str| all().into_iter().find(|known| known.name == name).map(|known| known.gflop);
        assert_eq!(work("openai/clip-vit-base-patch32"), Some(8.8));
        assert_eq!(work(crate::cli::args::DEFAULT_MODEL), Some(162.0));
    }
}
