//! The name of an image in records and messages.

use std::fmt::{self, Write};
use std::path::Path;

use super::passwords::without_passwords;
use crate::system::name;

/// An image's name in records: the path as it was given, bytes that are not UTF-8 written as `\xNN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub(super) fn of(path: &Path) -> Self {
        let mut name = String::new();
        for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
            name.push_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(name, "\\x{byte:02X}"); // a String takes everything
            }
        }
        Self(name)
    }

    pub(super) fn stdin() -> Self {
        Self("-".to_owned())
    }

    /// Creates a name from text: a URL as it was given, or the short form of a `data:` URI.
    pub(super) fn text(name: String) -> Self {
        Self(name)
    }

    /// Returns the name of a member of this tar.
    pub(super) fn member(&self, path: &[u8]) -> Self {
        Self(format!("{}/{}", self.0, Self::of(Path::new(&name::from_bytes(path))).0))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    /// Writes the name for a message: without the password of a URL.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&without_passwords(&self.0))
    }
}
