//! The remaining images: those without a usable record of an earlier run.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result};
use zsic::source::{Entry, Name};

use super::super::inputs::ListFailure;
use super::journal::Key;
use super::kept::{Kept, missing};
use super::log::Step;
use super::records::Form;
use zsic::pipeline::Version;

/// The most records copied in one step.
const TOGETHER: u64 = 4096;

/// Counts of the images with records.
#[derive(Debug, Default)]
pub struct Earlier {
    images: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Earlier {
    /// Returns the number of images, and of failures among them. Final when the last entry was taken.
    pub fn counts(&self) -> (u64, u64) {
        (self.images.load(Ordering::Acquire), self.failed.load(Ordering::Acquire))
    }

    /// Returns the number of dropped records, whose images are not among the inputs.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }

    /// Counts an image.
    pub fn add(&self, failed: bool) {
        self.images.fetch_add(1, Ordering::Release);
        self.failed.fetch_add(failed.into(), Ordering::Release);
    }
}

/// Finds the records to keep, and sends them to the writer.
pub struct Matching {
    kept: Kept,
    steps: Sender<Step>,
    form: Form,
    drop_missing: bool,
    /// The finished file's name, for messages.
    name: String,
    /// Records to copy next, not yet sent.
    copied: Range<u64>,
    earlier: Arc<Earlier>,
}

impl Matching {
    /// Creates a matching with the records in `kept`.
    pub fn new(
        kept: Kept,
        steps: Sender<Step>,
        form: Form,
        drop_missing: bool,
        name: String,
        earlier: Arc<Earlier>,
    ) -> Self {
        Self { kept, steps, form, drop_missing, name, copied: 0..0, earlier }
    }

    /// Returns whether the image of the next entry must be computed.
    fn must_compute(&mut self, entry: &Entry) -> Result<bool> {
        let key = Key::of(name_of(entry).as_str());
        let found = self.kept.find(&key, Version::now(entry));
        let found = found.with_context(|| format!("{}: the earlier records cannot be read", self.name))?;
        let Some((index, record)) = found else {
            self.tell(Some(Step::Compute));
            return Ok(true);
        };
        self.earlier.add(record.of.failed);
        if index != self.copied.end || self.copied.end - self.copied.start >= TOGETHER {
            self.tell(None);
            self.copied = index..index;
        }
        self.copied.end += 1;
        Ok(false)
    }

    /// Sends the copies and the next step.
    fn tell(&mut self, step: Option<Step>) {
        let copy = (!self.copied.is_empty()).then(|| Step::Copy(self.copied.clone()));
        self.copied.start = self.copied.end;
        for step in copy.into_iter().chain(step) {
            _ = self.steps.send(step); // an error: the run has ended
        }
    }

    /// Ends the matching at the end of the inputs.
    fn end(mut self) -> Result<()> {
        self.tell(None);
        let failed = || format!("{}: the earlier records cannot be read", self.name);
        let (count, first) = self.kept.missing().with_context(failed)?;
        if count > 0 && !self.drop_missing {
            let first = first.and_then(|entry| self.kept.record(&entry).ok()?);
            return Err(missing(&self.name, count, first.and_then(|record| self.form.name(&record))));
        }
        self.earlier.dropped.store(count, Ordering::Release);
        Ok(())
    }
}

/// The remaining entries.
pub struct Rest {
    entries: Box<dyn Iterator<Item = Entry> + Send>,
    matching: Option<Box<Matching>>,
    failure: ListFailure,
    earlier: Arc<Earlier>,
}

impl Rest {
    /// Leaves all entries.
    pub fn all(entries: impl Iterator<Item = Entry> + Send + 'static) -> Self {
        Self::after(entries, Arc::default())
    }

    /// Leaves these entries, after `earlier` ones.
    pub fn after(entries: impl Iterator<Item = Entry> + Send + 'static, earlier: Arc<Earlier>) -> Self {
        Self { entries: Box::new(entries), matching: None, failure: ListFailure::default(), earlier }
    }

    /// Leaves the entries for which `matching` finds no record. A failure goes to `failure`.
    pub fn beside(
        entries: impl Iterator<Item = Entry> + Send + 'static,
        matching: Matching,
        earlier: Arc<Earlier>,
        failure: ListFailure,
    ) -> Self {
        Self { entries: Box::new(entries), matching: Some(Box::new(matching)), failure, earlier }
    }

    /// Returns the counts of entries with records.
    pub fn earlier(&self) -> Arc<Earlier> {
        Arc::clone(&self.earlier)
    }

    fn fail(&mut self, e: anyhow::Error) {
        self.entries = Box::new(std::iter::empty());
        self.matching = None; // this also ends the steps
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
    }
}

impl Iterator for Rest {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let entry = self.entries.next();
            let Some(matching) = &mut self.matching else { return entry };
            let Some(entry) = entry else {
                let is_broken = self.failure.lock().is_ok_and(|failure| failure.is_some());
                let ended = self.matching.take().filter(|_| !is_broken).map_or(Ok(()), |matching| matching.end());
                ended.unwrap_or_else(|e| self.fail(e));
                return None;
            };
            match matching.must_compute(&entry) {
                Ok(true) => return Some(entry),
                Ok(false) => {}
                Err(e) => self.fail(e),
            }
        }
    }
}

/// Returns the name of an entry.
pub fn name_of(entry: &Entry) -> Name {
    entry.as_ref().map_or_else(|(name, _)| name.clone(), |input| input.name())
}
