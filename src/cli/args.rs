//! What the user typed. Meaning is given to it in the command's own file.

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

/// What `--model` means where it is not given.
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
  ZSIC_DEVICE, ZSIC_PRECISION   where and how precisely to compute
  ZSIC_THREADS                  threads to use
  ZSIC_CACHE_DIR                where embeddings are kept between runs
  ZSIC_ISA                      amx, avx512, avx2 or plain, for comparisons
  HF_HUB_CACHE, HF_HOME         where checkpoints are kept (~, ~user, $VAR expanded)
  HF_TOKEN, HF_TOKEN_PATH       the token for private and gated checkpoints
  HF_HUB_OFFLINE                1 asks nothing of the network; so does TRANSFORMERS_OFFLINE
  HF_HUB_DISABLE_SYMLINKS       1 keeps files in snapshots, without links to blobs
  HF_ENDPOINT                   a mirror in place of the hub
  HTTPS_PROXY, NO_PROXY         the proxy, and hosts reached without it
  SSL_CERT_FILE                 certificates to trust in place of the built-in ones
  NO_COLOR                      no colour
  CUDA_VISIBLE_DEVICES          which GPUs CUDA shows";

const EXIT_STATUS: &str = "\
Exit status:
  0    every image scored, or the reader of the pipe went away
  1    finished, some image failed
  2    wrong usage
  3    could not start or had to stop early
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
    /// Print errors only, no progress and no warnings
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log progress and error causes to stderr (-vv: every prompt)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score images against labels
    Classify(Box<Classify>),
    /// Print unit embeddings of images or texts
    Embed(Box<Embed>),
    /// List, fetch, describe, check and remove checkpoints
    Models(Models),
    /// Look at the embeddings kept between runs, and remove them
    Cache(Cache),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  zsic completions bash > ~/.local/share/bash-completion/completions/zsic")]
    Completions {
        /// The shell
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

/// What says something of images only.
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
    /// Texts to embed, as written
    #[arg(long, value_name = "STRING", num_args = 1.., conflicts_with_all = OF_IMAGES)]
    pub text: Vec<String>,
    /// A file of texts to embed, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "text", conflicts_with_all = OF_IMAGES)]
    pub texts_file: Option<PathBuf>,
    /// Cut an over-long text, keeping its end token, instead of refusing it
    #[arg(long)]
    pub truncate: bool,
    #[command(flatten)]
    pub machine: Machine,
    /// Write to FILE: JSON lines, or tensors if it ends in .safetensors
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub long_run: LongRun,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Inputs")]
pub struct Inputs {
    /// Image files, folders, tars of images, http(s) URLs, data: URIs, or `-` for an image or a tar on standard input
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<OsString>,
    /// Read a list of inputs from FILE (`-` for standard input), one a line
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// Read a list separated by NUL bytes, as `find -print0` writes it
    #[arg(short = '0', long, requires = "files_from")]
    pub null: bool,
    /// Of folders and tars, take only files that match GLOB: their names, or their paths below the folder if GLOB has a
    /// slash; repeatable
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out files and folders in folders and tars that match GLOB; repeatable
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Take only the Ith of N shares, 1/N to N/N, chosen by the hash of each image's name
    #[arg(long, value_name = "I/N", default_value_t, hide_default_value = true)]
    pub shard: zsic::source::Shard,
    /// Follow symbolic links to folders
    #[arg(long)]
    pub follow: bool,
    /// Follow a URL's redirects from public addresses to private ones too
    #[arg(long)]
    pub allow_private_redirects: bool,
    /// Refuse images of more pixels
    #[arg(long, value_name = "N", default_value_t = zsic::source::MAX_PIXELS)]
    pub max_pixels: u64,
    /// Refuse images whose file has more bytes [default: 2147483648; by URL 268435456]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_bytes: Option<u64>,
    /// How JPEG files are decoded: exact, or fast: much larger pictures than the model takes at a half, a quarter or an
    /// eighth of their size, with slightly other scores
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
    /// The files that are named, for what must not be written over.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.inputs.iter().map(Path::new).chain(self.files_from.as_deref())
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model and machine")]
pub struct Machine {
    /// A checkpoint: a name on the Hugging Face hub, fetched once; a directory with config.json; or demo, which is built
    /// in and knows drawings
    #[arg(short, long, env = "ZSIC_MODEL", value_name = "ID|DIR|demo", default_value = DEFAULT_MODEL)]
    pub model: OsString,
    #[command(flatten)]
    pub hub: Hub,
    #[command(flatten)]
    pub caching: Caching,
    /// Where to run: auto, cpu, cuda, cuda:N or metal
    #[arg(long, env = "ZSIC_DEVICE", value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: String,
    /// The arithmetic; auto is the fastest whose scores stay within 5e-5 of exact ones
    #[arg(long, env = "ZSIC_PRECISION", value_name = "PRECISION", default_value = "auto")]
    pub precision: PrecisionArg,
    /// Threads to use [default: as many as this process may run on]
    #[arg(short = 'j', long, env = "ZSIC_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// Most images encoded together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
    /// Longest time to wait for a batch to fill, in milliseconds; no wait while no image is on its way
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub max_wait: u64,
    /// Print where the time went at the end
    #[arg(long)]
    pub stats: bool,
}

/// Where checkpoints by name come from.
#[derive(Debug, Args)]
pub struct Hub {
    /// A branch, tag, commit or refs/pr/N of a checkpoint by name
    #[arg(long, env = "ZSIC_REVISION", value_name = "REV", default_value = zsic::net::hub::REVISION)]
    pub revision: String,
    /// Do not use the network, not even for image URLs
    #[arg(long)]
    pub offline: bool,
    /// Where fetched checkpoints are [default: the cache of Python's huggingface_hub]
    #[arg(long, value_name = "DIR")]
    pub hub_cache: Option<PathBuf>,
    /// The User-Agent sent to servers; some want an address for contact in it [default: zsic/VERSION]
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
    /// The format; auto is table on a terminal, what the ending of -o says, else jsonl
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: FormatArg,
    /// Write to FILE, by way of FILE.partial
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the K best labels only
    #[arg(short = 'k', long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Print labels of at least this score only
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = score)]
    pub min_score: f32,
    /// Print the model's logits too
    #[arg(long)]
    pub logits: bool,
    /// How logits become scores; auto is what the checkpoint was trained for
    #[arg(long, value_name = "A", default_value = "auto")]
    pub activation: ActivationArg,
    #[command(flatten)]
    pub long_run: LongRun,
}

