//! Files and folders as the user named them -> the images in them, in bytewise order of their paths.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use walkdir::{DirEntry, WalkDir};

use super::{ErrorKind, ImageError, is_image, is_image_name};

/// Where an image's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input, named `-`.
    Stdin,
    /// A file, or a folder to be walked.
    Path(PathBuf),
}

impl Input {
    /// What the user's word means.
    pub fn from_arg(arg: impl Into<OsString>) -> Self {
        let arg = arg.into();
        if arg == "-" { Self::Stdin } else { Self::Path(arg.into()) }
    }

    /// The name in records.
    pub fn name(&self) -> Name {
        match self {
            Self::Stdin => Name("-".to_owned()),
            Self::Path(path) => Name::of(path),
        }
    }
}

/// An image's name in records: the path as it was given, bytes that are not UTF-8 written as `\xNN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    fn of(path: &Path) -> Self {
        let mut name = String::new();
        for chunk in path.as_os_str().as_bytes().utf8_chunks() {
            name.push_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(name, "\\x{byte:02X}"); // a String takes everything
            }
        }
        Self(name)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image to read, or the failure to find it.
pub type Entry = std::result::Result<Input, (Name, ImageError)>;

/// Walks inputs in their order; folders recursively.
///
/// In a folder, hidden entries are skipped; links to files are followed, links to folders only if asked (loops are cut);
/// what is neither called nor begins like an image is skipped and counted.
#[derive(Debug)]
pub struct Walk<I> {
    inputs: I,
    follow: bool,
    folder: Option<walkdir::IntoIter>,
    skipped: Arc<AtomicU64>,
}

impl<I: Iterator<Item = Entry>> Walk<I> {
    /// A walk over `inputs`, those that failed among them; `skipped` counts the files in folders that are no images.
    pub fn new(inputs: I, follow: bool, skipped: Arc<AtomicU64>) -> Self {
        Self { inputs, follow, folder: None, skipped }
    }

    /// The next image of the folder at hand.
    fn next_in_folder(&mut self) -> Option<Entry> {
        loop {
            let entry = match self.folder.as_mut()?.next() {
                None => {
                    self.folder = None;
                    return None;
                }
                Some(Ok(entry)) => entry,
                Some(Err(e)) if e.loop_ancestor().is_some() || is_hidden_below(&e) => continue,
                Some(Err(e)) => match self.unreadable(&e) {
                    Some(failure) => return Some(failure),
                    None => continue,
                },
            };
            if entry.depth() > 0 && entry.file_name().as_bytes().starts_with(b".") {
                self.skip_folder(&entry);
                continue;
            }
            match self.candidate(&entry) {
                Some(true) => return Some(Ok(Input::Path(entry.into_path()))),
                Some(false) => _ = self.skipped.fetch_add(1, Ordering::Relaxed),
                None => {}
            }
        }
    }

    /// Keeps the walk out of an entry, if it is a folder.
    fn skip_folder(&mut self, entry: &DirEntry) {
        if entry.file_type().is_dir()
            && let Some(folder) = &mut self.folder
        {
            folder.skip_current_dir();
        }
    }

    /// Whether an entry is an image; none if it is something that is not even counted.
    fn candidate(&self, entry: &DirEntry) -> Option<bool> {
        let path = entry.path();
        let kind = if entry.path_is_symlink() && !self.follow {
            match std::fs::metadata(path) {
                Ok(target) if target.is_dir() => return None,
                Ok(target) => target.file_type(),
                Err(_) => return Some(is_image_name(path)), // a dangling link: a failure if it is called an image
            }
        } else {
            entry.file_type()
        };
        if kind.is_dir() {
            return None;
        }
        Some(kind.is_file() && (is_image_name(path) || begins_like_an_image(path)))
    }

    /// The record for an entry that cannot be listed: a folder without permission, or an image behind a dangling link.
    fn unreadable(&self, e: &walkdir::Error) -> Option<Entry> {
        let path = e.path()?;
        let error = e.io_error().map_or_else(
            || ImageError::new(ErrorKind::Read, e.to_string()),
            |io| {
                if path.is_dir() && io.kind() == std::io::ErrorKind::PermissionDenied {
                    ImageError::new(ErrorKind::Permission, "no permission to list the folder")
                } else {
                    ImageError::from_io(io)
                }
            },
        );
        if !path.is_dir() && !is_image_name(path) {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let name = Name::of(path);
        Some(Err((name.clone(), error.named(name))))
    }
}

impl<I: Iterator<Item = Entry>> Iterator for Walk<I> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.next_in_folder() {
                return Some(entry);
            }
            match self.inputs.next()? {
                Ok(Input::Path(path)) if path.is_dir() => self.folder = Some(walk_folder(&path, self.follow)),
                entry => return Some(entry),
            }
        }
    }
}

/// True for what failed on a hidden entry of a folder, which is skipped like any other.
fn is_hidden_below(e: &walkdir::Error) -> bool {
    let name = e.path().and_then(Path::file_name);
    e.depth() > 0 && name.is_some_and(|name| name.as_bytes().starts_with(b"."))
}

fn walk_folder(path: &Path, follow: bool) -> walkdir::IntoIter {
    // The order of full paths: a folder's name counts with the slash that follows it there.
    let key = |entry: &DirEntry| {
        let mut name = entry.file_name().as_bytes().to_vec();
        if entry.file_type().is_dir() {
            name.push(b'/');
        }
        name
    };
    WalkDir::new(path).follow_links(follow).sort_by(move |a, b| key(a).cmp(&key(b))).into_iter()
}

fn begins_like_an_image(path: &Path) -> bool {
    let mut head = Vec::new();
    File::open(path).is_ok_and(|file| file.take(32).read_to_end(&mut head).is_ok()) && is_image(&head)
}
