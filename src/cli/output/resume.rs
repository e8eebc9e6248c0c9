//! `--resume` and `--retry-failed`: which records an earlier run leaves, which images are left to do, and how both come
//! together in the order of the inputs. What a record looks like is not known here; see `records.rs`.
//!
//! `FILE.partial` has the first records of the file to be, and `FILE.partial.json` the settings that they were made with.
//! Where failed images are computed again, the records of the run before lie in `FILE.partial.old`, all of them: those
//! that are kept are copied from there, each in its turn. So the partial is at any time a beginning of the file that a
//! run without a stop would write, and a stop loses nothing.

use std::fs::File;
use std::iter::Take;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Error, Result};
use serde_json::Value;
use zsic::source::Entry;

use super::super::args::{Common, LongRun};
use super::super::fatal::{Usage, usage};
use super::super::messages::{say, warn};
use super::partial::{OLD, Partial, SETTINGS, UNMADE, copy, remove};
use super::records::{Form, Held, Record, Records, count};
use super::sink::Sink;
use super::{parquet, provenance};

/// Bytes copied at once, but for a longer record.
const BLOCK: u64 = 1 << 20;

/// What to do about a file that cannot be gone on from.
const ANEW: &str = "without --resume it is written anew";

/// A run whose records cannot be gone on from.
pub fn anew(mut sink: Sink, common: &Common) -> Log {
    let is_left = sink.partial().is_some_and(|partial| partial.is_left());
    if is_left {
        warn(common, format!("{}: left by a run that was stopped; written anew", sink.name()));
    }
    Log::new(sink)
}

/// Where a run's records go, and the images that need none; none if the file is finished. Records begin after those that
/// an earlier run left, if it is to be resumed. The settings of this run are kept beside the partial. `images` bounds how
/// many records that did not fail an earlier run can have left.
///
/// # Errors
/// A usage error if there is no file to resume, or the settings differ; otherwise if a file cannot be read or written.
pub fn start(
    mut sink: Sink,
    form: Form,
    settings: &Value,
    args: &LongRun,
    images: impl FnOnce(&Partial) -> u64,
    common: &Common,
) -> Result<Option<(Log, Done)>> {
    let name = sink.name().to_owned();
    let Some(partial) = sink.partial() else {
        if args.resume {
            return Err(usage(format!("{name}: is no file, and cannot be resumed")));
        }
        return Ok(Some((Log::new(sink), Done::default())));
    };
    partial.set_settings(serde_json::to_vec_pretty(settings)?);
    let old = partial.beside(OLD);
    if !args.resume {
        if partial.is_left() || old.exists() {
            warn(
                common,
                format!("{name}: left by a run that was stopped; written anew, where --resume goes on from it"),
            );
        }
        return Ok(Some((Log::new(sink), Done::default())));
    }
    let failed = || format!("{name}: cannot be read");
    let mut held = if partial.is_left() || old.exists() {
        check_settings(partial, settings)?;
        count(partial.path(), form, true, images(partial)).with_context(failed)?
    } else {
        Held::default()
    };
    let target = partial.target().to_path_buf();
    let is_finished = std::fs::metadata(&target).is_ok_and(|file| file.is_file() && file.len() > 0);
    if old.exists() {
        partial.go_on_from(held.end).with_context(failed)?;
    } else if held.records == 0 && is_finished && !partial.is_left() {
        if !args.retry_failed || !begin_again(partial, form, settings)? {
            let what = if args.retry_failed { "is finished, and no image of it failed" } else { "is finished" };
            say(common, format!("{}: {what}; nothing to do", target.display()));
            partial.remove_rest()?;
            return Ok(None);
        }
    } else if args.retry_failed && held.failed > 0 {
        partial.go_on_from(held.end).with_context(failed)?;
        partial.put_aside()?;
        held = Held::default();
    } else if held.records > 0 {
        partial.go_on_from(held.end).with_context(failed)?;
    } else {
        return Ok(Some((Log::new(sink), Done::default()))); // nothing to resume
    }
    go_on(sink, form, held.records, args.retry_failed, common)
}

