//! Limits on one image: pixels, bytes and memory.

use super::memory_budget::MemoryBudget;

/// The default limit on an image's pixels: Pillow refuses larger files as bombs.
pub const MAX_PIXELS: u64 = 179_000_000;

/// The default limit on a file's bytes: more than any picture below the pixel limit needs.
pub const MAX_BYTES: u64 = 2 << 30;

/// The limits of an image: caps, equal in every run, and the available memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most bytes of its file.
    pub max_bytes: u64,
    /// The most pixels.
    pub max_pixels: u64,
    /// The memory it is held in.
    pub room: MemoryBudget,
}

impl Default for Limits {
    /// Returns the usual caps, and a room without a limit.
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, max_pixels: MAX_PIXELS, room: MemoryBudget::default() }
    }
}
