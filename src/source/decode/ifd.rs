//! The tag directory of TIFF, and so of EXIF, read as leniently as Pillow reads it (TiffImagePlugin.py).

use std::collections::HashSet;

use super::cursor::Cursor;

/// The first directory of a file.
pub(super) struct Directory<'a> {
    /// Number, type, value. The first of each number counts.
    tags: Vec<(u16, u16, &'a [u8])>,
    pub(super) order: Order,
    /// Whether all of its entries are there.
    pub(super) complete: bool,
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

impl<'a> Directory<'a> {
    /// Reads the directory. Returns `None` if the file is not a TIFF. A truncated directory counts as far as it goes.
    pub(super) fn read(file: &'a [u8]) -> Option<Self> {
        if !is_header(file) {
            return None;
        }
        let order = if file[0] == b'I' { Order::Little } else { Order::Big };
        let big = file[2] == 43;
        let width = if big { 8 } else { 4 };
        let start = order.number(file.get(width..2 * width)?);
        let mut directory = Self { tags: Vec::new(), order, complete: true };
        let mut entries = Cursor::at(file, usize::try_from(start).ok()?);
        let count = entries.take(if big { 8 } else { 2 }).map_or(0, |n| order.number(n));
        let mut outside = 0u64;
        let mut seen = HashSet::new();
        for _ in 0..count {
            let Some(entry) = entries.take(4 + 2 * width) else {
                directory.complete = false;
                break;
            };
            let (tag, kind) = (order.number(&entry[..2]) as u16, order.number(&entry[2..4]) as u16);
            let Some(size) = unit(kind).checked_mul(order.number(&entry[4..4 + width])) else { continue };
            if size == 0 || seen.contains(&tag) {
                continue;
            }
            let mut value = &entry[4 + width..];
            if size > width as u64 {
                outside = outside.saturating_add(size);
                if outside > file.len() as u64 {
                    continue;
                }
                let Ok(offset) = usize::try_from(order.number(value)) else { continue };
                let Some(found) = Cursor::at(file, offset).take(size as usize) else {
                    directory.complete &= !matches!(tag, 273 | 279 | 324 | 325);
                    break;
                };
                value = found;
            }
            seen.insert(tag);
            directory.tags.push((tag, kind, &value[..size as usize]));
        }
        Some(directory)
    }

    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.tags.iter().find(|t| t.0 == tag).map(|t| t.2)
    }

    /// Returns the whole numbers of a tag, or `None` if its type is another.
    pub(super) fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        let &(_, kind, value) = self.tags.iter().find(|t| t.0 == tag)?;
        let whole = matches!(kind, 1 | 3 | 4 | 6 | 8 | 9 | 13 | 16);
        whole.then(|| value.chunks_exact(unit(kind) as usize).map(|n| self.order.number(n)).collect())
    }

    /// Returns the first number of a tag.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        self.numbers(tag)?.first().copied()
    }

    /// Returns the first value of a tag that is a number of any type. Bytes, like text, are none to Pillow.
    pub(super) fn value(&self, tag: u16) -> Option<f64> {
        let &(_, kind, value) = self.tags.iter().find(|t| t.0 == tag)?;
        let number = |at: std::ops::Range<usize>| value.get(at).map(|bytes| self.order.number(bytes));
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
