//! What a walk comes to, and the counts of what it passes over.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{ImageError, Input, Name};

/// An image to read, or the failure to find it, whose message does not name it yet.
pub type Entry = std::result::Result<Input, (Name, ImageError)>;

/// What a walk passed over.
#[derive(Debug, Default)]
pub struct Tally {
    skipped: AtomicU64,
    elsewhere: AtomicU64,
}

impl Tally {
    /// Files in folders and tars that are no images.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// What belongs to other shares. Files that nothing but their first bytes would tell are among them, unopened.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    pub(super) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn pass_elsewhere(&self) {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
    }
}
