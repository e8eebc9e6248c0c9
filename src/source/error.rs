//! Why an image failed: a kind for scripts, a line for people. A failed image never stops the others.

use std::fmt;
use std::io;

use crate::reason::os_reason;

/// The kind of failure, as written in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not exist.
    NotFound,
    /// The file may not be read.
    Permission,
    /// Reading failed.
    Read,
    /// The content is not an image, or its format is not supported.
    Format,
    /// The image data is damaged.
    Decode,
    /// The image has more pixels, or the file more bytes, than allowed.
    TooLarge,
    /// The download failed.
    Network,
    /// The download took too long.
    Timeout,
    /// The request is not allowed: the network is off, or a redirect led to a private address.
    Refused,
    /// It needs more memory than one image may have. The image is not at fault: a run stops at it.
    Memory,
    /// A fault in zsic.
    Internal,
}

impl ErrorKind {
    /// Returns the name in records.
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
    /// The kind, for scripts.
    pub kind: ErrorKind,
    /// One line in lower case. It starts with the image's name after [`Self::named`].
    pub message: String,
}

impl ImageError {
    /// Creates a failure from its message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Returns the same failure with the image's name in front.
    pub fn named(self, name: impl fmt::Display) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    /// Returns the failure of an image without pixels.
    pub(crate) fn empty() -> Self {
        Self::new(ErrorKind::Decode, "the image has no pixels")
    }

    /// Returns the failure of an image for which the model gave numbers that are not finite.
    pub fn not_finite() -> Self {
        Self::new(
            ErrorKind::Internal,
            "the model's output is not finite; its weights may be damaged, or need --precision f32",
        )
    }

    /// Returns the failure of data that ends before the image does.
    pub(crate) fn truncated(format: &str) -> Self {
        Self::new(ErrorKind::Decode, format!("the {format} data ends early"))
    }

    /// Returns the failure of an image that the system has no memory for.
    pub(crate) fn no_memory() -> Self {
        Self::new(ErrorKind::Memory, "does not fit in the memory that is left")
    }

    /// Converts a failure to open or read a file.
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
