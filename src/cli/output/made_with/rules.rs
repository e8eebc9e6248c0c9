//! Which rules turned scores into answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use zsic::Label;

use super::super::super::args::DecisionArgs;

/// What turns scores into answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The prompts of each label that competes.
    background: Map<String, Value>,
    /// Whether the built-in list competes. The version of zsic says what is in it.
    built_in: bool,
    /// The first entry's prompts, if it does: they show the templates and the cleaning of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    built_in_prompts: Vec<String>,
    /// As they were given.
    threshold: Vec<String>,
    independent: bool,
    temperature: Option<f64>,
}

impl Rules {
    /// Returns the rules of the flags, if any is set. `background` are the prompts of the labels that compete.
    pub fn of(args: &DecisionArgs, background: Map<String, Value>, built_in: &[Label]) -> Option<Self> {
        let DecisionArgs { unknown: _, background: _, background_file: _, threshold, independent, temperature } = args;
        args.is_set().then(|| Self {
            background,
            built_in: args.uses_built_in(),
            built_in_prompts: built_in.first().map(|label| label.prompts.clone()).unwrap_or_default(),
            threshold: threshold.clone(),
            independent: *independent,
            temperature: *temperature,
        })
    }
}
