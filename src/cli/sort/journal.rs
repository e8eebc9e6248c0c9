//! The journal in the folder that is sorted into: one JSON object a line, on the disk before the act that it announces. Names
//! are text, or hexadecimal bytes where they are not UTF-8.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::iter::once;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zsic::cache::ContentHash;
use zsic::system::file::{Care, FileId, lock, names};
use zsic::system::name::from_vec;
use zsic::system::place::sync_folder;

use super::super::fatal::usage;
use super::super::output::own;
use super::files::missing;

/// The version of this format.
pub const VERSION: u32 = 1;
/// The beginning of the names of journals and unfinished files.
const NAME: &str = ".zsic-sort-";
/// The end of the name of a file that is being copied.
const NEW: &str = ".new";
/// The most bytes of a journal: ten million acts have fewer.
const LONGEST: u64 = 8 << 30;

/// Returns a name for unfinished files that no other run has.
pub fn new_name() -> String {
    let random = RandomState::new().hash_one((std::process::id(), SystemTime::now()));
    format!("{NAME}{random:016x}{NEW}")
}

/// Returns whether unfinished files may have this name.
pub fn is_new_name(name: &str) -> bool {
    let random = name.strip_prefix(NAME).and_then(|rest| rest.strip_suffix(NEW));
    random.is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns whether a file name is one of journals and unfinished files.
pub fn is_own(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NAME.as_bytes()))
}

/// Returns a path as a word of the shell. `$'..'` is for names that are no text: its `\xNN` are bytes to bash, zsh and ksh.
fn quoted(path: &Path) -> String {
    if cfg!(windows) {
        return format!("\"{}\"", path.display()); // no name has quotes there
    }
    if let Some(text) = path.to_str().filter(|text| !text.contains(char::is_control))
        && let Ok(word) = shlex::try_quote(text)
    {
        return word.into_owned();
    }
    let byte = |&byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    format!("$'{}'", path.as_os_str().as_encoded_bytes().iter().map(byte).collect::<String>())
}

/// Returns whether bytes without a line's end may be the beginning of a journal.
fn is_begun(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"{\"op\":\"begin\"";
    BEGIN.starts_with(bytes) || bytes.starts_with(BEGIN)
}

/// A path, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Written {
    Text(String),
    Bytes { hex: String },
}

impl Written {
    /// Writes a path.
    pub fn of(path: &Path) -> Self {
        let bytes = path.as_os_str().as_encoded_bytes();
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { hex: HEXLOWER.encode(bytes) },
        }
    }

    /// Returns the path, or None if it is no path.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Bytes { hex } => Some(from_vec(HEXLOWER.decode(hex.as_bytes()).ok()?).into()),
        }
    }
}

/// A file that gets a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    pub from: Written,
    pub to: Written,
    pub size: u64,
    pub sha256: String,
}

impl Act {
    /// Creates the act for a file with this content.
    pub fn new(from: Written, to: &Path, size: u64, content: &ContentHash) -> Self {
        Self { from, to: Written::of(to), size, sha256: HEXLOWER.encode(content.bytes()) }
    }

    /// Returns whether a content is the one that was sorted.
    pub fn is_of(&self, content: &ContentHash) -> bool {
        self.sha256 == HEXLOWER.encode(content.bytes())
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Line {
    /// The first line. `new` is the name of files that are being copied.
    Begin {
        version: u32,
        new: String,
    },
    /// A folder is made.
    Folder {
        to: Written,
    },
    Copy(Act),
    Move(Act),
    Hardlink(Act),
    /// `from` is where the link leads.
    Symlink(Act),
    /// Bytes from a tar or a URL are saved as a file.
    Save(Act),
    /// What was announced for this place is about to happen: this file, by its number on its disk, gets the name.
    Made {
        to: Written,
        file: u64,
    },
    /// What was announced for this place was done.
    Done {
        to: Written,
    },
    /// What was announced for this place did not happen.
    Left {
        to: Written,
        why: String,
    },
    /// What was announced for this place was taken back.
    Undone {
        to: Written,
    },
}

impl Line {
    /// Returns the file that gets a place.
    pub fn act(&self) -> Option<&Act> {
        match self {
            Self::Copy(act) | Self::Move(act) | Self::Hardlink(act) | Self::Symlink(act) | Self::Save(act) => Some(act),
            _ => None,
        }
    }

    /// Returns the folder that is made.
    pub fn folder(&self) -> Option<&Written> {
        if let Self::Folder { to } = self { Some(to) } else { None }
    }
}

/// A journal that is being written, locked by this run.
pub struct Journal {
    file: File,
    path: PathBuf,
    /// The end of the last line.
    length: u64,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
}

impl Journal {
    /// Creates a journal in `folder`, which is made if it is missing. Returns the name of unfinished files too.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(folder: &Path) -> Result<(Self, String)> {
        let failed = |path: &Path| format!("{}: cannot be written", path.display());
        let made = missing(folder);
        fs::create_dir_all(folder).with_context(|| failed(folder))?;
        for number in 1u32.. {
            let path = folder.join(format!("{NAME}{number}.jsonl"));
            let alone = Care { alone: true, ..Care::default() };
            match alone.apply(File::options().read(true).write(true).create_new(true)).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                file => {
                    let file = file.with_context(|| failed(&path))?;
                    let mut journal = Self { file, path, length: 0, made };
                    journal.lock()?;
                    let is_here = FileId::of(&journal.file).ok() == FileId::here(&journal.path).ok();
                    ensure!(is_here, "{}: another run removed it", journal.path.display());
                    return match journal.begin(folder) {
                        Ok(new) => Ok((journal, new)),
                        Err(e) => {
                            _ = journal.discard();
                            Err(e)
                        }
                    };
                }
            }
        }
        bail!("{}: has too many journals", folder.display())
    }