/// Takes a finished file as the records to be kept, if some of them failed.
fn begin_again(partial: &mut Partial, form: Form, settings: &Value) -> Result<bool> {
    let target = partial.target().to_path_buf();
    let name = target.display();
    let unmade = partial.beside(UNMADE);
    let is_made = settings["format"] == "parquet";
    if is_made {
        partial.makes(UNMADE);
        unmake(&target, &unmade, settings)?;
    }
    let records = if is_made { &unmade } else { &target };
    let counted = count(records, form, false, u64::MAX).and_then(|held| Ok((held, std::fs::metadata(records)?.len())));
    if !counted.as_ref().is_ok_and(|(held, length)| held.end == *length) {
        remove(&unmade)?;
    }
    let (held, length) = counted.with_context(|| format!("{name}: cannot be read"))?;
    if held.end != length {
        return Err(usage(format!("{name}: has no records like those of this run; {ANEW}")));
    }
    if held.failed == 0 {
        remove(&unmade)?;
        return Ok(false);
    }
    let keep = |old: &Path| {
        if is_made {
            std::fs::rename(&unmade, old)
        } else {
            std::fs::hard_link(&target, old).or_else(|_| copy(&target, old))
        }
    };
    partial.begin_again(keep).with_context(|| format!("{name}: what is computed again cannot be written beside it"))?;
    Ok(true)
}

/// Writes the journal that a finished Parquet file was made from. What it was made with must be the settings of this run.
fn unmake(target: &Path, journal: &Path, settings: &Value) -> Result<()> {
    let name = target.display();
    let unlike = |e: Error| usage(format!("{name}: has no records like those of this run: {e:#}; {ANEW}"));
    let mut earlier = parquet::made_with(target).map_err(unlike)?;
    earlier.as_object_mut().and_then(|made| made.remove("counts"));
    if let Some(what) = provenance::difference(&earlier, settings) {
        return Err(usage(format!("{name}: was made with other settings: {what}; {ANEW}")));
    }
    let labels = settings["labels"].as_array().into_iter().flatten();
    let labels: Vec<String> = labels.filter_map(|label| label.as_str().map(str::to_owned)).collect();
    let mut file = File::create(journal).with_context(|| format!("{}: cannot be written", journal.display()))?;
    let unmade = parquet::unmake(target, &mut file, &labels);
    if unmade.is_err() {
        remove(journal)?;
    }
    unmade.with_context(|| format!("{name}: its records cannot be taken out of it"))
}

/// The settings beside the partial must be those of this run.
fn check_settings(partial: &Partial, settings: &Value) -> Result<()> {
    let name = partial.path().display();
    let beside = std::fs::read(partial.beside(SETTINGS)).ok();
    let Some(earlier) = beside.and_then(|json| serde_json::from_slice::<Value>(&json).ok()) else {
        let reason = format!("{name}: there is no {name}{SETTINGS} that says how it was made; {ANEW}");
        return Err(usage(reason));
    };
    match provenance::difference(&earlier, settings) {
        None => Ok(()),
        Some(what) => Err(usage(format!("{name}: was made with other settings: {what}; {ANEW}"))),
    }
}

/// Goes on after the first `records` of the partial, and with those of the run before if there are such.
fn go_on(mut sink: Sink, form: Form, records: u64, retry: bool, common: &Common) -> Result<Option<(Log, Done)>> {
    let name = sink.name().to_owned();
    let failed = || format!("{name}: cannot be read");
    let Some(partial) = sink.partial() else { return Ok(Some((Log::new(sink), Done::default()))) };
    let (path, old, refused) = (partial.path().to_path_buf(), partial.beside(OLD), partial.refused());
    let partial = Records::open(&path, form).with_context(failed)?.take(records as usize);
    let mut done = Done { name: name.clone(), partial: Some(partial), retry, refused, ..Done::default() };
    let mut log = Log { is_empty: records == 0, ..Log::new(sink) };
    if old.exists() {
        let (sender, steps) = channel();
        done.old = Some(Records::open(&old, form).with_context(failed)?);
        done.steps = Some(sender);
        log.old = Some(Old { file: File::open(&old).with_context(failed)?, steps, is_told: false, check: None });
    }
    let again = if log.old.is_some() { "; those that failed are computed again" } else { "" };
    say(common, format!("{name}: goes on after {records} of its images{again}"));
    Ok(Some((log, done)))
}

