//! A checkpoint's files, in the Hub's layout: which there are and what they say. It loads no weight and runs no model.

mod demo;
mod files;
mod pickle;
mod safetensors;
mod stored;
mod torch;
mod weights;

use std::path::{Path, PathBuf};

use crate::model::config::ClipConfig;
use crate::text::ClipTokenizer;
use crate::{Error, Preprocessor, Result};

pub use files::Files;
pub use weights::{Rows, Scope, Weights};

/// The model's settings.
const CONFIG: &str = "config.json";

/// Every other file that settings may be in; weights are beside them.
const SETTINGS: [&str; 8] = [
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

/// An open checkpoint: its settings read and checked, its weights found but not loaded.
#[derive(Debug)]
pub struct Checkpoint {
    files: Files,
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
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Error::checkpoint(dir, "is not a directory"));
        }
        Self::from_files(Files::directory(dir))
    }

    /// Opens the built-in checkpoint, which knows pictograms; see `models/demo/README.md`.
    ///
    /// # Errors
    /// [`Error::Device`] in a build without the feature `demo`.
    pub fn demo() -> Result<Self> {
        let missing = || Error::Device("this build has no demo model; build it with --features demo".to_owned());
        Self::from_files(demo::FILES.ok_or_else(missing)?)
    }

    fn from_files(files: Files) -> Result<Self> {
        let config = ClipConfig::from_json(files.read_json(CONFIG)?);
        let config = config.map_err(|e| Error::checkpoint(files.path(CONFIG), e))?;
        for name in SETTINGS.iter().filter(|name| files.contains(name)) {
            files.check_small(name)?;
        }
        let preprocessor = open_preprocessor(&files)?;
        let weights = Weights::open(&files)?;
        Ok(Self { files, config, preprocessor, weights })
    }

    /// The files that decide what the model computes, those of them that there are.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let settings = [CONFIG].into_iter().chain(SETTINGS).filter(|name| self.files.contains(name));
        settings.map(|name| self.files.path(name)).chain(self.weights.paths()).collect()
    }

    /// Where the files are.
    pub fn files(&self) -> &Files {
        &self.files
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
        ClipTokenizer::open(&self.files)
    }
}

/// The image processor's settings, where transformers 5 looks for them: `processor_config.json` under
/// `image_processor` first, then `preprocessor_config.json`.
fn open_preprocessor(files: &Files) -> Result<Preprocessor> {
    const NESTED: &str = "processor_config.json";
    const FLAT: &str = "preprocessor_config.json";
    let nested = if files.contains(NESTED) {
        files.read_json::<serde_json::Map<String, serde_json::Value>>(NESTED)?.remove("image_processor")
    } else {
        None
    };
    let (name, settings) = match nested.filter(|settings| !settings.is_null()) {
        Some(settings) => (NESTED, settings),
        None => (FLAT, files.read_json(FLAT)?),
    };
    Preprocessor::from_json(settings).map_err(|e| Error::checkpoint(files.path(name), e))
}
