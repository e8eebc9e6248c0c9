//! The strips and tiles of TIFF: unpacked, each to exactly the bytes that it must have.

use flate2::{Decompress, FlushDecompress};
use weezl::BitOrder;

use super::fax::{self, Scheme};
use super::ifd::Order;
use super::scans::Scans;
use super::{BROKEN, DecodeResult, Format, damaged, jpeg, unsupported, xz, zstd};
use crate::source::ImageError;

/// The storage of samples in a strip or tile.
pub(super) struct Packing<'a> {
    pub(super) compression: u64,
    pub(super) predictor: u64,
    /// Whether the bits of a byte are stored from the lowest.
    pub(super) reversed: bool,
    pub(super) order: Order,
    pub(super) bits: usize,
    /// Samples per pixel within one strip or tile.
    pub(super) channels: usize,
    /// The JPEG tables that all strips and tiles share.
    pub(super) tables: &'a [u8],
    pub(super) ycbcr: bool,
    /// Whether Group 3 is two-dimensional.
    pub(super) fax_2d: bool,
}

/// Returns the stored bytes of a strip or tile, all to the end without a `length`, or None if the file ends before.
pub(super) fn part_of<'f>(file: &'f [u8], place: u64, length: Option<&u64>) -> Option<&'f [u8]> {
    let rest = usize::try_from(place).ok().and_then(|place| file.get(place..)).unwrap_or_default();
    length.map_or(Some(rest), |&length| rest.get(..length as usize))
}

impl Packing<'_> {
    pub(super) fn row_bytes(&self, columns: usize) -> usize {
        (columns * self.channels * self.bits).div_ceil(8)
    }

    /// Returns the most bytes that libjpeg keeps of one of these strips or tiles beside its pixels.
    pub(super) fn kept<'f>(&self, mut parts: impl Iterator<Item = &'f [u8]>) -> DecodeResult<u64> {
        if self.compression != 7 {
            return Ok(0);
        }
        parts.try_fold(0, |most: u64, part| Ok(most.max(Scans::of(part)?.kept)))
    }

    /// Returns the most bytes that unpacking takes, beside the file, for a strip or tile of `stored` bytes of which
    /// libjpeg keeps `kept`.
    pub(super) fn bytes_unpacking(&self, columns: usize, rows: usize, stored: u64, kept: u64) -> u64 {
        let unpacked = self.row_bytes(columns).saturating_mul(rows) as u64;
        let flipped = match self.compression {
            _ if !self.reversed => 0,
            1 => unpacked,
            7 => 0,
            _ => stored,
        };
        let decoder = match self.compression {
            2..=4 => fax::bytes_unpacking(columns),
            7 if self.tables.is_empty() => kept,
            7 => kept.saturating_add(stored).saturating_add(self.tables.len() as u64), // put together
            34925 => xz::bytes_unpacking(unpacked),
            50000 => zstd::bytes_unpacking(unpacked),
            _ => 0,
        };
        unpacked.saturating_add(flipped).saturating_add(decoder)
    }

    /// Returns the samples of `rows` rows of `columns` pixels, each row in whole bytes.
    pub(super) fn unpack(&self, data: &[u8], columns: usize, rows: usize) -> DecodeResult<Vec<u8>> {
        let row = self.row_bytes(columns);
        let data = match self.compression {
            1 => data.get(..row * rows).ok_or_else(early)?, // what follows is the next strip's
            _ => data,
        };
        let flipped: Vec<u8>;
        let data = if self.reversed && self.compression != 7 {
            flipped = data.iter().map(|byte| byte.reverse_bits()).collect();
            &flipped
        } else {
            data
        };
        let mut out = vec![0; row * rows];
        match self.compression {
            1 => out.copy_from_slice(data),
            2 => self.fax(Scheme::Runs, data, columns, &mut out)?,
            3 if self.fax_2d => self.fax(Scheme::Group3Mixed, data, columns, &mut out)?,
            3 => self.fax(Scheme::Group3, data, columns, &mut out)?,
            4 => self.fax(Scheme::Group4, data, columns, &mut out)?,
            5 => lzw(data, &mut out)?,
            7 => out = self.jpeg(data, columns, rows)?,
            8 | 32946 => inflate(data, &mut out)?,
            32773 => packbits(data, &mut out)?,
            34925 => xz::unpack(data, &mut out)?,
            50000 => zstd::unpack(data, &mut out)?,
            other => return Err(unsupported(Format::Tiff, format!("compression {other}"))),
        }
        match (self.predictor, self.compression) {
            (2, 5 | 8 | 32946 | 34925 | 50000) => out.chunks_exact_mut(row).try_for_each(|line| self.sum(line))?,
            (3, 5 | 8 | 32946 | 34925 | 50000) => out.chunks_exact_mut(row).for_each(|line| self.float_sum(line)),
            _ => {}
        }
        Ok(out)
    }

    fn jpeg(&self, data: &[u8], columns: usize, rows: usize) -> DecodeResult<Vec<u8>> {
        // The tables are a JPEG file without an image: drop its end marker and the strip's start marker.
        let stream = match (self.tables, data) {
            ([tables @ .., 0xff, 0xd9], [0xff, 0xd8, rest @ ..]) => &[tables, rest].concat(),
            _ => data,
        };
        jpeg::part(stream, [columns, rows], self.channels, self.ycbcr)
    }

    /// Undoes differences: each sample is stored as the difference to the one on its left.
    fn sum(&self, line: &mut [u8]) -> DecodeResult<()> {
        match self.bits {
            8 => (self.channels..line.len()).for_each(|i| line[i] = line[i].wrapping_add(line[i - self.channels])),
            16 | 32 => {
                let size = self.bits / 8;
                for at in (self.channels * size..=line.len() - size).step_by(size) {
                    let left = self.order.number(&line[at - self.channels * size..][..size]);
                    let sum = self.order.number(&line[at..][..size]).wrapping_add(left) as u32;
                    match self.order {
                        Order::Little => line[at..][..size].copy_from_slice(&sum.to_le_bytes()[..size]),
                        Order::Big => line[at..][..size].copy_from_slice(&sum.to_be_bytes()[4 - size..]),
                    }
                }
            }
            bits => return Err(unsupported(Format::Tiff, format!("differences of {bits} bits"))),
        }
        Ok(())
    }

    /// Undoes differences of floats: differences of bytes, with all highest bytes of a row first.
    fn float_sum(&self, line: &mut [u8]) {
        for i in self.channels..line.len() {
            line[i] = line[i].wrapping_add(line[i - self.channels]);
        }
        let size = self.bits / 8;
        let planes = line.to_vec();
        let count = line.len() / size.max(1);
        for (i, sample) in line.chunks_exact_mut(size.max(1)).enumerate() {
            sample.iter_mut().enumerate().for_each(|(byte, value)| *value = planes[byte * count + i]);
            if self.order == Order::Little {
                sample.reverse();
            }
        }
    }

    /// Decodes fax: a 1 is black.
    fn fax(&self, scheme: Scheme, data: &[u8], columns: usize, out: &mut [u8]) -> DecodeResult<()> {
        if (self.bits, self.channels) != (1, 1) {
            return Err(unsupported(Format::Tiff, "fax in greys or colours"));
        }
        fax::decode(scheme, data, columns, out)
    }
}

