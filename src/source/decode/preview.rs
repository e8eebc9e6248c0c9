//! The size of the picture that is read of a camera raw file.

use std::fs::File;
use std::path::Path;

use super::ifd::Directory;
use super::raw::Search;
use super::signature::is_raw_name;
use crate::system::file::read_exact_at;

/// Bytes read at a place that is looked at: enough for a directory, or for the segments before a JPEG's size.
const WINDOW: usize = 256 << 10;
/// Rounds of reading what the round before pointed to.
const ROUNDS: usize = 8;

/// Returns the width and height, as stored, of the preview that is read of a camera raw file, or of the first page of a
/// TIFF that a name or a flag declares to be one. Any other file has none.
pub fn preview(name: &Path, file: &[u8]) -> Option<(u64, u64)> {
    found(name, &Search::of(file)?)
}

/// Does the same with a file on disk, of which it reads only the parts that matter.
pub fn preview_in_file(path: &Path) -> Option<(u64, u64)> {
    let file = File::open(path).ok()?;
    let mut bytes = vec![0; usize::try_from(file.metadata().ok()?.len()).ok()?]; // unwritten pages take no memory
    let mut read = 0;
    let mut places = vec![0usize];
    for _ in 0..ROUNDS {
        for &place in places.get(read..)? {
            let end = bytes.len().min(place.saturating_add(WINDOW));
            read_exact_at(&file, bytes.get_mut(place..end)?, place as u64).ok()?;
        }
        let search = Search::of(&bytes)?;
        read = places.len();
        let new = search.looked_at().iter().filter(|place| **place < bytes.len() && !places.contains(place));
        let new: Vec<usize> = new.copied().collect();
        if new.is_empty() {
            return found(path, &search);
        }
        places.extend(new);
    }
    None
}

fn found(name: &Path, search: &Search) -> Option<(u64, u64)> {
    if search.is_raw() {
        return search.size();
    }
    let tags = Directory::read(search.file())?;
    let is_reduced = tags.number(254).is_some_and(|kind| kind & 1 == 1);
    (is_reduced || is_raw_name(name)).then(|| Some((tags.number(256)?, tags.number(257)?)))?
}
