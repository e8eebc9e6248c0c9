//! `--model`: what the user's word means, and the checkpoint it leads to.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;
use zsic::Checkpoint;

/// What `--model` means where it is not given.
pub const DEFAULT: &str = "openai/clip-vit-large-patch14";

/// Opens the checkpoint that `model` names.
///
/// # Errors
/// If there is no such directory, or it holds no checkpoint.
pub fn open(model: &OsStr) -> Result<Checkpoint> {
    let path = Path::new(model);
    let name = model.to_string_lossy();
    if !name.starts_with(['.', '/']) && !path.join("config.json").is_file() {
        anyhow::bail!(
            "{name}: no such directory with a config.json, and this version fetches no checkpoint by name; \
             give --model a local directory in the Hub's layout"
        );
    }
    Ok(Checkpoint::open(path)?)
}
