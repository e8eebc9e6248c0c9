//! Errors of the library, outside single images (see [`crate::source::ImageError`]).

use std::io;
use std::path::{Path, PathBuf};

use crate::reason::os_reason;
use crate::source::ImageError;

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that affects every image or label: of the checkpoint, the labels or the machine.
///
/// Messages are one line in lower case: what failed, on which file, and what to do if that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the checkpoint is missing, torn, or cannot be used.
    #[error("{}: {reason}", .path.display())]
    Checkpoint {
        /// The file, or the directory where a file was expected.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A compiled classifier that cannot be used.
    #[error("{}: {reason}", .path.display())]
    Classifier {
        /// The file.
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
    /// A template without a place for the label, or one that cannot be read.
    #[error("the template `{template}` {reason}")]
    Template {
        /// The template as written.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The device or precision is not available here.
    #[error("{0}")]
    Device(String),
    /// A device has less memory than the work needs.
    #[error("the GPU is out of memory; stop what else uses it, or use --device cpu")]
    DeviceMemory,
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
    /// The model's output is not finite, as with damaged weights.
    #[error("the model's output for {what} is not finite; its weights may be damaged, or need --precision f32")]
    NotFinite {
        /// The image or prompt.
        what: String,
    },
    /// The pixels do not have the model's size.
    #[error("the checkpoint's image processor gives {got} pixels and its config.json asks for {want}")]
    PixelSize {
        /// The actual width x height.
        got: String,
        /// The expected width x height.
        want: String,
    },
    /// The system starts no more threads.
    #[error("a thread cannot be started: {}", os_reason(.0))]
    Thread(io::Error),
    /// An image that could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Tensor arithmetic failed.
    #[error("tensor arithmetic failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Creates a checkpoint error about `path`.
    pub(crate) fn checkpoint(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.as_ref().to_path_buf(), reason: reason.to_string() }
    }
}
