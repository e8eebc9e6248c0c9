//! Where records go: standard output, or a file by way of `FILE.partial`. Each record is written whole, and a signal
//! waits for its end.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anstream::AutoStream;
use anyhow::{Context, Result};

use super::super::args::{ColorChoice, Common};
use super::super::{interrupt, progress};

/// What `-o` and `--color` say.
pub struct Place {
    file: Option<PathBuf>,
    color: bool,
}

impl Place {
    /// The place that the flags name; a `FILE.partial` left from a run that was stopped is told about.
    pub fn new(file: Option<&Path>, common: &Common) -> Self {
        let color = match common.color {
            ColorChoice::Auto if file.is_none() => {
                AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
            }
            ColorChoice::Auto | ColorChoice::Never => false,
            ColorChoice::Always => true,
        };
        if let Some(partial) = file.filter(|f| !is_special(f)).map(partial)
            && partial.exists()
        {
            progress::warn(common, format!("{}: left by a run that was stopped; written anew", partial.display()));
        }
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
}

/// A place that opens when it is first written to, so that a run that cannot start leaves nothing behind.
pub struct Sink {
    place: Place,
    open: Option<Open>,
}

struct Open {
    out: Box<dyn Write>,
    /// A file's partial and final name.
    names: Option<(PathBuf, PathBuf)>,
    /// What messages call it.
    name: String,
}

impl Sink {
    /// The sink of a place.
    pub fn new(place: Place) -> Self {
        Self { place, open: None }
    }

    /// Writes a record.
    ///
    /// # Errors
    /// If it cannot be written, or the file cannot be created.
    pub fn write(&mut self, record: &[u8]) -> Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(open(&self.place)?),
        };
        let _held = interrupt::hold();
        let written = open.out.write_all(record).and_then(|()| open.out.flush());
        written.with_context(|| format!("{}: cannot be written", open.name))
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn finish(self) -> Result<()> {
        if let Some((partial, path)) = self.open.and_then(|open| open.names) {
            std::fs::rename(&partial, &path).with_context(|| format!("{}: cannot be renamed", partial.display()))?;
        }
        Ok(())
    }
}

fn open(place: &Place) -> Result<Open> {
    let Some(path) = place.file.clone() else {
        return Ok(Open { out: Box::new(std::io::stdout()), names: None, name: "standard output".to_owned() });
    };
    let special = is_special(&path); // a pipe or device has no partial
    let target = if special { path.clone() } else { partial(&path) };
    let name = target.display().to_string();
    let file = if special { File::options().write(true).open(&target) } else { File::create(&target) };
    let out = Box::new(file.with_context(|| format!("{name}: cannot be written"))?);
    Ok(Open { out, names: (!special).then_some((target, path)), name })
}

/// `FILE.partial`.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// True for a pipe or a device: something that exists and is no file.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| !m.is_file())
}
