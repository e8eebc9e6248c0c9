//! Warnings about camera raw files of which only a small preview is scored.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use zsic::source::{self, Input, Name};

use super::args::Common;
use super::messages::warn;

/// The most files that are named; others are counted.
const NAMED: u64 = 20;
/// The bytes of a file that contain its preview's size.
const HEAD: u64 = 64 << 10;

/// Checks scored files, and counts small previews.
pub struct Previews {
    common: Common,
    count: AtomicU64,
}

impl Previews {
    /// Creates an empty count.
    pub fn new(common: &Common) -> Self {
        Self { common: common.clone(), count: AtomicU64::new(0) }
    }

    /// Warns if only a small preview of the file `name` was read.
    pub fn look_at(&self, name: &Name, bytes: &[u8]) {
        let Some((width, height)) = source::small_preview(Path::new(name.as_str()), bytes) else { return };
        if self.count.fetch_add(1, Ordering::Relaxed) < NAMED {
            let advice = "convert the raw file to jpeg or tiff to score the photograph";
            let what = format!("{name}: only a preview of {width}x{height} pixels was read; {advice}");
            warn(&self.common, what);
        }
    }

    /// Does the same for a file that an earlier run read, if it has a camera raw file's name.
    pub fn look_into(&self, input: &Input) {
        let Input::Path(path) = input else { return };
        if source::is_raw_name(path)
            && let Ok(file) = File::open(path)
        {
            let mut head = Vec::new();
            _ = file.take(HEAD).read_to_end(&mut head); // an unreadable file gives no warning
            self.look_at(&input.name(), &head);
        }
    }

    /// Warns of the files that were not named.
    pub fn tell_the_rest(&self) {
        let rest = self.count.load(Ordering::Relaxed).saturating_sub(NAMED);
        if rest > 0 {
            warn(&self.common, format!("only a small preview was read of {rest} more camera raw files"));
        }
    }
}
