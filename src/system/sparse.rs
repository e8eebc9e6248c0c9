//! Holes in files.

use std::fs::{File, Metadata};
use std::ops::Range;

/// Returns the ranges of a file outside of its holes, or None if it has none or the system does not know them.
pub fn stored(file: &File, metadata: &Metadata) -> Option<Vec<Range<u64>>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let has_holes = metadata.blocks() * 512 < metadata.len();
        has_holes.then(|| ranges(file, metadata.len())).flatten()
    }
    #[cfg(windows)] // its holes are read as zeros
    {
        _ = (file, metadata);
        None
    }
}

#[cfg(unix)]
fn ranges(file: &File, length: u64) -> Option<Vec<Range<u64>>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    let (mut stored, mut at) = (Vec::new(), 0);
    while at < length {
        let start = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break, // the rest is a hole
            start => start.ok()?.min(length),
        };
        at = seek(file, SeekFrom::Hole(start)).ok()?.clamp(start, length);
        stored.push(start..at);
    }
    seek(file, SeekFrom::Start(0)).ok()?;
    Some(stored)
}
