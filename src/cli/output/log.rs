//! Writes records, and those of an earlier run in their places between them.

use std::fs::File;
use std::ops::Range;
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};

use super::journal::{Journal, Of, record};
use super::partial::Partial;
use super::sink::Sink;

/// The next step for the writer of records.
pub enum Step {
    /// Records of the earlier run come next.
    Copy(Range<u64>),
    /// A computed record comes next.
    Compute,
}

/// The records of an earlier run.
pub struct EarlierRecords {
    pub journal: Journal,
    pub data: File,
    pub steps: Receiver<Step>,
}

/// Records on their way to the output.
pub struct Log {
    sink: Sink,
    /// The text before the first record, until it is written.
    head: Vec<u8>,
    is_empty: bool,
    source: Option<EarlierRecords>,
    /// Whether a computed record is known to come next.
    is_told: bool,
}

impl Log {
    /// Creates a log that writes to `sink`, with `head` before the first record.
    pub fn new(sink: Sink, head: Vec<u8>) -> Self {
        Self { sink, head, is_empty: true, source: None, is_told: false }
    }

    /// Creates a log that continues the contents of `sink`, with records of an earlier run between the new ones.
    pub fn going_on(mut sink: Sink, head: Vec<u8>, source: Option<EarlierRecords>) -> Self {
        let is_empty = sink.partial().is_none_or(|partial| partial.is_empty());
        Self { sink, head: if is_empty { head } else { Vec::new() }, is_empty, source, is_told: false }
    }

    /// Writes everything before the next computed record. Returns true if that is the first.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn is_first(&mut self) -> Result<bool> {
        self.catch_up()?;
        Ok(self.is_empty)
    }

    /// Writes a record. It may wait for the next ones.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, record: &[u8], of: &Of) -> Result<()> {
        self.catch_up()?;
        self.is_told = false;
        self.put(record, Some(of))
    }

    /// Writes a part of the file that is not a record.
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

    /// Writes everything that waits.
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

    /// Copies the earlier records before the next computed one.
    fn catch_up(&mut self) -> Result<()> {
        let Some(source) = self.source.take() else { return Ok(()) };
        while !self.is_told {
            match source.steps.recv() {
                Ok(Step::Copy(range)) => range.into_iter().try_for_each(|index| self.copy(&source, index))?,
                Ok(Step::Compute) => self.is_told = true,
                Err(_) => return Ok(()), // the sender is gone
            }
        }
        self.source = Some(source);
        Ok(())
    }

    fn copy(&mut self, source: &EarlierRecords, index: u64) -> Result<()> {
        let failed = || format!("{}: the records of the earlier run cannot be read", self.sink.name());
        let entry = source.journal.entry(index).with_context(failed)?;
        let kept = record(&source.data, &entry).with_context(failed)?;
        let kept = kept.with_context(|| format!("{}: a record of the earlier run is damaged", self.sink.name()))?;
        self.put(&kept, Some(&entry.of))
    }

    /// Writes the rest, and returns the sink to be finished.
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
