//! `--model`: what the user's word means, and the checkpoint it leads to.

use std::path::Path;

use anyhow::{Result, bail};
use zsic::Checkpoint;
use zsic::net::hub as library;

use super::args::{Common, Machine};
use super::{hub, messages};

/// What `--model` means where it is not given.
pub const DEFAULT: &str = "openai/clip-vit-large-patch14";

/// Opens the checkpoint that `--model` names: a directory as it is, a name by way of the cache and the hub.
///
/// # Errors
/// If there is no such directory, it holds no checkpoint, or the name leads to none.
pub fn open(machine: &Machine, common: &Common) -> Result<Checkpoint> {
    let (path, name) = (Path::new(&machine.model), machine.model.to_string_lossy());
    if name.starts_with(['.', '/']) || path.join("config.json").is_file() {
        return Ok(Checkpoint::open(path)?);
    }
    if !library::is_name(&name) {
        bail!("{name}: no directory with a config.json, and no name on the hub, which is like {DEFAULT}");
    }
    let snapshot = hub::fetch(&name, &machine.hub, false, common)?;
    messages::say(common, format_args!("{name}@{}", snapshot.commit));
    Ok(Checkpoint::open(snapshot.dir)?)
}
