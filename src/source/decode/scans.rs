//! The markers of a JPEG file, read before decoding: the number of scans, and the memory the decoder keeps between
//! them.

use super::DecodeResult;
use super::cursor::Cursor;
use crate::source::{ErrorKind, ImageError};

/// The most scans of a file. Encoders write about ten. Each scan costs time for the whole picture, so files with
/// thousands are attacks.
const MAX_SCANS: usize = 100;

const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// The contents of the markers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scans {
    count: usize,
    /// Bytes of the coefficients, which the decoder keeps if there are several scans.
    pub(super) kept: u64,
}

impl Scans {
    /// Reads the markers.
    ///
    /// # Errors
    /// `too_large` for more scans than [`MAX_SCANS`]. The decoder reports damage.
    pub(super) fn of(bytes: &[u8]) -> DecodeResult<Self> {
        let mut file = Cursor::at(bytes, 2);
        let (mut scans, mut components, mut coefficients) = (Self::default(), 0, 0);
        while let Some(kind) = next_marker(&mut file) {
            if kind == EOI {
                break;
            }
            let length = usize::from(file.u16_be().unwrap_or(0)).saturating_sub(2);
            let Some(segment) = file.take(length) else { break };
            let is_frame = matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc);
            if is_frame && coefficients == 0 {
                (components, coefficients) = frame(segment).unwrap_or_default();
                if matches!(kind, 0xc2 | 0xca) {
                    scans.kept = coefficients;
                }
            } else if kind == SOS {
                scans.count += 1;
                if segment.first().is_some_and(|&own| own < components) {
                    scans.kept = coefficients;
                }
                if scans.kept == 0 {
                    break; // a single scan
                }
                if scans.count > MAX_SCANS {
                    let reason = format!("has more than the {MAX_SCANS} scans that a JPEG may have");
                    return Err(ImageError::new(ErrorKind::TooLarge, reason));
                }
            }
        }
        Ok(scans)
    }
}

/// Returns the number of components of a frame, and the bytes of all coefficients.
fn frame(segment: &[u8]) -> Option<(u8, u64)> {
    let mut fields = Cursor::at(segment, 1);
    let [height, width] = [(); 2].map(|()| fields.u16_be());
    let (height, width, components) = (height?, width?, fields.u8()?);
    let factors = fields.rest().chunks_exact(3).take(components.into()).map(|c| (c[1] >> 4, c[1] & 15));
    let (across, down) = factors.clone().fold((1, 1), |(h, v), (own_h, own_v)| (h.max(own_h), v.max(own_v)));
    let blocks = |size: u16, own: u8, all: u8| (u64::from(size) * u64::from(own)).div_ceil(8 * u64::from(all)) + 1;
    let bytes = factors.map(|(h, v)| blocks(width, h, across) * blocks(height, v, down) * 128).sum();
    Some((components, bytes))
}

/// Skips to the next marker outside of a scan's data.
pub(super) fn next_marker(file: &mut Cursor) -> Option<u8> {
    loop {
        let data = file.rest();
        let at = data.iter().position(|&byte| byte == 0xff)?;
        file.take(at + 1)?;
        let mut kind = file.u8()?;
        while kind == 0xff {
            kind = file.u8()?;
        }
        if !matches!(kind, 0 | 1 | 0xd0..=0xd8) {
            return Some(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a file with this number of scans and nothing to decode.
    fn file(frame: u8, components_in_scan: u8, scans: usize) -> Vec<u8> {
        let mut file = b"\xff\xd8\xff\xe1\0\x06\xff\xda\xff\xda".to_vec(); // a segment whose content looks like markers
        file.extend([0xff, frame, 0, 17, 8, 0, 16, 0, 24, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        for _ in 0..scans {
            file.extend([0xff, 0xff, 0xda, 0, 3, components_in_scan, 1, 0xff, 0, 2, 0xff, 0xd0, 3]);
        }
        file.extend([0xff, 0xd9, 0xff, 0xda]);
        file
    }

    #[test]
    fn scans_are_counted_before_they_are_decoded() {
        assert_eq!(Scans::of(&file(0xc2, 3, 10)).unwrap().count, 10);
        assert_eq!(Scans::of(&file(0xc0, 1, 3)).unwrap().count, 3);
        assert_eq!(Scans::of(&file(0xc0, 3, 1)).unwrap(), Scans { count: 1, kept: 0 });
        assert!(Scans::of(&file(0xc2, 3, MAX_SCANS)).is_ok());
        let e = Scans::of(&file(0xc2, 3, MAX_SCANS + 1)).unwrap_err();
        assert_eq!(e.kind, ErrorKind::TooLarge);
        assert_eq!(Scans::of(b"\xff\xd8\xff").unwrap(), Scans::default());
    }

    #[test]
    fn coefficients_are_two_bytes_each() {
        // 24x16 pixels: four and three blocks of brightness, three and two of each colour, one more each way.
        assert_eq!(Scans::of(&file(0xc2, 3, 2)).unwrap().kept, (4 * 3 + 2 * 3 * 2) * 128);
    }
}
