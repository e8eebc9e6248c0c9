//! The command line as clap parses it. Each command's own file gives it meaning.

mod cache;
mod inputs;
mod labels;
mod machine;
mod models;

use std::path::{Path, PathBuf};

pub use cache::{Cache, CacheCommand, CachePlace, Caching};
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub use inputs::{DecodeArg, Inputs};
pub use labels::Labels;
pub use machine::{DEFAULT_MODEL, Hub, Machine, PrecisionArg};
pub use models::{ModelId, Models, ModelsCommand};
use serde::{Deserialize, Serialize};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  zsic classify owl.png --labels fox,bear,owl --model demo
  zsic classify owl.jpg --labels fox,bear,owl
  zsic classify photos/ -l cat,dog --format csv -o scores.csv
  zsic classify owl.jpg -l fox,bear,owl | jq -r '.predictions[0].label'";

const ENVIRONMENT: &str = "\
Environment:
  ZSIC_MODEL, ZSIC_REVISION     the checkpoint; a flag beats a variable
  ZSIC_DEVICE, ZSIC_PRECISION   the device and the arithmetic
  ZSIC_THREADS                  the number of threads
  ZSIC_CACHE_DIR                the directory of kept embeddings
  ZSIC_ISA                      the instruction set: amx, avx512, avx2 or plain
  HF_HUB_CACHE, HF_HOME         the directory of checkpoints (~, ~user, $VAR expanded)
  HF_TOKEN, HF_TOKEN_PATH       the token for private and gated checkpoints
  HF_HUB_OFFLINE                1 turns the network off, as does TRANSFORMERS_OFFLINE
  HF_HUB_DISABLE_SYMLINKS       1 stores checkpoints without symbolic links
  HF_ENDPOINT                   a mirror to use instead of the hub
  HTTPS_PROXY, NO_PROXY         the proxy, and hosts to reach without it
  SSL_CERT_FILE                 certificates to trust instead of the built-in ones
  NO_COLOR                      any value turns colour off
  CUDA_VISIBLE_DEVICES          the GPUs that CUDA may use";

const EXIT_STATUS: &str = "\
Exit status:
  0    every image scored, or the reader of the pipe went away
  1    finished, but an image failed
  2    wrong usage
  3    could not start, or had to stop early
  130  interrupted (Ctrl-C)
  143  terminated";

/// Classify images against any labels, with no training
#[derive(Debug, Parser)]
#[command(name = "zsic", version, propagate_version = true, styles = STYLES, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{EXIT_STATUS}"))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Common {
    /// Do not print progress and warnings, only errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log progress and error causes to stderr (-vv: every prompt)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Use colour: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also in pipes and files
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Columns for people
    Table,
    /// One JSON value
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score images against labels
    Classify(Box<Classify>),
    /// Print unit embeddings of images or texts
    Embed(Box<Embed>),
    /// List, fetch, show, verify and remove checkpoints
    Models(Models),
    /// Show or clear the embeddings kept between runs
    Cache(Cache),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  zsic completions bash > ~/.local/share/bash-completion/completions/zsic")]
    Completions {
        /// The shell to print the script for
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  zsic man > zsic.1 && man ./zsic.1")]
    Man,
}

/// Score images against labels
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic classify owl.jpg --labels fox,bear,owl
  zsic classify photos/ -l 'a cat,a dog' -k 1 --format csv -o scores.csv
  zsic classify photos/ -l cat,dog -o scores.jsonl --resume
  zsic classify *.jpg --labels-file labels.txt --template-set openai-7
  find . -name '*.jpg' -print0 | zsic classify --files-from - -0 -l cat,dog > scores.jsonl
  zsic classify https://example.com/owl.jpg -l fox,bear,owl
  zsic classify shards/ --exclude 'val-*' --shard 1/4 -l cat,dog -o scores-1.jsonl
  zcat photos.tar.gz | zsic classify - -l cat,dog")]
pub struct Classify {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub labels: Labels,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub output: Output,
}

/// The flags that apply to images only.
const OF_IMAGES: [&str; 7] = ["inputs", "files_from", "include", "exclude", "shard", "follow", "decode"];

/// Print unit embeddings of images or texts
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic embed photos/ -o photos.safetensors
  zsic embed --text 'a photo of a cat' 'a photo of a dog'
  zsic embed --texts-file queries.txt > queries.jsonl")]
pub struct Embed {
    #[command(flatten)]
    pub inputs: Inputs,
    /// Embed these texts, as written, instead of images
    #[arg(long, value_name = "STRING", num_args = 1.., conflicts_with_all = OF_IMAGES)]
    pub text: Vec<String>,
    /// Embed the texts in FILE, one per line (`-` reads standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "text", conflicts_with_all = OF_IMAGES)]
    pub texts_file: Option<PathBuf>,
    /// Shorten texts that are too long for the model instead of refusing them
    #[arg(long)]
    pub truncate: bool,
    #[command(flatten)]
    pub machine: Machine,
    /// Write to FILE: tensors if its name ends in .safetensors, else JSON lines
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub long_run: LongRun,
}

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
#[derive(Debug, Args)]
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
    /// One row per label, for pandas, polars and duckdb; needs -o FILE
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationArg {
    Auto,
    Softmax,
    Sigmoid,
}

/// Parses a score.
fn score(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x| (0.0..=1.0).contains(x)).ok_or_else(|| "use a number from 0 to 1".to_owned())
}

/// What the commands over images have in common.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub inputs: &'a Inputs,
    pub machine: &'a Machine,
    pub output: Option<&'a Path>,
    pub long_run: &'a LongRun,
    pub common: &'a Common,
}
