//! `--model`: the meaning of the user's word, and the checkpoint it leads to.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::{Result, bail};
use zsic::checkpoint::file_names::{CONFIG, OPEN_CLIP_CONFIG};
use zsic::checkpoint::identity::published;
use zsic::model::checkpoint::ReadAs;
use zsic::net::hub as library;
use zsic::{Checkpoint, Embeddings, ImageEncoder, Pixels, Plan};

use super::args::{Common, DEFAULT_MODEL, Machine};
use super::known::DEMO;
use super::{hub, messages};

/// Opens the checkpoint that `--model` names: the built-in one, a directory, or a name, through the cache and the hub.
///
/// # Errors
/// If the directory does not exist or holds no checkpoint, or if the name leads to none.
pub fn open(machine: &Machine, common: &Common) -> Result<Checkpoint> {
    let (path, name) = (Path::new(machine.model()), machine.model().to_string_lossy());
    let read_as = ReadAs {
        layout: machine.hub.layout,
        image_size: machine.image_size.map(usize::from),
        max_patches: machine.max_patches.map(usize::from),
    };
    if name == DEMO {
        let plain = read_as.image_size.is_none() && read_as.max_patches.is_none();
        return if plain {
            Ok(Checkpoint::demo()?)
        } else {
            bail!("the built-in model takes only images of its own size")
        };
    }
    if name.starts_with('.')
        || path.has_root()
        || [CONFIG, OPEN_CLIP_CONFIG].iter().any(|file| path.join(file).exists())
    {
        return Ok(Checkpoint::open_as(path, &read_as)?);
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
    Ok(Checkpoint::open_as(snapshot.dir, &read_as)?)
}

/// Returns what a checkpoint is called: `name@commit`, a directory, or the name of the built-in one.
pub fn shown(checkpoint: &Checkpoint) -> String {
    let root = checkpoint.files().root();
    published(root).map_or_else(|| root.display().to_string(), |(name, commit)| format!("{name}@{commit}"))
}

/// The image tower of a run, loaded for the first image that must be encoded.
pub struct ImageTower<'a> {
    checkpoint: &'a Checkpoint,
    plan: &'a Plan,
    loaded: OnceCell<ImageEncoder>,
}

impl<'a> ImageTower<'a> {
    /// Creates a tower that is not loaded yet.
    pub fn new(checkpoint: &'a Checkpoint, plan: &'a Plan) -> Self {
        Self { checkpoint, plan, loaded: OnceCell::new() }
    }

    /// Returns unit embeddings [B, D].
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
