//! The bytes of an image that are in memory already, with its name.

use super::name::Name;
use super::{Bytes, ImageError, Lease};

/// An image's bytes and its name, or why there are no bytes.
#[derive(Debug)]
pub struct Held {
    pub(super) name: Name,
    pub(super) bytes: Result<Bytes, ImageError>,
}

impl Held {
    /// Creates the result of fetching or reading the image `name`.
    pub fn new(name: Name, bytes: Result<Bytes, ImageError>) -> Self {
        Self { name, bytes }
    }

    /// Returns the bytes, or why there are none.
    pub fn bytes(&self) -> Result<&[u8], &ImageError> {
        self.bytes.as_deref()
    }

    /// Counts the bytes against the memory that was taken for them.
    pub fn with(self, lease: Option<Lease>) -> Self {
        Self { bytes: self.bytes.map(|bytes| Bytes::new(bytes.into_vec(), lease)), ..self }
    }
}
