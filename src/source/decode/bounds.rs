//! The limits of a decoder: the cap on pixels, and memory that it reserves before use.

use std::cell::RefCell;

use super::{DecodeResult, Options};
use crate::source::memory_budget::too_little;
use crate::source::{ErrorKind, ImageError, Lease, Limits, Stage};

/// The purpose of the memory, for messages.
const DECODED: &str = "to be decoded";

/// The limits of one image.
pub(super) struct Bounds<'a> {
    limits: &'a Limits,
    spare: Option<u64>,
    lease: RefCell<Option<Lease>>,
}

impl<'a> Bounds<'a> {
    /// Creates the limits that the options state.
    pub(super) fn new(options: &Options<'a>) -> Self {
        Self { limits: options.limits, spare: options.spare, lease: RefCell::default() }
    }

    /// Checks a size before pixels are allocated.
    pub(super) fn check(&self, width: u64, height: u64) -> DecodeResult<()> {
        let most = self.limits.max_pixels;
        if width == 0 || height == 0 {
            return Err(ImageError::empty());
        }
        match width.checked_mul(height) {
            Some(pixels) if pixels <= most => Ok(()),
            _ => Err(ImageError::new(
                ErrorKind::TooLarge,
                format!("has {width}x{height} pixels, more than the {most} allowed (--max-pixels)"),
            )),
        }
    }

    /// Waits for so many bytes, instead of those taken before. Dropping the limits gives them back.
    pub(super) fn take(&self, bytes: u64) -> DecodeResult<()> {
        let room = &self.limits.room;
        let mut lease = self.lease.borrow_mut();
        drop(lease.take()); // give back first: waiting while holding could deadlock
        match self.spare {
            Some(spare) if bytes > spare => return Err(too_little(bytes, spare, DECODED)),
            Some(_) => {}
            None => *lease = Some(room.take(Stage::Decode, bytes, DECODED)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemoryBudget;

    #[test]
    fn the_cap_counts_pixels() {
        let kind = |most, width, height| {
            let limits = Limits { max_pixels: most, ..Limits::default() };
            let options = Options { limits: &limits, enough: None, spare: None };
            Bounds::new(&options).check(width, height).map_err(|e| e.kind)
        };
        assert_eq!(kind(1_000_000, 1000, 1000), Ok(()));
        assert_eq!(kind(1_000_000, 1001, 1000), Err(ErrorKind::TooLarge));
        assert_eq!(kind(u64::MAX, u64::MAX, 2), Err(ErrorKind::TooLarge));
        assert_eq!(kind(9, 0, 2), Err(ErrorKind::Decode));
    }

    #[test]
    fn what_goes_alone_has_what_its_file_leaves() {
        let limits = Limits { room: MemoryBudget::of(1600), ..Limits::default() };
        let alone = Bounds::new(&Options { limits: &limits, enough: None, spare: Some(700) });
        assert!(alone.take(700).is_ok());
        assert_eq!(alone.take(701).unwrap_err().kind, ErrorKind::Memory);
        let other = Bounds::new(&Options { limits: &limits, enough: None, spare: None });
        assert!(other.take(1300).is_ok() && other.take(1300).is_ok(), "in place of what it took before");
        drop(other);
        assert!(limits.room.try_take(Stage::Decode, 1300).is_some());
    }
}
