//! `--model`: what the user's word means, and the checkpoint it leads to.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, bail};
use zsic::net::hub as library;
use zsic::{Checkpoint, Embeddings, ImageEncoder, Pixels, Plan};

use super::args::{Common, DEFAULT_MODEL, Machine};
use super::{hub, messages};

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
    if name.starts_with(['.', '/']) || path.join("config.json").exists() {
        return Ok(Checkpoint::open(path)?);
    }
    if !library::is_name(&name) {
        bail!("{name}: no directory with a config.json, and no name on the hub, which is like {DEFAULT_MODEL}");
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
    pub fn embed(&self, pixels: &[Pixels]) -> Result<Embeddings> {
        let encoder = match self.loaded.get() {
            Some(encoder) => encoder,
            None => {
                let encoder = ImageEncoder::load(self.checkpoint, self.plan)?;
                self.loaded.get_or_init(|| encoder)
            }
        };
        Ok(encoder.embed(pixels)?)
    }
}

/// A command to paste that needs no network, in a build that has the built-in checkpoint: what was typed, with that as its
/// model. None where it cannot be written down so that it works.
pub fn without_network() -> Option<String> {
    Checkpoint::demo().ok()?;
    let words: Vec<String> = std::env::args_os().map(OsString::into_string).collect::<Result<_, _>>().ok()?;
    let mut words = without_model(words);
    let command = words.iter().position(|word| word == "classify" || word == "embed")?;
    words.splice(command + 1..command + 1, ["--model".to_owned(), DEMO.to_owned()]);
    shlex::try_join(words.iter().map(String::as_str)).ok()
}

/// A command's words but for `--model` and what it names.
fn without_model(words: Vec<String>) -> Vec<String> {
    let mut words = words.into_iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-m" | "--model" => _ = words.next(),
            _ if word.starts_with("--model=") || word.starts_with("-m") => {}
            _ => kept.push(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_model_is_taken_out() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for line in ["zsic classify x -m a/b -l c", "zsic classify x --model=a/b -l c", "zsic classify -ma/b x -l c"] {
            assert_eq!(without_model(words(line)), words("zsic classify x -l c"), "{line}");
        }
        assert_eq!(
            without_model(words("zsic classify x -l c --max-pixels 9")),
            words("zsic classify x -l c --max-pixels 9")
        );
    }
}
