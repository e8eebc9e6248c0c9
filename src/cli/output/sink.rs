//! Where records go: standard output, or a file by way of `FILE.partial`. Each record is written whole, and a signal
//! waits for its end. A file's partial is opened, and locked, before anything is computed. Beside it lie its settings
//! (`FILE.partial.json`), and what else it needs until the file has its name; what they are for is `resume.rs`.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anstream::AutoStream;
use anyhow::{Context, Result, bail};
use zsic::source;

use super::super::args::{ColorChoice, Common};
use super::super::fatal::usage;
use super::super::interrupt;

/// What `-o` and `--color` say.
pub struct Place {
    file: Option<PathBuf>,
    color: bool,
}

impl Place {
    /// The place that the flags name; `-` is standard output.
    pub fn new(file: Option<&Path>, common: &Common) -> Self {
        let file = file.filter(|file| *file != Path::new("-"));
        let color = match common.color {
            ColorChoice::Auto if file.is_none() => {
                AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
            }
            ColorChoice::Auto | ColorChoice::Never => false,
            ColorChoice::Always => true,
        };
        Self { file: file.map(Path::to_path_buf), color }
    }

    /// True if records scroll by on a terminal.
    pub fn is_terminal(&self) -> bool {
        self.file.is_none() && std::io::stdout().is_terminal()
    }

    /// True if records go to a file, or will: a pipe or device is none.
    pub fn is_file(&self) -> bool {
        self.file.as_ref().is_some_and(|path| std::fs::metadata(path).map_or(true, |m| m.is_file() || m.is_dir()))
    }

    /// Whether tables are coloured.
    pub fn color(&self) -> bool {
        self.color
    }

    /// What follows the last dot of the file's name.
    pub fn ending(&self) -> Option<&str> {
        self.file.as_ref()?.extension()?.to_str()
    }

    /// Cells in a line.
    pub fn width(&self) -> usize {
        let cells = if self.is_terminal() { terminal_size::terminal_size() } else { None };
        cells.map_or(80, |(terminal_size::Width(cells), _)| usize::from(cells))
    }

    /// Opens the place, without writing yet. `read` are the files that the run reads.
    ///
    /// # Errors
    /// A usage error if the file is one of those, or an image; otherwise if it cannot be written, or another run is
    /// writing it.
    pub fn open<'a>(&self, read: impl IntoIterator<Item = &'a Path>) -> Result<Sink> {
        let Some(path) = &self.file else {
            return Ok(Sink { out: Out::Stdout(io::stdout()), name: "standard output".to_owned() });
        };
        if std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            let name = path.display().to_string();
            let file = File::options().write(true).open(path).with_context(|| format!("{name}: cannot be written"))?;
            return Ok(Sink { out: Out::Device(file), name }); // a pipe or device has no partial
        }
        check_target(path, read)?;
        let partial = Partial::open(path)?;
        let name = partial.path.display().to_string();
        Ok(Sink { out: Out::File(partial), name })
    }
}

/// Refuses to write over what the run reads, and over any image.
fn check_target<'a>(path: &Path, read: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let read: Vec<Metadata> = read.into_iter().filter_map(|input| std::fs::metadata(input).ok()).collect();
    for suffix in ["", ".partial", ".partial.json", ".partial.old", ".partial.rows"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        let name = Path::new(&beside).display();
        let Ok(file) = std::fs::metadata(&beside) else { continue };
        if read.iter().any(|input| is_same(input, &file)) {
            return Err(usage(format!("{name}: is read by this run, and cannot be written by it too")));
        }
    }
    let Ok(target) = std::fs::metadata(path) else { return Ok(()) };
    let name = path.display();
    if target.is_dir() {
        return Err(usage(format!("{name}: is a folder; -o takes the name of a file")));
    }
    let mut head = Vec::new();
    let is_read = File::open(path).and_then(|file| file.take(32).read_to_end(&mut head));
    if is_read.is_ok() && source::is_image(&head) {
        return Err(usage(format!("{name}: is an image; delete it first if it is to be written over")));
    }
    Ok(())
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// An open place.
pub struct Sink {
    out: Out,
    /// What messages call it.
    name: String,
}

enum Out {
    Stdout(io::Stdout),
    Device(File),
    File(Partial),
}

