//! The orientation of an image, in EXIF or else in XMP, as Pillow's `exif_transpose` reads it.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::ifd::Directory;

/// The EXIF tag of the orientation.
pub(super) const TAG: u16 = 274;

/// Returns the orientation that EXIF (a TIFF structure) or else XMP states; upright if neither does.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let directory = exif.and_then(|e| Directory::read(e.strip_prefix(b"Exif\0\0").unwrap_or(e)));
    stated(directory.as_ref(), xmp).unwrap_or(Orientation::NoTransforms)
}

/// Returns the orientation that the directory of a TIFF states, or the XMP in it.
pub(super) fn of_tags(tags: &Directory) -> Option<Orientation> {
    stated(Some(tags), tags.bytes(700))
}

/// XMP counts only if EXIF has no such tag, not even a senseless one.
fn stated(exif: Option<&Directory>, xmp: Option<&[u8]>) -> Option<Orientation> {
    let stated = match exif.filter(|exif| exif.bytes(TAG).is_some()) {
        Some(exif) => exif.value(TAG),
        None => xmp.and_then(from_xmp).map(f64::from),
    }?;
    Orientation::from_exif((1..=8u8).find(|&number| f64::from(number) == stated)?)
}

/// Turns the image upright.
pub(super) fn turned(image: RgbImage, orientation: Orientation) -> RgbImage {
    use Orientation::{NoTransforms, Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    match orientation {
        NoTransforms => image,
        Rotate90FlipH => transposed(&image, false, false),
        Rotate90 => transposed(&image, true, false),
        Rotate270 => transposed(&image, false, true),
        Rotate270FlipH => transposed(&image, true, true),
        flip => {
            let mut image = DynamicImage::from(image);
            image.apply_orientation(flip);
            image.into_rgb8()
        }
    }
}

/// Turns columns into rows, from the bottom up or from right to left. Works in tiles: a column of a photograph's rows
/// does not fit in any cache.
fn transposed(image: &RgbImage, bottom_up: bool, from_right: bool) -> RgbImage {
    const TILE: usize = 32;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut out = RgbImage::new(image.height(), image.width());
    let source = image.as_raw().as_chunks::<3>().0;
    let target = out.as_chunks_mut::<3>().0;
    for top in (0..width).step_by(TILE) {
        for left in (0..height).step_by(TILE) {
            let right = height.min(left + TILE);
            let rows = if bottom_up { height - right..height - left } else { left..right };
            for y in top..width.min(top + TILE) {
                let column = if from_right { width - 1 - y } else { y };
                let target = &mut target[y * height + left..y * height + right];
                let pixels = source[rows.start * width + column..].iter().step_by(width);
                if bottom_up {
                    target.iter_mut().rev().zip(pixels).for_each(|(to, from)| *to = *from);
                } else {
                    target.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
    out
}

/// Reads `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
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
    fn images_are_turned_as_stated() {
        for (width, height) in [(1, 1), (5, 3), (33, 70), (64, 31)] {
            let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x * 7 + y) as u8]));
            for orientation in (1..=8).filter_map(Orientation::from_exif) {
                let mut expected = DynamicImage::from(image.clone());
                expected.apply_orientation(orientation);
                assert!(turned(image.clone(), orientation) == expected.into_rgb8(), "{orientation:?}");
            }
        }
    }

    #[test]
    fn exif_comes_first() {
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0";
        assert_eq!(Some(orientation(Some(exif), Some(b"tiff:Orientation=\"6\""))), Orientation::from_exif(8));
        assert_eq!(orientation(Some(b"junk"), None), Orientation::NoTransforms);
    }
}
