//! `zsic sort --undo`: a journal -> everything as it was, last act first. What changed since stays, and is told. The disk tells
//! what is done already, so an undo that was stopped goes on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use zsic::cache::ContentHash;
use zsic::reason::os_reason;
use zsic::source::{Input, Select, Walk};
use zsic::system::file::{FileId, names};
use zsic::system::name::canonical;
use zsic::system::place::sync_folder;

use super::super::args::Common;
use super::super::fatal::usage;
use super::super::messages::{error, say};
use super::super::{Outcome, interrupt, progress::Progress};
use super::files::{self, Failure, Wanted, make_folder};
use super::journal::{Act, Journal, Line, VERSION, Written, is_new_name, new_name};

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
    check(path, &lines)?;
    let own = new_name();
    // What this undo leaves unfinished if it is killed. A full disk takes no line, and moves back on one disk need none.
    _ = journal.announce(&[Line::Begin { version: VERSION, new: own.clone() }]);
    let news: Vec<String> = news(&lines).chain([own.clone()]).collect();
    let open = unfinished(&lines);
    let mut sources = Sources::default();
    let mut synced = BTreeSet::new();
    let count = open.len();
    let progress = Progress::texts(common, "taking back");
    let (mut back, mut left) = (0u64, 0u64);
    for (done, open) in open.iter().rev().enumerate() {
        progress.set(done, count);
        let Some(act) = act(open.line) else { continue };
        match take_back(open, &own, &mut sources) {
            Ok(Back::Nothing) => {}
            Ok(Back::Done) => {
                _ = journal.note(&[Line::Undone { to: act.to.clone() }]); // a full disk takes no note, and the disk tells it
                synced.extend(act.from.path().and_then(|from| from.parent().map(Path::to_path_buf)));
                back += 1;
            }
            Err(Failure::Stop(e)) => return Err(e),
            Err(Failure::Taken) => {
                error(format_args!("{}: left: its old place is taken", shown(act)));
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
        remove_unfinished(&lines, &news);
        for folder in synced.iter().filter(|folder| folder.is_dir()) {
            _ = sync_folder(folder); // before the journal goes
        }
        let is_inside = |folder: &&PathBuf| !path_is_in(path, folder);
        folders.iter().rev().filter(is_inside).for_each(|folder| _ = fs::remove_dir(folder));
        journal.remove()?;
    }
    folders.iter().rev().for_each(|folder| _ = fs::remove_dir(folder)); // those with files stay
    let files = |count: u64| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    say(common, format!("{} taken back", files(back)));
    if left > 0 {
        say(common, format!("{} left, as told above; the journal stays", files(left)));
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

/// Refuses a journal that tells of files elsewhere than in its own folder: it is not of this command, or the folder was moved.
fn check(path: &Path, lines: &[Line]) -> Result<()> {
    let here = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let id = FileId::at(here).ok();
    let is_here = |folder: &Path| id.is_some() && FileId::at(folder).ok() == id;
    let mut root: Option<PathBuf> = None; // the folder as the journal names it
    for (number, line) in (1..).zip(lines) {
        let Some((to, is_folder)) = place(line) else { continue };
        let wrong = |why: &str| usage(format!("{}: line {number}: {why}", path.display()));
        let to = to.path().ok_or_else(|| wrong("has no path"))?;
        if !to.is_absolute() || to.components().any(|part| part == Component::ParentDir) {
            return Err(wrong("its path is none from the root"));
        }
        let is_below = root.as_ref().is_some_and(|root| to.starts_with(root));
        if is_below {
            continue;
        }
        if let Some(found) = to.ancestors().skip(usize::from(!is_folder)).find(|above| is_here(above)) {
            root = Some(found.to_path_buf());
        } else if !is_folder || !std::path::absolute(here)?.starts_with(&to) && !is_above(&to, here) {
            let why = format!("{} is not in the folder of the journal; if that was moved, move it back", to.display());
            return Err(wrong(&why));
        }
    }
    Ok(())
}

/// Returns whether `folder` is above `here`.
fn is_above(folder: &Path, here: &Path) -> bool {
    let (Ok(here), Ok(folder)) = (canonical(here), canonical(folder)) else { return false };
    here.starts_with(folder)
}

/// Returns the path that a line would change, and whether it is of a folder.
fn place(line: &Line) -> Option<(&Written, bool)> {
    match line {
        Line::Folder { to } => Some((to, true)),
        line => act(line).map(|act| (&act.to, false)),
    }
}

/// An act that may have left something.
struct Open<'a> {
    line: &'a Line,
    /// Whether the journal tells that it was done.
    is_done: bool,
    /// The file that was about to get the name.
    file: Option<u64>,
}

/// Returns the acts that were neither given up nor taken back.
fn unfinished(lines: &[Line]) -> Vec<Open<'_>> {
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
                if let Some(act) = act(line) {
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
struct Sources(HashMap<PathBuf, HashSet<ContentHash>>);

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

/// Removes what kills left of files that were being copied: of the last acts in these journals.
pub fn clear(journals: &[PathBuf]) {
    for path in journals {
        let lines = Journal::last_lines(path);
        if check(path, &lines).is_ok() {
            remove_unfinished(&lines, &news(&lines).collect::<Vec<_>>());
        }
    }
}

/// Returns the names of unfinished files: of the run, and of each undo that was begun.
fn news(lines: &[Line]) -> impl Iterator<Item = String> {
    lines.iter().filter_map(|line| if let Line::Begin { new, .. } = line { Some(new.clone()) } else { None })
}

/// Removes files whose copying a kill stopped, to their places or back.
fn remove_unfinished(lines: &[Line], news: &[String]) {
    let paths = lines.iter().filter_map(act).flat_map(|act| [act.to.path(), act.from.path()]).flatten();
    let folders: BTreeSet<PathBuf> = paths.filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
    for new in news.iter().filter(|new| is_new_name(new)) {
        folders.iter().filter(|folder| folder.is_absolute()).for_each(|folder| _ = fs::remove_file(folder.join(new)));
    }
}

fn act(line: &Line) -> Option<&Act> {
    match line {
        Line::Copy(act) | Line::Move(act) | Line::Hardlink(act) | Line::Symlink(act) | Line::Save(act) => Some(act),
        _ => None,
    }
}

fn folder(line: &Line) -> Option<PathBuf> {
    if let Line::Folder { to } = line { to.path() } else { None }
}

fn shown(act: &Act) -> String {
    act.to.path().unwrap_or_default().display().to_string()
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
fn take_back(open: &Open, new: &str, sources: &mut Sources) -> Result<Back, Failure> {
    let line = open.line;
    let Some(act) = act(line) else { return Ok(Back::Nothing) };
    let no_path = || Failure::left("the journal has no path of it");
    let (to, from) = (act.to.path().ok_or_else(no_path)?, act.from.path().ok_or_else(no_path)?);
    let is_missing =
        |path: &Path| fs::symlink_metadata(path).is_err_and(|e| matches!(e.kind(), Io::NotFound | Io::NotADirectory));
    let there = match fs::symlink_metadata(&to) {
        Err(_) if is_missing(&to) => None,
        Err(e) => return Err(Failure::left(format!("cannot be read: {}", os_reason(&e)))),
        Ok(there) => Some(there),
    };
    let Some(there) = there else {
        let is_lost = match line {
            Line::Move(_) => is_missing(&from),
            // A single file was removed by hand; a whole folder may have another name now.
            _ => open.is_done && to.parent().is_some_and(is_missing),
        };
        return if is_lost { Err(Failure::left("is no longer there")) } else { Ok(Back::Nothing) };
    };
    let changed = || Err(Failure::left("has changed since"));
    let is_ours =
        || open.is_done || open.file.is_some_and(|file| FileId::here(&to).is_ok_and(|id| id.numbers().1 == file));
    let not_ours = || Err(Failure::left("nothing tells that this run put it there"));
    match line {
        Line::Symlink(_) => {
            let is_link = there.is_symlink() && fs::read_link(&to).is_ok_and(|target| target == from);
            return if is_link { remove(&to) } else { changed() };
        }
        Line::Hardlink(_) => {
            let ids = FileId::here(&to).ok().zip(FileId::here(&from).ok());
            let has_two = !is_same_place(&from, &to) && names(&to, &there) > 1;
            return match ids {
                Some((to_id, from_id)) if to_id == from_id && has_two && is_ours() => remove(&to),
                Some((to_id, from_id)) if to_id == from_id && has_two => not_ours(),
                Some((to_id, from_id)) if to_id != from_id && !is_other_file(&from, &to) => {
                    Err(Failure::left("it is the last name of its file"))
                }
                Some((to_id, from_id)) if to_id != from_id => changed(),
                _ => Err(Failure::left("it is the last name of its file")),
            };
        }
        _ => {}
    }
    let has_from = || is_other_file(&from, &to) && has(&from, act);
    let Some(content) = hash_of(&to, act, &there)? else {
        // Before the act was done, something else was there.
        return if matches!(line, Line::Move(_)) && has_from() { Ok(Back::Nothing) } else { changed() };
    };
    match line {
        _ if !is_ours() && matches!(line, Line::Move(_)) && has_from() => Ok(Back::Nothing), // it is still where it was
        _ if !is_ours() => not_ours(),
        Line::Save(_) if sources.have(&act.from, &content) => remove(&to),
        Line::Save(_) => {
            Err(Failure::left("it may be the last copy: what it was saved from is gone, has changed, or is a URL"))
        }
        Line::Copy(_) if has_from() => remove(&to),
        Line::Copy(_) => {
            Err(Failure::left("it is the last copy: the file that it was copied from is gone, or has changed"))
        }
        _ if is_missing(&from) => {
            let made = make_folder(&from)?;
            let wanted = Wanted { content: &content, version: None };
            let moved = files::move_file(&to, &from, new, &wanted, &mut |_| Ok(()));
            if moved.is_err() {
                made.iter().rev().for_each(|folder| _ = fs::remove_dir(folder));
            }
            moved.map(|()| Back::Done)
        }
        // Killed between the copy and the removal.
        _ if has_from() && fs::symlink_metadata(&from).is_ok_and(|from| from.is_file()) => remove(&to),
        _ => Err(Failure::Taken),
    }
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
