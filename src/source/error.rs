//! Why one image failed: a kind for scripts, a line for people. A failed image never stops the others.

use std::fmt;
use std::io;

use crate::reason::os_reason;

/// The kind of failure, as written in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file.
    NotFound,
    /// The file may not be read.
    Permission,
    /// Reading failed midway.
    Read,
    /// The content is no image, or of a format that is not supported.
    Format,
    /// The image data is damaged.
    Decode,
    /// The image has more pixels, or the file more bytes, than allowed.
    TooLarge,
    /// It did not come over the network.
    Network,
    /// It did not come in time.
    Timeout,
    /// It may not be asked for: the network is forbidden, or a redirect led to a place that is nobody's business.
    Refused,
    /// It needs more memory than there is for one image. This is no failure of the image: a run stops at it.
    Memory,
    /// Something that should not happen did.
    Internal,
}

impl ErrorKind {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Permission => "permission",
            Self::Read => "read",
            Self::Format => "format",
            Self::Decode => "decode",
            Self::TooLarge => "too_large",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Memory => "memory",
            Self::Internal => "internal",
        }
    }
}

/// One image's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageError {
    /// What scripts may branch on.
    pub kind: ErrorKind,
    /// One line in lower case; starts with the image's name once [`Self::named`] has put it there.
    pub message: String,
}

impl ImageError {
    /// A failure with its line.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The same failure, said of the image `name`.
    pub fn named(self, name: impl fmt::Display) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    /// An image without pixels.
    pub(crate) fn empty() -> Self {
        Self::new(ErrorKind::Decode, "the image has no pixels")
    }

    /// A model that gave numbers that are not finite.
    pub fn not_finite() -> Self {
        Self::new(ErrorKind::Internal, "the model's output is not finite; its weights may be damaged")
    }

    /// The image data ends before the image does.
    pub(crate) fn truncated(format: &str) -> Self {
        Self::new(ErrorKind::Decode, format!("the {format} data ends early"))
    }

    /// The system has no more memory for the image.
    pub(crate) fn no_memory() -> Self {
        Self::new(ErrorKind::Memory, "does not fit in the memory that is left")
    }

    /// Opening or reading a file failed.
    pub(crate) fn from_io(e: &io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NotFound => Self::new(ErrorKind::NotFound, "no such file"),
            io::ErrorKind::OutOfMemory => Self::no_memory(),
            io::ErrorKind::PermissionDenied => Self::new(ErrorKind::Permission, "no permission to read it"),
            _ => Self::new(ErrorKind::Read, format!("cannot be read: {}", os_reason(e))),
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ImageError {}