/// What long runs need.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct LongRun {
    /// Go on from the FILE.partial of a run that was stopped, or add to a finished FILE what is new or changed
    #[arg(long, requires = "output")]
    pub resume: bool,
    /// With --resume, compute the images again that failed
    #[arg(long, requires = "resume")]
    pub retry_failed: bool,
    /// With --resume, leave out the records of images that are no longer among the inputs, instead of refusing the run
    #[arg(long, requires = "resume")]
    pub drop_missing: bool,
    /// Write to FILE, as JSON, how the output was made
    #[arg(long, value_name = "FILE")]
    pub meta: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    Auto,
    /// Bars for people
    Table,
    /// One JSON object a line
    Jsonl,
    /// One JSON array
    Json,
    /// One row a label
    Csv,
    /// What the Python pipeline returns
    Pipeline,
    /// A table for pandas, polars and duckdb, one row a label; needs -o FILE
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationArg {
    Auto,
    Softmax,
    Sigmoid,
}

/// The name of a device.
fn device(name: &str) -> Result<String, String> {
    let index = name.strip_prefix("cuda:").filter(|index| index.parse::<u16>().is_ok());
    match name {
        "auto" | "cpu" | "cuda" | "metal" => Ok(name.to_owned()),
        _ if index.is_some() => Ok(name.to_owned()),
        _ => Err("a device is auto, cpu, cuda, cuda:N or metal".to_owned()),
    }
}

/// A value of the header `User-Agent`.
fn user_agent(text: &str) -> Result<String, String> {
    let is_one = zsic::net::is_user_agent(text);
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| "a user agent is printable ASCII, as in 'NAME (me@example.com)'".to_owned())
}

/// A score, or a bound of one.
fn score(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x| (0.0..=1.0).contains(x)).ok_or_else(|| "a score is a number from 0 to 1".to_owned())
}
