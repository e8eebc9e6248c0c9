//! What an image shows, as a truth has it: a name or a number, under the image's path.

use std::path::{Component, Path, PathBuf};

use super::super::{labels, report};

/// One thing that an image shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    Name(String),
    /// The number of a label, from 0.
    Index(usize),
}

/// Says what an image shows.
pub fn told(image: &str, shown: &[Shown]) -> String {
    let name = |shown: &Shown| match shown {
        Shown::Name(name) => name.clone(),
        Shown::Index(index) => index.to_string(),
    };
    let names = shown.iter().map(name).collect::<Vec<_>>().join(", ");
    if names.is_empty() { image.to_owned() } else { format!("{image}: {}", labels::shown(&names)) }
}

/// Returns an absolute path as it is written from the current folder, if it lies below that.
pub fn from_here(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    report::shown(path.strip_prefix(&here).unwrap_or(path))
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
