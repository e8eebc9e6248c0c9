//! A `pytorch_model.bin` from before PyTorch 1.6: five pickles, then each storage, preceded by the number of its
//! values.

use std::collections::HashMap;

use super::Place;
use crate::checkpoint::files::WeightFile;
use crate::checkpoint::pickle::{self, Head, Tensors};

/// The number that the first pickle holds.
const MAGIC: u128 = 0x1950_a86a_20f9_469c_fc6c;
/// The bytes of that number, and the most bytes of the pickle around it.
const MAGIC_BYTES: usize = 10;
const MAGIC_PICKLE: u64 = 32;
/// The bytes that are read first, to find the pickles in.
const HEAD: u64 = 1 << 20;

/// Returns whether a file begins like such a file.
pub(super) fn is_legacy(file: &WeightFile) -> Result<bool, String> {
    let start = beginning(file, MAGIC_PICKLE)?;
    let magic = MAGIC.to_le_bytes();
    Ok(start.windows(MAGIC_BYTES).any(|bytes| bytes == &magic[..MAGIC_BYTES]))
}

/// Returns the tensors, and where each storage lies in the file.
pub(super) fn read(file: &WeightFile) -> Result<(Tensors, HashMap<String, Place>), String> {
    let length = file.len().map_err(|e| e.to_string())?;
    let Head { tensors, storages, length: pickles } = head(file, length)?;
    let (mut places, mut at) = (HashMap::new(), pickles as u64);
    for storage in storages {
        let torn = || format!("is torn: storage {} does not fit the file", storage.key);
        let mut count = [0; 8];
        file.read_exact_at(&mut count, at).map_err(|_| torn())?;
        let (start, size) = (at + 8, storage.length.checked_mul(storage.dtype.bitsize() as u64 / 8));
        let size = size.filter(|_| u64::from_le_bytes(count) == storage.length).ok_or_else(torn)?;
        at = start.checked_add(size).filter(|end| *end <= length).ok_or_else(torn)?;
        places.insert(storage.key.to_string(), Place { start, size });
    }
    Ok((tensors, places))
}

/// Runs the pickles. Their length is not known beforehand.
fn head(file: &WeightFile, length: u64) -> Result<Head, String> {
    let most = length.min(super::MAX_PICKLE);
    let mut size = HEAD.min(most);
    loop {
        match pickle::head(&beginning(file, size)?) {
            Err(_) if size < most => size = (8 * size).min(most),
            head => return head,
        }
    }
}

/// Reads this much of the beginning.
fn beginning(file: &WeightFile, size: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; file.len().map_err(|e| e.to_string())?.min(size) as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|e| format!("is torn: {e}"))?;
    Ok(bytes)
}
