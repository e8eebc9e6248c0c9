//! Where records go: standard output, or a file by way of `FILE.partial`. Each record is written whole, and a signal
//! waits for its end. A file's partial is opened, and locked, before anything is computed.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anstream::AutoStream;
use anyhow::{Context, Result, bail};
use zsic::source;

use super::super::args::{ColorChoice, Common};
use super::super::fatal::usage;
use super::super::{interrupt, messages};

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
    pub fn open<'a>(&self, read: impl IntoIterator<Item = &'a Path>, common: &Common) -> Result<Sink> {
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
        if partial.length > 0 {
            messages::warn(common, format!("{name}: left by a run that was stopped; written anew"));
        }
        Ok(Sink { out: Out::File(partial), name })
    }
}

/// Refuses to write over what the run reads, and over any image.
fn check_target<'a>(path: &Path, read: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let Ok(target) = std::fs::metadata(path) else { return Ok(()) };
    let name = path.display();
    if target.is_dir() {
        return Err(usage(format!("{name}: is a folder; -o takes the name of a file")));
    }
    if read.into_iter().any(|input| std::fs::metadata(input).is_ok_and(|input| is_same(&input, &target))) {
        return Err(usage(format!("{name}: is read by this run, and cannot be written by it too")));
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
}

/// `FILE.partial`, locked by this run.
struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// The end of the last whole record; before the first, of what an earlier run left.
    length: u64,
    started: bool,
}

impl Partial {
    fn open(target: &Path) -> Result<Self> {
        let target = target.canonicalize().unwrap_or_else(|_| target.to_path_buf()); // a link stays one
        let mut path = target.clone().into_os_string();
        path.push(".partial");
        let path = PathBuf::from(path);
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
                return Ok(Self { file, path, target, length: mine.len(), started: false });
            }
        }
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.file.set_len(0)?;
            self.length = 0;
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
        if let Ok(old) = std::fs::metadata(&self.target) {
            self.file.set_permissions(old.permissions())?;
        }
        std::fs::rename(&self.path, &self.target)
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
