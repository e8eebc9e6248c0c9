//! Flags about labels and prompts.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use zsic::text::LabelSet;

use super::ExampleArgs;

/// What `--label-set` takes to print the names of the sets.
const LIST: &str = "list";

#[derive(Debug, Clone, Args)]
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
    /// Use the classes of a dataset as labels; `list` prints the names of the sets
    #[arg(long, value_name = "NAME", conflicts_with_all = ["labels", "labels_file"])]
    #[arg(value_parser = PossibleValuesParser::new(LabelSet::NAMES.into_iter().chain([LIST])))]
    pub label_set: Option<String>,
    /// Add up the scores of labels that belong together (sigmoid: the largest counts), and report the groups: FILE is csv with
    /// the columns label,group. A label that it does not list stays as it is; without other labels, its labels are used. A
    /// second FILE groups the groups, and answers where no group of the first is accepted
    #[arg(long, value_name = "FILE")]
    pub groups: Vec<PathBuf>,
    /// The prompt, with {} for the label; repeat the flag to average several [default: "This is a photo of {}."]
    #[arg(short, long, value_name = "T", allow_hyphen_values = true, value_parser = no_flag)]
    #[arg(aliases = ["hypothesis-template", "hypothesis_template"])]
    pub template: Vec<String>,
    /// Use a set of templates: openai-80, openai-7, or a file with one per line (`-` reads standard input)
    #[arg(long, value_name = "SET", conflicts_with = "template")]
    pub template_set: Option<PathBuf>,
    #[command(flatten)]
    pub examples: ExampleArgs,
    /// Shorten prompts that are too long for the model instead of refusing them
    #[arg(long)]
    pub truncate: bool,
    /// Clean prompts as SigLIP's training did: lower case, no punctuation
    #[arg(long)]
    pub canonicalize: bool,
}

impl LabelArgs {
    /// Returns whether the names of the label sets are asked for, and nothing else.
    pub fn asks_for_sets(&self) -> bool {
        self.label_set.as_deref() == Some(LIST)
    }

    /// Returns whether the flags name any label.
    pub fn names_any(&self) -> bool {
        let is_listed = self.labels_file.is_some() || self.label_set.is_some() || !self.groups.is_empty();
        is_listed || !self.labels.is_empty()
    }

    /// Returns the files that are named, which must not be written over.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.labels_file, &self.template_set].into_iter().flatten();
        files.chain(&self.groups).map(PathBuf::as_path).chain(self.examples.files())
    }
}

/// Accepts a word that begins with a hyphen, and refuses a flag: there the user forgot the value.
pub(super) fn no_flag(word: &str) -> Result<String, String> {
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
