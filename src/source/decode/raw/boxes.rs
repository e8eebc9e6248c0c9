//! The boxes of Canon's CR3: two previews as boxes, and a JPEG of full size as the only sample of a track.

use std::ops::Range;

use super::search::Search;
use crate::source::decode::cursor::Cursor;
use crate::source::decode::ifd::Directory;
use crate::source::decode::upright;

/// The most boxes within one.
const MOST: usize = 256;
/// The bytes before the JPEG in the box of a preview, at most.
const MOST_BEFORE_JPEG: usize = 64;
const CANON: &[u8] = b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
const PREVIEW: &[u8] = b"\xea\xf4\x2b\x5e\x1c\x98\x4b\x88\xb9\xfb\xb7\xdc\x40\x6e\x4d\x16";

/// Looks at all previews.
pub(super) fn search(search: &mut Search) {
    let file = search.file;
    for (kind, content) in boxes(file, 0..file.len()) {
        search.look(content.start);
        match &kind {
            b"moov" => movie(search, content),
            b"uuid" if file[content.clone()].starts_with(PREVIEW) => {
                // Eight bytes of a version and a count come first.
                for (_, content) in boxes(file, content.start + 24..content.end).filter(|part| &part.0 == b"PRVW") {
                    picture(search, content);
                }
            }
            _ => {}
        }
    }
}

/// Returns the boxes in a part of a file, by kind and content.
fn boxes(file: &[u8], within: Range<usize>) -> impl Iterator<Item = ([u8; 4], Range<usize>)> + use<'_> {
    let mut start = within.start;
    let next = move || {
        let mut head = Cursor::new(file.get(start..within.end)?);
        let (length, kind) = (head.u32_be()?, head.array()?);
        let (length, head) = match length {
            0 => ((within.end - start) as u64, 8),
            1 => (head.array().map(u64::from_be_bytes)?, 16),
            length => (length.into(), 8),
        };
        let end = start.checked_add(usize::try_from(length).ok()?)?.min(within.end);
        let content = start.checked_add(head).filter(|content| *content <= end)?..end;
        start = end;
        Some((kind, content))
    };
    std::iter::from_fn(next).take(MOST)
}

/// Returns the contents of the boxes of one kind.
fn all<'a>(
    file: &'a [u8],
    within: Range<usize>,
    kind: &'static [u8; 4],
) -> impl Iterator<Item = Range<usize>> + use<'a> {
    boxes(file, within).filter(move |(own, _)| own == kind).map(|(_, content)| content)
}

fn movie(search: &mut Search, content: Range<usize>) {
    let file = search.file;
    for (kind, content) in boxes(file, content) {
        match &kind {
            b"uuid" if file[content.clone()].starts_with(CANON) => {
                for (kind, content) in boxes(file, content.start + CANON.len()..content.end) {
                    match &kind {
                        b"CMT1" => {
                            search.orientation = Directory::read(&file[content]).as_ref().and_then(upright::of_tags);
                        }
                        b"THMB" => picture(search, content),
                        _ => {}
                    }
                }
            }
            b"trak" => _ = track(search, content),
            _ => {}
        }
    }
}

/// Considers the JPEG in the box of a preview, after a few numbers.
fn picture(search: &mut Search, content: Range<usize>) {
    let head = &search.file[content.start..content.end.min(content.start + MOST_BEFORE_JPEG)];
    if let Some(at) = head.windows(3).position(|start| start == [0xff, 0xd8, 0xff]) {
        search.jpeg((content.start + at) as u64, (content.len() - at) as u64);
    }
}

/// Considers the first sample of a track. Where it is the sensor's data, it does not begin like a JPEG.
fn track(search: &mut Search, content: Range<usize>) -> Option<()> {
    let file = search.file;
    let inner = |within, kind| all(file, within, kind).next();
    let table = inner(inner(inner(content, b"mdia")?, b"minf")?, b"stbl")?;
    let mut sizes = Cursor::at(&file[inner(table.clone(), b"stsz")?], 4);
    let length = match (sizes.u32_be()?, sizes.u32_be()?) {
        (0, _) => sizes.u32_be()?,
        (same, _) => same,
    };
    let start = match (inner(table.clone(), b"co64"), inner(table, b"stco")) {
        (Some(places), _) => Cursor::at(&file[places], 8).array().map(u64::from_be_bytes)?,
        (None, Some(places)) => Cursor::at(&file[places], 8).u32_be()?.into(),
        (None, None) => return None,
    };
    search.jpeg(start, length.into());
    Some(())
}
