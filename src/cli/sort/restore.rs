//! `zsic sort --undo`: a journal -> everything as it was, last act first. What changed since stays, and is told. The disk tells
//! what is done already, so an undo that was stopped goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use zsic::system::file::FileId;
use zsic::system::name::canonical;
use zsic::system::place::sync_folder;

use super::super::args::Common;
use super::super::fatal::usage;
use super::super::messages::{error, say};
use super::super::{Outcome, interrupt, progress::Progress};
use super::files::Failure;
use super::journal::{Journal, Line, VERSION, is_new_name, new_name};
use super::take_back::{Back, Sources, take_back, unfinished};

/// Takes back what a journal tells.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(path: &Path, common: &Common) -> Result<Outcome> {
    interrupt::install()?;
    let (mut journal, lines) = Journal::open(path)?;
    check(path, &lines)?;
    interrupt::say_when_stopped(path, format!("stopped; {} goes on", journal.undo()));
    let own = new_name();
    // What this undo leaves unfinished if it is killed. A full disk takes no line, and moves back on one disk need none.
    _ = journal.announce(&[Line::Begin { version: VERSION, new: own.clone() }]);
    let news: Vec<String> = news(&lines).chain([own.clone()]).collect();
    let Taken { back, gone, left, synced } = take_all(&mut journal, &lines, &own, common)?;
    let folders: Vec<PathBuf> = lines.iter().filter_map(|line| line.folder()?.path()).collect();
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
    if gone > 0 {
        let were =
            if gone == 1 { "was gone already; its original is" } else { "were gone already; their originals are" };
        say(common, format!("{} {were} there", files(gone)));
    }
    if left > 0 {
        say(common, format!("{} left, as told above; the journal stays", files(left)));
        return Ok(Outcome::SomeFailed);
    }
    Ok(Outcome::Complete)
}

/// What became of the files of a journal.
#[derive(Default)]
struct Taken {
    back: u64,
    gone: u64,
    left: u64,
    /// The folders that have files again.
    synced: BTreeSet<PathBuf>,
}

/// Takes all acts back, the last one first. `new` is the name of unfinished files.
fn take_all(journal: &mut Journal, lines: &[Line], new: &str, common: &Common) -> Result<Taken> {
    let open = unfinished(lines);
    let (mut taken, mut sources) = (Taken::default(), Sources::default());
    let progress = Progress::texts(common, "taking back");
    for (done, one) in open.iter().rev().enumerate() {
        progress.set(done, open.len());
        let Some(act) = one.line.act() else { continue };
        let why = match take_back(one, new, &mut sources) {
            Ok(Back::Nothing) => continue,
            Ok(Back::Gone) => {
                _ = journal.note(&[Line::Undone { to: act.to.clone() }]);
                taken.gone += 1;
                continue;
            }
            Ok(Back::Done) => {
                _ = journal.note(&[Line::Undone { to: act.to.clone() }]); // a full disk takes no note, and the disk tells it
                taken.synced.extend(act.from.path().and_then(|from| from.parent().map(Path::to_path_buf)));
                taken.back += 1;
                continue;
            }
            Err(Failure::Stop(e)) => return Err(e),
            Err(Failure::Taken) => "its old place is taken".to_owned(),
            Err(Failure::Left(why)) => why,
        };
        error(format_args!("{}: not taken back: {why}", act.to.path().unwrap_or_default().display()));
        taken.left += 1;
    }
    Ok(taken)
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
        let is_folder = line.folder().is_some();
        let Some(to) = line.folder().or(line.act().map(|act| &act.to)) else { continue };
        let wrong = |why: &str| usage(format!("{}: line {number}: {why}", path.display()));
        let to = to.path().ok_or_else(|| wrong("has no path"))?;
        if !to.is_absolute() || to.components().any(|part| part == Component::ParentDir) {
            return Err(wrong("its path is not absolute, or has `..`"));
        }
        if !matches!(line, Line::Save(_))
            && line.act().is_some_and(|act| !act.from.path().is_some_and(|from| from.is_absolute()))
        {
            return Err(wrong("the path of the image is not absolute"));
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
    let paths = lines.iter().filter_map(Line::act).flat_map(|act| [act.to.path(), act.from.path()]).flatten();
    let folders: BTreeSet<PathBuf> = paths.filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
    for new in news.iter().filter(|new| is_new_name(new)) {
        folders.iter().filter(|folder| folder.is_absolute()).for_each(|folder| _ = fs::remove_file(folder.join(new)));
    }
}