/// What the walk over the inputs tells the writer of records about those of `FILE.partial.old`.
enum Step {
    /// These are kept.
    Copy(Range<u64>),
    /// The next record that is computed stands for none of them, or for one that failed.
    Compute,
    /// The next record that is computed must be this one: it shows that the settings are those of the file.
    Check(Range<u64>),
}

/// Records on their way to their place, with those of an earlier run between them.
pub struct Log {
    sink: Sink,
    is_empty: bool,
    old: Option<Old>,
}

struct Old {
    file: File,
    steps: Receiver<Step>,
    /// Whether it is known what the next record is.
    is_told: bool,
    /// What the next record must be.
    check: Option<Range<u64>>,
}

impl Log {
    /// Records to `sink`, none of them there yet.
    pub fn new(sink: Sink) -> Self {
        Self { sink, is_empty: true, old: None }
    }

    /// Writes what comes before the next record. True if that is the first.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn is_first(&mut self) -> Result<bool> {
        self.catch_up()?;
        Ok(self.is_empty)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// If it cannot be written; a usage error if it should be that of an earlier run, and is not.
    pub fn write(&mut self, record: &[u8]) -> Result<()> {
        self.catch_up()?;
        if let Some(old) = &mut self.old
            && let Some(range) = old.check.take()
            && old.read(range)? != record
        {
            if let Some(partial) = self.sink.partial() {
                partial.refused().store(true, Ordering::Release);
            }
            let record = String::from_utf8_lossy(record);
            let shown: String = record.trim_end().chars().take(120).collect();
            let reason = "the earlier file was made with other settings, or from another image: of one that did not fail there this comes out now";
            return Err(usage(format!("{}: {reason}: {shown}", self.sink.name())));
        }
        self.is_empty = false;
        self.sink.write(record)?;
        if let Some(old) = &mut self.old {
            old.is_told = false;
        }
        Ok(())
    }

    /// Makes the place ready, without a record yet: what an earlier run left is gone, but for what this one goes on from.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&mut self) -> Result<()> {
        self.sink.write(&[])
    }

    /// The partial, if records go to a file.
    pub fn partial(&mut self) -> Option<&mut Partial> {
        self.sink.partial()
    }

    /// Copies what is kept before the next record that is computed.
    fn catch_up(&mut self) -> Result<()> {
        let Some(old) = &mut self.old else { return Ok(()) };
        while !old.is_told {
            match old.steps.recv() {
                Ok(Step::Copy(range)) => {
                    let kept = old.read(range)?;
                    self.sink.write(&kept)?;
                    self.is_empty = false;
                }
                Ok(Step::Compute) => old.is_told = true,
                Ok(Step::Check(range)) => (old.check, old.is_told) = (Some(range), true),
                Err(_) => return Ok(()), // there are no more
            }
        }
        Ok(())
    }

    /// Writes what is left, and gives the place to be finished.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn into_sink(mut self) -> Result<Sink> {
        self.catch_up()?;
        Ok(self.sink)
    }
}

impl Old {
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.read_exact_at(&mut bytes, range.start).context("the records of the earlier run cannot be read")?;
        Ok(bytes)
    }
}

/// What an earlier run has done: the images that need not be computed.
#[derive(Default)]
pub struct Done {
    /// What messages call the partial.
    name: String,
    /// The records that are in the partial already.
    partial: Option<Take<Records>>,
    /// Those of the run before, where failed images are computed again.
    old: Option<Records>,
    retry: bool,
    steps: Option<Sender<Step>>,
    /// Records of the run before that are kept, and not told yet.
    kept: Range<u64>,
    /// Whether a record was asked for that shows the settings.
    checked: bool,
    at: u64,
    earlier: Arc<Earlier>,
    /// Set where the inputs are not those of the records; see [`Partial::refused`].
    refused: Arc<AtomicBool>,
}

