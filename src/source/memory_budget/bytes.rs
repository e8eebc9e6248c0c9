//! An image's bytes, and the memory they take.

use std::ops::Deref;

use super::lease::Lease;

/// An image's bytes, with the memory they were counted in.
#[derive(Debug, Default)]
pub struct Bytes {
    data: Vec<u8>,
    lease: Option<Lease>,
}

impl Bytes {
    /// Creates bytes counted in `lease`, which gives back the excess.
    pub(crate) fn new(data: Vec<u8>, mut lease: Option<Lease>) -> Self {
        if let Some(lease) = &mut lease {
            lease.shrink(data.len() as u64);
        }
        Self { data, lease }
    }

    /// Returns whether the bytes belong to the one image that goes alone. Their holder must not wait for others.
    pub fn is_alone(&self) -> bool {
        self.spare().is_some()
    }

    /// Returns the memory left beside them, if they go alone.
    pub fn spare(&self) -> Option<u64> {
        self.lease.as_ref()?.spare()
    }

    /// Returns the bytes alone.
    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        Self { data, lease: None }
    }
}
