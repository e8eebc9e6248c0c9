//! Flags about labelled pictures, and what was made from them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zsic::head::Head;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Labels and prompts")]
pub struct ExampleArgs {
    /// Learn from a few labelled pictures: a folder with a folder for each label, a csv, tsv or jsonl FILE with the columns
    /// image and label, or a tar as webdataset writes it. A folder whose name is not among the labels adds a label
    #[arg(long, value_name = "DIR|FILE|TAR")]
    pub examples: Option<PathBuf>,
    /// What the examples do: anchored moves labels away from their texts as far as the examples show that it helps, prototype
    /// averages each label's text and examples, text ignores them [default: anchored]
    #[arg(long, value_name = "HEAD", requires = "examples")]
    pub head: Option<HeadArg>,
    /// Use the labels, rows and rules of a classifier that `zsic compile` made, with the checkpoint that it was made for
    #[arg(long, value_name = "FILE.zsc", conflicts_with_all = REPLACED)]
    pub classifier: Option<PathBuf>,
}

/// The flags that a compiled classifier takes the place of.
const REPLACED: [&str; 14] = [
    "labels",
    "labels_file",
    "label_set",
    "groups",
    "template",
    "template_set",
    "truncate",
    "canonicalize",
    "examples",
    "head",
    "unknown",
    "background",
    "background_file",
    "independent",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HeadArg {
    Anchored,
    Prototype,
    Text,
}

impl From<HeadArg> for Head {
    fn from(arg: HeadArg) -> Self {
        match arg {
            HeadArg::Anchored => Self::Anchored,
            HeadArg::Prototype => Self::Prototype,
            HeadArg::Text => Self::Text,
        }
    }
}

impl ExampleArgs {
    /// Returns what the examples do.
    pub fn head(&self) -> Head {
        self.head.map_or(Head::Anchored, Head::from)
    }

    /// Returns the files that are named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.examples, &self.classifier].into_iter().flatten().map(PathBuf::as_path)
    }
}
