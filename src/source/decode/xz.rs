//! LZMA in TIFF: an xz file a strip or tile. The `lzma-rust2` crate reads LZMA2; its reader of the container would bring
//! hashes that nothing here needs.

use std::io::Read;

use lzma_rust2::{DICT_SIZE_MIN, Lzma2Reader};

use super::cursor::Cursor;
use super::{BROKEN, DecodeResult, Format, damaged, unsupported};
use crate::source::ImageError;

const SIGNATURE: &[u8; 6] = b"\xfd7zXZ\0";
const LZMA2: u64 = 0x21;
const DELTA: u64 = 3;
/// Bytes for tables, and for compressed data.
const TABLES: u64 = 256 << 10;

/// Returns the bytes that unpacking takes beside its result: a dictionary, and half of it while it grows.
pub(super) fn bytes_unpacking(unpacked: u64) -> u64 {
    (unpacked / 2).saturating_mul(3).saturating_add(TABLES)
}

/// Fills `out` from the blocks of an xz file. Their checksums are not checked.
pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> DecodeResult<()> {
    let mut file = Cursor::new(data);
    let (Some(SIGNATURE), Some([_, check, ..])) = (file.array().as_ref(), file.array::<6>()) else {
        return Err(damaged(Format::Tiff, BROKEN));
    };
    let check = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64][usize::from(check & 15)];
    let mut filled = 0;
    while filled < out.len() {
        let length = file.u8().filter(|&length| length > 0); // a zero begins the index behind the blocks
        let header = length.and_then(|length| file.take(4 * usize::from(length) + 3));
        let filters = Filters::read(header.ok_or_else(|| ImageError::truncated("TIFF"))?)?;
        // A dictionary of gigabytes may be stated, but distances end at the first byte.
        let dictionary = filters.dictionary.min(out.len() as u64).max(DICT_SIZE_MIN.into());
        let before = file.rest();
        let mut block = Lzma2Reader::new(before, dictionary as u32, None);
        let start = filled;
        while filled < out.len() {
            match block.read(&mut out[filled..]).map_err(|_| damaged(Format::Tiff, BROKEN))? {
                0 => break,
                read => filled += read,
            }
        }
        filters.undo_differences(&mut out[start..filled]);
        let read = before.len() - block.into_inner().len();
        file.take_up_to(read.next_multiple_of(4) + check);
    }
    Ok(())
}

/// The filters of a block.
struct Filters {
    dictionary: u64,
    /// Distances of differences, in the order of packing.
    distances: Vec<usize>,
}

impl Filters {
    /// Reads a block's header behind its length.
    fn read(header: &[u8]) -> DecodeResult<Self> {
        let mut fields = Cursor::new(header);
        let filters = Self::fields(&mut fields).ok_or_else(|| damaged(Format::Tiff, BROKEN))?;
        let mut known = Self { dictionary: 0, distances: Vec::new() };
        for filter in filters {
            match filter {
                (DELTA, [distance]) => known.distances.push(usize::from(*distance) + 1),
                (LZMA2, [size @ 0..40]) => known.dictionary = u64::from(2 | size & 1) << (size / 2 + 11),
                (LZMA2, [_]) => known.dictionary = u32::MAX.into(),
                (id, _) => return Err(unsupported(Format::Tiff, format!("filter {id} of its lzma data"))),
            }
        }
        Ok(known)
    }

    /// Returns number and properties of each filter.
    fn fields<'h>(fields: &mut Cursor<'h>) -> Option<Vec<(u64, &'h [u8])>> {
        let flags = fields.u8()?;
        for flag in [0x40, 0x80] {
            if flags & flag != 0 {
                number(fields)?; // the size of the block, packed or unpacked
            }
        }
        let filter = |_| {
            Some((number(fields)?, number(fields)?))
                .and_then(|(id, size)| Some((id, fields.take(usize::try_from(size).ok()?)?)))
        };
        (0..=flags & 3).map(filter).collect()
    }

    fn undo_differences(&self, block: &mut [u8]) {
        for &distance in self.distances.iter().rev() {
            for i in distance..block.len() {
                block[i] = block[i].wrapping_add(block[i - distance]);
            }
        }
    }
}

/// Reads a number in groups of seven bits, the lowest first.
fn number(fields: &mut Cursor) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = fields.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
