//! Flags of the commands that ask of each image whether it is one of some labels.

use clap::Args;

use super::labels::no_flag;
use super::{ActivationArg, DecisionArgs, Inputs, LabelArgs, Machine};

/// Which images are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Question")]
pub struct Question {
    /// The labels to look for, separated by commas; repeatable. Without other labels or a background, the list of
    /// --unknown competes
    #[arg(long, value_name = "A,B", required = true, allow_hyphen_values = true, value_parser = no_flag)]
    pub is: Vec<String>,
    /// Labels that an image may show instead, in place of the list of --unknown; repeatable
    #[arg(long, value_name = "A,B", allow_hyphen_values = true, value_parser = no_flag)]
    pub not: Vec<String>,
    /// Match if the scores of the --is labels add up to at least X (sigmoid and --independent: if the largest is at least X)
    /// [default: match if one of them is the answer]
    #[arg(long, value_name = "X", value_parser = super::output::score)]
    pub min_score: Option<f32>,
    /// Turn logits into scores by softmax or sigmoid; auto is what the checkpoint was trained for
    #[arg(long, value_name = "A", default_value = "auto")]
    pub activation: ActivationArg,
}

/// Print the names of images that show one of some labels
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic grep photos/ --is 'a cat'
  zsic grep photos/ --is 'a receipt' --not 'a photo,a screenshot' --print0 | xargs -0 mv -t receipts/
  zsic grep photos/ --is cat -l cat,dog,bird --min-score 0.9 --scores | sort -rg
  zsic grep photos/ --is 'a blurry photo' --not 'a sharp photo' --count

Exit status: 0 an image matched, 1 none did or an image failed, 2 wrong usage, 3 stopped early.")]
pub struct Grep {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub question: Question,
    /// Print the images that do not match
    #[arg(long, help_heading = "Output")]
    pub invert: bool,
    /// End each name with a NUL byte instead of a line break, and print it byte for byte: for names with line breaks or
    /// bytes that are not text
    #[arg(long, help_heading = "Output")]
    pub print0: bool,
    /// Print the score and a tab before each name
    #[arg(long, help_heading = "Output")]
    pub scores: bool,
    /// Print only the number of matches
    #[arg(long, help_heading = "Output", conflicts_with_all = ["print0", "scores"])]
    pub count: bool,
    /// Stop after N matches
    #[arg(long, value_name = "N", help_heading = "Output", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    #[command(flatten)]
    pub machine: Machine,
}

/// Check whether images show one of some labels, by exit status
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  if zsic test in.jpg --is 'a cat'; then echo meow; fi
  zsic test photos/ --is 'a receipt' --any && echo 'there is a receipt'
  find . -name '*.jpg' -exec zsic test {} --is cat --not dog \\; -print    # zsic grep is faster for many

Exit status: 0 yes, 1 no, 2 wrong usage, 3 an image failed and could change the answer, or stopped early.")]
pub struct Test {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub question: Question,
    /// Answer yes if one image matches, not only if all do
    #[arg(long, help_heading = "Question")]
    pub any: bool,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    #[command(flatten)]
    pub machine: Machine,
}
