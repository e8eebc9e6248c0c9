//! Previews that only the maker notes of cameras point to. Each maker has a layout of its own.

use std::ops::Range;

use super::search::Search;
use crate::source::decode::ifd::{Directory, Order};

/// The tag of the maker notes in EXIF.
const TAG: u16 = 37500;

/// Looks at the previews that the maker notes of a directory point to.
pub(super) fn search(search: &mut Search, exif: &Directory) {
    if let Some(place) = exif.place(TAG)
        && search.look(place.start)
    {
        let file = search.file;
        let [note, value] = [file.get(place.start..), file.get(place.clone())].map(Option::unwrap_or_default);
        let order = |at| stated_order(note, at).unwrap_or(exif.order);
        if value.starts_with(b"Nikon\0\x02") {
            nikon(search, place.start + 10);
        } else if value.starts_with(b"OLYMPUS\0") {
            olympus(search, place.start, order(8), 12);
        } else if value.starts_with(b"OM SYSTEM\0") {
            olympus(search, place.start, order(12), 16);
        } else if value.starts_with(b"OLYMP\0") {
            olympus(search, 0, exif.order, place.start + 8);
        } else if value.starts_with(b"AOC\0") {
            pentax(search, Directory::at(file, order(4), 4, place.start as u64 + 6), 0);
        } else if value.starts_with(b"PENTAX \0") {
            pentax(search, Directory::at(note, order(8), 4, 10), place.start);
        }
    }
}

/// Returns the byte order that two letters state.
fn stated_order(note: &[u8], at: usize) -> Option<Order> {
    match note.get(at..)? {
        [b'I', b'I', ..] => Some(Order::Little),
        [b'M', b'M', ..] => Some(Order::Big),
        _ => None,
    }
}

/// Considers the JPEG whose place and length two tags state, the place counted from `base`.
fn jpeg(search: &mut Search, tags: &Directory, [start, length]: [u16; 2], base: usize) {
    if let (Some(start), Some(length)) = (tags.number(start), tags.number(length)) {
        search.jpeg(start.saturating_add(base as u64), length);
    }
}

/// Looks at the preview's own directory in Nikon's notes, which are a TIFF in itself at `base`.
fn nikon(search: &mut Search, base: usize) {
    let Some(tiff) = search.file.get(base..) else { return };
    let Some(notes) = Directory::read(tiff) else { return };
    let Some(start) = notes.number(0x11) else { return };
    if search.look(base.saturating_add(usize::try_from(start).unwrap_or(usize::MAX)))
        && let Some(preview) = Directory::at(tiff, notes.order, 4, start)
    {
        jpeg(search, &preview, [513, 514], base);
    }
}

/// Looks at the camera's settings in Olympus's notes. Older cameras store them as a value, newer ones as a directory.
fn olympus(search: &mut Search, base: usize, order: Order, start: usize) {
    let Some(tiff) = search.file.get(base..) else { return };
    let Some(notes) = Directory::at(tiff, order, 4, start as u64) else { return };
    jpeg(search, &notes, [0x88, 0x89], base);
    let value = |Range { start, .. }| start as u64;
    let settings = notes.number(0x2020).or_else(|| notes.place(0x2020).map(value));
    if let Some(start) = settings
        && search.look(base.saturating_add(usize::try_from(start).unwrap_or(usize::MAX)))
        && let Some(settings) = Directory::at(tiff, order, 4, start)
    {
        jpeg(search, &settings, [0x101, 0x102], base);
    }
}

/// Looks at the preview of Pentax's notes. Its place counts from the start of the file, in some cameras from the notes.
fn pentax(search: &mut Search, notes: Option<Directory>, base: usize) {
    if let Some(notes) = notes {
        jpeg(search, &notes, [4, 3], 0);
        jpeg(search, &notes, [4, 3], base);
    }
}
