//! A share of the memory budget, given back when it is dropped.

use std::fmt;

use super::pool::Portion;

/// Memory that is taken until this is dropped.
pub struct Lease {
    pub(super) parts: Vec<Portion>,
    pub(super) bytes: u64,
    /// The rest of the memory, if this belongs to the one image that goes alone.
    pub(super) alone: Option<u64>,
}

impl Lease {
    /// Returns how many bytes were asked for.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the memory left beside it, if it goes alone.
    pub(super) fn spare(&self) -> Option<u64> {
        Some(self.alone? - self.bytes)
    }

    /// Gives back all but `bytes`. An image that goes alone keeps them for its later stages.
    pub(super) fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.bytes = bytes;
            if self.alone.is_none() {
                self.parts.iter_mut().for_each(|part| part.shrink(bytes));
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Lease({})", self.bytes)
    }
}
