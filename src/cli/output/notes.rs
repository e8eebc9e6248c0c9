//! Notes of finished outputs in zsic's cache: the settings and the journal of each, so that a later run can add new
//! images to the file. A note is one plain file named by the output's path. It counts only if the output's size and
//! time are those in the note.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zsic::system::file::Changes;
use zsic::system::name::canonical;
use zsic::system::owner;

use super::super::args::Common;
use super::super::fatal::reason;
use super::super::messages::warn;
use super::journal::Journal;
use super::own;

/// The folder of the notes in the cache.
const FOLDER: &str = "outputs";
/// The ending of a note. Other programs may also use names of 64 digits.
const ENDING: &str = ".note";
/// The longest first line of a note.
const LONGEST_HEAD: u64 = 64 << 20;
/// The layout of a note.
const LAYOUT: u32 = 1;
/// The most bytes of all notes. Older ones are removed first.
const LIMIT: u64 = 256 << 20;
/// The bytes that the smallest file takes on a disk.
const BLOCK: u64 = 4096;

/// The place of notes, if any.
#[derive(Debug, Clone)]
pub struct Notes {
    folder: Option<PathBuf>,
    common: Common,
}

/// The first line of a note. The journal's entries follow.
#[derive(Serialize, Deserialize)]
struct NoteHead {
    layout: u32,
    file: String,
    bytes: u64,
    changed: String,
    settings: Value,
}

/// The note of a finished output.
pub struct Note {
    /// The settings behind its records.
    pub settings: Value,
    /// Its records.
    pub journal: Journal,
}

impl Notes {
    /// Returns the notes in the cache in `dir`; without one, no notes are kept.
    pub fn new(dir: Option<&Path>, common: &Common) -> Self {
        Self { folder: dir.map(|dir| dir.join(FOLDER)), common: common.clone() }
    }

    fn path(&self, target: &Path) -> Option<PathBuf> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let target = canonical(folder).ok()?.join(target.file_name()?);
        let hash = digest(&SHA256, target.as_os_str().as_encoded_bytes());
        Some(self.folder.as_ref()?.join(HEXLOWER.encode(hash.as_ref()) + ENDING))
    }

    /// Keeps the note of `target`, which is or will become the file `output`. A note that cannot be written is a
    /// warning.
    pub fn keep(&self, target: &Path, output: &Metadata, settings: &[u8], journal: &Journal) {
        if let Err(e) = self.write(target, output, settings, journal) {
            let reason =
                format!("{}; --resume cannot add to {} once it is finished", reason(&e, true), target.display());
            warn(&self.common, reason);
        }
    }

    fn write(&self, target: &Path, output: &Metadata, settings: &[u8], journal: &Journal) -> Result<()> {
        let Some(path) = self.path(target) else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        let failed = || format!("{}: cannot be written", path.display());
        let head = NoteHead {
            layout: LAYOUT,
            file: target.display().to_string(),
            bytes: output.len(),
            changed: time(output),
            settings: serde_json::from_slice(settings)?,
        };
        let head = serde_json::to_string(&head)? + "\n";
        check_folder(folder).with_context(|| format!("{}: cannot be written", folder.display()))?;
        owner::create_folder(folder).with_context(failed)?;
        let write = |file: &mut File| file.write_all(head.as_bytes()).and_then(|()| journal.write_to(file));
        own::appear(&path, write).with_context(failed)?;
        bound(folder, &path, LIMIT).with_context(failed)
    }

    /// Returns the note of the finished file `target`.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn of(&self, target: &Path) -> Result<Note, String> {
        let Some(folder) = &self.folder else {
            return Err("no note of how it was made can be kept without a home directory".to_owned());
        };
        let none = || format!("{} has no note of how it was made", folder.display());
        let path = self.path(target).ok_or_else(none)?;
        let file = own::open(&path, false).ok().flatten().ok_or_else(none)?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let head = reader
            .by_ref()
            .take(LONGEST_HEAD)
            .read_until(b'\n', &mut line)
            .ok()
            .and_then(|_| serde_json::from_slice::<NoteHead>(&line).ok());
        let head = head.filter(|head| head.layout == LAYOUT).ok_or_else(none)?;
        let output = fs::metadata(target).map_err(|_| none())?;
        if (head.bytes, head.changed) != (output.len(), time(&output)) {
            return Err("it has changed since, by another program or by a run with --no-cache".to_owned());
        }
        let base = reader.stream_position().map_err(|_| none())?;
        let journal = Journal::new(reader.into_inner(), base).map_err(|_| none())?;
        Ok(Note { settings: head.settings, journal })
    }
}

/// Refuses anything but a folder at the notes' place. A link is not followed.
fn check_folder(folder: &Path) -> io::Result<()> {
    let problem = match fs::symlink_metadata(folder) {
        Ok(there) if there.is_symlink() => "it is a link, which is not followed",
        Ok(there) if !there.is_dir() => "it is not a folder",
        _ => return Ok(()),
    };
    Err(io::Error::other(format!("{problem}; move it away or remove it")))
}

/// Returns the time of a file's last change.
pub fn time(file: &Metadata) -> String {
    let (seconds, rest) = Changes::of(file).content;
    format!("{seconds}.{rest:09}")
}

/// Removes the oldest notes until the rest takes at most `limit` bytes; `newest` stays.
fn bound(folder: &Path, newest: &Path, limit: u64) -> io::Result<()> {
    let mut notes = list(folder)?;
    notes.sort_by_key(|(path, _, time)| (path != newest, std::cmp::Reverse(*time)));
    let mut bytes = 0;
    for (path, size, _) in notes {
        bytes += size;
        if bytes > limit && path != newest {
            own::remove(&path)?;
        }
    }
    Ok(())
}

