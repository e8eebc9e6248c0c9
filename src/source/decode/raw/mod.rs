//! Camera raw files, of which the largest preview is read: the photograph as the camera or a converter developed it.
//! The sensor's data is not.

mod boxes;
mod directories;
mod maker_notes;
mod search;

use image::metadata::Orientation;

use super::bounds::Bounds;
use super::cursor::Cursor;
use super::{DecodeResult, Decoded, RowSink, jpeg, tiff};
use crate::source::{ErrorKind, ImageError};
pub(super) use search::Search;
use search::{Picture, Preview};

/// The reason for a camera raw file of which nothing can be read.
pub(super) const NO_PREVIEW: &str = "this camera raw file has no preview image that zsic can read; \
    convert it to jpeg or tiff, or to a DNG with a preview";

const FUJIFILM: &[u8] = b"FUJIFILMCCD-RAW ";

/// The kinds of camera raw files that their first bytes tell. The others are TIFFs.
#[derive(Clone, Copy)]
enum Kind {
    /// A TIFF with a number of its own: Olympus and Panasonic.
    LikeTiff,
    Fujifilm,
    /// Canon's CR3.
    Boxes,
}

fn kind(head: &[u8]) -> Option<Kind> {
    match head {
        [b'I', b'I', b'U', 0, ..] | [b'I', b'I', b'R', b'O' | b'S', ..] | [b'M', b'M', b'O', b'R', ..] => {
            Some(Kind::LikeTiff)
        }
        [0, 0, _, _, b'f', b't', b'y', b'p', b'c', b'r', b'x', b' ', ..] => Some(Kind::Boxes),
        _ if head.starts_with(FUJIFILM) => Some(Kind::Fujifilm),
        _ => None,
    }
}

/// Returns whether a file begins like a camera raw file that is not a TIFF.
pub(super) fn begins(head: &[u8]) -> bool {
    kind(head).is_some()
}

/// A preview, and how it is turned.
pub(super) struct Found<'a> {
    file: &'a [u8],
    preview: Preview<'a>,
    /// What the raw file says. Otherwise the preview may say it itself.
    orientation: Option<Orientation>,
}

/// Returns the largest preview, or None if the file is not a camera raw file.
///
/// # Errors
/// `format` for a camera raw file without a preview.
pub(super) fn preview(file: &[u8]) -> Option<DecodeResult<Found<'_>>> {
    let search = Search::of(file)?;
    if !search.is_raw() {
        return None;
    }
    let Search { file, best, orientation, .. } = search;
    let found = best.map(|preview| Found { file, preview, orientation });
    Some(found.ok_or_else(|| ImageError::new(ErrorKind::Format, NO_PREVIEW)))
}

impl Found<'_> {
    /// Decodes the preview, with the orientation of the raw file.
    pub(super) fn decode(
        self,
        bounds: &Bounds,
        enough: Option<usize>,
        rows: Option<&mut dyn RowSink>,
    ) -> DecodeResult<Option<Decoded>> {
        match self.preview.picture {
            Picture::Jpeg(bytes) => jpeg::decode(bytes, bounds, enough, self.orientation, rows),
            Picture::Page(tags) => {
                let orientation = self.orientation.unwrap_or(Orientation::NoTransforms);
                tiff::page(self.file, &tags, orientation, bounds).map(Some)
            }
        }
    }
}

/// Looks at the JPEG that the header of Fujifilm's files points to. Its own EXIF states the orientation.
fn search_fujifilm(search: &mut Search) {
    let mut header = Cursor::at(search.file, 84);
    if let (Some(start), Some(length)) = (header.u32_be(), header.u32_be()) {
        search.jpeg(start.into(), length.into());
    }
}
