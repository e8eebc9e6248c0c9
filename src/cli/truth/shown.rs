//! What an image shows, as a truth has it: a name or a number, under the image's path.

use std::path::{Component, Path, PathBuf};

/// One thing that an image shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    Name(String),
    /// The number of a label, from 0.
    Index(usize),
}

/// Returns a path from the root on, without `.` and `..`.
pub fn absolute(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = clean.pop(),
            part => clean.push(part),
        }
    }
    clean
}