    /// Writes the first lines, and returns the name of unfinished files.
    fn begin(&mut self, folder: &Path) -> Result<String> {
        let new = new_name();
        let begin = Line::Begin { version: VERSION, new: new.clone() };
        let made = self.made.iter().map(|path| Line::Folder { to: Written::of(path) });
        self.announce(&once(begin).chain(made).collect::<Vec<_>>())?;
        let above = self.made.iter().filter_map(|made| made.parent());
        for folder in once(folder).chain(above.filter(|above| !above.as_os_str().is_empty())) {
            _ = sync_folder(folder); // some file systems cannot
        }
        Ok(new)
    }

    /// Opens a journal to take back what it tells, and returns its lines. A last line that a kill cut off is removed: what it
    /// would have announced was not begun.
    ///
    /// # Errors
    /// If it cannot be read or written, is no journal, or another run has it.
    pub fn open(path: &Path) -> Result<(Self, Vec<Line>)> {
        let wrong = |why: &str| usage(format!("{}: {why}", path.display()));
        let file = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => return Err(wrong("is a folder; name a journal in it")),
            Ok(found) if found.is_file() && names(path, &found) > 1 => {
                return Err(wrong(
                    "has a second name (a hard link), and the undo writes to it; put a copy in its place",
                ));
            }
            _ => own::open(path, true)?.ok_or_else(|| wrong("no such file"))?,
        };
        let failed = || format!("{}: cannot be read", path.display());
        let mut journal = Self { file, path: path.to_path_buf(), length: 0, made: Vec::new() };
        journal.lock()?;
        let mut bytes = Vec::new();
        if journal.file.metadata().with_context(failed)?.len() > LONGEST {
            return Err(wrong("is too long to be a journal of zsic sort"));
        }
        (&journal.file).take(LONGEST).read_to_end(&mut bytes).with_context(failed)?;
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines = bytes[..end].split_inclusive(|&byte| byte == b'\n');
        let first = lines.clone().next().and_then(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
        if let Some(version) = first.and_then(|line| line["version"].as_u64()).filter(|is| *is != u64::from(VERSION)) {
            return Err(wrong(&format!("is of version {version}, which this zsic cannot read")));
        }
        let line = |(number, line)| {
            let line: Result<Line, _> = serde_json::from_slice(line);
            line.map_err(|e| wrong(&format!("line {number} is not of a journal of zsic sort: {e}")))
        };
        let lines = (1..).zip(lines).map(line).collect::<Result<Vec<Line>>>()?;
        match lines.first() {
            Some(Line::Begin { new, .. }) if is_new_name(new) => {}
            None if is_own(path) && path.extension().is_some_and(|ending| ending == "jsonl") && is_begun(&bytes) => {}
            _ => return Err(wrong("is not a journal of zsic sort")),
        }
        journal.file.set_len(end as u64).with_context(failed)?;
        journal.length = journal.file.seek(SeekFrom::End(0)).with_context(failed)?;
        Ok((journal, lines))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the command that takes it back, to be pasted.
    pub fn undo(&self) -> String {
        format!("zsic sort --undo {}", quoted(&self.path))
    }

    fn lock(&self) -> Result<()> {
        match lock(&self.file) {
            Err(fs::TryLockError::WouldBlock) => bail!("{}: another run is using it", self.path.display()),
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(()), // some file systems lack locks
        }
    }

    /// Writes lines, and waits until they are on the disk.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn announce(&mut self, lines: &[Line]) -> Result<()> {
        self.note(lines)?;
        self.file.sync_data().with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    /// Writes lines.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn note(&mut self, lines: &[Line]) -> Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let written = self.file.write_all(&bytes);
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            // Half a line would spoil the next one.
            Err(_) => own::cut(&self.file, self.length).unwrap_or_default(),
        }
        written.with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    /// Reads the first and the last lines of a journal that no run has open; nothing if they cannot be read.
    pub fn last_lines(path: &Path) -> Vec<Line> {
        const LAST: u64 = 1 << 20;
        let read = || {
            let file = own::open(path, true).ok()??;
            // One that is empty was just made, and its run is about to lock it.
            let length = file.metadata().ok().filter(|metadata| metadata.len() > 0)?.len();
            let mut journal = Self { file, path: path.to_path_buf(), length: 0, made: Vec::new() };
            journal.lock().ok()?;
            let mut first = Vec::new();
            BufReader::new(&journal.file).take(1 << 10).read_until(b'\n', &mut first).ok()?;
            journal.file.seek(SeekFrom::Start(length.saturating_sub(LAST))).ok()?;
            let mut bytes = Vec::new();
            journal.file.take(LAST).read_to_end(&mut bytes).ok()?;
            let lines = once(&first[..]).chain(bytes.split(|&byte| byte == b'\n'));
            Some(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
        };
        read().unwrap_or_default()
    }

    /// Returns the other journals in the folder.
    pub fn others(&self) -> Vec<PathBuf> {
        let entries = self.path.parent().map(fs::read_dir).and_then(Result::ok).into_iter().flatten();
        let is_other = |path: &PathBuf| {
            *path != self.path && is_own(path) && path.extension().is_some_and(|ending| ending == "jsonl")
        };
        entries.flatten().map(|entry| entry.path()).filter(is_other).collect()
    }

    /// Removes it and the folders that were made for it.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(mut self) -> Result<()> {
        let made = std::mem::take(&mut self.made);
        self.remove()?;
        made.iter().rev().for_each(|folder| _ = fs::remove_dir(folder)); // others may have files in them by now
        Ok(())
    }

