//! The search for the largest preview: every picture that a camera raw file points to, judged by its own size.

use image::metadata::Orientation;

use super::{Kind, boxes, directories, kind, search_fujifilm};
use crate::source::decode::cursor::Cursor;
use crate::source::decode::ifd::{self, Directory};
use crate::source::decode::scans::next_marker;

/// The most places of a file that are looked at: directories, boxes and pictures.
const MOST_PLACES: usize = 128;
/// The bytes of a JPEG that hold its size, at most.
const MOST_BEFORE_SIZE: usize = 1 << 20;

/// A preview in a camera raw file.
pub(super) struct Preview<'a> {
    /// Width and height as stored.
    pub(super) size: (u64, u64),
    pub(super) picture: Picture<'a>,
}

/// The data of a preview.
pub(super) enum Picture<'a> {
    Jpeg(&'a [u8]),
    /// A page of the TIFF that the file is.
    Page(Directory<'a>),
}

impl Preview<'_> {
    /// Returns the number of pixels, and prefers a JPEG among previews of the same size.
    fn rank(&self) -> (u128, bool) {
        (u128::from(self.size.0) * u128::from(self.size.1), matches!(self.picture, Picture::Jpeg(_)))
    }
}

/// A search in progress, or its results.
pub(in crate::source::decode) struct Search<'a> {
    pub(super) file: &'a [u8],
    pub(super) best: Option<Preview<'a>>,
    /// The orientation that the raw file states.
    pub(super) orientation: Option<Orientation>,
    pub(super) is_raw: bool,
    looked_at: Vec<usize>,
}

impl<'a> Search<'a> {
    /// Searches a file. Returns None if it neither is a TIFF nor begins like a camera raw file.
    pub(in crate::source::decode) fn of(file: &'a [u8]) -> Option<Self> {
        let kind = kind(file);
        if kind.is_none() && !ifd::is_header(file) {
            return None;
        }
        let is_raw = kind.is_some();
        let mut search = Self { file, best: None, orientation: None, is_raw, looked_at: Vec::new() };
        match kind {
            None | Some(Kind::LikeTiff) => directories::search(&mut search),
            Some(Kind::Fujifilm) => search_fujifilm(&mut search),
            Some(Kind::Boxes) => boxes::search(&mut search),
        }
        Some(search)
    }

    pub(in crate::source::decode) fn file(&self) -> &'a [u8] {
        self.file
    }

    pub(in crate::source::decode) fn is_raw(&self) -> bool {
        self.is_raw
    }

    /// Returns the width and height of the largest preview, as stored.
    pub(in crate::source::decode) fn size(&self) -> Option<(u64, u64)> {
        self.best.as_ref().map(|preview| preview.size)
    }

    /// Returns the places that were looked at.
    pub(in crate::source::decode) fn looked_at(&self) -> &[usize] {
        &self.looked_at
    }

    /// Returns whether to look at a place: not twice, and not at too many.
    pub(super) fn look(&mut self, place: usize) -> bool {
        let looks = self.looked_at.len() < MOST_PLACES && !self.looked_at.contains(&place);
        if looks {
            self.looked_at.push(place);
        }
        looks
    }

    /// Considers the JPEG of `length` bytes at `start`. Anything else there counts as no preview, and so does lossless
    /// JPEG, which holds the sensor's data. A JPEG that is cut short counts, so that decoding it reports the damage.
    pub(super) fn jpeg(&mut self, start: u64, length: u64) {
        let Ok(start) = usize::try_from(start) else { return };
        if self.look(start) {
            let bytes = Cursor::at(self.file, start).take_up_to(usize::try_from(length).unwrap_or(usize::MAX));
            if let Some(size) = jpeg_size(bytes) {
                self.consider(Preview { size, picture: Picture::Jpeg(bytes) });
            }
        }
    }

    /// Considers a page of the TIFF.
    pub(super) fn page(&mut self, tags: Directory<'a>) {
        if let (Some(width), Some(height)) = (tags.number(256), tags.number(257)) {
            self.consider(Preview { size: (width, height), picture: Picture::Page(tags) });
        }
    }

    fn consider(&mut self, preview: Preview<'a>) {
        if self.best.as_ref().is_none_or(|best| best.rank() < preview.rank()) {
            self.best = Some(preview);
        }
    }
}

/// Returns the width and height of a JPEG picture of 8 bits, grey or in colours.
fn jpeg_size(bytes: &[u8]) -> Option<(u64, u64)> {
    if !bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return None;
    }
    let mut file = Cursor::at(&bytes[..bytes.len().min(MOST_BEFORE_SIZE)], 2);
    loop {
        let kind = next_marker(&mut file)?;
        let length = usize::from(file.u16_be()?).checked_sub(2)?;
        let mut segment = Cursor::new(file.take(length)?);
        match kind {
            0xc0..=0xc2 | 0xc9 | 0xca => {
                let [precision, height, width] = [segment.u8()?.into(), segment.u16_be()?, segment.u16_be()?];
                let is_picture = precision == 8 && matches!(segment.u8()?, 1 | 3) && width > 0 && height > 0;
                return is_picture.then_some((width.into(), height.into()));
            }
            0xc4 | 0xc8 | 0xcc => {}
            0xc3..=0xcf | 0xd9 | 0xda => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the start of a JPEG with this kind of frame.
    fn jpeg(kind: u8, precision: u8, components: u8) -> Vec<u8> {
        let mut file = b"\xff\xd8\xff\xe0\0\x06\xff\xc0\0\0\xff\xc4\0\x03\0\xff".to_vec();
        file.extend([kind, 0, 17, precision, 0, 16, 0, 24, components]);
        file.extend([0; 9]);
        file
    }

    #[test]
    fn sizes_are_those_of_pictures() {
        for kind in [0xc0, 0xc1, 0xc2, 0xca] {
            assert_eq!(jpeg_size(&jpeg(kind, 8, 3)), Some((24, 16)));
        }
        assert_eq!(jpeg_size(&jpeg(0xc0, 8, 1)), Some((24, 16)));
        assert_eq!(jpeg_size(&jpeg(0xc3, 8, 3)), None, "lossless");
        assert_eq!(jpeg_size(&jpeg(0xc1, 12, 3)), None);
        assert_eq!(jpeg_size(&jpeg(0xc0, 8, 4)), None);
        let whole = jpeg(0xc0, 8, 3);
        for length in 0..30 {
            assert_eq!(jpeg_size(&whole[..length]), None);
        }
    }

    #[test]
    fn places_are_few_and_looked_at_once() {
        let mut search = Search::of(b"FUJIFILMCCD-RAW 0201").unwrap();
        assert!(search.look(5) && !search.look(5));
        assert_eq!((10..1000).filter(|place| search.look(*place)).count(), MOST_PLACES - 1);
    }
}
