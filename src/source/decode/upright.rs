//! Which way up an image is: the orientation in EXIF, else in XMP, as Pillow's `exif_transpose` reads them.

use image::metadata::Orientation;

use super::ifd::Directory;

/// The tag of the orientation in EXIF.
pub(super) const TAG: u16 = 274;

/// The orientation that EXIF (a TIFF structure) or else XMP states; upright where neither does.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let directory = exif.and_then(|e| Directory::read(e.strip_prefix(b"Exif\0\0").unwrap_or(e)));
    stated(directory.as_ref(), xmp)
}

/// The same with EXIF's directory read.
pub(super) fn stated(exif: Option<&Directory>, xmp: Option<&[u8]>) -> Orientation {
    let number = exif.and_then(|e| e.number(TAG)).or_else(|| from_xmp(xmp?).map(u64::from));
    let number = number.and_then(|n| u8::try_from(n).ok());
    number.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn from_xmp(xmp: &[u8]) -> Option<u8> {
    const KEY: &[u8] = b"tiff:Orientation";
    let rest = xmp.windows(KEY.len()).enumerate().filter(|(_, w)| *w == KEY).map(|(at, _)| &xmp[at + KEY.len()..]);
    let digit = rest.filter_map(|r| r.strip_prefix(b"=\"").or_else(|| r.strip_prefix(b">"))?.first());
    digit.into_iter().find(|d| d.is_ascii_digit()).map(|d| d - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xmp_in_both_spellings() {
        assert_eq!(from_xmp(b"<x tiff:Orientation=\"6\"/>"), Some(6));
        assert_eq!(from_xmp(b"<tiff:Orientation>3</tiff:Orientation>"), Some(3));
        assert_eq!(from_xmp(b"tiff:Orientation"), None);
    }

    #[test]
    fn exif_comes_first() {
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0";
        assert_eq!(Some(orientation(Some(exif), Some(b"tiff:Orientation=\"6\""))), Orientation::from_exif(8));
        assert_eq!(orientation(Some(b"junk"), None), Orientation::NoTransforms);
    }
}
