//! Flags about what becomes of scores: an answer, or none.

use std::path::{Path, PathBuf};

use clap::Args;

use super::labels::no_flag;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Decisions")]
pub struct DecisionArgs {
    /// Let a built-in list of common things compete with the labels: an image that looks more like those is unknown
    #[arg(long)]
    pub unknown: bool,
    /// Let these labels compete with the others, and never answer with them; repeatable
    #[arg(long, value_name = "A,B", allow_hyphen_values = true, value_parser = no_flag)]
    pub background: Vec<String>,
    /// Read the labels of --background from FILE, in the forms of --labels-file
    #[arg(long, value_name = "FILE", conflicts_with = "background")]
    pub background_file: Option<PathBuf>,
    /// Accept a label only with a score of at least X; cat=0.8,dog=0.6 sets it for some labels, and *=0.5 for the others
    #[arg(long, value_name = "X|LABEL=X,..")]
    pub threshold: Vec<String>,
    /// Compare each label with the background alone, so that an image may have several answers; uses the list of --unknown
    /// if no background is given
    #[arg(long)]
    pub independent: bool,
    /// Divide logits by T before they become scores: above 1 makes scores more even, below 1 more extreme
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
}

impl DecisionArgs {
    /// Returns the file that is named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.background_file.as_deref().into_iter()
    }

    /// Returns whether any flag is set, so that records carry an answer.
    pub fn is_set(&self) -> bool {
        let Self { unknown, background, background_file, threshold, independent, temperature } = self;
        *unknown
            || *independent
            || background_file.is_some()
            || temperature.is_some()
            || !background.is_empty()
            || !threshold.is_empty()
    }

    /// Returns the flags as somebody would type them, with those of `groups`; none if no flag is set.
    pub fn typed(&self, groups: &[PathBuf]) -> Option<String> {
        let Self { unknown, background, background_file, threshold, independent, temperature } = self;
        let switches = [("--unknown", *unknown), ("--independent", *independent)];
        let switches = switches.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag.to_owned());
        let with = |flag: &'static str| move |value: &String| format!("{flag} {value}");
        let file = |flag: &'static str| move |file: &PathBuf| format!("{flag} {}", file.display());
        let flags: Vec<String> = switches
            .chain(background.iter().map(with("--background")))
            .chain(background_file.iter().map(file("--background-file")))
            .chain(threshold.iter().map(with("--threshold")))
            .chain(temperature.iter().map(|t| format!("--temperature {t}")))
            .chain(groups.iter().map(file("--groups")))
            .collect();
        (!flags.is_empty()).then(|| flags.join(" "))
    }

    /// Returns whether the built-in list competes.
    pub fn uses_built_in(&self) -> bool {
        self.unknown || self.independent && self.background.is_empty() && self.background_file.is_none()
    }
}

/// Parses a temperature.
fn temperature(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|t| (1e-3..=1e3).contains(t)).ok_or("use a number from 0.001 to 1000")
}
