//! Flags about the output and its file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use zsic::Activation;

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// The output format; auto follows the name of -o, or is table on a terminal and jsonl elsewhere
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: FormatArg,
    /// Write to FILE; until the run ends the output is in FILE.partial
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print only the K best labels of each image
    #[arg(short = 'k', long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Print only labels with a score of at least X
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = score)]
    pub min_score: f32,
    /// Print the model's logits as well
    #[arg(long)]
    pub logits: bool,
    /// Turn logits into scores by softmax or sigmoid; auto is what the checkpoint was trained for
    #[arg(long, value_name = "A", default_value = "auto")]
    pub activation: ActivationArg,
    #[command(flatten)]
    pub long_run: LongRun,
}

/// Flags for long runs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct LongRun {
    /// Continue a stopped run from FILE.partial, or add new and changed images to a finished FILE
    #[arg(long, requires = "output")]
    pub resume: bool,
    /// With --resume, compute failed images again
    #[arg(long, requires = "resume")]
    pub retry_failed: bool,
    /// With --resume, drop records of images that are no longer among the inputs instead of refusing the run
    #[arg(long, requires = "resume")]
    pub drop_missing: bool,
    /// Write the settings of this run to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub meta: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// By the name of -o; else table on a terminal and jsonl elsewhere
    Auto,
    /// Bars for people
    Table,
    /// One JSON object per image, one per line
    Jsonl,
    /// One JSON array
    Json,
    /// One row per label
    Csv,
    /// The result of the Python pipeline, as JSON
    Pipeline,
    /// The file of --boxes with classifications added, for Timelapse and other tools
    Megadetector,
    /// One row per label, for pandas, polars and duckdb; needs -o FILE and a build with the feature `parquet`
    Parquet,
    /// One page to look through and correct results in a browser
    Html,
}

/// The output format of `zsic models`, `zsic cache` and `zsic doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Columns for people
    Table,
    /// One JSON value
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationArg {
    Auto,
    Softmax,
    Sigmoid,
}

impl ActivationArg {
    /// Returns the activation that is asked for, or else what is the case without a flag.
    pub fn or(self, otherwise: Activation) -> Activation {
        match self {
            Self::Auto => otherwise,
            Self::Softmax => Activation::Softmax,
            Self::Sigmoid => Activation::Sigmoid,
        }
    }
}

/// Parses a score.
pub(super) fn score(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x| (0.0..=1.0).contains(x)).ok_or_else(|| "use a number from 0 to 1".to_owned())
}
