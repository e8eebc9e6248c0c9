//! Pieces of text, each with a number. A vocabulary of 256,000 pieces and its 580,000 merges are read in a tenth of a
//! second and take 14 MB, since only hashes of 64 bits are kept: two pieces of one hash are not to be expected.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use ahash::RandomState;

/// Pieces, or pairs of them, and a number for each.
#[derive(Debug)]
pub(super) struct Pieces {
    numbers: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    hasher: RandomState,
}

/// Takes a hash as it is.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are hashes")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Pieces {
    /// Creates an empty vocabulary with room for `count` pieces.
    pub fn with_capacity(count: usize) -> Self {
        let numbers = HashMap::with_capacity_and_hasher(count, BuildHasherDefault::default());
        Self { numbers, hasher: RandomState::with_seeds(1, 2, 3, 4) }
    }

    /// Gives `piece` a number. The last one counts.
    pub fn insert(&mut self, piece: impl Hash, number: u32) {
        self.numbers.insert(self.hasher.hash_one(piece), number);
    }

    /// Returns the number of `piece`.
    pub fn get(&self, piece: impl Hash) -> Option<u32> {
        self.numbers.get(&self.hasher.hash_one(piece)).copied()
    }

    /// Returns how many pieces there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}
