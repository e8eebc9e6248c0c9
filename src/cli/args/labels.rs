//! Flags about labels and prompts.

use std::path::{Path, PathBuf};

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Labels and prompts")]
pub struct LabelArgs {
    /// The labels, separated by commas (`\,` is a comma inside a label); repeatable
    #[arg(short, long, value_name = "A,B,C", allow_hyphen_values = true, value_parser = no_flag)]
    #[arg(aliases = ["candidate-labels", "candidate_labels"])]
    pub labels: Vec<String>,
    /// Read labels from FILE (`-` reads standard input): one per line, a JSON array, or a JSON object {label: prompt or
    /// [prompts]}
    #[arg(long, value_name = "FILE", conflicts_with = "labels")]
    pub labels_file: Option<PathBuf>,
    /// The prompt, with {} for the label; repeat the flag to average several [default: "This is a photo of {}."]
    #[arg(short, long, value_name = "T", allow_hyphen_values = true, value_parser = no_flag)]
    #[arg(aliases = ["hypothesis-template", "hypothesis_template"])]
    pub template: Vec<String>,
    /// Use a set of templates: openai-80, openai-7, or a file with one per line (`-` reads standard input)
    #[arg(long, value_name = "SET", conflicts_with = "template")]
    pub template_set: Option<PathBuf>,
    /// Shorten prompts that are too long for the model instead of refusing them
    #[arg(long)]
    pub truncate: bool,
    /// Clean prompts as SigLIP's training did: lower case, no punctuation
    #[arg(long)]
    pub canonicalize: bool,
}

impl LabelArgs {
    /// Returns the files that are named, which must not be written over.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.labels_file.as_deref().into_iter().chain(self.template_set.as_deref())
    }
}

/// Accepts a word that begins with a hyphen, and refuses a flag: there the user forgot the value.
fn no_flag(word: &str) -> Result<String, String> {
    let begins = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_template = || word.split('=').next().is_some_and(|name| name.contains('{'));
    let is_flag = match word.strip_prefix("--") {
        Some(rest) => rest.is_empty() || begins(rest) && !is_template(),
        None => word.strip_prefix('-').is_some_and(|rest| rest == "0" || begins(rest)) && !word.contains([' ', ',']),
    };
    if is_flag {
        return Err(format!("a value is missing before the flag `{word}`"));
    }
    Ok(word.to_owned())
}
