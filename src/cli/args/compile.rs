//! Flags of `zsic compile`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{ActivationArg, DecisionArgs, LabelArgs, Machine};

/// Freeze labels, and what examples teach, into a small file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic compile -l cat,dog --template-set openai-80 -o pets.zsc
  zsic compile --examples labelled/ -o pets.zsc
  zsic compile --examples labelled/ --unknown --calibrate more/ --want precision=0.95 -o pets.zsc
  zsic classify photos/ --classifier pets.zsc

A classifier needs neither tokenizer nor text tower, and works with the checkpoint that it was made with, and no other.
Pictures of --calibrate in a folder `unknown` show none of the labels.")]
pub struct Compile {
    /// Write to FILE, whose name ends in .zsc
    #[arg(short, long, value_name = "FILE.zsc", help_heading = "Output")]
    pub output: PathBuf,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    /// Turn logits into scores by softmax or sigmoid; auto is what the checkpoint was trained for
    #[arg(long, value_name = "A", default_value = "auto", help_heading = "Decisions")]
    pub activation: ActivationArg,
    /// Fit the temperature to labelled pictures, in the forms of --examples, and the background's weight too if at least 20 of
    /// them have the label `unknown`, which means none of the labels
    #[arg(long, value_name = "DIR|FILE|TAR", help_heading = "Decisions")]
    pub calibrate: Option<PathBuf>,
    /// Fit thresholds to the pictures of --calibrate, to keep precision=X or recall=X at the lower end of its 95 % interval
    #[arg(
        long,
        value_name = "WHAT=X",
        requires = "calibrate",
        conflicts_with = "threshold",
        help_heading = "Decisions"
    )]
    pub want: Option<String>,
    #[command(flatten)]
    pub machine: Machine,
}

impl Compile {
    /// Returns the files that are named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.labels.files().chain(self.decisions.files()).chain(self.calibrate.as_deref())
    }
}
