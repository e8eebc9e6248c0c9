//! `zsic sort --undo`: a journal -> everything as it was, last act first. What changed since stays, and is told. The disk tells
//! what is done already, so an undo that was stopped goes on.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use zsic::cache::ContentHash;
use zsic::reason::os_reason;
use zsic::system::file::FileId;

use super::super::args::Common;
use super::super::messages::{error, say};
use super::super::{Outcome, interrupt, progress::Progress};
use super::files::{self, Failure, Wanted, make_folder};
use super::journal::{Act, Journal, Line};

/// What an act left to take back.
#[derive(Debug, PartialEq, Eq)]
pub enum Back {
    Done,
    /// It had not been done, or is taken back already.
    Nothing,
}

/// Takes back what a journal tells.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(path: &Path, common: &Common) -> Result<Outcome> {
    interrupt::install()?;
    let (mut journal, lines) = Journal::open(path)?;
    let new = match lines.first() {
        Some(Line::Begin { new, .. }) => new.clone(),
        _ => String::new(),
    };
    let open = unfinished(&lines);
    let progress = Progress::texts(common, "taking back");
    let (mut back, mut left) = (0u64, 0u64);
    for (done, line) in open.iter().rev().enumerate() {
        progress.set(done, open.len());
        let Some(act) = act(line) else { continue };
        match take_back(line, &new) {
            Ok(Back::Nothing) => {}
            Ok(Back::Done) => {
                _ = journal.note(&[Line::Undone { to: act.to.clone() }]); // a full disk takes no note, and the disk tells it
                back += 1;
            }
            Err(Failure::Stop(e)) => return Err(e),
            Err(Failure::Taken) => {
                error(format_args!("{}: left: its old place has another file", shown(act)));
                left += 1;
            }
            Err(Failure::Left(why)) => {
                error(format_args!("{}: left: {why}", shown(act)));
                left += 1;
            }
        }
    }
    drop(progress);
    let folders: Vec<PathBuf> = lines.iter().filter_map(folder).collect();
    if left == 0 {
        remove_unfinished(&lines, &new);
        let is_inside = |folder: &&PathBuf| !path_is_in(path, folder);
        folders.iter().rev().filter(is_inside).for_each(|folder| _ = fs::remove_dir(folder));
        journal.remove()?;
    }
    folders.iter().rev().for_each(|folder| _ = fs::remove_dir(folder)); // those with files stay
    say(common, format!("{back} files taken back"));
    if left > 0 {
        say(common, format!("{left} files left, as told above; the journal stays"));
        return Ok(Outcome::SomeFailed);
    }
    Ok(Outcome::Complete)
}

/// Returns whether a journal is in a folder, or below it.
fn path_is_in(journal: &Path, folder: &Path) -> bool {
    let id = FileId::at(folder).ok();
    let journal = std::path::absolute(journal).unwrap_or_else(|_| journal.to_path_buf());
    id.is_some() && journal.ancestors().skip(1).any(|above| FileId::at(above).ok() == id)
}

/// Returns the acts that were neither given up nor taken back.
fn unfinished(lines: &[Line]) -> Vec<&Line> {
    let mut open: Vec<Option<&Line>> = Vec::new();
    let mut last = HashMap::new();
    for line in lines {
        match line {
            Line::Left { to, .. } | Line::Undone { to } => {
                if let Some(at) = last.remove(to) {
                    open[at] = None;
                }
            }
            line => {
                if let Some(act) = act(line) {
                    last.insert(&act.to, open.len());
                    open.push(Some(line));
                }
            }
        }
    }
    open.into_iter().flatten().collect()
}

/// Removes what kills left of files that were being copied: of the last acts in these journals.
pub fn clear(journals: &[(PathBuf, String)]) {
    journals.iter().for_each(|(path, new)| remove_unfinished(&Journal::last_lines(path), new));
}

/// Removes files whose copying a kill stopped.
fn remove_unfinished(lines: &[Line], new: &str) {
    let folders = lines.iter().filter_map(|line| act(line)?.to.path()?.parent().map(Path::to_path_buf));
    let folders: BTreeSet<PathBuf> = folders.collect();
    folders.iter().for_each(|folder| _ = fs::remove_file(folder.join(new)));
}

