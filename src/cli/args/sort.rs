//! Flags of `zsic sort`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ActivationArg, DecisionArgs, Inputs, LabelArgs, Machine, inputs};

/// The names of flags that say what is sorted, and how.
const NOT_TO_UNDO: [&str; 22] = [
    "into",
    "how",
    "pattern",
    "if_exists",
    "sidecars",
    "labels",
    "labels_file",
    "label_set",
    "groups",
    "template",
    "template_set",
    "truncate",
    "canonicalize",
    "examples",
    "classifier",
    "unknown",
    "background",
    "background_file",
    "threshold",
    "independent",
    "temperature",
    "activation",
];

/// Sort images into folders by label
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic sort photos/ -l cat,dog --into sorted/                   # prints the plan
  zsic sort photos/ -l cat,dog --unknown --into sorted/ --copy
  zsic sort photos/ -l cat,dog --into sorted/ --move --sidecars
  zsic sort photos/ -l cat,dog --into sorted/ --symlink --as '{label}/{name}'
  zsic sort --undo sorted/.zsic-sort-1.jsonl

Exit status: 0 every image has its place, 1 some were left or failed, 2 wrong usage, 3 stopped early.")]
pub struct Sort {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub places: Places,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    /// Turn logits into scores by softmax or sigmoid; auto is what the checkpoint was trained for
    #[arg(long, value_name = "A", default_value = "auto", help_heading = "Decisions")]
    pub activation: ActivationArg,
    #[command(flatten)]
    pub machine: Machine,
}

/// Where images go, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Places")]
pub struct Places {
    /// Sort into folders in DIR, which are created with their first file; images of none of the labels go to DIR/unknown
    #[arg(long, value_name = "DIR", required_unless_present = "undo")]
    pub into: Option<PathBuf>,
    /// Copy the images. Without this flag and the next three, nothing is done and the plan is printed
    #[arg(long, group = "how")]
    pub copy: bool,
    /// Move the images; across file systems: copy, check, remove
    #[arg(long = "move", group = "how")]
    pub move_: bool,
    /// Make hard links to the images; takes no space, and works only within one file system
    #[arg(long, group = "how")]
    pub hardlink: bool,
    /// Make symbolic links to the images
    #[arg(long, group = "how")]
    pub symlink: bool,
    /// The path in DIR: {label}, {path} (below the folder that was named) and {name} (without folders)
    #[arg(long = "as", value_name = "PATH", default_value = "{label}/{path}")]
    pub pattern: String,
    /// What to do if the destination holds another file: take a free name, leave the image, or stop before anything is done
    #[arg(long, value_name = "WHAT", default_value = "rename")]
    pub if_exists: IfExists,
    /// Take metadata files along: x.jpg.xmp and x.xmp with x.jpg
    #[arg(long)]
    pub sidecars: bool,
    /// Undo the run that JOURNAL records, except for files that changed since
    #[arg(long, value_name = "JOURNAL", conflicts_with_all = inputs::NAMES, conflicts_with_all = NOT_TO_UNDO)]
    pub undo: Option<PathBuf>,
}

impl Places {
    /// Returns how images get to their places, or None if only the plan is wanted.
    pub fn how(&self) -> Option<How> {
        let all = [(self.copy, How::Copy), (self.move_, How::Move), (self.hardlink, How::Hardlink)];
        let all = all.into_iter().chain([(self.symlink, How::Symlink)]);
        all.into_iter().find_map(|(is_set, how)| is_set.then_some(how))
    }
}

/// How an image gets to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Copy,
    Move,
    Hardlink,
    Symlink,
}

/// What becomes of an image whose place has another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    /// Take a free name, such as x-2.jpg
    Rename,
    /// Leave the image where it is
    Skip,
    /// Stop before anything is done
    Error,
}
