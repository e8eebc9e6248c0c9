//! What the user typed after `zsic models`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Hub;

/// List, fetch, describe, check and remove checkpoints
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic models pull openai/clip-vit-base-patch32
  zsic models list
  zsic models verify openai/clip-vit-base-patch32
  zsic models rm openai/clip-vit-base-patch32")]
pub struct Models {
    #[command(subcommand)]
    pub command: ModelsCommand,
    /// The format
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the checkpoints in the cache
    List {
        /// Where fetched checkpoints are [default: the cache of Python's huggingface_hub]
        #[arg(long, value_name = "DIR")]
        hub_cache: Option<PathBuf>,
    },
    /// Fetch a checkpoint, or bring it up to date, and print its directory
    Pull {
        #[command(flatten)]
        model: ModelId,
    },
    /// Describe a checkpoint in the cache
    Show {
        #[command(flatten)]
        model: ModelId,
    },
    /// Hash a checkpoint's files again, to find damaged ones
    Verify {
        #[command(flatten)]
        model: ModelId,
    },
    /// Remove a checkpoint, or one revision of it, from the cache, which Python tools share
    Rm {
        /// Its name
        #[arg(value_name = "ID")]
        name: String,
        /// Remove only this branch, tag, commit or refs/pr/N
        #[arg(long, value_name = "REV")]
        revision: Option<String>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Where fetched checkpoints are [default: the cache of Python's huggingface_hub]
        #[arg(long, value_name = "DIR")]
        hub_cache: Option<PathBuf>,
    },
}

/// A checkpoint by name.
#[derive(Debug, Args)]
pub struct ModelId {
    /// Its name, as in openai/clip-vit-base-patch32
    #[arg(value_name = "ID")]
    pub name: String,
    #[command(flatten)]
    pub hub: Hub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Columns for people
    Table,
    /// One JSON value
    Json,
}
