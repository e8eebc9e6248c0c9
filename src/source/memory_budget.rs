//! The memory that images in flight share, in bytes. An image waits while there is too little left, so a moment's
//! shortage does not make an image fail. An image larger than a share goes alone.
//!
//! Each stage has its own share. A holder of a lease may wait for a later stage, but not for an earlier one. An image
//! that goes alone takes the shares of its stage and of all later ones, in order, and then never waits again. So there
//! is no deadlock.

mod bytes;
mod lease;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use bytes::Bytes;
pub use lease::Lease;
use pool::{Portion, Share};

use super::error::{ErrorKind, ImageError};

/// The purpose of an image's memory, in the order of an image's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes read during the walk: a member of a tar, standard input, a `data:` URI.
    Walk,
    /// Bytes from the network.
    Fetch,
    /// The bytes of a file.
    Read,
    /// Pixels, and the decoder's working memory.
    Decode,
}

/// Sixteenths of the whole for each stage. The rest is for one image that goes alone, on top of the shares it takes.
const SHARES: [u64; 4] = [1, 1, 1, 2];
const WHOLE: u64 = 16;

/// The memory of images in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    bytes: u64,
    shares: [Arc<Share>; 4],
    are_holes_counted: bool,
}

impl MemoryBudget {
    /// Creates a room of so many bytes.
    pub fn of(bytes: u64) -> Self {
        let shares = SHARES.map(|parts| Arc::new(Share::new(bytes / WHOLE * parts)));
        Self { bytes, shares, are_holes_counted: false }
    }

    /// Sets whether holes of files count: where addresses are limited, they take some.
    pub fn counting_holes(self, are_holes_counted: bool) -> Self {
        Self { are_holes_counted, ..self }
    }

    /// Returns the bytes to take for `length` bytes, of which `stored` are outside of holes.
    pub(super) fn counted(&self, length: u64, stored: u64) -> u64 {
        if self.are_holes_counted { length } else { stored.min(length) }
    }

    /// Returns the most bytes that one image may take from a stage on.
    pub fn most(&self, stage: Stage) -> u64 {
        self.bytes - self.shares[..stage as usize].iter().map(|share| share.most).sum::<u64>()
    }

    /// Waits for `bytes`, in the order of arrival. The caller must not hold a lease of this stage or a later one.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if no image may take so many. `what` is their purpose, for the message.
    pub fn take(&self, stage: Stage, bytes: u64, what: &str) -> Result<Lease, ImageError> {
        let parts = self.parts(stage, bytes, |pool, bytes| Some(Share::take(pool, bytes)));
        parts.ok_or_else(|| too_little(bytes, self.most(stage), what))
    }

    /// Takes `bytes` if that needs no waiting.
    pub fn try_take(&self, stage: Stage, bytes: u64) -> Option<Lease> {
        self.parts(stage, bytes, Share::try_take)
    }

    /// Takes `bytes` from a share, or all shares from that one on.
    fn parts(&self, stage: Stage, bytes: u64, take: impl Fn(&Arc<Share>, u64) -> Option<Portion>) -> Option<Lease> {
        let shares = &self.shares[stage as usize..];
        let most = self.most(stage);
        match bytes {
            bytes if bytes <= shares[0].most => {
                Some(Lease { parts: vec![take(&shares[0], bytes)?], bytes, alone: None })
            }
            bytes if bytes <= most => {
                let parts = shares.iter().map(|share| take(share, share.most)).collect::<Option<_>>()?;
                Some(Lease { parts, bytes, alone: Some(most) })
            }
            _ => None,
        }
    }
}

impl Default for MemoryBudget {
    /// Creates a room without a limit.
    fn default() -> Self {
        Self::of(u64::MAX)
    }
}

/// Returns the failure of an image that needs more memory than one may have.
pub(super) fn too_little(bytes: u64, most: u64, what: &str) -> ImageError {
    let (bytes, most) = (bytes.div_ceil(1 << 20), most >> 20); // rounded apart, so that they differ
    let reason = format!(
        "needs {bytes} MiB of memory {what}, and this run may use {most} MiB for one image; give it more memory, or refuse \
         such images with --max-pixels or --max-bytes"
    );
    ImageError::new(ErrorKind::Memory, reason)
}
