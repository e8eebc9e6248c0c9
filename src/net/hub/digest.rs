//! The hash in a blob's name: SHA-256 for large files, git's SHA-1 for small ones.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::regular;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// A hash under construction.
#[derive(Clone)]
pub(super) struct Digest {
    /// None if the name is not a hash, as on some mirrors. Then only the length can be checked.
    context: Option<Context>,
    expected: String,
}

impl Digest {
    /// Prepares the hash of a file of `size` bytes whose blob is called `etag`.
    pub fn new(etag: &str, size: u64) -> Self {
        let hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
        let context = match etag.len() {
            64 if hex => Some(Context::new(&SHA256)),
            40 if hex => {
                // Git's hash of a blob.
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {size}\0").as_bytes());
                Some(context)
            }
            _ => None,
        };
        Self { context, expected: etag.to_ascii_lowercase() }
    }

    /// Returns whether there is a hash to check.
    pub fn checks(&self) -> bool {
        self.context.is_some()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(context) = &mut self.context {
            context.update(bytes);
        }
    }

    /// Adds the first `length` bytes of a file.
    pub fn update_from(&mut self, file: &mut File, length: u64, mut on: impl FnMut(u64)) -> io::Result<()> {
        let (mut buffer, mut file) = (vec![0; BUFFER], file.take(length));
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => {
                    self.update(&buffer[..n]);
                    on(n as u64);
                }
            }
        }
    }

    /// Returns whether the bytes match the name.
    pub fn matches(self) -> bool {
        self.context.is_none_or(|context| HEXLOWER.encode(context.finish().as_ref()) == self.expected)
    }
}

/// Returns whether the file at `path` matches `etag`; None if that is not a hash.
pub(super) fn check(path: &Path, etag: &str, on: impl FnMut(u64)) -> io::Result<Option<bool>> {
    let mut file = regular::open(path)?;
    let size = file.metadata()?.len();
    let mut digest = Digest::new(etag, size);
    if !digest.checks() {
        return Ok(None);
    }
    digest.update_from(&mut file, size, on)?;
    Ok(Some(digest.matches()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_git_s_and_sha_256() {
        let matches = |etag: &str, bytes: &[u8]| {
            let mut digest = Digest::new(etag, bytes.len() as u64);
            digest.update(bytes);
            digest.matches()
        };
        // printf 'hello\n' | git hash-object --stdin; ... | sha256sum
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for etag in [git, sha256] {
            assert!(matches(etag, b"hello\n"));
            assert!(!matches(etag, b"hello") && !matches(etag, b"hello\n\n"));
        }
        assert!(matches("an-etag", b"whatever"));
    }
}
