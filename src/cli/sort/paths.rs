//! Paths as the journal names them: from the root and without links, so that an undo finds them from anywhere.

use std::fs;
use std::path::{Component, Path, PathBuf, absolute};

use anyhow::{Context, Result, anyhow};
use zsic::system::name::{canonical, from_bytes};

use super::super::fatal::usage;

/// Returns the path of a file, or of a tar's member, in a folder from the root and without links.
pub fn rooted(path: &Path) -> Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            resolved(folder).map(|folder| folder.join(name))
        }
        _ => full(path),
    }
}

/// Returns a folder's path from the root, without links.
///
/// # Errors
/// A usage error if it has `..` after a folder that is missing.
pub fn resolved(folder: &Path) -> Result<PathBuf> {
    let full = full(folder)?;
    let there = full.ancestors().find(|above| fs::symlink_metadata(above).is_ok()).unwrap_or(&full).to_path_buf();
    let below = full.strip_prefix(&there).unwrap_or(Path::new(""));
    if below.components().any(|part| part == Component::ParentDir) {
        return Err(usage(format!("{}: has `..` after a folder that is missing", folder.display())));
    }
    let there = canonical(&there).with_context(|| format!("{}: cannot be found", folder.display()))?;
    Ok(if below.as_os_str().is_empty() { there } else { there.join(below) })
}

/// Returns a path from the root.
fn full(path: &Path) -> Result<PathBuf> {
    absolute(path).map_err(|e| anyhow!(e)).with_context(|| format!("{}: has no path from the root", path.display()))
}

/// Returns whether an image's name and a path are the same place.
pub fn is_same_file(name: &[u8], to: &Path) -> bool {
    let from = PathBuf::from(&*from_bytes(name));
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((canonical(folder).ok()?, path.file_name()?.to_owned()))
    };
    place(&from).is_some_and(|from| place(to) == Some(from))
}
