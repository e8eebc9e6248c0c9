//! Fax in TIFF: CCITT's codes for runs of white and black, in rows that stand alone (T.4) or refer to the row above (T.4
//! and T.6). Damage costs the rest of its row, as in libtiff. The `fax` crate has the tables of codes; its decoders read
//! neither rows without end marks nor a mix of both kinds of rows.

use std::convert::Infallible;

use fax::BitReader;
use fax::maps::{self, Mode};

use super::DecodeResult;
use crate::source::ImageError;

/// The coding of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Each row alone, in whole bytes.
    Runs,
    /// Each row alone, after an end mark, if there are any.
    Group3,
    /// Each row after an end mark and a bit that says whether it stands alone.
    Group3Mixed,
    /// Each row by the row above, without marks.
    Group4,
}

/// Returns the most bytes of the changes in two rows, one of which may be growing.
pub(super) fn bytes_unpacking(columns: usize) -> u64 {
    (columns as u64 + 4).saturating_mul(5 * size_of::<usize>() as u64)
}

/// Decodes rows of `columns` pixels into white `out`, where a 1 is black.
pub(super) fn decode(scheme: Scheme, data: &[u8], columns: usize, out: &mut [u8]) -> DecodeResult<()> {
    let start = Bits { data, at: 0, left: 8 * data.len() };
    let mut bits = start;
    let (mut above, mut row) = (Row::new(columns), Row::new(columns));
    let (mut has_marks, mut is_in_mark) = (matches!(scheme, Scheme::Group3 | Scheme::Group3Mixed), false);
    for (y, line) in out.chunks_exact_mut(columns.div_ceil(8)).enumerate() {
        if has_marks && bits.skip_mark(is_in_mark).is_err() {
            (bits, has_marks) = (start, false); // as libtiff does, even after some rows
        }
        let decoded = match scheme {
            Scheme::Runs | Scheme::Group3 => row.alone(&mut bits),
            Scheme::Group3Mixed => bits.take(1).and_then(|is_alone| match is_alone {
                1 => row.alone(&mut bits),
                _ => row.by_row_above(&above, &mut bits),
            }),
            Scheme::Group4 => row.by_row_above(&above, &mut bits),
        };
        row.close();
        row.paint(line);
        match decoded {
            Err(Stop::End | Stop::Mark) if scheme == Scheme::Group4 && y > 0 => return Ok(()), // the rest is white
            Err(Stop::End) => return Err(ImageError::truncated("TIFF")),
            _ => is_in_mark = decoded == Err(Stop::Mark),
        }
        if scheme == Scheme::Runs {
            bits.skip(bits.left % 8); // as libtiff does, with the zeros past the end
        }
        std::mem::swap(&mut above, &mut row);
        row.clear();
    }
    Ok(())
}

/// Why a row ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The data has ended.
    End,
    /// The zeros of an end mark.
    Mark,
    /// A code that does not exist, or does not fit.
    Bad,
}

/// A row's changes of colour, each by its column. The first is from white to black.
struct Row {
    changes: Vec<usize>,
    /// The column of the next pixel.
    at: usize,
    columns: usize,
}

impl Row {
    fn new(columns: usize) -> Self {
        Self { changes: Vec::new(), at: 0, columns }
    }

    fn clear(&mut self) {
        self.changes.clear();
        self.at = 0;
    }

    /// Returns the column of a change. Changes past the last one are at the row's end.
    fn change(&self, number: isize) -> usize {
        usize::try_from(number).map_or(0, |number| self.changes.get(number).copied().unwrap_or(self.columns))
    }

    fn is_black(&self) -> bool {
        self.changes.len() % 2 == 1
    }

    /// Adds a change at the next pixel.
    fn turn(&mut self) -> Result<(), Stop> {
        self.changes.push(self.at);
        if self.changes.len() > self.columns + 2 { Err(Stop::Bad) } else { Ok(()) }
    }

    /// Reads a run of the current colour.
    fn run(&mut self, bits: &mut Bits) -> Result<(), Stop> {
        loop {
            let code = bits.run_code(self.is_black())?;
            self.at = self.at.saturating_add(code);
            if code < 64 {
                return self.turn();
            }
        }
    }

    /// Decodes a row that stands alone.
    fn alone(&mut self, bits: &mut Bits) -> Result<(), Stop> {
        while self.at < self.columns {
            self.run(bits)?;
        }
        Ok(())
    }

