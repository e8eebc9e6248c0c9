//! What an image was when it was read: its version, found without decoding or fetching it.

use std::fs::{self, Metadata};

use crate::cache::ContentHash;
use crate::source::{Entry, ImageError, Input};
use crate::system::file::Changes;

/// Tells whether an image has changed: the size and the times of the last changes of a file, or the hash of bytes read
/// during the walk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version([u8; Self::BYTES]);

impl Version {
    /// Bytes of a version.
    pub const BYTES: usize = 24;

    /// Returns the version of a file. An edit that keeps a file's size and time still changes its ctime,
    /// except on Windows, where the standard library does not show it.
    pub fn of_file(metadata: &Metadata) -> Self {
        let nanoseconds = |(seconds, rest): (i64, i64)| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
        let (mut bytes, changes) = ([0; Self::BYTES], Changes::of(metadata));
        bytes[..8].copy_from_slice(&metadata.len().to_le_bytes());
        bytes[8..16].copy_from_slice(&nanoseconds(changes.content).to_le_bytes());
        bytes[16..].copy_from_slice(&nanoseconds(changes.any).to_le_bytes());
        Self(bytes)
    }

    /// Returns the version of bytes with this hash.
    pub fn of_content(content: &ContentHash) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(&content.bytes()[..Self::BYTES]);
        Self(bytes)
    }

    /// Returns the version of an image that failed.
    pub fn of_failure(e: &ImageError) -> Self {
        Self::of_content(&ContentHash::of(format!("{}\n{}", e.kind.name(), e.message).as_bytes()))
    }

    /// Returns the current version of an image, or the default if only fetching it would show one.
    pub fn now(entry: &Entry) -> Option<Self> {
        match entry {
            Ok(Input::Path(path) | Input::Region(path, _)) => {
                let gone = |e: std::io::Error| Self::of_content(&ContentHash::of(e.kind().to_string().as_bytes()));
                Some(fs::metadata(path).map_or_else(gone, |metadata| Self::of_file(&metadata)))
            }
            Ok(Input::Held(held)) => Some(match held.bytes() {
                Ok(bytes) => Self::of_content(&ContentHash::of(bytes)),
                Err(e) => Self::of_failure(e),
            }),
            Ok(Input::Url(_) | Input::Stdin) => None,
            Err((_, e)) => Some(Self::of_failure(e)),
        }
    }

    /// Returns the version with these bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns a part of it as a number: of a file, the time of its last change.
    pub fn number(&self) -> u64 {
        let [_, _, number] = self.0.as_chunks().0 else { return 0 };
        u64::from_be_bytes(*number)
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_keeps_size_and_time_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        let now = || Version::now(&Ok(Input::from_arg(&path)));
        let missing = now();
        fs::write(&path, "one").unwrap();
        let (first, time) = (now(), fs::metadata(&path).unwrap().modified().unwrap());
        assert!(first == now() && first != missing);
        std::thread::sleep(std::time::Duration::from_millis(20)); // some file systems tell time in steps
        fs::write(&path, "two").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        // Windows tells no time that cannot be set.
        if !cfg!(windows) {
            assert_ne!(now(), first);
        }
        assert_eq!(Version::now(&Ok(Input::from_arg("http://h/a.jpg"))), None);
        let data = |word| Version::now(&Ok(Input::from_arg(word)));
        assert!(data("data:,a") == data("data:,a") && data("data:,a") != data("data:,b"));
    }
}