fn act(line: &Line) -> Option<&Act> {
    match line {
        Line::Copy(act) | Line::Move(act) | Line::Hardlink(act) | Line::Symlink(act) | Line::Save(act) => Some(act),
        Line::Begin { .. } | Line::Folder { .. } | Line::Left { .. } | Line::Undone { .. } => None,
    }
}

fn folder(line: &Line) -> Option<PathBuf> {
    if let Line::Folder { to } = line { to.path() } else { None }
}

fn shown(act: &Act) -> String {
    act.to.path().unwrap_or_default().display().to_string()
}

/// Takes one act back. `new` is the name of unfinished files.
///
/// # Errors
/// Why it stays as it is.
pub fn take_back(line: &Line, new: &str) -> Result<Back, Failure> {
    let Some(act) = act(line) else { return Ok(Back::Nothing) };
    let no_path = || Failure::left("the journal has no path of it");
    let (to, from) = (act.to.path().ok_or_else(no_path)?, act.from.path().ok_or_else(no_path)?);
    let there = match fs::symlink_metadata(&to) {
        Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => None,
        Err(e) => return Err(Failure::left(format!("cannot be read: {}", os_reason(&e)))),
        Ok(there) => Some(there),
    };
    let is_missing = |path: &Path| fs::symlink_metadata(path).is_err_and(|e| e.kind() == Io::NotFound);
    let Some(there) = there else {
        let is_lost = matches!(line, Line::Move(_)) && is_missing(&from);
        return if is_lost { Err(Failure::left("is no longer there")) } else { Ok(Back::Nothing) };
    };
    let changed = || Err(Failure::left("has changed since"));
    match line {
        Line::Symlink(_) => {
            let is_ours = there.is_symlink() && fs::read_link(&to).is_ok_and(|target| target == from);
            return if is_ours { remove(&to) } else { changed() };
        }
        Line::Hardlink(_) => {
            let ids = FileId::here(&to).ok().zip(FileId::here(&from).ok());
            return match ids {
                Some((to_id, from_id)) if to_id == from_id => remove(&to),
                None => Err(Failure::left("it is the last name of its file")),
                Some(_) => changed(),
            };
        }
        _ => {}
    }
    let Some(content) = hash_of(&to, act, &there)? else {
        // Before the act was done, something else was there.
        return if matches!(line, Line::Move(_)) && has(&from, act) { Ok(Back::Nothing) } else { changed() };
    };
    match line {
        Line::Save(_) => remove(&to),
        Line::Copy(_) if has(&from, act) => remove(&to),
        Line::Copy(_) => {
            Err(Failure::left("it is the last copy: the file that it was copied from is gone, or has changed"))
        }
        _ if is_missing(&from) => {
            let made = make_folder(&from)?;
            let wanted = Wanted { content: &content, version: None };
            let moved = files::move_file(&to, &from, new, &wanted);
            if moved.is_err() {
                made.iter().rev().for_each(|folder| _ = fs::remove_dir(folder));
            }
            moved.map(|()| Back::Done)
        }
        _ if has(&from, act) => remove(&to), // killed between the copy and the removal
        _ => Err(Failure::Taken),
    }
}

fn remove(path: &Path) -> Result<Back, Failure> {
    let _held = interrupt::hold();
    match fs::remove_file(path) {
        Ok(()) => Ok(Back::Done),
        Err(e) if e.kind() == Io::ReadOnlyFilesystem => {
            Err(Failure::Stop(anyhow!(e).context(format!("{}: cannot be removed", path.display()))))
        }
        Err(e) => Err(Failure::left(format!("cannot be removed: {}", os_reason(&e)))),
    }
}

/// Returns the content of a file, if it is the act's.
fn hash_of(path: &Path, act: &Act, there: &fs::Metadata) -> Result<Option<ContentHash>, Failure> {
    if !there.is_file() || there.len() != act.size {
        return Ok(None);
    }
    let content = files::hash(path).map_err(|e| Failure::left(format!("cannot be read: {}", os_reason(&e))))?;
    Ok(act.is_of(&content).then_some(content))
}

/// Returns whether a file, or the target of a link, has the act's bytes.
fn has(path: &Path, act: &Act) -> bool {
    let is_long = fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() == act.size);
    is_long && files::hash(path).is_ok_and(|content| act.is_of(&content))
}
