//! What the user typed about labels and prompts.

use std::path::{Path, PathBuf};

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Labels and prompts")]
pub struct Labels {
    /// Labels, separated by commas (`\,` is a comma inside a label); repeatable
    #[arg(short, long, value_name = "A,B,C", allow_hyphen_values = true, value_parser = no_flag)]
    #[arg(aliases = ["candidate-labels", "candidate_labels"])]
    pub labels: Vec<String>,
    /// A file of labels (`-` for standard input), one a line; or JSON: an array of labels, or an object {label: prompt or
    /// [prompts]}
    #[arg(long, value_name = "FILE", conflicts_with = "labels")]
    pub labels_file: Option<PathBuf>,
    /// A sentence with {} for the label; repeat it to average several [default: "This is a photo of {}."]
    #[arg(short, long, value_name = "T", allow_hyphen_values = true, value_parser = no_flag)]
    #[arg(aliases = ["hypothesis-template", "hypothesis_template"])]
    pub template: Vec<String>,
    /// A set of templates: openai-80, openai-7, or a file of one a line
    #[arg(long, value_name = "SET", conflicts_with = "template")]
    pub template_set: Option<PathBuf>,
    /// Cut an over-long prompt, keeping its end token, instead of refusing it
    #[arg(long)]
    pub truncate: bool,
    /// Clean prompts as SigLIP's training did: small letters, no punctuation
    #[arg(long)]
    pub canonicalize: bool,
}

impl Labels {
    /// The files that are named, for what must not be written over.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.labels_file.as_deref().into_iter().chain(self.template_set.as_deref())
    }
}

/// Takes a word that may begin with a hyphen, but no flag: the value before it was forgotten.
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
