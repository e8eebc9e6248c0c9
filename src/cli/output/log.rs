//! Records on their way to their place, with those of an earlier run between them where they belong.

use std::fs::File;
use std::ops::Range;
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};

use super::journal::{Journal, Of, record};
use super::partial::Partial;
use super::sink::Sink;

/// What the walk over the inputs tells the writer of records.
pub enum Step {
    /// These records of the earlier run come next.
    Copy(Range<u64>),
    /// A record that is computed comes next.
    Compute,
}

/// The records of an earlier run.
pub struct Source {
    pub journal: Journal,
    pub data: File,
    pub steps: Receiver<Step>,
}

/// Records on their way.
pub struct Log {
    sink: Sink,
    /// What comes before the first record, until it is there.
    head: Vec<u8>,
    is_empty: bool,
    source: Option<Source>,
    /// Whether it is known that a computed record comes next.
    is_told: bool,
}

impl Log {
    /// Records to `sink`, `head` before the first.
    pub fn new(sink: Sink, head: Vec<u8>) -> Self {
        Self { sink, head, is_empty: true, source: None, is_told: false }
    }

    /// Records to `sink`, which go on from what is there, with those of an earlier run between them.
    pub fn going_on(mut sink: Sink, head: Vec<u8>, source: Option<Source>) -> Self {
        let is_empty = sink.partial().is_none_or(|partial| partial.is_empty());
        Self { sink, head: if is_empty { head } else { Vec::new() }, is_empty, source, is_told: false }
    }

    /// Writes what comes before the next record that is computed. True if that is the first.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn is_first(&mut self) -> Result<bool> {
        self.catch_up()?;
        Ok(self.is_empty)
    }

    /// Writes a record, with those that come soon.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, record: &[u8], of: &Of) -> Result<()> {
        self.catch_up()?;
        self.is_told = false;
        self.put(record, Some(of))
    }

    /// Writes a part of the file that is no record.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_rest(&mut self, text: &[u8]) -> Result<()> {
        self.put(text, None)
    }

    fn put(&mut self, record: &[u8], of: Option<&Of>) -> Result<()> {
        self.is_empty = false;
        if !self.head.is_empty() {
            self.sink.write(&std::mem::take(&mut self.head), None)?;
        }
        self.sink.write(record, of)
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.sink.flush()
    }

    /// Returns the partial, if records go to a file.
    pub fn partial(&mut self) -> Option<&mut Partial> {
        self.sink.partial()
    }

    /// Copies what comes before the next record that is computed.
    fn catch_up(&mut self) -> Result<()> {
        let Some(source) = self.source.take() else { return Ok(()) };
        while !self.is_told {
            match source.steps.recv() {
                Ok(Step::Copy(range)) => range.into_iter().try_for_each(|index| self.copy(&source, index))?,
                Ok(Step::Compute) => self.is_told = true,
                Err(_) => return Ok(()), // there are no more
            }
        }
        self.source = Some(source);
        Ok(())
    }

    fn copy(&mut self, source: &Source, index: u64) -> Result<()> {
        let failed = || format!("{}: the records of the earlier run cannot be read", self.sink.name());
        let entry = source.journal.entry(index).with_context(failed)?;
        let kept = record(&source.data, &entry).with_context(failed)?;
        let kept = kept.with_context(|| format!("{}: a record of the earlier run is damaged", self.sink.name()))?;
        self.put(&kept, Some(&entry.of))
    }

    /// Writes what is left, and gives the place to be finished.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn into_sink(mut self) -> Result<Sink> {
        self.catch_up()?;
        if !self.head.is_empty() {
            self.sink.write(&std::mem::take(&mut self.head), None)?;
        }
        Ok(self.sink)
    }
}
