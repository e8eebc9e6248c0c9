//! The table of a `pytorch_model.bin`: a zip of raw storages, and a pickle that says where each tensor lies in them. Files from
//! before PyTorch 1.6 have both without a zip (`legacy.rs`).

mod legacy;

use std::collections::HashMap;
use std::io::BufReader;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::files::WeightFile;
use super::pickle::{self, Tensors, View};
use super::stored::{Stored, TensorTable};

/// The longest pickle that is accepted; a state dict's is well under a megabyte.
const MAX_PICKLE: u64 = 64 << 20;
/// The longest last record of a zip, with its comment.
const MAX_END: u64 = 22 + 0xffff;

/// Reads the table of the tensors in `file`.
pub(super) fn table(file: &Arc<WeightFile>) -> Result<TensorTable, String> {
    if legacy::is_legacy(file)? {
        let (views, places) = legacy::read(file)?;
        return located(views, file, |key| places.get(key).copied());
    }
    let entries = entries(file)?;
    let Some(name) = entries.keys().find(|n| *n == "data.pkl" || n.ends_with("/data.pkl")) else {
        return Err("is a zip without data.pkl: not a PyTorch checkpoint".to_owned());
    };
    let Place { start, size } = entries[name];
    if size > MAX_PICKLE {
        return Err(format!("its pickle has {size} bytes, more than any table of weights needs"));
    }
    let mut pickle = vec![0; size as usize];
    file.read_exact_at(&mut pickle, start).map_err(|e| format!("is torn: {e}"))?;
    let storages = name.strip_suffix(".pkl").unwrap_or(name); // `archive/data.pkl` stands beside `archive/data/0`
    let views = pickle::state_dict(&pickle)?;
    located(views, file, |key| entries.get(&format!("{storages}/{key}")).copied())
}

/// Returns the tensors' places in the file, from the places of their storages.
fn located(
    views: Tensors,
    file: &Arc<WeightFile>,
    place: impl Fn(&str) -> Option<Place>,
) -> Result<TensorTable, String> {
    views.into_iter().map(|(name, view)| Ok((name, locate(view, file, &place)?))).collect()
}

/// Where a storage's bytes lie in the file.
#[derive(Clone, Copy)]
struct Place {
    start: u64,
    size: u64,
}

/// Returns the entries of the zip. `torch.save` stores them uncompressed, so each can be read straight from its place.
fn entries(file: &Arc<WeightFile>) -> Result<HashMap<String, Place>, String> {
    let other = |e: String| format!("is torn, or is not a PyTorch checkpoint: {e}");
    check_end(file).map_err(other)?;
    let reader = file.reader().map_err(|e| e.to_string())?;
    let mut zip = ZipArchive::new(BufReader::new(reader)).map_err(|e| other(e.to_string()))?;
    let torn = |e: zip::result::ZipError| format!("is torn: {e}");
    let mut entries = HashMap::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(torn)?;
        if let (CompressionMethod::Stored, Some(start)) = (entry.compression(), entry.data_start()) {
            let place = Place { start, size: entry.size() };
            entries.insert(entry.name().to_owned(), place);
        }
    }
    Ok(entries)
}

/// Looks for the zip's last record where it may be. `ZipArchive` would search the whole file, whatever its size.
fn check_end(file: &WeightFile) -> Result<(), String> {
    let length = file.len().map_err(|e| e.to_string())?;
    let part = length.min(MAX_END);
    let mut end = vec![0; part as usize];
    file.read_exact_at(&mut end, length - part).map_err(|e| e.to_string())?;
    if end.windows(4).any(|bytes| bytes == b"PK\x05\x06") { Ok(()) } else { Err("it is not a zip archive".to_owned()) }
}

/// Finds a tensor's place in the file.
fn locate(view: View, file: &Arc<WeightFile>, place: impl Fn(&str) -> Option<Place>) -> Result<Stored, String> {
    let View { storage, offset, shape, strides } = view;
    let torn = || format!("is torn: storage {} does not hold its tensor", storage.key);
    if shape.len() != strides.len() {
        return Err("its pickle gives a tensor more dimensions than strides".to_owned());
    }
    let span = span(&shape, &strides).ok_or_else(torn)?;
    if shape.iter().product::<usize>() > span {
        return Err("its pickle has a tensor that overlaps itself".to_owned());
    }
    let width = storage.dtype.bitsize() as u64 / 8;
    let Place { start, size } = place(&storage.key).ok_or_else(torn)?;
    let end = offset.checked_add(span as u64).filter(|end| *end <= storage.length).ok_or_else(torn)?;
    if end.checked_mul(width).is_none_or(|bytes| bytes > size) {
        return Err(torn());
    }
    let strides = (!row_major(&shape, &strides)).then_some(strides);
    let offset = start + offset * width;
    Ok(Stored { file: Arc::clone(file), dtype: storage.dtype, shape, strides, offset, span })
}

/// Returns whether values that are neighbours along the last dimension are neighbours in memory, and so on outwards.
fn row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    shape.iter().zip(strides).rev().all(|(&n, &stride)| {
        let fits = n <= 1 || stride == step;
        step *= n;
        fits
    })
}

/// Returns the number of values from a view's first to its last, or None if it overflows.
fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, m| n.checked_mul(*m))?;
    let last = shape.iter().zip(strides).try_fold(0usize, |at, (n, s)| at.checked_add((n - 1).checked_mul(*s)?))?;
    last.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_checked() {
        assert_eq!(span(&[2, 3], &[3, 1]), Some(6));
        assert_eq!(span(&[3, 2], &[1, 3]), Some(6));
        assert_eq!(span(&[0, 9], &[usize::MAX, 1]), Some(0));
        assert_eq!(span(&[usize::MAX, 2], &[0, 0]), None);
        assert_eq!(span(&[2], &[usize::MAX]), None);
    }
}
