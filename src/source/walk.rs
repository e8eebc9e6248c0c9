//! Inputs as the user named them -> the images in them: folders in bytewise order of their paths, tars in their own order.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::{DirEntry, WalkDir};

use super::entry::{Entry, Tally};
use super::input::{Held, Input, Name};
use super::read::{HEAD, read_image};
use super::select::Select;
use super::tar::{BLOCK, Members, begins_tar, is_tar_name};
use super::{ErrorKind, ImageError, is_image, is_image_name};

/// Walks inputs in their order; folders recursively, and tars member by member.
///
/// In a folder or tar, hidden entries are skipped; what is neither called nor begins like an image is skipped and counted.
/// In a folder, links to files are followed, links to folders only if asked (loops are cut), and a file called `.tar` is
/// walked. What is named outright is taken as it is, but for the share it belongs to.
#[derive(Debug)]
pub struct Walk<I> {
    inputs: I,
    follow: bool,
    select: Select,
    tally: Arc<Tally>,
    /// Folders and names of files that nothing is said of.
    left_out: Vec<(PathBuf, OsString)>,
    /// The folder at hand, as it was named.
    root: PathBuf,
    folder: Option<walkdir::IntoIter>,
    members: Option<Members>,
}

impl<I: Iterator<Item = Entry>> Walk<I> {
    /// A walk over `inputs`, those that failed among them, that takes what `select` says and counts the rest.
    pub fn new(inputs: I, follow: bool, select: Select, tally: Arc<Tally>) -> Self {
        Self { inputs, follow, select, tally, left_out: Vec::new(), root: PathBuf::new(), folder: None, members: None }
    }

    /// The same walk, with these files of folders left out and not counted: those that are being written meanwhile. Their
    /// folders are canonical.
    pub fn without(self, left_out: Vec<PathBuf>) -> Self {
        let parts = |file: &PathBuf| Some((file.parent()?.to_path_buf(), file.file_name()?.to_owned()));
        Self { left_out: left_out.iter().filter_map(parts).collect(), ..self }
    }

    fn is_left_out(&self, path: &Path) -> bool {
        let name = path.file_name();
        let mut alike = self.left_out.iter().filter(|(_, own)| Some(own.as_os_str()) == name).peekable();
        alike.peek().is_some()
            && path.parent().and_then(|folder| folder.canonicalize().ok()).is_some_and(|folder| {
                alike.any(|(own, _)| *own == folder) // a folder has more than one path
            })
    }

    /// The next image of the tar at hand.
    fn next_in_tar(&mut self) -> Option<Entry> {
        let entry = self.members.as_mut()?.next(&self.select, &self.tally);
        if entry.is_none() {
            self.members = None;
        }
        entry
    }

    /// Makes the tar at `path` the one at hand, or says why it is none.
    fn enter_tar(&mut self, path: &Path, below: PathBuf) -> Option<Entry> {
        match Members::open(path, below) {
            Ok(members) => {
                self.members = Some(members);
                None
            }
            Err(e) => self.share(Err((Name::of(path), e))),
        }
    }

    /// The entry, if it is of the share at hand.
    fn share(&self, entry: Entry) -> Option<Entry> {
        let ours = self.shares(&entry.as_ref().map_or_else(|(name, _)| name.clone(), Input::name));
        ours.then_some(entry)
    }

    fn shares(&self, name: &Name) -> bool {
        let ours = self.select.shares(name);
        if !ours {
            self.tally.pass_elsewhere();
        }
        ours
    }

    /// A path below the folder at hand.
    fn below<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The next image of the folder at hand, or the failure of something in it; or its next tar, made the one at hand.
    fn next_in_folder(&mut self) -> Option<Entry> {
        while self.members.is_none() {
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
            let below = self.below(entry.path());
            let unwanted = entry.file_type().is_dir() && !self.select.enters(below);
            if entry.depth() > 0 && (unwanted || entry.file_name().as_bytes().starts_with(b".")) {
                self.skip_folder(&entry);
                continue;
            }
            if let Some(found) = self.judge(entry) {
                return Some(found);
            }
        }
        None
    }

    /// An entry that is an image of the share at hand.
    fn judge(&mut self, entry: DirEntry) -> Option<Entry> {
        let path = entry.path();
        let kind = self.kind(&entry)?;
        if self.is_left_out(path) {
            return None;
        }
        if kind == Kind::File && is_tar_name(path) {
            let below = self.below(path).to_path_buf();
            return if self.select.enters(&below) { self.enter_tar(path, below) } else { None };
        }
        if !self.select.takes(self.below(path)) || !self.shares(&Name::of(path)) {
            return None;
        }
        let image = match kind {
            Kind::File => is_image_name(path) || begins_like_an_image(path),
            Kind::Dangling => is_image_name(path), // a failure if it is called an image
            Kind::Other => false,
        };
        if !image {
            self.tally.skip();
            return None;
        }
        Some(Ok(Input::Path(entry.into_path())))
    }

