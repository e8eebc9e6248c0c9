//! What can go wrong in the library, outside single images (see [`crate::source::ImageError`]).

use std::path::{Path, PathBuf};

use crate::source::ImageError;

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that no other image or label could escape: the checkpoint, the labels or the machine.
///
/// Messages are one line in lower case: what failed, on which file, and what to do where that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the checkpoint is missing, torn, or says something that cannot be followed.
    #[error("{}: {reason}", .path.display())]
    Checkpoint {
        /// The file, or the directory where a file was expected.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A prompt has more tokens than the model has positions.
    #[error("the prompt `{prompt}` has {tokens} tokens and the model reads at most {limit}")]
    PromptTooLong {
        /// The prompt as it was tokenized.
        prompt: String,
        /// Its tokens, start and end included.
        tokens: usize,
        /// The model's positions.
        limit: usize,
    },
    /// A template that has no place for the label, or cannot be read.
    #[error("the template `{template}` {reason}")]
    Template {
        /// The template as written.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The device or precision asked for is not to be had here.
    #[error("{0}")]
    Device(String),
    /// This build has no demo model.
    #[error("this build has no demo model; build it with --features demo")]
    NoDemo,
    /// The images and the labels were encoded by two different models.
    #[error("image embeddings have {images} values and the labels' {labels}: two different models")]
    OtherModel {
        /// Values in an image's embedding.
        images: usize,
        /// Values in a label's.
        labels: usize,
    },
    /// The model gave numbers that are not finite, as damaged weights do.
    #[error("the model's output for {what} is not finite; its weights may be damaged")]
    NotFinite {
        /// The image or prompt.
        what: String,
    },
    /// The pixels do not have the size that the model takes.
    #[error("the checkpoint's image processor gives {got} pixels and its config.json asks for {want}")]
    PixelSize {
        /// Width x height as given.
        got: String,
        /// Width x height as needed.
        want: String,
    },
    /// An image that could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Tensor arithmetic failed.
    #[error("tensor arithmetic failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// A checkpoint error about `path`.
    pub(crate) fn checkpoint(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.as_ref().to_path_buf(), reason: reason.to_string() }
    }
}
