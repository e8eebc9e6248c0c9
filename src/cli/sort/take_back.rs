//! One act of a journal -> as it was before. A file is removed only if its run made it, and another file has its bytes.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use zsic::cache::ContentHash;
use zsic::reason::os_reason;
use zsic::source::{Input, Select, Walk};
use zsic::system::file::{FileId, names};

use super::super::interrupt;
use super::files::{self, Failure, Wanted, is_gone, make_folder};
use super::journal::{Act, Line, Written};

/// What an act left to take back.
#[derive(Debug, PartialEq, Eq)]
pub enum Back {
    Done,
    /// It had not been done, or is taken back already.
    Nothing,
    /// Others removed it; what it was made from is there.
    Gone,
}

/// An act that may have left something.
pub struct Open<'a> {
    pub line: &'a Line,
    /// Whether the journal tells that it was done.
    is_done: bool,
    /// The file that was about to get the name.
    file: Option<u64>,
}

/// Returns the acts that were neither given up nor taken back.
pub fn unfinished(lines: &[Line]) -> Vec<Open<'_>> {
    let mut open: Vec<Option<Open>> = Vec::new();
    let mut last = HashMap::<&Written, usize>::new();
    for line in lines {
        match line {
            Line::Left { to, .. } | Line::Undone { to } => {
                if let Some(at) = last.remove(to) {
                    open[at] = None;
                }
            }
            Line::Made { to, file } => {
                if let Some(open) = last.get(to).and_then(|at| open[*at].as_mut()) {
                    open.file = Some(*file);
                }
            }
            Line::Done { to } => {
                if let Some(open) = last.get(to).and_then(|at| open[*at].as_mut()) {
                    open.is_done = true;
                }
            }
            line => {
                if let Some(act) = line.act() {
                    last.insert(&act.to, open.len());
                    open.push(Some(Open { line, is_done: false, file: None }));
                }
            }
        }
    }
    open.into_iter().flatten().collect()
}

/// The tars that files were saved from, and the contents of their members.
#[derive(Default)]
pub struct Sources(HashMap<PathBuf, HashSet<ContentHash>>);

impl Sources {
    /// Returns whether what was saved is still where it came from.
    fn have(&mut self, from: &Written, content: &ContentHash) -> bool {
        let Some(path) = from.path() else { return false };
        if let Written::Text(text) = from
            && text.starts_with("demo:")
            && let Input::Held(held) = Input::from_arg(text)
        {
            return held.bytes().is_ok_and(|bytes| ContentHash::of(bytes) == *content);
        }
        if !path.is_absolute() {
            return false; // a URL, which may lead elsewhere by now
        }
        let Some(tar) = path.ancestors().find(|above| above.is_file()).map(Path::to_path_buf) else { return false };
        let contents = self.0.entry(tar).or_insert_with_key(|tar| contents(tar));
        contents.contains(content)
    }
}

/// Returns the contents of a tar's members.
fn contents(tar: &Path) -> HashSet<ContentHash> {
    let inputs = std::iter::once(Ok(Input::Path(tar.to_path_buf())));
    let held = Walk::new(inputs, false, Select::default(), Arc::default()).flatten().filter_map(|input| match input {
        Input::Held(held) => held.bytes().ok().map(ContentHash::of),
        _ => None,
    });
    held.collect()
}

/// Takes back an act that was just done.
///
/// # Errors
/// Why it stays as it is.
pub fn go_back(line: &Line, new: &str) -> Result<Back, Failure> {
    take_back(&Open { line, is_done: true, file: None }, new, &mut Sources::default())
}

/// Takes one act back. `new` is the name of unfinished files.
///
/// # Errors
/// Why it stays as it is.
pub fn take_back(open: &Open, new: &str, sources: &mut Sources) -> Result<Back, Failure> {
    let Some(act) = open.line.act() else { return Ok(Back::Nothing) };
    let no_path = || Failure::left("the journal has no path of it");
    let (to, from) = (act.to.path().ok_or_else(no_path)?, act.from.path().ok_or_else(no_path)?);
    let there = match fs::symlink_metadata(&to) {
        Ok(there) => Some(there),
        Err(_) if is_gone(&to) => None,
        Err(e) => return Err(Failure::left(format!("it cannot be read: {}", os_reason(&e)))),
    };
    let place = Place { open, act, to: &to, from: &from };
    match (there, open.line) {
        (None, _) => place.empty(),
        (Some(there), Line::Symlink(_)) => place.symlink(&there),
        (Some(there), Line::Hardlink(_)) => place.hardlink(&there),
        (Some(there), Line::Move(_)) => place.moved(&there, new),
        (Some(there), _) => place.copied(&there, sources),
    }
}

/// The place of an act, and where its file came from.
struct Place<'a> {
    open: &'a Open<'a>,
    act: &'a Act,
    to: &'a Path,
    from: &'a Path,
}

