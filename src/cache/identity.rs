//! Identifies a checkpoint by the hash of all files that decide what the model computes, wherever they lie.

use std::fs;
use std::path::Path;

use super::Cache;
use super::keys::{CacheKey, ContentHash, KeyParts};
use crate::checkpoint::Files;
use crate::checkpoint::identity::{blob, published};
use crate::reason::os_reason;
use crate::{Checkpoint, Error, Result, regular};

/// Returns the checkpoint's key. Files with a remembered hash are not read.
pub(super) fn key(checkpoint: &Checkpoint, cache: &Cache) -> Result<CacheKey> {
    let mut parts = KeyParts::of("checkpoint");
    if !checkpoint.reading().is_empty() {
        parts = parts.and(b"reading").and(checkpoint.reading().as_bytes());
    }
    match checkpoint.files() {
        Files::Embedded { files, .. } => {
            for (name, bytes) in *files {
                parts = parts.and(name.as_bytes()).and(ContentHash::of(bytes).bytes());
            }
        }
        Files::Directory(_) => {
            for path in checkpoint.paths() {
                let name = path.file_name().unwrap_or_default();
                parts = parts.and(name.as_encoded_bytes()).and(content(&path, cache)?.bytes());
            }
        }
    }
    Ok(parts.key())
}

/// Returns the checkpoint's name for people: `demo`, `owner/name@commit`, or its directory.
pub(super) fn name(checkpoint: &Checkpoint) -> String {
    const LETTERS: usize = 12; // enough of a commit to be unique
    let root = checkpoint.files().root();
    if let Some((name, commit)) = published(root) {
        return format!("{name}@{}", commit.chars().take(LETTERS).collect::<String>());
    }
    match checkpoint.files() {
        Files::Embedded { name, .. } => (*name).to_owned(),
        Files::Directory(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).display().to_string(),
    }
}

/// Returns the hash of a file's content. A hub blob's hash is its name, which was checked when it was fetched.
fn content(path: &Path, cache: &Cache) -> Result<ContentHash> {
    let failed = |e| Error::checkpoint(path, format!("cannot be read: {}", os_reason(&e)));
    let target = fs::canonicalize(path).map_err(failed)?;
    if let Some(hash) = blob(&target).and_then(ContentHash::from_hex) {
        return Ok(hash);
    }
    let file = regular::open(&target).map_err(failed)?;
    let stamp = super::Stamp::of(&target, &file.metadata().map_err(failed)?);
    if let Some(hash) = stamp.and_then(|stamp| cache.content_of(&stamp)) {
        return Ok(hash);
    }
    let hash = ContentHash::of_reader(file).map_err(failed)?;
    if let Some(stamp) = stamp {
        cache.remember(&stamp, &hash);
    }
    Ok(hash)
}
