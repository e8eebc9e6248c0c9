//! Zstandard in TIFF: one frame a strip or tile.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{BROKEN, DecodeResult, Format, damaged};
use crate::source::ImageError;

/// The most bytes of a block, and the window that frames get here instead of theirs.
const BLOCK: usize = 128 << 10;
/// The header of a frame with this window, and with nothing else stated.
const HEADER: &[u8] = b"\x28\xb5\x2f\xfd\0\x38";

/// Returns the bytes that unpacking takes beside its result: a buffer, and half of it while it grows.
pub(super) fn bytes_unpacking(unpacked: u64) -> u64 {
    unpacked.saturating_add(2 * BLOCK as u64).saturating_mul(3)
}

/// Fills `out`. A frame may state a window of gigabytes, which the decoder would fill before it hands on anything. But
/// none needs more than there is in the result, which stays in the decoder's buffer to the end.
pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> DecodeResult<()> {
    let broken = || damaged(Format::Tiff, BROKEN);
    let mut blocks = HEADER.chain(without_header(data).ok_or_else(broken)?);
    let mut frame = FrameDecoder::new();
    frame.init(&mut blocks).map_err(|_| broken())?;
    let enough = BlockDecodingStrategy::UptoBytes(out.len() + BLOCK);
    frame.decode_blocks(&mut blocks, enough).map_err(|_| broken())?;
    frame.read_exact(out).map_err(|_| ImageError::truncated("TIFF"))
}

/// Returns the blocks of a frame.
fn without_header(data: &[u8]) -> Option<&[u8]> {
    let flags = *data.strip_prefix(&HEADER[..4])?.first()?;
    let is_single = flags & 0x20 != 0;
    let window = if is_single { 0 } else { 1 };
    let dictionary = [0, 1, 2, 4][usize::from(flags & 3)];
    let size = [usize::from(is_single), 2, 4, 8][usize::from(flags >> 6)];
    data.get(5 + window + dictionary + size..)
}
