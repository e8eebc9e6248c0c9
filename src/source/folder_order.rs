//! Lists folders and the folders below them, in bytewise order of full paths. Nothing is lost in silence: a folder that
//! cannot be listed to its end is an item too.

use std::cmp::Ordering;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use super::tar::is_tar_name;
use super::{ErrorKind, ImageError};
use crate::reason::os_reason;
use crate::system::file::FileId;

/// The kind of a folder's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Folder,
    File,
    /// A symbolic link; if links are followed, only one that cannot be followed.
    Link,
    /// A pipe, socket or device. It is never opened.
    Special,
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> Self {
        match kind {
            kind if kind.is_dir() => Self::Folder,
            kind if kind.is_file() => Self::File,
            kind if kind.is_symlink() => Self::Link,
            _ => Self::Special,
        }
    }
}

/// The next item of a folder.
#[derive(Debug)]
pub(super) enum FolderItem {
    /// An entry, or the reason why its kind is unknown.
    Entry(PathBuf, Result<FileKind, ImageError>),
    /// A folder that could not be listed to its end.
    Lost(PathBuf, ImageError),
}

/// The open folders, each inside the one before.
#[derive(Debug, Default)]
pub(super) struct Folders {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// The folder itself, if links are followed.
    id: Option<FileId>,
    items: vec::IntoIter<FolderItem>,
}

impl Folders {
    /// Lists the folder at `path`; its items come next. With `follow`, a link counts as its target, and a folder inside
    /// itself is not entered again.
    pub fn enter(&mut self, path: &Path, follow: bool) {
        // A folder without metadata cannot be listed either, which is reported below.
        let id = follow.then(|| FileId::at(path).ok()).flatten();
        if id.is_none() || self.levels.iter().all(|level| level.id != id) {
            self.levels.push(Level { id, items: list(path, follow).into_iter() });
        }
    }

    /// Returns whether all items were taken.
    pub fn is_over(&self) -> bool {
        self.levels.is_empty()
    }
}

impl Iterator for Folders {
    type Item = FolderItem;

    fn next(&mut self) -> Option<FolderItem> {
        loop {
            if let Some(item) = self.levels.last_mut()?.items.next() {
                return Some(item);
            }
            self.levels.pop();
        }
    }
}

fn list(folder: &Path, follow: bool) -> Vec<FolderItem> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let entries = entries.map(|entry| entry.map(|entry| (entry.path(), entry.file_type().map(FileKind::from))));
            gather(folder, entries, follow)
        }
        Err(e) => vec![FolderItem::Lost(folder.to_path_buf(), lost(&e, "the folder cannot be listed"))],
    }
}

/// Returns the entries in order, and last the failure that cut the listing short.
fn gather(
    folder: &Path,
    entries: impl Iterator<Item = io::Result<(PathBuf, io::Result<FileKind>)>>,
    follow: bool,
) -> Vec<FolderItem> {
    let (mut items, mut broken) = (Vec::new(), None);
    for entry in entries {
        match entry {
            Ok((path, Ok(FileKind::Link))) if follow => {
                let kind = std::fs::metadata(&path).map_or(FileKind::Link, |target| target.file_type().into());
                items.push(FolderItem::Entry(path, Ok(kind)));
            }
            Ok((path, kind)) => items
                .push(FolderItem::Entry(path, kind.map_err(|e| lost(&e, "cannot find out whether this is a folder")))),
            Err(e) => {
                let e = lost(&e, "the listing of the folder broke off, and images may be missing");
                broken = Some(FolderItem::Lost(folder.to_path_buf(), e));
                break;
            }
        }
    }
    items.sort_unstable_by(|a, b| order_of_paths(a.place(), b.place()));
    items.extend(broken);
    items
}

impl FolderItem {
    /// Returns its path, and the next byte of paths inside it: a slash for folders and tars.
    fn place(&self) -> (&[u8], &[u8]) {
        let (path, is_folder) = match self {
            Self::Entry(path, kind) => (path, matches!(kind, Ok(FileKind::Folder))),
            Self::Lost(path, _) => (path, true),
        };
        let slash: &[u8] = if is_folder || is_tar_name(path) { b"/" } else { b"" };
        (path.as_os_str().as_encoded_bytes(), slash)
    }
}

/// Returns a failure that hides images.
pub(super) fn lost(e: &io::Error, what: &str) -> ImageError {
    let kind = match e.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ => ErrorKind::Read,
    };
    ImageError::new(kind, format!("{what}: {}", os_reason(e)))
}

/// Compares the full paths of two entries of one folder.
fn order_of_paths((x, after_x): (&[u8], &[u8]), (y, after_y): (&[u8], &[u8])) -> Ordering {
    let alike = x.len().min(y.len());
    let rest = || x[alike..].iter().chain(after_x).cmp(y[alike..].iter().chain(after_y));
    x[..alike].cmp(&y[..alike]).then_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns each item's path, and the kind of its failure.
    fn told(items: &[FolderItem]) -> Vec<(&str, Option<ErrorKind>)> {
        let told = items.iter().map(|item| match item {
            FolderItem::Entry(path, kind) => (path, kind.as_ref().err().map(|e| e.kind)),
            FolderItem::Lost(path, e) => (path, Some(e.kind)),
        });
        told.map(|(path, kind)| (path.to_str().unwrap(), kind)).collect()
    }

    #[test]
    fn a_listing_that_breaks_off_keeps_what_came_before() {
        let broken = || Err(io::Error::other("bad disk"));
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let entry = |name: &str, kind| Ok((PathBuf::from(name), kind));
        let entries =
            [entry("f/b", Ok(FileKind::File)), entry("f/a", denied()), broken(), entry("f/c", Ok(FileKind::File))];
        let items = gather(Path::new("f"), entries.into_iter(), false);
        let expected = [("f/a", Some(ErrorKind::Permission)), ("f/b", None), ("f", Some(ErrorKind::Read))];
        assert_eq!(told(&items), expected);
        let Some(FolderItem::Lost(_, e)) = items.last() else { panic!("the failure comes last") };
        assert!(e.message.starts_with("the listing of the folder broke off, and images may be missing: "), "{e}");
    }

    #[test]
    fn a_folder_that_is_gone_is_told() {
        let mut folders = Folders::default();
        folders.enter(Path::new("/no/such/folder"), true);
        let items: Vec<_> = folders.by_ref().collect();
        assert_eq!(told(&items), [("/no/such/folder", Some(ErrorKind::Read))]);
        assert!(folders.is_over());
    }
}
