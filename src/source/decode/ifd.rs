//! The tag directories of TIFF, and so of EXIF, read as leniently as Pillow reads them (TiffImagePlugin.py).

use std::collections::HashSet;
use std::ops::Range;

use super::cursor::Cursor;

/// The most entries of a directory that are read: as many as there are numbers of tags.
const MOST_ENTRIES: u64 = 1 << 16;

/// A directory of a file.
pub(super) struct Directory<'a> {
    file: &'a [u8],
    /// Number, type, place of the value. The first of each number counts.
    tags: Vec<(u16, u16, Range<usize>)>,
    pub(super) order: Order,
    /// Whether all of its entries are there.
    pub(super) complete: bool,
    /// The place of the next directory, 0 after the last one.
    pub(super) next: u64,
}

/// The byte order of numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let join = |n: u64, &byte: &u8| n << 8 | u64::from(byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }
}

/// Returns whether these are the first four bytes of a TIFF file. Some writers swap the version's two bytes.
pub(super) fn is_header(head: &[u8]) -> bool {
    let Some(head) = head.first_chunk() else { return false };
    matches!(head, b"II*\0" | b"II\0*" | b"MM\0*" | b"MM*\0" | b"II+\0" | b"MM\0+")
}

/// Returns the byte order of a file like TIFF, the width of its offsets in bytes, and the place of its first directory.
pub(super) fn first(file: &[u8]) -> Option<(Order, usize, u64)> {
    let order = if *file.first()? == b'I' { Order::Little } else { Order::Big };
    let width = if *file.get(2)? == 43 { 8 } else { 4 };
    Some((order, width, order.number(file.get(width..2 * width)?)))
}

impl<'a> Directory<'a> {
    /// Reads the first directory. Returns `None` if the file is not a TIFF. A truncated directory counts as far as it
    /// goes.
    pub(super) fn read(file: &'a [u8]) -> Option<Self> {
        if !is_header(file) {
            return None;
        }
        let (order, width, start) = first(file)?;
        Self::at(file, order, width, start)
    }

    /// Reads the directory at `start`, with counts and offsets of `width` bytes. Offsets count from the start of `file`.
    pub(super) fn at(file: &'a [u8], order: Order, width: usize, start: u64) -> Option<Self> {
        let mut directory = Self { file, tags: Vec::new(), order, complete: true, next: 0 };
        let mut entries = Cursor::at(file, usize::try_from(start).ok()?);
        let count = entries.take(if width == 8 { 8 } else { 2 }).map_or(0, |n| order.number(n));
        let mut outside = 0u64;
        let mut seen = HashSet::new();
        let size = (4 + 2 * width) as u64;
        let after = usize::try_from(count.saturating_mul(size)).ok().and_then(|size| entries.rest().get(size..));
        directory.next = after.and_then(|rest| rest.get(..width)).map_or(0, |next| order.number(next));
        for _ in 0..count.min(MOST_ENTRIES) {
            let at = file.len() - entries.rest().len() + 4 + width;
            let Some(entry) = entries.take(4 + 2 * width) else {
                directory.complete = false;
                break;
            };
            let (tag, kind) = (order.number(&entry[..2]) as u16, order.number(&entry[2..4]) as u16);
            let Some(size) = unit(kind).checked_mul(order.number(&entry[4..4 + width])) else { continue };
            if size == 0 || seen.contains(&tag) {
                continue;
            }
            let mut place = at;
            if size > width as u64 {
                outside = outside.saturating_add(size);
                if outside > file.len() as u64 {
                    continue;
                }
                let Ok(offset) = usize::try_from(order.number(&entry[4 + width..])) else { continue };
                if Cursor::at(file, offset).take(size as usize).is_none() {
                    directory.complete &= !matches!(tag, 273 | 279 | 324 | 325);
                    break;
                }
                place = offset;
            }
            seen.insert(tag);
            directory.tags.push((tag, kind, place..place + size as usize));
        }
        Some(directory)
    }

    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.file.get(self.place(tag)?)
    }

    /// Returns where the value of a tag lies in the file.
    pub(super) fn place(&self, tag: u16) -> Option<Range<usize>> {
        self.tags.iter().find(|t| t.0 == tag).map(|t| t.2.clone())
    }

    /// Returns the whole numbers of a tag, or `None` if its type is another.
    pub(super) fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        Some(self.values(tag)?.collect())
    }

    /// Returns the first number of a tag.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        self.values(tag)?.next()
    }

    /// Iterates over the whole numbers of a tag. Returns `None` if its type is another.
    pub(super) fn values(&self, tag: u16) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let (_, kind, place) = self.tags.iter().find(|t| t.0 == tag)?;
        let (value, order) = (self.file.get(place.clone())?, self.order);
        let whole = matches!(kind, 1 | 3 | 4 | 6 | 8 | 9 | 13 | 16);
        whole.then(|| value.chunks_exact(unit(*kind) as usize).map(move |n| order.number(n)))
    }

    /// Returns the first value of a tag that is a number of any type. Bytes, like text, are none to Pillow.
    pub(super) fn value(&self, tag: u16) -> Option<f64> {
        let (_, kind, place) = self.tags.iter().find(|t| t.0 == tag)?;
        let (kind, value) = (*kind, self.file.get(place.clone())?);
        let number = |at: Range<usize>| value.get(at).map(|bytes| self.order.number(bytes));
        let first = number(0..unit(kind) as usize)?;
        let ratio = || Some((number(0..4)? as u32, number(4..8)? as u32));
        Some(match kind {
            3 | 4 | 13 | 16 => first as f64,
            5 => ratio().map(|(n, d)| f64::from(n) / f64::from(d))?,
            6 => (first as i8).into(),
            8 => (first as i16).into(),
            9 => (first as i32).into(),
            10 => ratio().map(|(n, d)| f64::from(n as i32) / f64::from(d as i32))?,
            11 => f32::from_bits(first as u32).into(),
            12 => f64::from_bits(first),
            _ => return None,
        })
    }
}

/// Returns the bytes of a value of a type, or 0 for an unknown type.
fn unit(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => 0,
    }
}