impl Sink {
    /// Writes a record.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, record: &[u8]) -> Result<()> {
        let _held = interrupt::hold();
        let written = match &mut self.out {
            Out::Stdout(out) => out.write_all(record).and_then(|()| out.flush()),
            Out::Device(file) => file.write_all(record),
            Out::File(partial) => partial.write(record),
        };
        written.with_context(|| format!("{}: cannot be written", self.name))
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn finish(self) -> Result<()> {
        match self.out {
            Out::File(partial) => partial.finish().with_context(|| format!("{}: cannot be renamed", self.name)),
            Out::Stdout(_) | Out::Device(_) => Ok(()),
        }
    }

    /// Makes the file from the records in its partial, and gives it its name. Until then the partial stays.
    ///
    /// # Errors
    /// What `make` says, and if the file cannot be written or renamed.
    pub fn finish_made(self, make: impl FnOnce(&Path, &mut File) -> Result<()>) -> Result<()> {
        let Out::File(mut partial) = self.out else { return Ok(()) }; // what is made needs a partial
        partial.write(&[]).with_context(|| format!("{}: cannot be written", self.name))?;
        let path = partial.beside(MADE);
        let made = File::create(&path).with_context(|| format!("{}: cannot be written", path.display()));
        let made = made.and_then(|mut file| {
            make(&partial.path, &mut file)?;
            partial.finish_as(&file, &path).with_context(|| format!("{}: cannot be written", path.display()))
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&path); // its room is needed, where the disk is full
        }
        made
    }

    /// The partial, if it is a file that is written.
    pub fn partial(&mut self) -> Option<&mut Partial> {
        if let Out::File(partial) = &mut self.out { Some(partial) } else { None }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

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
}

impl Partial {
    fn open(target: &Path) -> Result<Self> {
        let target = target.canonicalize().unwrap_or_else(|_| target.to_path_buf()); // a link stays one
        let path = with_ending(&target, ".partial");
        let failed = || format!("{}: cannot be written", path.display());
        loop {
            let file = File::options().create(true).write(true).truncate(false).open(&path).with_context(failed)?;
            match file.try_lock() {
                Err(std::fs::TryLockError::WouldBlock) => {
                    bail!("{}: another run is writing it", path.display())
                }
                Ok(()) | Err(std::fs::TryLockError::Error(_)) => {} // some file systems have no locks
            }
            let mine = file.metadata().with_context(failed)?;
            // Another run may have given the file its name between the opening and the lock.
            if std::fs::metadata(&path).is_ok_and(|there| is_same(&there, &mine)) {
                return Ok(Self { file, path, target, length: mine.len(), started: false, settings: None });
            }
        }
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

    /// Cuts off what is behind `end`; records go on from there.
    ///
    /// # Errors
    /// If it cannot be cut.
    pub fn go_on_from(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        (self.length, self.started) = (end, true);
        Ok(())
    }

    /// Starts an empty one, and keeps this as [`OLD`].
    ///
    /// # Errors
    /// If it cannot be renamed, or another run took its place.
    pub fn put_aside(&mut self) -> Result<()> {
        let old = self.beside(OLD);
        std::fs::rename(&self.path, &old).with_context(|| format!("{}: cannot be renamed", self.path.display()))?;
        self.started = true; // the one that is left here is no longer at its path
        let settings = self.settings.take();
        *self = Self::open(&self.target)?;
        self.settings = settings;
        Ok(())
    }

    /// Writes the settings beside it, whole.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_settings(&self) -> io::Result<()> {
        let (path, Some(settings)) = (self.beside(SETTINGS), &self.settings) else { return Ok(()) };
        let temporary = with_ending(&path, ".new");
        let mut file = File::create(&temporary)?;
        let written = file.write_all(settings).and_then(|()| file.sync_data());
        let named = written.and_then(|()| std::fs::rename(&temporary, &path));
        if named.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        named
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.file.set_len(0)?;
            self.length = 0;
            for ending in [OLD, SETTINGS] {
                remove(&self.beside(ending))?; // of an earlier run, as what it left
            }
            self.write_settings()?;
        }
        let written = self.file.write_all(record);
        if written.is_err() {
            self.file.set_len(self.length)?; // no part of a record stays
            self.file.seek(SeekFrom::Start(self.length))?;
        } else {
            self.length += record.len() as u64;
        }
        written
    }

    fn finish(mut self) -> io::Result<()> {
        self.write(&[])?; // where no record came, what an earlier run left goes
        self.finish_as(&self.file, &self.path)
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
    /// A run that could not start leaves nothing behind.
    fn drop(&mut self) {
        if !self.started && self.length == 0 {
            let _ = std::fs::remove_file(&self.path); // if it fails, an empty file stays
        }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_path_buf().into_os_string();
    path.push(ending);
    path.into()
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