/// Counts of the images that need not be computed.
#[derive(Debug, Default)]
pub struct Earlier {
    images: AtomicU64,
    failed: AtomicU64,
}

impl Earlier {
    /// Images, and those that failed among them. Final when the last entry was taken.
    pub fn counts(&self) -> (u64, u64) {
        (self.images.load(Ordering::Acquire), self.failed.load(Ordering::Acquire))
    }

    fn add(&self, record: &Record) {
        self.images.fetch_add(1, Ordering::Release);
        self.failed.fetch_add(u64::from(record.failed), Ordering::Release);
    }
}

impl Done {
    /// The counts of what is left out.
    pub fn earlier(&self) -> Arc<Earlier> {
        Arc::clone(&self.earlier)
    }

    /// Those of `entries` that are left to do. If they are not those of the earlier run, they end, and `failure` says
    /// why.
    pub fn skip<I: Iterator<Item = Entry>>(self, entries: I, failure: Arc<Mutex<Option<Error>>>) -> Rest<I> {
        Rest { entries, done: Some(self), failure }
    }

    /// Whether the next entry is left to do. None stands for the end.
    fn is_left(&mut self, entry: Option<&Entry>) -> Result<bool> {
        let partial = self.partial.as_mut().and_then(Iterator::next).transpose();
        let old = self.old.as_mut().and_then(Iterator::next).transpose();
        let unreadable = || format!("{}: cannot be read", self.name);
        let (partial, old) = (partial.with_context(unreadable)?, old.with_context(unreadable)?);
        self.at += 1;
        if let Some(record) = partial {
            self.compare(&record, entry)?;
            self.earlier.add(&record);
            let end = old.map_or(0, |old| old.end);
            self.kept = end..end;
            return Ok(false);
        }
        let Some(record) = old else {
            self.tell(entry.map(|_| Step::Compute));
            return Ok(true);
        };
        self.compare(&record, entry)?;
        let range = self.kept.end..record.end;
        let step = if record.failed && self.retry {
            Step::Compute
        } else if !record.failed && !std::mem::replace(&mut self.checked, true) {
            Step::Check(range.clone())
        } else {
            self.earlier.add(&record);
            self.kept.end = range.end;
            if self.kept.end - self.kept.start >= BLOCK {
                self.tell(None);
            }
            return Ok(false);
        };
        self.tell(Some(step));
        self.kept = range.end..range.end;
        Ok(true)
    }

    /// Tells the writer what is kept, and what comes then.
    fn tell(&mut self, step: Option<Step>) {
        let Some(steps) = &self.steps else { return };
        let copy = (!self.kept.is_empty()).then(|| Step::Copy(self.kept.clone()));
        self.kept.start = self.kept.end;
        for step in copy.into_iter().chain(step) {
            let _ = steps.send(step); // an error: the run has ended
        }
    }

    fn compare(&self, record: &Record, entry: Option<&Entry>) -> Result<()> {
        let name = entry.map(|entry| match entry {
            Ok(input) => input.name(),
            Err((name, _)) => name.clone(),
        });
        let there = match name {
            Some(name) if name.as_str() == record.name => return Ok(()),
            Some(name) => format!("have `{name}` there"),
            None => "end before it".to_owned(),
        };
        let (file, at, image) = (&self.name, self.at, &record.name);
        let advice = "name the inputs of the earlier run, or leave --resume out to begin anew";
        Err(usage(format!("{file}: record {at} is of `{image}`, and the inputs {there}; {advice}")))
    }
}

/// The entries that are left to do.
pub struct Rest<I> {
    entries: I,
    /// None after the end.
    done: Option<Done>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl<I: Iterator<Item = Entry>> Iterator for Rest<I> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let done = self.done.as_mut()?;
            let entry = self.entries.next();
            let left = done.is_left(entry.as_ref());
            if left.as_ref().is_err_and(|e| e.is::<Usage>()) {
                done.refused.store(true, Ordering::Release);
            }
            if entry.is_none() || left.is_err() {
                self.done = None; // and with it the steps end
            }
            match left {
                Ok(false) => {}
                Ok(true) => return entry,
                Err(e) => {
                    self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                    return None;
                }
            }
        }
    }
}
