//! The command line as clap parses it. Each command's own file gives it meaning.

mod cache;
mod labels;
mod models;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use cache::{Cache, CacheCommand, CachePlace, Caching};
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub use labels::Labels;
pub use models::{ListFormat, ModelId, Models, ModelsCommand};
use serde::{Deserialize, Serialize};
use zsic::preprocess::Decoding;

/// The default of `--model`.
pub const DEFAULT_MODEL: &str = "openai/clip-vit-large-patch14";

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

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Inputs")]
pub struct Inputs {
    /// Image files, folders, tar files, http(s) URLs or data: URIs; `-` reads an image or a tar from standard input
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<OsString>,
    /// Read a list of inputs from FILE, one per line (`-` reads standard input)
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// Separate the inputs in --files-from by NUL bytes, as `find -print0` writes them
    #[arg(short = '0', long, requires = "files_from")]
    pub null: bool,
    /// Use only files in folders and tars that match GLOB; a GLOB with a slash matches the path below the folder;
    /// repeatable
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Skip files and folders that match GLOB in folders and tars; repeatable
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Use only share I of N, from 1/N to N/N; a hash of each image's name chooses its share
    #[arg(long, value_name = "I/N", default_value_t, hide_default_value = true)]
    pub shard: zsic::source::Shard,
    /// Follow symbolic links to folders
    #[arg(long)]
    pub follow: bool,
    /// Follow redirects of image URLs from public to private addresses
    #[arg(long)]
    pub allow_private_redirects: bool,
    /// Refuse images with more than N pixels
    #[arg(long, value_name = "N", default_value_t = zsic::source::MAX_PIXELS)]
    pub max_pixels: u64,
    /// Refuse images with more than N bytes [default: 2147483648; for URLs 268435456]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_bytes: Option<u64>,
    /// Decode JPEG files exactly or fast; fast decodes large pictures at 1/2, 1/4 or 1/8 of their size and changes scores
    /// slightly
    #[arg(long, value_name = "HOW", default_value = "exact")]
    pub decode: DecodeArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecodeArg {
    Exact,
    Fast,
}

impl From<DecodeArg> for Decoding {
    fn from(arg: DecodeArg) -> Self {
        match arg {
            DecodeArg::Exact => Self::Exact,
            DecodeArg::Fast => Self::Fast,
        }
    }
}

impl Inputs {
    /// Returns the files that are named, which must not be written over.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.inputs.iter().map(Path::new).chain(self.files_from.as_deref())
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model and machine")]
pub struct Machine {
    /// The checkpoint: a name on the Hugging Face hub, a directory with config.json, or demo (built in, for drawings)
    #[arg(short, long, env = "ZSIC_MODEL", value_name = "ID|DIR|demo", default_value = DEFAULT_MODEL)]
    pub model: OsString,
    #[command(flatten)]
    pub hub: Hub,
    #[command(flatten)]
    pub caching: Caching,
    /// The device to run on: auto, cpu, cuda, cuda:N or metal
    #[arg(long, env = "ZSIC_DEVICE", value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: String,
    /// The arithmetic; auto is the fastest one that keeps scores within 5e-5 of exact ones
    #[arg(long, env = "ZSIC_PRECISION", value_name = "PRECISION", default_value = "auto")]
    pub precision: PrecisionArg,
    /// The number of threads [default: one per CPU that this process may use]
    #[arg(short = 'j', long, env = "ZSIC_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// The largest number of images to encode together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
    /// The longest time to wait for a batch to fill, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub max_wait: u64,
    /// Print how the time was spent, at the end
    #[arg(long)]
    pub stats: bool,
}

/// How checkpoints are fetched by name.
#[derive(Debug, Args)]
pub struct Hub {
    /// The branch, tag, commit or refs/pr/N of the checkpoint on the hub
    #[arg(long, env = "ZSIC_REVISION", value_name = "REV", default_value = zsic::net::hub::REVISION)]
    pub revision: String,
    /// Do not use the network, not even for image URLs
    #[arg(long)]
    pub offline: bool,
    /// The directory of fetched checkpoints [default: the cache of Python's huggingface_hub]
    #[arg(long, value_name = "DIR")]
    pub hub_cache: Option<PathBuf>,
    /// The User-Agent to send to servers; some require a contact address in it [default: zsic/VERSION]
    #[arg(long, value_name = "STRING", value_parser = user_agent)]
    pub user_agent: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    Auto,
    F32,
    Bf16,
    F16,
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

/// Parses the name of a device.
fn device(name: &str) -> Result<String, String> {
    let index = name.strip_prefix("cuda:").filter(|index| index.parse::<u16>().is_ok());
    match name {
        "auto" | "cpu" | "cuda" | "metal" => Ok(name.to_owned()),
        _ if index.is_some() => Ok(name.to_owned()),
        _ => Err("use auto, cpu, cuda, cuda:N or metal".to_owned()),
    }
}

/// Parses a value of the header `User-Agent`.
fn user_agent(text: &str) -> Result<String, String> {
    let is_one = zsic::net::is_user_agent(text);
    is_one.then(|| text.to_owned()).ok_or_else(|| "use printable ASCII, as in 'NAME (me@example.com)'".to_owned())
}

/// Parses a score.
fn score(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x| (0.0..=1.0).contains(x)).ok_or_else(|| "use a number from 0 to 1".to_owned())
}
