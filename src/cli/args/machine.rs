//! Flags about the checkpoint, where it comes from, and the machine that runs it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use zsic::Precision;

use zsic::checkpoint::Layout;

use super::cache::Caching;

/// The default of `--model`.
pub const DEFAULT_MODEL: &str = "openai/clip-vit-large-patch14";

/// The variables that choose the checkpoint.
pub const MODEL: &str = "ZSIC_MODEL";
pub const REVISION: &str = "ZSIC_REVISION";
/// The variables that choose the device, the arithmetic and the number of threads.
pub const DEVICE: &str = "ZSIC_DEVICE";
pub const PRECISION: &str = "ZSIC_PRECISION";
pub const THREADS: &str = "ZSIC_THREADS";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model and machine")]
pub struct Machine {
    /// The checkpoint: a name on the Hugging Face hub, a directory with config.json, or demo (built in, for drawings) [default:
    /// that of --classifier, else openai/clip-vit-large-patch14]
    #[arg(short, long, env = MODEL, value_name = "ID|DIR|demo")]
    pub model: Option<OsString>,
    #[command(flatten)]
    pub hub: Hub,
    /// Take images of N pixels a side: the positions of a CLIP checkpoint are interpolated
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub image_size: Option<u16>,
    /// Divide an image into N patches at most, with a checkpoint for images in native shapes (NaFlex)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16384))]
    pub max_patches: Option<u16>,
    #[command(flatten)]
    pub caching: Caching,
    /// The device to run on: auto, cpu, cuda, cuda:N or metal
    #[arg(long, env = DEVICE, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: String,
    /// The arithmetic; auto is the fastest one that keeps scores within 5e-5 of exact ones
    #[arg(long, env = PRECISION, value_name = "PRECISION", default_value = "auto", value_parser = precisions())]
    pub precision: Precision,
    /// The number of threads [default: one per CPU that this process may use]
    #[arg(short = 'j', long, env = THREADS, value_name = "N", value_parser = threads)]
    pub threads: Option<u16>,
    /// The largest number of images to encode together [default: 8, and 128 on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: Option<u16>,
    /// The longest time to wait for a batch to fill, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub max_wait: u64,
    /// Print how the time was spent, at the end
    #[arg(long)]
    pub stats: bool,
    #[arg(skip)]
    pub typed: Typed,
}

/// Which flags are on the command line, and not values of variables or defaults.
#[derive(Debug, Clone, Copy, Default)]
pub struct Typed {
    pub model: bool,
    pub revision: bool,
}

impl Typed {
    /// Returns what the matches of a command with these flags say.
    pub fn of(matches: &ArgMatches) -> Self {
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Self { model: is_typed("model"), revision: is_typed("revision") }
    }
}

impl Machine {
    /// Returns the checkpoint's name or directory.
    pub fn model(&self) -> &OsStr {
        self.model.as_deref().unwrap_or(OsStr::new(DEFAULT_MODEL))
    }
}

/// How checkpoints are fetched by name.
#[derive(Debug, Clone, Args)]
pub struct Hub {
    /// The branch, tag, commit or refs/pr/N of the checkpoint on the hub
    #[arg(long, env = REVISION, value_name = "REV", default_value = zsic::net::hub::REVISION)]
    pub revision: String,
    /// The layout to read if a checkpoint has both [default: transformers]
    #[arg(long, value_name = "LAYOUT", value_parser = layout)]
    pub layout: Option<Layout>,
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

/// Accepts the names of precisions.
fn precisions() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name)).try_map(|name| name.parse())
}

/// Parses a number of threads.
pub(super) fn threads(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|count| (1..=512).contains(count)).ok_or("use a number from 1 to 512")
}

/// Parses the name of a layout.
fn layout(name: &str) -> Result<Layout, String> {
    Layout::named(name).ok_or_else(|| "use transformers or open_clip".to_owned())
}

/// Parses the name of a device.
pub fn device(name: &str) -> Result<String, String> {
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
