//! What a compiled classifier says of itself: JSON in the metadata of its file.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::decision::Groups;
use crate::score::Activation;
use crate::text::Label;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// What a classifier is and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The version of the format.
    pub format: u32,
    /// The version of zsic that made it.
    pub zsic: String,
    /// The version of the bits of embeddings.
    pub bits: u32,
    /// The checkpoint that it belongs to.
    pub checkpoint: Belongs,
    /// How images become pixels.
    pub preprocessing: Preprocessing,
    /// How logits become scores: `softmax` or `sigmoid`.
    pub activation: String,
    /// The labels, in the order of the rows.
    pub labels: Vec<Label>,
    /// The names of the background's rows.
    pub background: Vec<String>,
    /// What labels add up to, rank by rank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<Groups>,
    /// What logits are divided by.
    pub temperature: f64,
    /// Whether each label competes with the background alone.
    pub independent: bool,
    /// Whether records carry an answer.
    pub answers: bool,
    /// What examples did to the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CompiledHead>,
    /// What labelled pictures did to temperature, background and thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CompiledCalibration>,
}

/// A checkpoint, by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongs {
    /// What it is called: a name on the hub, or a directory's own name.
    pub name: String,
    /// Whether it is part of the program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub built_in: bool,
    /// Its commit on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The hash of all files that decide what it computes.
    pub content: String,
}

/// How images become pixels, besides the checkpoint's own files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// How examples were decoded.
    pub decode: String,
    /// Overrides of how the checkpoint is read, such as the size of images.
    #[serde(default)]
    pub reading: String,
}

/// What examples did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompiledHead {
    /// `anchored`, `prototype` or `text`.
    pub name: String,
    /// The strength of the anchor.
    pub strength: Option<f64>,
    /// How many examples there were, and a hash of their embeddings and labels.
    pub examples: usize,
    /// See `examples`.
    pub content: String,
    /// What cross-validation found: examples left out once, in how many folds, and right answers to them.
    pub cross_validation: CompiledCheck,
}

/// Answers to examples that were left out of the learning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CompiledCheck {
    pub folds: usize,
    pub examples: usize,
    pub right: usize,
    pub right_by_text: usize,
}

/// What labelled pictures did to temperature, background and thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompiledCalibration {
    /// How many pictures of the labels there were, and of none of them.
    pub images: usize,
    /// See `images`.
    pub unknown: usize,
    /// The mean negative log-likelihood before and after.
    pub nll: [f64; 2],
    /// What thresholds were fitted to, such as `precision=0.95`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<String>,
}

/// The names of activations.
const SOFTMAX: &str = "softmax";
pub(super) const SIGMOID: &str = "sigmoid";

/// Returns the name of an activation in [`About`].
pub fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Softmax => SOFTMAX,
        Activation::Sigmoid => SIGMOID,
    }
}

impl About {
    /// Reads what a file says of itself, if it is of this version.
    pub(super) fn read(metadata: &str) -> std::result::Result<Self, String> {
        let format = serde_json::from_str::<serde_json::Value>(metadata).ok().and_then(|json| json["format"].as_u64());
        match format {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(0) => return Err("is not a classifier of zsic: its format is 0".to_owned()),
            Some(format) => {
                let made = format!("was made by a newer zsic: its format is {format}, and this version reads {FORMAT}");
                return Err(format!("{made}; install a newer zsic"));
            }
            None => return Err("is not a classifier of zsic: its metadata has no format".to_owned()),
        }
        serde_json::from_str(metadata).map_err(|e| format!("its metadata is damaged: {e}"))
    }

    /// Checks what the tensors do not show, and returns the number of answers.
    pub(super) fn check(&self) -> std::result::Result<usize, String> {
        let wrong = |what: &str| Err(format!("its metadata is damaged: {what}"));
        if ![SOFTMAX, SIGMOID].contains(&&*self.activation) {
            return wrong("the activation is neither softmax nor sigmoid");
        }
        if !(1e-3..=1e3).contains(&self.temperature) {
            return wrong("the temperature is not from 0.001 to 1000");
        }
        if self.labels.is_empty() {
            return Err("has no labels".to_owned());
        }
        if !are_names(self.labels.iter().map(|label| &label.name)) {
            return wrong("a label is there twice, or is no name");
        }
        if !self.background.iter().all(|name| is_name(name)) {
            return wrong("a label of the background is no name");
        }
        let (mut members, mut answers) = (self.labels.len(), 0);
        for Groups { names, of } in &self.ranks {
            if of.len() != members || of.iter().any(|group| *group >= names.len()) {
                return wrong("a group has other members than there are");
            }
            if !are_names(names.iter()) || !(0..names.len()).all(|group| of.contains(&group)) {
                return wrong("a group is there twice, is no name, or has no member");
            }
            (members, answers) = (names.len(), answers + names.len());
        }
        if !self.answers && (!self.background.is_empty() || self.independent || self.temperature != 1.0) {
            return wrong("it has a background or a temperature, and no answers");
        }
        if self.independent && self.background.is_empty() {
            return wrong("its labels compete with a background alone, and there is none");
        }
        Ok(if self.ranks.is_empty() { members } else { answers })
    }
}

/// Returns whether a classifier can hold this name: without spaces around it, and without characters that control a terminal.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name == name.trim() && !name.contains(char::is_control)
}

/// Returns whether these are different names.
fn are_names<'a>(mut names: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = HashSet::new();
    names.all(|name| is_name(name) && seen.insert(name))
}