    /// Decodes a row by the changes of the row above.
    fn by_row_above(&mut self, above: &Self, bits: &mut Bits) -> Result<(), Stop> {
        let mut next = 0; // the change above that a code refers to: the first one to the right, to the other colour
        while self.at < self.columns {
            let mode = bits.mode().inspect_err(|stop| {
                if *stop == Stop::Mark {
                    self.at = self.columns; // the run goes on to the end
                }
            })?;
            while !self.changes.is_empty() && above.change(next) <= self.at && above.change(next) < self.columns {
                next += 2;
            }
            match mode {
                Mode::Pass => {
                    self.at = above.change(next + 1);
                    next += 2;
                }
                Mode::Horizontal => {
                    self.run(bits)?;
                    self.run(bits)?;
                }
                Mode::Vertical(offset) => {
                    let place = above.change(next).checked_add_signed(offset.into());
                    self.at = place.filter(|&place| place >= self.at).ok_or(Stop::Bad)?;
                    self.turn()?;
                    next += if offset < 0 { -1 } else { 1 };
                }
                Mode::Extension | Mode::EOF => return Err(Stop::Bad),
            }
        }
        Ok(())
    }

    /// Ends the row: drops the runs that do not fit, and leaves the rest white.
    fn close(&mut self) {
        if self.changes.last().is_none_or(|&last| last < self.at) {
            self.changes.push(self.at);
        }
        while self.at > self.columns && self.changes.pop().is_some() {
            self.at = self.changes.last().copied().unwrap_or(0);
        }
        if self.at < self.columns && self.is_black() {
            self.changes.push(self.at);
        }
    }

    fn paint(&self, line: &mut [u8]) {
        for black in self.changes.chunks(2) {
            let end = black.get(1).map_or(self.columns, |&end| end.min(self.columns));
            for x in black[0]..end {
                line[x / 8] |= 0x80 >> (x % 8);
            }
        }
    }
}

/// The bits of the data. A code may reach past their end, where all are zero.
#[derive(Clone, Copy)]
struct Bits<'d> {
    data: &'d [u8],
    at: usize,
    /// Bits left, with those that a code needed past the end.
    left: usize,
}

impl Bits<'_> {
    /// Makes sure that so many bits can be read.
    fn need(&mut self, count: usize) -> Result<(), Stop> {
        if self.left == 0 {
            return Err(Stop::End);
        }
        self.left = self.left.max(count);
        Ok(())
    }

    fn bits(&self, count: u8) -> u16 {
        let byte = |n: usize| u32::from(self.data.get(self.at / 8 + n).copied().unwrap_or(0));
        let word = byte(0) << 24 | byte(1) << 16 | byte(2) << 8;
        (word << (self.at % 8) >> (32 - u32::from(count))) as u16
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
        self.left = self.left.saturating_sub(count);
    }

    fn take(&mut self, count: u8) -> Result<u16, Stop> {
        self.need(count.into())?;
        let bits = self.bits(count);
        self.skip(count.into());
        Ok(bits)
    }

    /// Skips to the end of the next end mark: eleven zeros, which may have been read, more zeros, and a one.
    fn skip_mark(&mut self, is_in_mark: bool) -> Result<(), Stop> {
        while !is_in_mark && {
            self.need(11)?;
            self.bits(11) != 0
        } {
            self.skip(1);
        }
        while {
            self.need(8)?;
            self.bits(8) == 0
        } {
            self.skip(8);
        }
        self.skip(self.bits(8).leading_zeros() as usize - 7); // of 16 bits, to behind the one
        Ok(())
    }

    /// Reads a code of a table. A code that does not exist stays unread.
    fn code<T>(&mut self, decode: impl Fn(&mut Self) -> Option<T>) -> Result<T, Stop> {
        let (at, left) = (self.at, self.left);
        decode(self).ok_or_else(|| {
            (self.at, self.left) = (at, left);
            Stop::Bad
        })
    }

    /// Reads a part of a run's length. Parts of 64 and more are continued.
    fn run_code(&mut self, is_black: bool) -> Result<usize, Stop> {
        self.need(if is_black { 13 } else { 12 })?;
        if self.bits(11) == 0 {
            self.skip(11);
            return Err(Stop::Mark);
        }
        self.code(if is_black { maps::black::decode } else { maps::white::decode }).map(usize::from)
    }

    fn mode(&mut self) -> Result<Mode, Stop> {
        self.need(7)?;
        if self.bits(7) == 0 {
            self.skip(7);
            self.take(4)?;
            return Err(Stop::Mark);
        }
        self.code(maps::mode::decode)
    }
}

impl BitReader for Bits<'_> {
    type Error = Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        (1..=16).contains(&bits).then(|| self.bits(bits))
    }

    fn consume(&mut self, bits: u8) -> Result<(), Infallible> {
        self.skip(bits.into());
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.at.wrapping_neg() % 8) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_where_their_codes_end() {
        // White 4, black 4, white 8: 1011 011 10011, then as many zeros as a byte needs.
        let data = [0b1011_0111, 0b0011_0000];
        let mut out = [0; 2];
        decode(Scheme::Runs, &data, 16, &mut out).unwrap();
        assert_eq!(out, [0x0f, 0]);
        assert!(decode(Scheme::Runs, &data, 16, &mut [0; 4]).is_err(), "a row is missing");
    }
}
