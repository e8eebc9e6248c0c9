//! The user's inputs -> the images in them: folders in bytewise order of paths, tars in their own order.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Entry, Skipped, Tally};
use super::folder_order::{FileKind, FolderItem, Folders, lost};
use super::read::{HEAD, read_image};
use super::select::Select;
use super::tar::{BLOCK, Members, begins_tar, is_tar_name};
use super::{Held, Input, Name};
use super::{ImageError, Limits, Stage, is_image, is_image_name};
use crate::system::file::{FileId, is_link_loop};
use crate::system::name::{canonical, from_bytes};

/// Walks inputs in order; folders recursively, and tars member by member.
///
/// In folders and tars, hidden entries are skipped. Files that neither have an image's name nor begin like an image are
/// skipped and counted. In folders, links to files are followed, links to folders only if asked (loops are cut), and a
/// file named `.tar` is walked. Whatever hides images is a failure: a folder that cannot be listed to its end, a file
/// that cannot be examined, and, if links are followed, a link to nothing. A named input is always taken, if it is in
/// the share.
#[derive(Debug)]
pub struct Walk<I> {
    inputs: I,
    follow: bool,
    select: Select,
    tally: Arc<Tally>,
    limits: Limits,
    /// Folders and file names that the walk leaves out silently.
    left_out: Vec<(PathBuf, OsString)>,
    /// A folder that the walk leaves out silently.
    closed: Option<FileId>,
    /// The current folder, as the user named it.
    root: PathBuf,
    folders: Folders,
    members: Option<Members>,
}

impl<I: Iterator<Item = Entry>> Walk<I> {
    /// Creates a walk over `inputs`, including failed ones, that takes what `select` allows and counts the rest.
    pub fn new(inputs: I, follow: bool, select: Select, tally: Arc<Tally>) -> Self {
        let (limits, left_out, closed, root, folders, members) = Default::default();
        Self { inputs, follow, select, tally, limits, left_out, closed, root, folders, members }
    }

    /// Returns the same walk with `limits` for what it reads itself.
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the same walk without these files: the run's own outputs, which are not counted either. Their folders
    /// are canonical.
    pub fn without(self, left_out: Vec<PathBuf>) -> Self {
        let parts = |file: &PathBuf| Some((file.parent()?.to_path_buf(), file.file_name()?.to_owned()));
        Self { left_out: left_out.iter().filter_map(parts).collect(), ..self }
    }

    /// Returns the same walk without this folder and all that is in it.
    pub fn without_folder(self, closed: FileId) -> Self {
        Self { closed: Some(closed), ..self }
    }

    /// Returns the path of `name`, the image that came last, below the folder that the user named; of an image or a tar that was
    /// named itself, no folder is part of it.
    pub fn below_input(&self, name: &Name) -> PathBuf {
        let path = Path::new(&*from_bytes(name.bytes())).to_path_buf();
        match &self.members {
            Some(members) => members.below_input(&path),
            None if self.folders.is_over() => path.file_name().map_or_else(|| path.clone(), PathBuf::from),
            None => self.below(&path).to_path_buf(),
        }
    }

    /// Returns the tar in which the last image was.
    pub fn tar(&self) -> Option<&Name> {
        self.members.as_ref().map(Members::name)
    }

    fn is_closed(&self, folder: &Path) -> bool {
        self.closed.is_some_and(|closed| FileId::at(folder).is_ok_and(|id| id == closed)) // it may have several paths
    }

    fn is_left_out(&self, path: &Path) -> bool {
        let name = path.file_name();
        let mut alike = self.left_out.iter().filter(|(_, own)| Some(own.as_os_str()) == name).peekable();
        alike.peek().is_some()
            && path.parent().and_then(|folder| canonical(folder).ok()).is_some_and(|folder| {
                alike.any(|(own, _)| *own == folder) // a folder may have several paths
            })
    }

    /// Returns the next image of the current tar.
    fn next_in_tar(&mut self) -> Option<Entry> {
        let entry = self.members.as_mut()?.next(&self.select, &self.tally, &self.limits);
        if entry.is_none() {
            self.members = None;
        }
        entry
    }

    /// Makes the tar at `path` the current one, or returns the reason why it is not a tar.
    fn enter_tar(&mut self, path: &Path, below: PathBuf) -> Option<Entry> {
        match Members::open(path, below) {
            Ok(members) => {
                self.members = Some(members);
                None
            }
            Err(e) => self.share(Err((Name::of(path), e))),
        }
    }

    /// Returns the entry, if it is in the share.
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

