//! An open checkpoint: its files, its family, its image processor and the table of its weights. It loads no weight and
//! runs no model.

use std::path::{Path, PathBuf};

use super::family::Family;
use super::spec::TokenStem;
use crate::checkpoint::{Files, Layout, Weights, demo, file_names, identity};
use crate::text::Tokenizer;
use crate::{Error, Preprocessor, Result};

/// The most tokens that a prompt has besides those of its text.
const ENDS: usize = 2;

/// An open checkpoint: its settings read and checked, its weights found but not loaded.
#[derive(Debug)]
pub struct Checkpoint {
    files: Files,
    family: Family,
    preprocessor: Preprocessor,
    weights: Weights,
    reading: String,
}

/// Overrides of what a checkpoint's files say.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadAs {
    /// The layout to read, if the checkpoint has two.
    pub layout: Option<Layout>,
    /// The side of images in pixels.
    pub image_size: Option<usize>,
    /// The most patches of an image in its native shape.
    pub max_patches: Option<usize>,
}

impl Checkpoint {
    /// Opens the checkpoint in `dir`: its settings and the table of its weights. If it has two layouts, that of
    /// transformers is read.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing, torn, or of a kind that is not supported.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(dir, &ReadAs::default())
    }

    /// Opens the checkpoint in `dir` with overrides of what its files say.
    ///
    /// # Errors
    /// As [`Self::open`], and for what the checkpoint cannot do.
    pub fn open_as(dir: impl AsRef<Path>, read_as: &ReadAs) -> Result<Self> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Error::checkpoint(dir, "is not a directory"));
        }
        Self::from_files(Files::directory(dir), read_as)
    }

    /// Opens the built-in checkpoint, which knows pictograms; see `models/demo/README.md`.
    ///
    /// # Errors
    /// [`Error::NoDemo`] in a build without the feature `demo`.
    pub fn demo() -> Result<Self> {
        Self::from_files(demo::FILES.ok_or(Error::NoDemo)?, &ReadAs::default())
    }

    fn from_files(files: Files, read_as: &ReadAs) -> Result<Self> {
        let has_open_clip = files.contains(file_names::OPEN_CLIP_CONFIG);
        let config =
            (!has_open_clip || files.contains(file_names::CONFIG)).then(|| files.read_json(file_names::CONFIG));
        let layout = read_as
            .layout
            .unwrap_or_else(|| Layout::of(config.as_ref().and_then(|read| read.as_ref().ok()), has_open_clip));
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
        let mut preprocessor = family.preprocessor(&files)?;
        let weights = family.weights(&files)?;
        let failed = |e| Error::checkpoint(files.root(), e);
        let mut family = family.measured(&weights).map_err(failed)?;
        if let Some(side) = read_as.image_size {
            family.take_images_of(side).map_err(failed)?;
            preprocessor = preprocessor.with_side(side);
        }
        if let Some(most) = read_as.max_patches {
            preprocessor = preprocessor.with_max_patches(most).map_err(failed)?;
        }
        let option = |name: &str, n: Option<usize>| n.map(|n| format!("{name} {n}"));
        let options = [option("image size", read_as.image_size), option("patches", read_as.max_patches)];
        let reading: Vec<String> = family.reading().into_iter().chain(options.into_iter().flatten()).collect();
        Ok(Self { files, family, preprocessor, weights, reading: reading.join(", ") })
    }

    /// Describes everything besides the files that decides what the model computes. It is empty for most checkpoints.
    pub fn reading(&self) -> &str {
        &self.reading
    }

    /// Returns the existing files that decide what the model computes.
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

    /// Returns the first of `prompts` that is cut by default, as the reference does for this family. Examines only long
    /// ones, since a token has at least one byte.
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
