//! Flags of `zsic models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::machine::Hub;
use super::output::ListFormat;

/// List, fetch, show, verify and remove checkpoints
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic models pull openai/clip-vit-base-patch32
  zsic models list
  zsic models list --known
  zsic models verify openai/clip-vit-base-patch32
  zsic models rm openai/clip-vit-base-patch32")]
pub struct Models {
    #[command(subcommand)]
    pub command: ModelsCommand,
    /// The output format
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the checkpoints in the cache, or those that could be fetched
    #[command(after_help = "\
Columns of --known (a narrow terminal shows those that fit; JSON has all):
  SIZE       the weights to fetch; SigLIP 2 also has a tokenizer of 34 MB
  GFLOP      work of the image tower for one image, in billions of operations
  TOP-1      zero-shot accuracy on ImageNet in percent, measured by others
             with prompts of their own
  SOURCE     where TOP-1 is published on GitHub: openclip_results.csv in
             mlfoundations/open_clip, README_siglip2.md in
             google-research/big_vision, or TinyCLIP/README.md in
             microsoft/Cream
  LICENCE    what the repository states; read it before you use a checkpoint
  LANGUAGES  the languages of labels")]
    List {
        /// List well-known checkpoints that zsic supports, fetched or not
        #[arg(long, conflicts_with = "hub_cache")]
        known: bool,
        /// The directory of fetched checkpoints [default: the cache of Python's huggingface_hub]
        #[arg(long, value_name = "DIR")]
        hub_cache: Option<PathBuf>,
    },
    /// Fetch or update a checkpoint, and print its directory
    #[command(alias = "fetch")]
    Pull {
        #[command(flatten)]
        model: ModelId,
    },
    /// Show what a checkpoint in the cache is
    Show {
        #[command(flatten)]
        model: ModelId,
    },
    /// Compare a checkpoint's files with the hashes of the hub, to find damaged ones
    Verify {
        #[command(flatten)]
        model: ModelId,
    },
    /// Remove a checkpoint, or one revision of it, from the cache that Python tools share
    Rm {
        /// The checkpoint's name, such as openai/clip-vit-base-patch32
        #[arg(value_name = "ID")]
        name: String,
        /// Remove only this branch, tag, commit or refs/pr/N
        #[arg(long, value_name = "REV")]
        revision: Option<String>,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
        /// The directory of fetched checkpoints [default: the cache of Python's huggingface_hub]
        #[arg(long, value_name = "DIR")]
        hub_cache: Option<PathBuf>,
    },
}

/// A checkpoint by name.
#[derive(Debug, Args)]
pub struct ModelId {
    /// The checkpoint's name, such as openai/clip-vit-base-patch32
    #[arg(value_name = "ID")]
    pub name: String,
    #[command(flatten)]
    pub hub: Hub,
}
