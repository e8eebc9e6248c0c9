//! Which rules turned scores into answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use zsic::{Decision, Label};

use super::super::super::args::DecisionArgs;

/// What turns scores into answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The prompts of each label that competes. Those of a compiled classifier's are not known.
    background: Map<String, Value>,
    /// Whether the built-in list competes. The version of zsic says what is in it.
    built_in: bool,
    /// The first entry's prompts, if it does: they show the templates and the cleaning of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    built_in_prompts: Vec<String>,
    /// As they were given, or one for each answer of a compiled classifier.
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

    /// Returns the rules of a compiled classifier. `background` are the names of what competes.
    pub fn of_classifier(decision: &Decision, background: &[String], answers: &[&str]) -> Self {
        let Decision { temperature, background: _, thresholds, independent, ranks: _ } = decision;
        let threshold = answers.iter().zip(thresholds).filter(|(_, least)| **least > 0.0);
        Self {
            background: background.iter().map(|name| (name.clone(), Value::Array(Vec::new()))).collect(),
            built_in: false,
            built_in_prompts: Vec::new(),
            threshold: threshold.map(|(answer, least)| format!("{answer}={least}")).collect(),
            independent: *independent,
            temperature: Some(*temperature),
        }
    }
}
