//! The name of an image in records and messages.

use std::fmt::{self, Write};
use std::path::Path;

use super::passwords::without_passwords;
use crate::system::name;

/// An image's name in records: the path as it was given, bytes that are not UTF-8 written as `\xNN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    /// The bytes, if they are not UTF-8.
    bytes: Option<Box<[u8]>>,
}

impl Name {
    pub(super) fn of(path: &Path) -> Self {
        Self::of_bytes(path.as_os_str().as_encoded_bytes())
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(text, "\\x{byte:02X}"); // a String takes everything
            }
        }
        let is_text = std::str::from_utf8(bytes).is_ok();
        Self { text, bytes: (!is_text).then(|| bytes.into()) }
    }

    pub(super) fn stdin() -> Self {
        Self::text("-".to_owned())
    }

    /// Creates a name from text: a URL as it was given, or the short form of a `data:` URI.
    pub(super) fn text(name: String) -> Self {
        Self { text: name, bytes: None }
    }

    /// Returns the name of a member of this tar.
    pub(super) fn member(&self, path: &[u8]) -> Self {
        let member = name::from_bytes(path);
        Self::of_bytes(&[self.bytes(), b"/", member.as_encoded_bytes()].concat())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes of the path as it was given.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.text.as_bytes())
    }
}

impl fmt::Display for Name {
    /// Writes the name for a message: without the password of a URL.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&without_passwords(&self.text))
    }
}
