//! An open checkpoint: its files, its family, its image processor and the table of its weights. It loads no weight and
//! runs no model.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::family::Family;
use super::spec::TokenStem;
use crate::checkpoint::{Files, Layout, Weights, demo, file_names};
use crate::preprocess::ProcessorClass;
use crate::text::Tokenizer;
use crate::{Error, Preprocessor, Result};

/// Tokens that a prompt has beside those of its text, at most.
const ENDS: usize = 2;

/// An open checkpoint: its settings read and checked, its weights found but not loaded.
#[derive(Debug)]
pub struct Checkpoint {
    files: Files,
    family: Family,
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
    /// [`Error::NoDemo`] in a build without the feature `demo`.
    pub fn demo() -> Result<Self> {
        Self::from_files(demo::FILES.ok_or(Error::NoDemo)?)
    }

    fn from_files(files: Files) -> Result<Self> {
        let family = Family::from_config(files.read_json(file_names::CONFIG)?);
        let family = family.map_err(|e| Error::checkpoint(files.path(file_names::CONFIG), e))?;
        for name in file_names::SETTINGS.iter().filter(|name| files.contains(name)) {
            files.check_small(name)?;
        }
        let preprocessor = open_preprocessor(&files, family.processor())?;
        let weights = Weights::open(&files, Layout::Transformers.weights(), family.recipe())?;
        Ok(Self { files, family, preprocessor, weights })
    }

    /// Returns the files that decide what the model computes, those that exist.
    pub fn paths(&self) -> Vec<PathBuf> {
        let settings = file_names::SETTINGS.into_iter().filter(|name| self.files.contains(name));
        settings.map(|name| self.files.path(name)).chain(self.weights.paths()).collect()
    }

    /// Returns where the files are.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns its family, with what `config.json` says.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// Returns how images become pixels.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// Returns the table of weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Returns the first of `prompts` that is cut without being asked, as the reference does for this family. Only long ones
    /// are looked at: a token has a byte at least.
    ///
    /// # Errors
    /// As [`Self::tokenizer`].
    pub fn first_cut<'a>(&self, prompts: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>> {
        let TokenStem { length, cuts, .. } = self.family.text().stem;
        let mut long = prompts.filter(|prompt| cuts && prompt.len() + ENDS > length).peekable();
        if long.peek().is_none() {
            return Ok(None);
        }
        let tokenizer = self.tokenizer()?;
        for prompt in long {
            if tokenizer.encode(prompt)?.len() > length {
                return Ok(Some(prompt));
            }
        }
        Ok(None)
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the tokenizer's file.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        self.family.tokenizer(&self.files)
    }
}

/// Reads the image processor's settings where transformers 5 looks for them: `processor_config.json` under
/// `image_processor` first, then `preprocessor_config.json`.
fn open_preprocessor(files: &Files, default: ProcessorClass) -> Result<Preprocessor> {
    const NESTED: &str = file_names::NESTED_PROCESSOR;
    const FLAT: &str = file_names::PROCESSOR;
    let nested = if files.contains(NESTED) {
        files.read_json::<Map<String, Value>>(NESTED)?.remove("image_processor")
    } else {
        None
    };
    let (name, settings) = match nested.filter(|settings| !settings.is_null()) {
        Some(settings) => (NESTED, settings),
        None => (FLAT, files.read_json(FLAT)?),
    };
    Preprocessor::from_json(settings, default).map_err(|e| Error::checkpoint(files.path(name), e))
}