fn early() -> ImageError {
    ImageError::truncated("TIFF")
}

fn inflate(data: &[u8], out: &mut [u8]) -> DecodeResult<()> {
    let mut stream = Decompress::new(true);
    let status = stream.decompress(data, out, FlushDecompress::None);
    status.map_err(|_| damaged(Format::Tiff, BROKEN))?;
    if stream.total_out() < out.len() as u64 { Err(early()) } else { Ok(()) }
}

fn lzw(mut data: &[u8], mut out: &mut [u8]) -> DecodeResult<()> {
    let mut stream = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    while !out.is_empty() {
        let step = stream.decode_bytes(data, out);
        step.status.map_err(|e| damaged(Format::Tiff, e))?;
        if step.consumed_in == 0 && step.consumed_out == 0 {
            return Err(early());
        }
        data = &data[step.consumed_in..];
        out = &mut out[step.consumed_out..];
    }
    Ok(())
}

fn packbits(mut data: &[u8], mut out: &mut [u8]) -> DecodeResult<()> {
    while !out.is_empty() {
        let (&head, rest) = data.split_first().ok_or_else(early)?;
        data = rest;
        let length = match head {
            0..=127 => usize::from(head) + 1,
            128 => continue,
            _ => 257 - usize::from(head),
        };
        let (filled, unfilled) = out.split_at_mut(length.min(out.len()));
        if head < 128 {
            filled.copy_from_slice(data.get(..filled.len()).ok_or_else(early)?);
            data = data.get(length..).unwrap_or_default();
        } else {
            let (&value, rest) = data.split_first().ok_or_else(early)?;
            filled.fill(value);
            data = rest;
        }
        out = unfilled;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_with_the_strip() {
        let mut out = [9; 6];
        packbits(&[1, 7, 8, 128, 0xfe, 5, 3, 1, 2, 3, 4], &mut out).unwrap();
        assert_eq!(out, [7, 8, 5, 5, 5, 1]);
        assert!(packbits(&[1, 7], &mut out).is_err());
    }
}
