//! Flags of `zsic doctor`.

use std::path::PathBuf;

use clap::Args;

use super::cache::CachePlace;
use super::machine::{THREADS, threads};
use super::output::ListFormat;

/// Check this machine and this build, and test the numbers
#[derive(Debug, Args)]
#[command(after_help = "\
Self-test:
  The built-in model scores built-in pictures on every instruction set of this CPU and every
  device of this build: in f32, in split products (AMX) and in bf16. The results are compared
  with those of transformers in float64. Logits may differ by 2e-4 and scores by 5e-5. bf16
  keeps 8 bits of a number: there logits may differ by 0.1 and scores by 0.02.

Warnings:
  A hub that does not answer or is busy, and a hub cache that cannot be written, are only warnings.

Exit status:
  0  nothing is wrong
  1  something is wrong: a number, a cache that cannot be used, a token that the hub refuses,
     a server that answers and is not a hub, or a variable whose value no run accepts

Examples:
  zsic doctor
  zsic doctor --offline --format json")]
pub struct Doctor {
    #[command(flatten)]
    pub place: CachePlace,
    /// The directory of fetched checkpoints [default: the cache of Python's huggingface_hub]
    #[arg(long, value_name = "DIR")]
    pub hub_cache: Option<PathBuf>,
    /// Do not ask the hub
    #[arg(long)]
    pub offline: bool,
    /// The number of threads [default: one per CPU that this process may use]
    #[arg(short = 'j', long, env = THREADS, value_name = "N", value_parser = threads)]
    pub threads: Option<u16>,
    /// The output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
}