    /// Standard input, looked at for what it is: a tar, which becomes the one at hand, or an image.
    fn stdin(&mut self) -> Option<Entry> {
        let (mut head, name) = (Vec::new(), Name::stdin());
        let bytes = match std::io::stdin().take(BLOCK).read_to_end(&mut head) {
            Ok(_) if begins_tar(&head) => {
                self.members = Some(Members::of_stdin(head));
                return None;
            }
            _ if !self.shares(&name) => return None,
            Ok(_) => read_image(head.as_slice().chain(std::io::stdin()), 0),
            Err(e) => Err(ImageError::from_io(&e)),
        };
        Some(Ok(Input::Held(Held { name, bytes })))
    }

    /// Keeps the walk out of an entry, if it is a folder.
    fn skip_folder(&mut self, entry: &DirEntry) {
        if entry.file_type().is_dir()
            && let Some(folder) = &mut self.folder
        {
            folder.skip_current_dir();
        }
    }

    /// What an entry is; none if it is a folder, or a link to one that is not followed.
    fn kind(&self, entry: &DirEntry) -> Option<Kind> {
        let kind = if entry.path_is_symlink() && !self.follow {
            match std::fs::metadata(entry.path()) {
                Ok(target) => target.file_type(),
                Err(_) => return Some(Kind::Dangling),
            }
        } else {
            entry.file_type()
        };
        match kind {
            kind if kind.is_dir() => None,
            kind if kind.is_file() => Some(Kind::File),
            _ => Some(Kind::Other),
        }
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
        let name = Name::of(path);
        let wanted = path.is_dir() || self.select.takes_below(Path::new(""), self.below(path));
        if !wanted || !self.shares(&name) {
            return None;
        }
        if !path.is_dir() && !is_image_name(path) {
            self.tally.skip();
            return None;
        }
        Some(Err((name, error)))
    }
}

impl<I: Iterator<Item = Entry>> Iterator for Walk<I> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.next_in_tar().or_else(|| self.next_in_folder()) {
                return Some(entry);
            }
            if self.members.is_some() || self.folder.is_some() {
                continue;
            }
            let found = match self.inputs.next()? {
                Ok(Input::Path(path)) if path.is_dir() => {
                    self.folder = Some(walk_folder(&path, self.follow));
                    self.root = path;
                    None
                }
                Ok(Input::Path(path)) if is_tar_name(&path) => self.enter_tar(&path, PathBuf::new()),
                Ok(Input::Stdin) => self.stdin(),
                entry => self.share(entry),
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

/// What an entry of a folder is.
#[derive(PartialEq, Eq)]
enum Kind {
    File,
    /// A link that leads nowhere.
    Dangling,
    /// A pipe or device, which is never opened.
    Other,
}

/// True for what failed on a hidden entry of a folder, which is skipped like any other.
fn is_hidden_below(e: &walkdir::Error) -> bool {
    let name = e.path().and_then(Path::file_name);
    e.depth() > 0 && name.is_some_and(|name| name.as_bytes().starts_with(b"."))
}

fn walk_folder(path: &Path, follow: bool) -> walkdir::IntoIter {
    WalkDir::new(path).follow_links(follow).sort_by(order_of_paths).into_iter()
}

/// The order of full paths of two entries of one folder: the name of a folder, or of a tar, counts with the slash that
/// follows it there.
fn order_of_paths(a: &DirEntry, b: &DirEntry) -> Ordering {
    let [(x, after_x), (y, after_y)] = [a, b].map(|entry| {
        let is_entered = entry.file_type().is_dir() || is_tar_name(entry.path());
        let slash: &[u8] = if is_entered { b"/" } else { b"" };
        (entry.path().as_os_str().as_bytes(), slash)
    });
    let alike = x.len().min(y.len());
    let rest = || x[alike..].iter().chain(after_x).cmp(y[alike..].iter().chain(after_y));
    x[..alike].cmp(&y[..alike]).then_with(rest)
}

fn begins_like_an_image(path: &Path) -> bool {
    let mut head = Vec::new();
    File::open(path).is_ok_and(|file| file.take(HEAD).read_to_end(&mut head).is_ok()) && is_image(&head)
}
