//! Where records go: standard output, or a file by way of `FILE.partial`. Each record is written whole, and a signal
//! waits for its end. A file's partial is opened, and locked, before anything is computed; see `partial.rs`.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anstream::AutoStream;
use anyhow::{Context, Result, bail};
use zsic::source;
use zsic::system::file::FileId;

use super::super::args::{ColorChoice, Common};
use super::super::fatal::usage;
use super::super::interrupt;
use super::super::stdout::{self, Patient};
use super::beside::family;
use super::ending;
use super::journal::Of;
use super::partial::Partial;

/// What `-o` and `--color` say.
pub struct Place {
    file: Option<PathBuf>,
    color: bool,
}

impl Place {
    /// Creates the place that the flags name; `-` is standard output.
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

    /// Returns whether it is standard output.
    pub fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Returns whether records scroll by on a terminal.
    pub fn is_terminal(&self) -> bool {
        self.file.is_none() && std::io::stdout().is_terminal()
    }

    /// Returns whether records go to a regular file, existing or new, and not to a pipe or device.
    pub fn is_file(&self) -> bool {
        self.file.as_ref().is_some_and(|path| std::fs::metadata(path).map_or(true, |m| m.is_file() || m.is_dir()))
    }

    /// Returns whether the ending of the file has no meaning: the file is a pipe or device, or has the name of an
    /// image, which [`Self::open`] refuses.
    pub fn promises_nothing(&self) -> bool {
        let is_input = |file: &PathBuf| source::is_image_name(file) || source::is_tar_name(file);
        !self.is_file() || self.file.as_ref().is_some_and(is_input)
    }

    /// Returns whether tables are coloured.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Returns what follows the last dot of the file's name, in lower case.
    pub fn ending(&self) -> Option<String> {
        ending::of(self.file.as_ref()?)
    }

    /// Returns its name for messages.
    pub fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "standard output".to_owned(), |file| file.display().to_string())
    }

    /// Returns the cells in a line.
    pub fn width(&self) -> usize {
        let cells = if self.is_terminal() { terminal_size::terminal_size() } else { None };
        cells.map_or(80, |(terminal_size::Width(cells), _)| usize::from(cells))
    }

    /// Opens the place, without writing yet. `read` are the files that the run reads.
    ///
    /// # Errors
    /// A usage error if the file is one of those, is an image, or is named like one. Another error if it cannot be
    /// written, if another run is writing it, or if standard output is closed.
    pub fn open<'a>(&self, read: impl IntoIterator<Item = &'a Path>) -> Result<Sink> {
        let Some(path) = &self.file else {
            return Ok(Sink { out: Out::Stdout(stdout::RecordOut::open()?), name: "standard output".to_owned() });
        };
        if std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            let name = path.display().to_string();
            let file = File::options().write(true).open(path).with_context(|| format!("{name}: cannot be written"))?;
            return Ok(Sink { out: Out::Device(Patient(file)), name }); // a pipe or device has no partial
        }
        check_target(path, read)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
            bail!("{}: no such folder", folder.display());
        }
        let partial = Partial::open(path)?;
        let name = partial.path().display().to_string();
        Ok(Sink { out: Out::File(Box::new(partial)), name })
    }
}

/// Refuses to write over what the run reads, and over any image.
fn check_target<'a>(path: &Path, read: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let read: Vec<FileId> = read.into_iter().filter_map(|input| FileId::at(input).ok()).collect();
    for written in family(path) {
        let name = written.display();
        let Ok(file) = FileId::at(&written) else { continue };
        if read.contains(&file) {
            return Err(usage(format!("{name}: is an input of this run and cannot be its output too")));
        }
    }
    let name = path.display();
    let kind = if source::is_image_name(path) { "an image" } else { "a tar of images" };
    if source::is_image_name(path) || source::is_tar_name(path) {
        let reason = format!("is named like {kind}, and later runs would read it as one; give it another ending");
        return Err(usage(format!("{name}: {reason}")));
    }
    if path.is_dir() || path.as_os_str().to_string_lossy().ends_with(std::path::is_separator) {
        return Err(usage(format!("{name}: names a folder; give the name of a file")));
    }
    let mut head = Vec::new();
    let is_read = File::open(path).and_then(|file| file.take(source::HEAD).read_to_end(&mut head));
    if is_read.is_ok() && source::is_image(&head) {
        return Err(usage(format!("{name}: is an image; delete it first to write to this name")));
    }
    Ok(())
}

/// An open place.
pub struct Sink {
    out: Out,
    /// Its name for messages.
    name: String,
}

enum Out {
    Stdout(stdout::RecordOut),
    Device(Patient<File>),
    File(Box<Partial>),
}

impl Sink {
    /// Writes a record, or another part of the output. It may wait for the next ones.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, record: &[u8], of: Option<&Of>) -> Result<()> {
        let _held = interrupt::hold();
        let written = match &mut self.out {
            Out::Stdout(out) => out.add(record),
            Out::Device(file) => file.write_all(record),
            Out::File(partial) => partial.add(record, of),
        };
        written.with_context(|| format!("{}: cannot be written", self.name))
    }

    /// Writes what waits for it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        let _held = interrupt::hold();
        let written = match &mut self.out {
            Out::Stdout(out) => out.flush(),
            Out::Device(_) => Ok(()),
            Out::File(partial) => partial.flush(),
        };
        written.with_context(|| format!("{}: cannot be written", self.name))
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn finish(mut self) -> Result<()> {
        match self.out {
            Out::File(partial) => partial.finish(),
            Out::Stdout(_) | Out::Device(_) => self.flush(),
        }
    }

    /// Makes the file from the records in its partial, and gives it its name. The partial stays until then.
    ///
    /// # Errors
    /// The error of `make`, and a failure to write or rename the file.
    pub fn finish_made(self, make: impl FnOnce(&Path, &mut File) -> Result<()>) -> Result<()> {
        let Out::File(partial) = self.out else { return Ok(()) }; // making a file needs a partial
        partial.finish_made(make)
    }

    /// Returns the partial, if a file is written.
    pub fn partial(&mut self) -> Option<&mut Partial> {
        if let Out::File(partial) = &mut self.out { Some(partial) } else { None }
    }

    /// Returns its name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }
}
