//! `--meta`: the settings of an output, its counts, and the circumstances of the run, which affect no record.

use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::super::args::Common;
use super::super::fatal::usage;
use super::super::report::date;
use super::made_with::MadeWith;
use super::{Earlier, Place, Sink, ending, families};

/// The settings and counts of the records: equal for all runs that wrote the same records.
#[derive(Serialize)]
pub struct Facts<'a> {
    #[serde(flatten)]
    pub made_with: &'a MadeWith,
    pub counts: Counts,
}

/// A run with these facts.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    facts: &'a Facts<'a>,
    run: Circumstances,
}

/// The circumstances of a run.
#[derive(Serialize)]
struct Circumstances {
    started: String,
    ended: String,
    seconds: f64,
    threads: usize,
    batch_size: u16,
}

/// The file of `--meta`, while it is written.
pub struct Meta {
    sink: Option<Sink>,
    date: SystemTime,
    start: Instant,
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Counts {
    /// Images, or texts, that have a record.
    pub records: u64,
    /// Images that failed.
    pub failed: u64,
    /// Files in folders that are not images.
    pub skipped: u64,
}

impl Counts {
    /// Counts a run that wrote `new` records (all, and failures) after those of an `earlier` one.
    pub fn new(new: (u64, u64), earlier: &Earlier, skipped: u64) -> Self {
        let (records, failed) = earlier.counts();
        Self { records: records + new.0, failed: failed + new.1, skipped }
    }
}

impl Meta {
    /// Opens the file, if one is named. `read` are the files that the run reads, and `output` is the file that it
    /// writes.
    ///
    /// # Errors
    /// A usage error if it is one of those; otherwise if it cannot be written.
    pub fn open<'a>(
        file: Option<&Path>,
        output: Option<&Path>,
        read: impl IntoIterator<Item = &'a Path>,
        common: &Common,
    ) -> Result<Self> {
        let (date, start) = (SystemTime::now(), Instant::now());
        let Some(file) = file else { return Ok(Self { sink: None, date, start }) };
        if file == Path::new("-") {
            return Err(usage("--meta takes the name of a file; standard output is for records"));
        }
        let outputs = families(output); // however their names are written
        if families([file]).iter().any(|own| outputs.contains(own)) {
            return Err(usage(format!("{}: is what -o writes; --meta needs another name", file.display())));
        }
        let place = Place::new(Some(file), common);
        if let Some(ending) = place.ending().filter(|ending| ending::names_another(ending, &["json", "txt"])) {
            return Err(ending::refuse(&place.name(), &ending, "the facts of a run", &[".json"]));
        }
        Ok(Self { sink: Some(place.open(read)?), date, start })
    }

    /// Writes it like [`Self::write`] if it does not exist yet: this run had nothing to do.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_missing(mut self, facts: &Facts, batch_size: u16, threads: usize) -> Result<()> {
        let partial = self.sink.as_mut().and_then(Sink::partial);
        if partial.is_some_and(|partial| partial.target().exists()) {
            return Ok(());
        }
        self.write(facts, batch_size, threads)
    }

    /// Writes the settings of the records, their counts, and the circumstances of the run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(self, facts: &Facts, batch_size: u16, threads: usize) -> Result<()> {
        let Some(mut sink) = self.sink else { return Ok(()) };
        let run = Circumstances {
            started: date(self.date),
            ended: date(SystemTime::now()),
            seconds: self.start.elapsed().as_millis() as f64 / 1000.0,
            threads,
            batch_size,
        };
        let meta = Told { facts, run };
        sink.write((serde_json::to_string_pretty(&meta)? + "\n").as_bytes(), None)?;
        sink.finish()
    }
}
