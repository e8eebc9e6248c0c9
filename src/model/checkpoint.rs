//! An open checkpoint: its files, its family, its image processor and the table of its weights. It loads no weight and
//! runs no model.

use std::path::{Path, PathBuf};

use super::family::Family;
use super::spec::TokenStem;
use crate::checkpoint::{Files, Layout, Weights, demo, file_names, identity};
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
    /// Opens the checkpoint in `dir`: its settings and the table of its weights. Where it is in two layouts, that of
    /// transformers is read.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing, torn, or of a kind that is not supported.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(dir, None)
    }

    /// Opens the checkpoint in `dir`, in a layout if one is given.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as(dir: impl AsRef<Path>, layout: Option<Layout>) -> Result<Self> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Error::checkpoint(dir, "is not a directory"));
        }
        Self::from_files(Files::directory(dir), layout)
    }

    /// Opens the built-in checkpoint, which knows pictograms; see `models/demo/README.md`.
    ///
    /// # Errors
    /// [`Error::NoDemo`] in a build without the feature `demo`.
    pub fn demo() -> Result<Self> {
        Self::from_files(demo::FILES.ok_or(Error::NoDemo)?, None)
    }

    fn from_files(files: Files, layout: Option<Layout>) -> Result<Self> {
        let has_open_clip = files.contains(file_names::OPEN_CLIP_CONFIG);
        let config = (!has_open_clip || files.contains(file_names::CONFIG)).then(|| files.read_json(file_names::CONFIG));
        let layout = layout.unwrap_or_else(|| Layout::of(config.as_ref().and_then(|read| read.as_ref().ok()), has_open_clip));
        let name = layout.config(|name| files.contains(name));
        let config = match config {
            Some(config) if name == file_names::CONFIG => config?,
            _ => files.read_json(name)?,
        };
        let family = Family::read(&config, layout, &identity::called(files.root()));
        let family = family.map_err(|e| Error::checkpoint(files.path(name), e))?;
        for name in file_names::SETTINGS.iter().filter(|name| files.contains(name)) {
            files.check_small(name)?;
        }
        let preprocessor = family.preprocessor(&files)?;
        let weights = family.weights(&files)?;
        let family = family.measured(&weights);
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
