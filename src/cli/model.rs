//! `--model`: what the user's word means, and the checkpoint it leads to.

use std::path::Path;

use anyhow::{Result, bail};
use zsic::Checkpoint;
use zsic::net::hub as library;

use super::args::{Common, Machine};
use super::{hub, messages};

/// What `--model` means where it is not given.
pub const DEFAULT: &str = "openai/clip-vit-large-patch14";
/// The built-in checkpoint's name, whatever directories there are; `./demo` is one of those.
pub const DEMO: &str = "demo";

/// Opens the checkpoint that `--model` names: the built-in one, a directory as it is, or a name by way of the cache and
/// the hub.
///
/// # Errors
/// If there is no such directory, it holds no checkpoint, or the name leads to none.
pub fn open(machine: &Machine, common: &Common) -> Result<Checkpoint> {
    let (path, name) = (Path::new(&machine.model), machine.model.to_string_lossy());
    if name == DEMO {
        return Ok(Checkpoint::demo()?);
    }
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

/// A command to paste that needs no network, in a build that has the built-in checkpoint: what was typed, where that named
/// no model.
pub fn without_network(name: &str) -> Option<String> {
    Checkpoint::demo().ok()?;
    if name != DEFAULT {
        return Some(format!("zsic classify IMAGE --labels cat,dog --model {DEMO}"));
    }
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let command = words.iter().position(|word| word == "classify" || word == "embed")?;
    words.splice(command + 1..command + 1, ["--model".to_owned(), DEMO.to_owned()]);
    shlex::try_join(words.iter().map(String::as_str)).ok()
}
