//! Failures of networks.

use std::io;
use std::ops::RangeInclusive;

/// Returns whether the resolver failed. Its failures have no kind of their own, and on Unix no number either.
pub fn is_unresolved(e: &io::Error) -> bool {
    const RESOLVER: RangeInclusive<i32> = 11001..=11004; // WSAHOST_NOT_FOUND to WSANO_DATA
    let is_listed = || e.raw_os_error().is_some_and(|number| RESOLVER.contains(&number));
    cfg!(windows) && is_listed() || e.to_string().contains("failed to lookup address")
}
