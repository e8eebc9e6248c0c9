//! `FILE.partial`, locked by the run that writes it, and what lies beside it until the file has its name. What it is all
//! for is `resume.rs`.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use super::super::undo::{Step, Undo};

/// What follows the file's name in the partial's.
const PARTIAL: &str = ".partial";
/// What lies beside a partial: the settings of its run,
pub const SETTINGS: &str = ".json";
/// the records of the run before, where failed ones are computed again,
pub const OLD: &str = ".old";
/// those records on their way out of a finished file that has no lines,
pub const UNMADE: &str = ".unmade";
/// the rows of a tensor,
pub const ROWS: &str = ".rows";
/// and the file that is made from the records.
const MADE: &str = ".made";
/// What is copied or written has this behind its name until it is whole.
const NEW: &str = ".new";

/// Links that are followed, one behind the other.
const LINKS: usize = 40;

/// Every file that a run may make on the way to `target`, and that file.
pub fn family(target: &Path) -> Vec<PathBuf> {
    let partial = with_ending(target, PARTIAL);
    let beside = ["", SETTINGS, OLD, UNMADE, ROWS, MADE].map(|ending| with_ending(&partial, ending));
    let new = [SETTINGS, OLD].map(|ending| with_ending(&with_ending(&partial, ending), NEW));
    [target.to_path_buf()].into_iter().chain(beside).chain(new).collect()
}

/// Every file that a run may write which is told to write these, their folders canonical.
pub fn families<'a>(targets: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    let placed = |target: &Path| {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(target.file_name()?))
    };
    let both = |target: &Path| [placed(target), placed(&behind_links(target))];
    targets.into_iter().flat_map(both).flatten().flat_map(|target| family(&target)).collect()
}

/// Where a file is, or will be. A link stays one: what is written lies where it leads, be there anything or not.
fn behind_links(target: &Path) -> PathBuf {
    let mut path = target.to_path_buf();
    for _ in 0..LINKS {
        let Ok(to) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    path.canonicalize().unwrap_or(path)
}

/// `FILE.partial`, locked by this run.
pub struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// The end of the last whole record; before the first, of what an earlier run left.
    length: u64,
    started: bool,
    /// What is written beside it before the first record.
    settings: Option<Vec<u8>>,
    /// What this run made before its first record.
    undo: Undo,
    /// Whether the run was refused.
    refused: Arc<AtomicBool>,
}

impl Partial {
    /// Opens that of `target`, or makes it.
    ///
    /// # Errors
    /// If it cannot be written, or another run writes it.
    pub fn open(target: &Path) -> Result<Self> {
        let target = behind_links(target);
        let path = with_ending(&target, PARTIAL);
        let opened = Undo::begin(&path, || {
            let (file, length) = open(&path)?;
            let steps = if length == 0 { vec![Step::Remove(path.clone())] } else { Vec::new() };
            Ok::<_, anyhow::Error>(((file, length), steps))
        });
        let ((file, length), undo) = opened?;
        Ok(Self { file, path, target, length, started: false, settings: None, undo, refused: Arc::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What lies beside it.
    pub fn beside(&self, ending: &str) -> PathBuf {
        with_ending(&self.path, ending)
    }

    /// Whether an earlier run left something in it.
    pub fn is_left(&self) -> bool {
        !self.started && self.length > 0
    }

    /// Keeps the settings of the run, to be written beside it before the first record.
    pub fn set_settings(&mut self, settings: Vec<u8>) {
        self.settings = Some(settings);
    }

    /// Whether the run is refused. Then all is put back as this run found it, whatever it has written since.
    pub fn refused(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.refused)
    }

    /// Cuts off what is behind `end`; records go on from there.
    ///
    /// # Errors
    /// If it cannot be cut.
    pub fn go_on_from(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        (self.length, self.started) = (end, true);
        if end > 0 {
            self.undo.keep();
        }
        Ok(())
    }

    /// Starts an empty one, and keeps this as [`OLD`].
    ///
    /// # Errors
    /// If it cannot be renamed, or another run took its place.
    pub fn put_aside(&mut self) -> Result<()> {
        let old = self.beside(OLD);
        std::fs::rename(&self.path, &old).with_context(|| format!("{}: cannot be renamed", self.path.display()))?;
        self.undo.forget(); // the one that is left here is no longer at its path
        let settings = self.settings.take();
        let failed = |_: &anyhow::Error| _ = std::fs::rename(&old, &self.path);
        *self = Self::open(&self.target).inspect_err(failed)?;
        self.settings = settings;
        self.undo.set(vec![Step::PutBack { from: old, to: self.path.clone() }]);
        Ok(self.go_on_from(0)?)
    }

    /// Says that something is about to be made beside it, before the first record.
    pub fn makes(&mut self, ending: &str) {
        self.undo.set([self.path.clone(), self.beside(ending)].map(Step::Remove).into());
    }

    /// Starts an empty one beside the finished file, whose records `keep` puts at [`OLD`].
    ///
    /// # Errors
    /// What `keep` says, and if the settings cannot be written.
    pub fn begin_again(&mut self, keep: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let old = self.beside(OLD);
        let made = [self.beside(SETTINGS), self.beside(UNMADE), old.clone(), self.path.clone()];
        self.undo.set(made.map(Step::Remove).into());
        self.write_settings()?;
        keep(&old)?;
        self.go_on_from(0)
    }

    /// Writes the settings beside it, whole.
    fn write_settings(&self) -> io::Result<()> {
        let (path, Some(settings)) = (self.beside(SETTINGS), &self.settings) else { return Ok(()) };
        let temporary = with_ending(&path, NEW);
        let mut file = File::create(&temporary)?;
        let written = file.write_all(settings).and_then(|()| file.sync_data());
        let named = written.and_then(|()| std::fs::rename(&temporary, &path));
        if named.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        named
    }

    /// Writes a record, or makes the place ready for one. Before the first, what an earlier run left goes.
    ///
    /// # Errors
    /// If it cannot be written; then no part of it stays.
    pub fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.file.set_len(0)?;
            self.length = 0;
            let made = [self.path.clone(), self.beside(SETTINGS), self.beside(ROWS)];
            self.undo.set(made.map(Step::Remove).into());
            for ending in [OLD, SETTINGS] {
                remove(&self.beside(ending))?; // of an earlier run, as what it left
            }
            self.write_settings()?;
        }
        let written = self.file.write_all(record);
        if written.is_err() {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
        } else if !record.is_empty() {
            self.length += record.len() as u64;
            self.undo.keep();
        }
        written
    }

