//! Embeddings kept between runs, keyed by everything that decides their bits. The cache is optional: what it does not
//! find is computed.
//!
//! A [`Cache`] is a file in a directory that any number of processes may use at once. A [`Scope`] is one checkpoint in
//! one arithmetic: it finds and keeps the embeddings of images and texts. Both are cheap to clone, and every method
//! takes `&self` on any thread. One thread of the cache writes new entries, in batches, within half a second. A cache
//! that fails finds nothing and keeps nothing; [`Cache::flush`] returns the reason.
//!
//! ```no_run
//! use std::path::Path;
//! use zsic::cache::{Cache, ContentHash, Stamp};
//! use zsic::preprocess::Decoding;
//! # fn embed(_: &[u8]) -> Vec<f32> { vec![] }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let checkpoint = zsic::Checkpoint::demo()?;
//! # let plan = zsic::Compute::default().plan(&checkpoint);
//! let cache = Cache::open(Path::new("cache"), 4 << 30)?;
//! let scope = cache.scope(&checkpoint, &plan)?;
//! let path = Path::new("owl.jpg");
//! let stamp = Stamp::of(path, &std::fs::metadata(path)?); // before it is read
//! let known = stamp.and_then(|stamp| cache.content_of(&stamp));
//! if known.and_then(|content| scope.image(&content, Decoding::Exact)).is_none() {
//!     let bytes = std::fs::read(path)?;
//!     let content = ContentHash::of(&bytes);
//!     if let Some(stamp) = stamp {
//!         cache.remember(&stamp, &content);
//!     }
//!     if scope.image(&content, Decoding::Exact).is_none() {
//!         scope.put_image(&content, Decoding::Exact, &embed(&bytes));
//!     }
//! }
//! cache.flush()?;
//! # Ok(())
//! # }
//! ```

mod entry;
mod error;
mod identity;
mod keys;
mod place;
mod scope;
mod store;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use entry::{EntryKind, Group};
pub use error::CacheError;
pub use keys::{ContentHash, Stamp};
pub use scope::Scope;

use crate::{Checkpoint, Plan};
use entry::{CacheEntry, Found};
use keys::CacheKey;
use store::{Store, hour};
use writer::{CacheWriter, FirstFailure};

/// The default size limit in bytes.
pub const LIMIT: u64 = 4 << 30;
/// The smallest size limit: a fourth of it is for the log.
pub const LEAST: u64 = 32 << 20;

/// An open cache, or none.
#[derive(Debug, Clone)]
pub struct Cache(Option<Arc<OpenCache>>);

#[derive(Debug)]
struct OpenCache {
    path: PathBuf,
    limit: u64,
    /// The connection of all lookups, which take turns: each connection holds pages in memory, and a lookup is short.
    reader: Mutex<Option<Store>>,
    writer: CacheWriter,
    failure: FirstFailure,
}

impl Cache {
    /// Opens the cache in `dir`, and creates it if it is missing. The cache takes at most `limit` bytes (at least
    /// [`LEAST`]). When it is nearly full, it removes the entries with the oldest last use, which is known to the hour.
    ///
    /// # Errors
    /// [`CacheError`] if the directory cannot be made or written, or the file is damaged.
    pub fn open(dir: &Path, limit: u64) -> Result<Self, CacheError> {
        let limit = limit.max(LEAST);
        let store = Store::open(dir, limit)?;
        let failure = FirstFailure::default();
        Ok(Self(Some(Arc::new(OpenCache {
            path: place::file(dir),
            limit,
            reader: Mutex::default(),
            writer: CacheWriter::start(store, Arc::clone(&failure)).map_err(|e| CacheError::io(dir, &e))?,
            failure,
        }))))
    }

    /// Returns a cache that finds nothing and keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Returns whether this is a cache at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the entries of a checkpoint in one arithmetic. The first call hashes the checkpoint's files, which takes
    /// a second for 1.5 GB.
    ///
    /// # Errors
    /// If a file of the checkpoint cannot be read.
    pub fn scope(&self, checkpoint: &Checkpoint, plan: &Plan) -> crate::Result<Scope> {
        let Some(inner) = &self.0 else { return Ok(Scope::none()) };
        if !keys::are_known(plan) {
            return Ok(Scope::none());
        }
        let key = keys::scope(&identity::key(checkpoint, self)?, plan);
        let how = plan.instructions().unwrap_or_default();
        let precision = format!("{:?}", plan.precision).to_lowercase();
        inner.writer.name(key.number(), format!("{}, {precision} on {how}", identity::name(checkpoint)));
        Ok(Scope::new(self.clone(), key, checkpoint.family().facts().embedding))
    }

