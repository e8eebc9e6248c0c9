//! The boxes of a HEIF file, looked at before they are parsed: the parser takes time and memory for all that they state.

use super::cursor::Cursor;
use super::{DecodeResult, Format, boxes, damaged};
use crate::source::ImageError;

/// The most bytes of the boxes that list items. A phone's file has ten thousand.
const LISTS: usize = 256 << 10;

/// Returns the file up to its last whole box: what follows, some programs append.
///
/// # Errors
/// `decode` if the list of items is cut, or too long to be honest.
pub(super) fn checked(bytes: &[u8], format: Format) -> DecodeResult<&[u8]> {
    let mut rest = Cursor::new(bytes);
    let mut has_items = false;
    let mut end = 0;
    while let Some((kind, contents)) = boxes::next(&mut rest) {
        let Some(contents) = contents else {
            if !has_items && &kind == b"meta" {
                return Err(ImageError::truncated(format.name()));
            }
            break;
        };
        if &kind == b"meta" {
            check_items(contents.get(4..).unwrap_or_default(), format)?;
            has_items = true;
        }
        end = bytes.len() - rest.rest().len();
    }
    if has_items { Ok(&bytes[..end]) } else { Err(ImageError::truncated(format.name())) }
}

fn check_items(contents: &[u8], format: Format) -> DecodeResult<()> {
    let mut lists = 0;
    for (kind, contents) in whole(contents) {
        lists += match &kind {
            b"iloc" | b"iinf" | b"iref" => contents.len(),
            b"iprp" => whole(contents).filter(|(kind, _)| kind == b"ipma").map(|(_, own)| own.len()).sum(),
            _ => 0,
        };
        // Places of no bytes could be any number.
        let is_endless = &kind == b"iloc" && contents.get(4).is_some_and(|&sizes| sizes == 0);
        if lists > LISTS || is_endless {
            return Err(damaged(format, "its list of items is too long"));
        }
    }
    Ok(())
}

/// Iterates over whole boxes.
fn whole(contents: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = Cursor::new(contents);
    std::iter::from_fn(move || boxes::next(&mut rest).and_then(|(kind, own)| Some((kind, own?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], contents: &[u8]) -> Vec<u8> {
        [&(contents.len() as u32 + 8).to_be_bytes()[..], kind, contents].concat()
    }

    fn file(items: &[u8]) -> Vec<u8> {
        [boxed(b"ftyp", b"heic"), boxed(b"meta", &[&[0; 4], items].concat()), boxed(b"mdat", b"data")].concat()
    }

    #[test]
    fn what_follows_the_last_box_is_left_out() {
        let whole = file(&boxed(b"iloc", &[0, 0, 0, 0, 0x44, 0]));
        for rest in [&b""[..], b"x", b"a trailer of some program"] {
            let bytes = [&whole, rest].concat();
            assert_eq!(checked(&bytes, Format::Heic).unwrap(), whole, "{rest:?}");
        }
        let e = checked(&whole[..30], Format::Heic).unwrap_err();
        assert_eq!(e.message, "the HEIC data ends early");
    }

    #[test]
    fn lists_without_bounds_are_refused() {
        for items in [
            boxed(b"iloc", &[1, 0, 0, 0, 0, 0]), // places of no bytes
            boxed(b"iinf", &vec![0; LISTS + 1]),
            boxed(b"iprp", &[boxed(b"ipco", &vec![0; LISTS]), boxed(b"ipma", &vec![0; LISTS + 1])].concat()),
        ] {
            assert!(checked(&file(&items), Format::Heic).unwrap_err().message.contains("list of items"));
        }
        let colours = boxed(b"iprp", &boxed(b"ipco", &vec![0; 2 * LISTS])); // an ICC profile, for example
        assert!(checked(&file(&colours), Format::Heic).is_ok());
    }
}