    /// Gives it the name of the file.
    ///
    /// # Errors
    /// If it cannot be written or renamed.
    pub fn finish(mut self) -> io::Result<()> {
        self.write(&[])?; // where no record came, what an earlier run left goes
        self.undo.forget();
        self.finish_as(&self.file, &self.path)
    }

    /// Gives the file that `make` writes from the records the name of the target. Until then the partial stays.
    ///
    /// # Errors
    /// What `make` says, and if the file cannot be written or renamed.
    pub fn finish_made(mut self, make: impl FnOnce(&Path, &mut File) -> Result<()>) -> Result<()> {
        self.write(&[]).with_context(|| format!("{}: cannot be written", self.path.display()))?;
        self.undo.forget();
        let path = self.beside(MADE);
        let made = File::create(&path).with_context(|| format!("{}: cannot be written", path.display()));
        let made = made.and_then(|mut file| {
            make(&self.path, &mut file)?;
            self.finish_as(&file, &path).with_context(|| format!("{}: cannot be written", path.display()))
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&path); // its room is needed, where the disk is full
        }
        made
    }

    /// Gives `file`, which is at `path`, the name of the target, and takes away what is left beside it.
    fn finish_as(&self, file: &File, path: &Path) -> io::Result<()> {
        if let Ok(old) = std::fs::metadata(&self.target) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_data()?; // a name that stands for nothing after a crash would be believed
        remove(&self.beside(OLD))?; // first, or a kill would leave it beside a finished file
        std::fs::rename(path, &self.target)?;
        if path != self.path {
            remove(&self.path)?;
        }
        self.remove_rest()
    }

    /// Removes what a kill may leave beside a finished file.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove_rest(&self) -> io::Result<()> {
        [SETTINGS, ROWS, MADE, UNMADE].into_iter().try_for_each(|ending| remove(&self.beside(ending)))
    }
}

impl Drop for Partial {
    /// A run that wrote nothing leaves nothing behind, nor does one that was refused.
    fn drop(&mut self) {
        if self.undo.is_pending() || self.refused.load(Ordering::Acquire) {
            self.undo.run();
        }
    }
}

/// The partial at `path`, made if it is not there, with the lock on it; and its length.
fn open(path: &Path) -> Result<(File, u64)> {
    let failed = || format!("{}: cannot be written", path.display());
    loop {
        let file = File::options().create(true).write(true).truncate(false).open(path).with_context(failed)?;
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => bail!("{}: another run is writing it", path.display()),
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => {} // some file systems have no locks
        }
        let mine = file.metadata().with_context(failed)?;
        // Another run may have given the file its name between the opening and the lock.
        if std::fs::metadata(path).is_ok_and(|there| is_same(&there, &mine)) {
            return Ok((file, mine.len()));
        }
    }
}

/// Whether two are one file.
pub fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_path_buf().into_os_string();
    path.push(ending);
    path.into()
}

/// A copy of `from` that appears whole, for file systems without hard links.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = with_ending(to, NEW);
    std::fs::copy(from, &temporary)?;
    std::fs::rename(temporary, to)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
