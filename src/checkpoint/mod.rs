//! A local directory in the Hub's layout: which files it has and what they say. It loads no weight and runs no model.

mod pickle;
mod safetensors;
mod stored;
mod torch;
mod weights;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::model::config::ClipConfig;
use crate::text::ClipTokenizer;
use crate::{Error, Preprocessor, Result};

pub use weights::{Scope, Weights};

/// An open checkpoint: its settings read and checked, its weights found but not loaded.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    config: ClipConfig,
    preprocessor: Preprocessor,
    weights: Weights,
}

impl Checkpoint {
    /// Opens the checkpoint in `dir`: `config.json`, the image processor's settings and the table of weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing, torn, or of a kind that is not supported.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        if !dir.is_dir() {
            return Err(Error::checkpoint(&dir, "is not a directory"));
        }
        let config_path = dir.join("config.json");
        let config = ClipConfig::from_json(read_json(&config_path)?).map_err(|e| Error::checkpoint(&config_path, e))?;
        let preprocessor = open_preprocessor(&dir)?;
        let weights = Weights::open(&dir)?;
        Ok(Self { dir, config, preprocessor, weights })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `config.json` says, defaults filled in.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// How images become pixels.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The table of weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the tokenizer's file.
    pub fn tokenizer(&self) -> Result<ClipTokenizer> {
        ClipTokenizer::open(&self.dir)
    }
}

/// The image processor's settings, where transformers 5 looks for them: `processor_config.json` under
/// `image_processor` first, then `preprocessor_config.json`.
fn open_preprocessor(dir: &Path) -> Result<Preprocessor> {
    let nested = dir.join("processor_config.json");
    if nested.exists() {
        let mut processor: serde_json::Map<String, serde_json::Value> = read_json(&nested)?;
        if let Some(settings) = processor.remove("image_processor").filter(|s| !s.is_null()) {
            return Preprocessor::from_json(settings).map_err(|e| Error::checkpoint(&nested, e));
        }
    }
    let path = dir.join("preprocessor_config.json");
    Preprocessor::from_json(read_json(&path)?).map_err(|e| Error::checkpoint(&path, e))
}

/// Reads a JSON file; every failure names it.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes).map_err(|e| Error::checkpoint(path, format!("is not the JSON expected here: {e}")))
}

/// Reads a small file; every failure names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::checkpoint(path, unreadable(&e)))
}

/// Why a file could not be opened or read, in few words.
pub(crate) fn unreadable(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "the checkpoint has no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => format!("cannot be read: {e}"),
    }
}