/// Returns every note, with its size and the time it was written.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
    let mut notes = Vec::new();
    check_folder(folder)?;
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(notes),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let name = name.strip_suffix(b".new").unwrap_or(name);
        let Some(hash) = name.strip_suffix(ENDING.as_bytes()) else { continue };
        if let Ok(file) = fs::symlink_metadata(&path)
            && file.is_file()
            && hash.len() == 64
            && hash.iter().all(u8::is_ascii_hexdigit)
        {
            notes.push((path, file.len().next_multiple_of(BLOCK), file.modified()?));
        }
    }
    Ok(notes)
}

/// Returns the number and size of the notes in the cache in `dir`.
///
/// # Errors
/// If they cannot be listed.
pub fn info(dir: &Path) -> Result<(u64, u64)> {
    let folder = dir.join(FOLDER);
    let notes = list(&folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
    Ok((notes.len() as u64, notes.iter().map(|(_, bytes, _)| bytes).sum()))
}

/// Removes all notes in the cache in `dir`, and returns the bytes freed.
///
/// # Errors
/// If one cannot be removed.
pub fn clear(dir: &Path) -> Result<u64> {
    let folder = dir.join(FOLDER);
    let (_, bytes) = info(dir)?;
    let removed = list(&folder).and_then(|notes| notes.iter().try_for_each(|(path, ..)| own::remove(path)));
    removed.with_context(|| format!("{}: cannot be cleared", folder.display()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::super::args::ColorChoice;
    use super::*;

    #[test]
    fn a_note_is_believed_while_the_file_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, output) = (dir.path().join("cache"), dir.path().join("x.jsonl"));
        let common = Common { quiet: true, verbose: 0, color: ColorChoice::Never };
        let notes = Notes::new(Some(&cache), &common);
        fs::write(&output, "one\n").unwrap();
        assert!(notes.of(&output).is_err_and(|reason| reason.contains("no note")));
        let file = || fs::metadata(&output).unwrap();
        fs::write(dir.path().join("journal"), [7; 130]).unwrap();
        let journal = Journal::new(File::open(dir.path().join("journal")).unwrap(), 0).unwrap();
        notes.keep(&output, &file(), b"{\"a\": 1}", &journal);
        let note = notes.of(&output).unwrap();
        assert_eq!((note.settings["a"].as_u64(), note.journal.count), (Some(1), 2), "a torn entry is none");
        let mut entries = Vec::new();
        note.journal.write_to(&mut entries).unwrap();
        assert_eq!(entries, [7; 128]);
        drop(note); // Windows keeps an open file
        assert_eq!((info(&cache).unwrap(), info(dir.path()).unwrap()), ((1, BLOCK), (0, 0)));
        fs::write(&output, "two\n").unwrap();
        File::options().write(true).open(&output).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(notes.of(&output).is_err_and(|reason| reason.contains("changed since")));
        assert!(Notes::new(None, &common).of(&output).is_err_and(|reason| reason.contains("without a home")));
        fs::write(cache.join(FOLDER).join("mine.txt"), "mine").unwrap();
        assert_eq!((clear(&cache).unwrap(), info(&cache).unwrap()), (BLOCK, (0, 0)));
        assert!(cache.join(FOLDER).join("mine.txt").exists());
    }

    #[cfg(unix)] // Windows lets only some users make links
    #[test]
    fn files_behind_a_link_are_not_notes() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, victim) = (dir.path().join("cache"), dir.path().join("victim"));
        fs::create_dir_all(&cache).unwrap();
        fs::create_dir_all(&victim).unwrap();
        std::os::unix::fs::symlink(&victim, cache.join(FOLDER)).unwrap();
        let blob = victim.join("b".repeat(64) + ENDING);
        File::create(&blob).unwrap().set_len(2 * LIMIT).unwrap();
        assert!(clear(&cache).is_err_and(|e| format!("{e:#}").contains("is a link")));
        let file = dir.path().join(FOLDER);
        fs::write(&file, "a file").unwrap();
        let said = check_folder(&file).unwrap_err().to_string();
        assert_eq!(said, "it is not a folder; move it away or remove it");
        let output = dir.path().join("x.jsonl");
        fs::write(&output, "one\n").unwrap();
        let journal = Journal::new(File::open(&output).unwrap(), 0).unwrap();
        let common = Common { quiet: true, verbose: 0, color: ColorChoice::Never };
        Notes::new(Some(&cache), &common).keep(&output, &fs::metadata(&output).unwrap(), b"{}", &journal);
        assert!(blob.exists());
        fs::remove_file(cache.join(FOLDER)).unwrap();
        fs::create_dir(cache.join(FOLDER)).unwrap();
        fs::write(cache.join(FOLDER).join("c".repeat(64)), "a blob").unwrap();
        assert_eq!(clear(&cache).unwrap(), 0);
        assert!(cache.join(FOLDER).join("c".repeat(64)).exists());
    }

    #[test]
    fn the_oldest_note_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: u8| dir.path().join(format!("{n:064x}{ENDING}"));
        for n in 0..5 {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(9 - u64::from(n));
            fs::write(path(n), "note").unwrap();
            File::options().write(true).open(path(n)).unwrap().set_modified(time).unwrap();
        }
        bound(dir.path(), &path(4), 3 * BLOCK).unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|n| path(n).exists()), [true, true, false, false, true]);
    }
}
