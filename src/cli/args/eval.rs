//! Flags of `zsic eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ActivationArg, DecisionArgs, Inputs, LabelArgs, Machine};

/// Compare predictions with known labels: accuracy with intervals, confusions, calibration, several models at once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic eval labelled/                                  # labelled/cat/1.jpg shows a cat
  zsic eval photos/ --truth truth.csv -l cat,dog,bird  # columns image,label
  zsic eval labelled/ --vary template-set=openai-7,openai-80 --vary precision=auto,bf16
  zsic eval labelled/ --unknown --map names.csv -o report.json --records answers.csv
  zsic eval labelled/ -o report.html                   # look through what is wrong, and correct it
  zsic eval labelled/ -m openai/clip-vit-base-patch32 --fail-under top1.low=0.8
  zsic eval shards/ --label-set imagenet-1k            # tars with x.jpg and x.cls

Metrics: top1, top5, mean_recall, macro_f1, ece, nll, brier; with several labels per image: map, micro_f1, macro_f1; with
images of none of the labels: auroc, fpr95. A failed image counts as wrong.

Exit status: 0 done, 1 an image failed or a minimum of --fail-under is not met, 2 wrong usage, 3 stopped early.")]
pub struct Eval {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub truth: TruthArgs,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    /// Turn logits into scores by softmax or sigmoid; auto is what the checkpoint was trained for
    #[arg(long, value_name = "A", default_value = "auto", help_heading = "Decisions")]
    pub activation: ActivationArg,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// What the images show.
#[derive(Debug, Args)]
#[command(next_help_heading = "Truth")]
pub struct TruthArgs {
    /// What the images show: `folders` (the first folder below the one named), `cls` (x.cls or x.npy beside x.jpg in tars), or
    /// a csv, tsv or jsonl FILE with the columns image and label (labels: several, separated by `;`) [default: cls for tars
    /// that have it, else folders]
    #[arg(long, value_name = "folders|cls|FILE")]
    pub truth: Option<PathBuf>,
    /// Translate the names of the truth, and of --examples, to labels by FILE: csv with two columns, or a JSON object. An empty label leaves images out,
    /// and `unknown` stands for images of none of the labels
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
}

/// What is compared, and what is said of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Run once with each value: model=ID,ID, precision=.., template=.., template-set=.. or classifier=..; repeat the flag to
    /// run every combination
    #[arg(long, value_name = "WHAT=A,B")]
    pub vary: Vec<String>,
    /// Exit with status 1 if METRIC is lower than X; METRIC.low tests the lower end of its interval; repeatable
    #[arg(long, value_name = "METRIC=X")]
    pub fail_under: Vec<String>,
    /// Write each image's answer to FILE: csv with the columns image,truth,answer,score,right
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// The format; auto follows the name of -o, or is table on a terminal and json elsewhere
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: ReportFormat,
    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// By the name of -o; else table on a terminal and json elsewhere
    Auto,
    /// Columns for people
    Table,
    /// One JSON object
    Json,
    /// One JSON object per run, one per line
    Jsonl,
    /// One row per metric, label and run
    Csv,
    /// One page: the report, and pictures to look through and correct in a browser
    Html,
}
