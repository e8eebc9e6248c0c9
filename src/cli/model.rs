//! `--model`: what the user's word means, and the checkpoint it leads to.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::{Result, bail};
use zsic::net::hub as library;
use zsic::{Checkpoint, Embeddings, ImageEncoder, Pixels, Plan};

use super::args::{Common, DEFAULT_MODEL, Machine};
use super::known::DEMO;
use super::{hub, messages};

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
    if name.starts_with(['.', '/']) || path.join("config.json").exists() {
        return Ok(Checkpoint::open(path)?);
    }
    if !library::is_name(&name) {
        bail!("{name}: neither a directory with a config.json nor a name on the hub, such as {DEFAULT_MODEL}");
    }
    if path.is_dir() {
        messages::warn(
            common,
            format!("{name} is a directory here, without a config.json; taken for a name on the hub"),
        );
    }
    let snapshot = hub::fetch(&name, &machine.hub, false, common)?;
    messages::say(common, format_args!("{name}@{}", snapshot.commit));
    Ok(Checkpoint::open(snapshot.dir)?)
}

/// The image tower of a run, loaded when the first image comes that must be encoded.
pub struct ImageTower<'a> {
    checkpoint: &'a Checkpoint,
    plan: &'a Plan,
    loaded: OnceCell<ImageEncoder>,
}

impl<'a> ImageTower<'a> {
    /// A tower that is not loaded yet.
    pub fn new(checkpoint: &'a Checkpoint, plan: &'a Plan) -> Self {
        Self { checkpoint, plan, loaded: OnceCell::new() }
    }

    /// Unit embeddings [B, D].
    ///
    /// # Errors
    /// If the tower cannot be loaded, or the device fails.
    pub fn embed(&self, pixels: &[Pixels]) -> zsic::Result<Embeddings> {
        let encoder = match self.loaded.get() {
            Some(encoder) => encoder,
            None => {
                let encoder = ImageEncoder::load(self.checkpoint, self.plan)?;
                self.loaded.get_or_init(|| encoder)
            }
        };
        encoder.embed(pixels)
    }
}