    /// Returns the hash of all files that decide what a checkpoint computes, in hexadecimal. Files with a remembered hash are
    /// not read.
    ///
    /// # Errors
    /// If a file of the checkpoint cannot be read.
    pub fn content_of_checkpoint(&self, checkpoint: &Checkpoint) -> crate::Result<String> {
        identity::key(checkpoint, self).map(|key| key.hex())
    }

    /// Returns the remembered hash of a file's content, if the file is unchanged.
    pub fn content_of(&self, stamp: &Stamp) -> Option<ContentHash> {
        self.contents_of(std::slice::from_ref(stamp)).pop().flatten()
    }

    /// Does the same as [`Self::content_of`] for many files, in one transaction.
    pub fn contents_of(&self, stamps: &[Stamp]) -> Vec<Option<ContentHash>> {
        let keys: Vec<CacheKey> = stamps.iter().map(Stamp::key).collect();
        let hash = |value: Option<Vec<u8>>| ContentHash::from_bytes(&value?);
        self.read(&keys).into_iter().map(hash).collect()
    }

    /// Remembers the content hash of a file under its stamp.
    pub fn remember(&self, stamp: &Stamp, content: &ContentHash) {
        self.put(vec![CacheEntry {
            key: stamp.key(),
            kind: EntryKind::File,
            scope: 0,
            value: content.bytes().to_vec(),
        }]);
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// The first failure since the cache was opened or last flushed.
    pub fn flush(&self) -> Result<(), CacheError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.writer.flush();
        inner.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn put(&self, mut entries: Vec<CacheEntry>) {
        entries.iter_mut().for_each(|entry| entry.value.extend(keys::seal(&entry.key, &entry.value)));
        if let Some(inner) = &self.0
            && !entries.is_empty()
        {
            inner.writer.put(entries);
        }
    }

    /// Looks up keys. An entry that cannot be read counts as not found.
    fn read(&self, keys: &[CacheKey]) -> Vec<Option<Vec<u8>>> {
        let nothing = || vec![None; keys.len()];
        let Some(inner) = &self.0 else { return nothing() };
        match inner.read(keys) {
            Ok(found) => {
                inner.writer.used(found.stale);
                let whole = |(key, value): (&CacheKey, Option<Vec<u8>>)| keys::unseal(key, value?);
                keys.iter().zip(found.values).map(whole).collect()
            }
            Err(e) => {
                writer::note(&inner.failure, e);
                nothing()
            }
        }
    }
}

impl OpenCache {
    fn read(&self, keys: &[CacheKey]) -> Result<Found, CacheError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = reader.take().map_or_else(|| Store::again(&self.path, self.limit), Ok)?;
        let found = store.read(keys, hour());
        *reader = Some(store);
        found
    }
}

/// The contents of a cache, in numbers.
#[derive(Debug, Clone)]
pub struct CacheInfo {
    /// The file.
    pub path: PathBuf,
    /// Bytes on the disk, including the log.
    pub bytes: u64,
    /// Entries by kind and checkpoint.
    pub groups: Vec<Group>,
}

/// Counts the entries of the cache in `dir`. A missing cache counts as empty.
///
/// # Errors
/// [`CacheError`] if it cannot be read.
pub fn info(dir: &Path) -> Result<CacheInfo, CacheError> {
    let path = place::file(dir);
    let groups = if place::is_there(dir)? { Store::again(&path, LIMIT)?.groups()? } else { Vec::new() };
    Ok(CacheInfo { path, bytes: place::size(dir), groups })
}

/// Removes all entries of the cache in `dir`, even while other processes use it, and returns the bytes freed. A path
/// that is not a cache, or that cannot be written, is removed as a whole; of a link only the link.
///
/// # Errors
/// [`CacheError`] if another process does not release the cache, or it cannot be removed.
pub fn clear(dir: &Path) -> Result<u64, CacheError> {
    let is_plain = place::is_there(dir)? && place::is_plain(dir)?;
    let before = if is_plain { place::size(dir) } else { 0 };
    let clear = || Store::again(&place::file(dir), LIMIT).and_then(|mut store| store.clear());
    match is_plain.then(clear) {
        Some(Ok(())) => {}
        Some(Err(e @ CacheError::Busy(_))) => return Err(e),
        Some(Err(_)) | None => place::remove(dir)?,
    }
    Ok(before.saturating_sub(place::size(dir)))
}