    /// Returns a path relative to the current folder.
    fn below<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// Returns the next image of the current folder, or a failure in it; or makes its next tar the current one.
    fn next_in_folder(&mut self) -> Option<Entry> {
        while self.members.is_none() {
            let found = match self.folders.next()? {
                FolderItem::Entry(path, _) if is_hidden(&path) => None,
                FolderItem::Entry(path, Ok(kind)) => self.judge(path, kind),
                FolderItem::Entry(path, Err(e)) => self.unknown(&path, e),
                FolderItem::Lost(path, e) => self.share(Err((Name::of(&path), e))),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Returns an entry that is an image in the share.
    fn judge(&mut self, path: PathBuf, kind: FileKind) -> Option<Entry> {
        let below = self.below(&path).to_path_buf();
        match kind {
            FileKind::Folder => {
                if self.select.enters(&below) && !self.is_closed(&path) {
                    self.folders.enter(&path, self.follow);
                }
                None
            }
            _ if self.is_left_out(&path) => None,
            FileKind::Link => self.judge_link(path),
            FileKind::File if is_tar_name(&path) => {
                if self.select.enters(&below) {
                    self.enter_tar(&path, below)
                } else {
                    None
                }
            }
            FileKind::File | FileKind::Special if !self.select.takes(&below) || !self.shares(&Name::of(&path)) => None,
            FileKind::File if is_image_name(&path) => Some(Ok(Input::Path(path))),
            FileKind::File => self.look_at(path),
            FileKind::Special => self.pass_over(&path, Skipped::Special),
        }
    }

    /// Returns the target of a link, if that is an image. Links to folders come here only if they are not followed.
    fn judge_link(&mut self, path: PathBuf) -> Option<Entry> {
        match std::fs::metadata(&path).map(|target| FileKind::from(target.file_type())) {
            Ok(FileKind::Folder) if self.select.enters(self.below(&path)) && self.shares(&Name::of(&path)) => {
                self.pass_over(&path, Skipped::LinkedFolder)
            }
            Ok(FileKind::Folder) => None,
            Ok(kind) => self.judge(path, kind),
            Err(_) if is_image_name(&path) => self.judge(path, FileKind::File), // reading it fails
            Err(e) if self.follow || is_tar_name(&path) || !leads_nowhere(&e) => {
                self.unknown(&path, lost(&e, "is a link that cannot be followed"))
            }
            Err(_) if !self.select.takes(self.below(&path)) || !self.shares(&Name::of(&path)) => None,
            Err(_) => self.pass_over(&path, Skipped::Link),
        }
    }

    /// Returns a file without an image's name, if its first bytes are an image's or cannot be read.
    fn look_at(&self, path: PathBuf) -> Option<Entry> {
        match head(&path) {
            Ok(head) if is_image(&head) => Some(Ok(Input::Path(path))),
            Ok(head) => self.pass_over(&path, Skipped::of(&path, &head)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None, // it was deleted meanwhile
            Err(e) => Some(Err((Name::of(&path), ImageError::from_io(&e)))),
        }
    }

    /// Returns the failure of an entry that may be a folder, unless it is left out.
    fn unknown(&self, path: &Path, e: ImageError) -> Option<Entry> {
        let below = self.below(path);
        let is_wanted = self.select.enters(below) && (self.select.takes(below) || !is_image_name(path));
        if is_wanted { self.share(Err((Name::of(path), e))) } else { None }
    }

    fn pass_over(&self, path: &Path, kind: Skipped) -> Option<Entry> {
        self.tally.skip(&Name::of(path), kind);
        None
    }

    /// Opens standard input as a tar, which becomes the current one, or as an image.
    fn stdin(&mut self) -> Option<Entry> {
        let (mut head, name) = (Vec::new(), Name::stdin());
        let bytes = match std::io::stdin().take(BLOCK).read_to_end(&mut head) {
            Ok(_) if begins_tar(&head) => {
                self.members = Some(Members::of_stdin(head));
                return None;
            }
            _ if !self.shares(&name) => return None,
            Ok(_) => read_image(head.as_slice().chain(std::io::stdin()), Stage::Walk, &self.limits),
            Err(e) => Err(ImageError::from_io(&e)),
        };
        Some(Ok(Input::Held(Held { name, bytes })))
    }
}

impl<I: Iterator<Item = Entry>> Iterator for Walk<I> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.next_in_tar().or_else(|| self.next_in_folder()) {
                return Some(entry);
            }
            if self.members.is_some() || !self.folders.is_over() {
                continue;
            }
            let found = match self.inputs.next()? {
                Ok(Input::Path(path)) if self.closed.is_some() && self.is_closed(&path) => None,
                Ok(Input::Path(path)) if path.is_dir() => {
                    self.folders.enter(&path, self.follow);
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

/// Returns whether a path is hidden, and so skipped in folders.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Reads the first bytes of a file.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD as usize);
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}
/// Returns whether a link has no target. A target that cannot be reached may be an image.
fn leads_nowhere(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || is_link_loop(e)
}