    /// Removes it: there is nothing left to tell.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(self) -> Result<()> {
        let Self { file, path, .. } = self;
        drop(file); // Windows removes no open file
        fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zsic::system::name::from_bytes;

    #[test]
    fn names_come_back_byte_for_byte() {
        for name in [&b"a\nb.jpg"[..], b"c\\xFF.jpg", b"\"{}\"", b"{\"hex\":\"ff\"}"] {
            let path = PathBuf::from(&*from_bytes(name));
            let text = serde_json::to_string(&Written::of(&path)).unwrap();
            assert!(text.starts_with('"') && !text.contains('\n'));
            assert_eq!(serde_json::from_str::<Written>(&text).unwrap().path(), Some(path));
        }
        #[cfg(unix)] // names are bytes
        {
            let path = PathBuf::from(&*from_bytes(b"c\xff\\xFF"));
            assert_eq!(Written::of(&path), Written::Bytes { hex: "63ff5c784646".to_owned() });
            assert_eq!(Written::of(&path).path(), Some(path));
        }
        assert_eq!(Written::Bytes { hex: "0".to_owned() }.path(), None);
    }

    #[test]
    #[cfg(unix)] // names are bytes
    fn a_path_is_one_word_of_the_shell() {
        for name in [&b"a b"[..], b"it's", b"a\nb", b"c\xff'\\ d", "\u{e9}\u{1b}".as_bytes(), b"\xffab"] {
            let word = quoted(Path::new(&*from_bytes(name)));
            assert!(!word.contains(char::is_control));
            let printed =
                std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output().unwrap();
            assert_eq!(printed.stdout, name, "{word}");
        }
        assert_eq!(quoted(Path::new("a/b.jsonl")), "a/b.jsonl");
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let (mut journal, new) = Journal::create(&folder).unwrap();
        assert!(is_new_name(&new) && !is_new_name(".zsic-sort-1.new"));
        let path = journal.path().to_path_buf();
        let to = Written::of(&folder.join("x"));
        let act = Act::new(to.clone(), &folder.join("x"), 3, &ContentHash::of(b"abc"));
        let more = [Line::Move(act), Line::Left { to, why: "because".to_owned() }];
        journal.announce(&more).unwrap();
        if cfg!(unix) {
            assert!(Journal::open(&path).is_err(), "another run has it");
        }
        journal.note(&[Line::Undone { to: Written::Text("y".to_owned()) }]).unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap(); // killed
        let (journal, lines) = Journal::open(&path).unwrap();
        let made = |path: &Path| Line::Folder { to: Written::of(path) };
        assert_eq!(lines[1..3], [made(&dir.path().join("a")), made(&folder)]);
        assert_eq!(lines[3..], more);
        drop(journal);
        let cut = fs::read(&path).unwrap();
        assert!(cut.ends_with(b"\n") && whole.starts_with(&cut), "lines that follow begin on their own");
        let (second, other) = Journal::create(&folder).unwrap();
        assert_ne!(new, other);
        second.remove().unwrap();
        fs::write(&path, "{\"op\":\"beg").unwrap();
        assert!(Journal::open(&path).unwrap().1.is_empty(), "killed before anything was announced");
        for wrong in
            ["x\n", "{}\n", "{\"op\":\"begin\",\"version\":2,\"new\":\".zsic-sort-0123456789abcdef.new\"}\n", {
                "{\"op\":\"begin\",\"version\":1,\"new\":\"../x.new\"}\n"
            }]
        {
            fs::write(&path, wrong).unwrap();
            assert!(Journal::open(&path).is_err(), "{wrong}");
        }
    }
}