impl Place<'_> {
    /// There is nothing.
    fn empty(&self) -> Result<Back, Failure> {
        let is_lost = match self.open.line {
            Line::Move(_) => is_gone(self.from) || self.open.is_done && !self.is_back(),
            // A whole folder may have another name now.
            _ => self.open.is_done && self.to.parent().is_some_and(is_gone),
        };
        match self.open.line {
            _ if is_lost => Err(Failure::left("it is no longer there")),
            Line::Move(_) => Ok(Back::Nothing),
            _ if !self.open.is_done => Ok(Back::Nothing),
            _ if self.has_origin() => Ok(Back::Gone),
            Line::Symlink(_) => Ok(Back::Nothing), // a link has no bytes
            _ => Err(Failure::left("it is no longer there, and neither is its original")),
        }
    }

    /// Returns whether there is anything where the file came from: a file, the tar of a member, or a URL.
    fn has_origin(&self) -> bool {
        match self.open.line {
            Line::Save(_) => !self.from.is_absolute() || self.from.ancestors().any(Path::is_file),
            _ => !is_gone(self.from),
        }
    }

    fn symlink(&self, there: &Metadata) -> Result<Back, Failure> {
        let is_link = there.is_symlink() && fs::read_link(self.to).is_ok_and(|target| target == self.from);
        if is_link { remove(self.to) } else { Err(changed()) }
    }

    fn hardlink(&self, there: &Metadata) -> Result<Back, Failure> {
        match self.has_two_names(there) {
            true if self.is_ours() => remove(self.to),
            true => Err(not_ours()),
            false if is_other_file(self.from, self.to) => Err(changed()),
            false => Err(Failure::left("it is the last name of its file")),
        }
    }

    fn copied(&self, there: &Metadata, sources: &mut Sources) -> Result<Back, Failure> {
        let content = self.content(there)?.ok_or_else(changed)?;
        let is_saved = matches!(self.open.line, Line::Save(_));
        match is_saved {
            _ if !self.is_ours() => Err(not_ours()),
            true if sources.have(&self.act.from, &content) => remove(self.to),
            true => {
                Err(Failure::left("it may be the last copy: what it was saved from is gone, has changed, or is a URL"))
            }
            false if self.has_from() => remove(self.to),
            false => {
                Err(Failure::left("it is the last copy: the file that it was copied from is gone, or has changed"))
            }
        }
    }

    fn moved(&self, there: &Metadata, new: &str) -> Result<Back, Failure> {
        let content = match self.content(there)? {
            Some(_) if !self.is_ours() && self.has_from() => return Ok(Back::Nothing), // it is still where it was
            Some(_) if !self.is_ours() => return Err(not_ours()),
            Some(content) => content,
            None if self.has_from() => return Ok(Back::Nothing), // before the act was done, something else was there
            None => return Err(changed()),
        };
        if !is_gone(self.from) {
            // Killed between the copy and the removal, or between the second name and the removal of the first.
            let is_copied = self.has_from() && fs::symlink_metadata(self.from).is_ok_and(|from| from.is_file());
            return if is_copied || self.has_two_names(there) { remove(self.to) } else { Err(Failure::Taken) };
        }
        let made = make_folder(self.from)?;
        let wanted = Wanted { content: &content, version: None };
        let moved = files::move_file(self.to, self.from, new, &wanted, &mut |_| Ok(()));
        if moved.is_err() {
            made.iter().rev().for_each(|folder| _ = fs::remove_dir(folder));
        }
        moved.map(|()| Back::Done)
    }

    /// Returns the content of the file that is there, if it is the act's.
    fn content(&self, there: &Metadata) -> Result<Option<ContentHash>, Failure> {
        if !there.is_file() || there.len() != self.act.size {
            return Ok(None);
        }
        let content =
            files::hash(self.to).map_err(|e| Failure::left(format!("it cannot be read: {}", os_reason(&e))))?;
        Ok(self.act.is_of(&content).then_some(content))
    }

    /// Returns whether the file that is there has its old name too.
    fn has_two_names(&self, there: &Metadata) -> bool {
        let ids = FileId::here(self.to).ok().zip(FileId::here(self.from).ok());
        ids.is_some_and(|(to, from)| to == from) && !is_same_place(self.from, self.to) && names(self.to, there) > 1
    }

    /// Returns whether the run of the journal put this file there.
    fn is_ours(&self) -> bool {
        let is_file = |file| FileId::here(self.to).is_ok_and(|id| id.numbers().1 == file);
        self.open.is_done || self.open.file.is_some_and(is_file)
    }

    /// Returns whether another file, where this one came from, has the act's bytes.
    fn has_from(&self) -> bool {
        is_other_file(self.from, self.to) && self.is_back()
    }

    /// Returns whether the act's bytes are where they came from.
    fn is_back(&self) -> bool {
        let is_long = || fs::metadata(self.from).is_ok_and(|from| from.is_file() && from.len() == self.act.size);
        let is_same = || files::hash(self.from).is_ok_and(|content| self.act.is_of(&content));
        is_long() && is_same()
    }
}

fn changed() -> Failure {
    Failure::left("it has changed since")
}

fn not_ours() -> Failure {
    Failure::left("nothing shows that this run put it there")
}

/// Returns whether a path, or the target of a link, is a file, and another one than that at `to`.
fn is_other_file(from: &Path, to: &Path) -> bool {
    let is_file = fs::metadata(from).is_ok_and(|from| from.is_file());
    let ids = FileId::at(from).ok().zip(FileId::at(to).ok());
    is_file && ids.is_some_and(|(from, to)| from != to)
}

/// Returns whether two paths may be one name of one file, by links or on a disk that knows no case.
fn is_same_place(from: &Path, to: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| FileId::at(folder).ok());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    match folder(from).zip(folder(to)) {
        Some((from_folder, to_folder)) => from_folder == to_folder && name(from) == name(to),
        None => true, // unknown
    }
}

fn remove(path: &Path) -> Result<Back, Failure> {
    let _held = interrupt::hold();
    match fs::remove_file(path) {
        Ok(()) => Ok(Back::Done),
        Err(e) if e.kind() == Io::ReadOnlyFilesystem => {
            Err(Failure::Stop(anyhow!(e).context(format!("{}: cannot be removed", path.display()))))
        }
        Err(e) => Err(Failure::left(format!("it cannot be removed: {}", os_reason(&e)))),
    }
}
