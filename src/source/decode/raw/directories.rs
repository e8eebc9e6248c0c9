//! The directories of camera raw files that are TIFFs, or nearly: NEF, CR2, ARW, DNG, ORF, RW2, PEF, SRW and others.

use std::collections::VecDeque;

use super::maker_notes;
use super::search::Search;
use crate::source::decode::ifd::{self, Directory};
use crate::source::decode::upright;

/// The most directories that one directory points to.
const MOST: usize = 64;
/// The tags of Panasonic that hold a JPEG as their value.
const PANASONIC: [u16; 2] = [0x2e, 0x127];

/// Looks at all directories, those of the chain first. Finds out by them whether the file is a camera raw file.
pub(super) fn search(search: &mut Search) {
    let Some((order, width, start)) = ifd::first(search.file) else { return };
    search.is_raw |= search.file.get(8..10) == Some(b"CR"); // Canon's CR2
    let mut has_size = true;
    let mut ahead = VecDeque::from([start]);
    while let Some(start) = ahead.pop_front() {
        let place = usize::try_from(start).unwrap_or(usize::MAX);
        if place == 0 || place >= search.file.len() || !search.look(place) {
            continue;
        }
        let Some(tags) = Directory::at(search.file, order, width, start) else { continue };
        if start == ifd::first(search.file).map_or(0, |first| first.2) {
            search.orientation = upright::of_tags(&tags);
            search.is_raw |= tags.place(50706).is_some(); // the version of DNG
            has_size = tags.number(256).is_some();
        }
        search.is_raw |= is_of_a_sensor(&tags);
        ahead.push_back(tags.next);
        ahead.extend(tags.values(330).into_iter().flatten().take(MOST)); // SubIFDs
        ahead.extend(tags.number(34665)); // EXIF
        maker_notes::search(search, &tags);
        pictures(search, tags);
    }
    search.is_raw |= !has_size && search.best.is_some(); // Sony's: nothing that a TIFF reader could show
}

/// Returns whether a directory describes the data of a sensor: colour filters, linear samples, or a camera's compression.
fn is_of_a_sensor(tags: &Directory) -> bool {
    matches!(tags.number(262), Some(32803 | 34892))
        || matches!(tags.number(259), Some(32767 | 32769 | 32770 | 32772 | 34713 | 34892 | 65000 | 65535))
}

/// Considers the pictures of a directory.
fn pictures<'a>(search: &mut Search<'a>, tags: Directory<'a>) {
    if let (Some(start), Some(length)) = (tags.number(513), tags.number(514)) {
        search.jpeg(start, length);
    }
    for place in PANASONIC.iter().filter_map(|tag| tags.place(*tag)) {
        search.jpeg(place.start as u64, place.len() as u64);
    }
    let is_preview = tags.number(254).is_none_or(|kind| kind & !0x10001 == 0); // not a mask, nor a map of depth
    let photometric = tags.number(262);
    if !is_preview || is_of_a_sensor(&tags) {
        return;
    }
    match tags.number(259).unwrap_or(1) {
        compression @ (6 | 7) if compression == 6 || photometric != Some(2) && tags.place(347).is_none() => {
            if let Some((start, length)) = only_part(&tags) {
                return search.jpeg(start, length);
            }
        }
        1 | 5 | 7 | 8 | 32773 | 32946 => {}
        _ => return,
    }
    let is_8_bit = tags.values(258).is_some_and(|bits| bits.take(8).all(|bits| bits == 8));
    let has_pixels = tags.place(273).or_else(|| tags.place(324)).is_some();
    if is_8_bit && has_pixels && matches!(photometric, Some(0 | 1 | 2 | 6)) && tags.number(259) != Some(6) {
        search.page(tags);
    }
}

/// Returns the place and the length of the only strip or tile.
fn only_part(tags: &Directory) -> Option<(u64, u64)> {
    let only = |tag| tags.values(tag).and_then(|mut all| all.next().filter(|_| all.next().is_none()));
    Some((only(273).or_else(|| only(324))?, only(279).or_else(|| only(325))?))
}
