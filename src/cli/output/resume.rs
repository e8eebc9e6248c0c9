//! `--resume` and `--retry-failed`: finds the records of an earlier run and the images that remain, and merges both in
//! the order of the inputs.
//!
//! `FILE.partial` has the first records of the final file, `FILE.partial.json` their settings, and
//! `FILE.partial.journal` the image of each record. As long as the inputs are the images of those records, unchanged
//! and in the same order, the records stay in place. From the first difference on, the records of the partial, or of a
//! finished file, move to `FILE.partial.old`. Then the record of each unchanged image is copied from there in its turn,
//! and all others are computed. So the partial is always a beginning of the file that an uninterrupted run would write,
//! and a stop loses nothing.

mod check;

use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result};
use zsic::source::Entry;

use super::super::args::{Common, Inputs, LongRun};
use super::super::fatal::usage;
use super::super::inputs::{Entries, ListFailure};
use super::super::interrupt;
use super::super::messages::{say, warn};
use super::beside::{OLD, OLD_JOURNAL};
use super::journal::{Journal, Key};
use super::kept::Kept;
use super::log::{EarlierRecords, Log, Step};
use super::made_with::MadeWith;
use super::notes::Notes;
use super::records::Form;
use super::rest::{Earlier, Matching, Rest, name_of};
use super::sink::Sink;
use zsic::pipeline::Version;

/// What to do about a file that cannot be continued.
const ANEW: &str = "run without --resume to start over";

/// A run that may continue an earlier one.
pub struct Resume<'a> {
    /// The layout of records in the file.
    pub form: Form,
    /// What determines the records.
    pub made_with: &'a MadeWith,
    /// The flags about it.
    pub args: &'a LongRun,
    /// Where the images come from.
    pub inputs: &'a Inputs,
    /// Why the list of inputs could not be read to its end.
    pub list_failure: ListFailure,
    /// The notes of finished files.
    pub notes: Notes,
    /// The flags about messages.
    pub common: &'a Common,
}

/// How a run begins.
pub enum Start {
    /// The file is finished, and nothing has changed since.
    Finished(Arc<Earlier>),
    /// Records of the remaining images go to the log.
    Going(Log, Rest),
}

/// Begins an output that cannot be continued.
///
/// # Errors
/// If the settings cannot be written as JSON.
pub fn anew(mut sink: Sink, made_with: &MadeWith, common: &Common) -> Result<Log> {
    if let Some(partial) = sink.partial() {
        partial.set_settings(serde_json::to_vec_pretty(made_with)?);
        if partial.is_left() {
            warn(common, format!("{}: left by a run that was stopped; starting over", partial.path().display()));
        }
    }
    Ok(Log::new(sink, Vec::new()))
}

impl Resume<'_> {
    /// Decides where records go, and which of `entries` need one.
    ///
    /// # Errors
    /// A usage error if there is no file to resume, the settings differ, or images of earlier records are missing;
    /// otherwise if a file cannot be read or written.
    pub fn start(&self, mut sink: Sink, entries: Entries) -> Result<Start> {
        let name = sink.name().to_owned();
        if matches!(self.form, Form::Whole) {
            if self.args.resume {
                let reason = "cannot be resumed; jsonl, csv and parquet can";
                return Err(usage(format!("{} {reason}", self.made_with.format())));
            }
            return Ok(Start::Going(anew(sink, self.made_with, self.common)?, Rest::all(entries)));
        }
        let Some(partial) = sink.partial() else {
            if self.args.resume {
                return Err(usage(format!("{name}: is not a regular file, and cannot be resumed")));
            }
            return self.all(sink, entries);
        };
        partial.set_settings(serde_json::to_vec_pretty(self.made_with)?);
        partial.keep_journal(self.notes.clone());
        if !self.common.quiet {
            let way = "keeps the records so far; run the same command with --resume to continue";
            interrupt::say_when_stopped(partial.path(), format!("{name} {way}"));
        }
        let is_left = partial.is_left() || partial.open_beside(OLD_JOURNAL)?.is_some();
        if !self.args.resume {
            if is_left {
                let reason = "left by a run that was stopped; starting over (--resume continues it)";
                warn(self.common, format!("{name}: {reason}"));
            }
            return self.all(sink, entries);
        }
        let is_finished = std::fs::metadata(partial.target()).is_ok_and(|file| file.is_file() && file.len() > 0);
        match (is_left, is_finished) {
            (true, _) => self.go_on(sink, entries),
            (false, true) => self.add(sink, entries),
            (false, false) => self.all(sink, entries), // nothing to resume
        }
    }

    /// Begins a run in which every image remains.
    fn all(&self, sink: Sink, entries: Entries) -> Result<Start> {
        Ok(Start::Going(Log::new(sink, self.form.head()?), Rest::all(entries)))
    }

    /// Continues a partial, and records that were put aside.
    fn go_on(&self, mut sink: Sink, mut entries: Entries) -> Result<Start> {
        let name = sink.name().to_owned();
        let failed = || format!("{name}: cannot be read");
        let partial = sink.partial().with_context(failed)?;
        self.check_settings(partial)?;
        let there = self.journal_of(partial)?;
        let has_old = partial.open_beside(OLD_JOURNAL)?.is_some();
        // If records were put aside, those in the partial were computed later, or are kept on purpose.
        let failed_too = has_old || !self.args.retry_failed;
        let mut there = Kept::new(there, Some(partial.reader().with_context(failed)?), failed_too);
        let earlier = Arc::<Earlier>::default();
        let next = self.pass(&mut entries, &mut there, false, &earlier)?;
        let (passed, all) = (there.passed(), there.journal.count);
        let has_ended = next.is_none() && passed < all;
        let mut old = self.old_of(partial, &there)?;
        if passed < all || has_old {
            let both = std::iter::once(&mut there).chain(&mut old).collect();
            self.check_missing(partial, both, has_ended)?;
        }
        if passed < all {
            let damaged = partial.set_aside(there.journal.entries(passed..all))?;
            if damaged > 0 {
                let records = if damaged == 1 { "1 record in it is" } else { &format!("{damaged} records in it are") };
                warn(self.common, format!("{name}: {records} damaged, and computed again"));
            }
            old = self.old_of(partial, &there)?;
        }
        let end = if passed == 0 { 0 } else { there.journal.entry(passed - 1).with_context(failed)?.end() };
        partial.go_on_from(passed, end)?;
        self.say_going_on(&name, passed, old.as_ref())?;
        self.going(sink, next, entries, old, 0, earlier)
    }

    /// Adds new and changed images to a finished file.
    fn add(&self, mut sink: Sink, mut entries: Entries) -> Result<Start> {
        let partial = sink.partial().context("a finished file has a partial")?;
        let target = partial.target().to_path_buf();
        let name = target.display();
        let refused =
            |reason| usage(format!("{name}: is finished, and {reason}, so --resume cannot tell what is new; {ANEW}"));
        let note = self.notes.of(&target).map_err(refused)?;
        if let Some(what) = self.made_with.difference(&note.settings)? {
            return Err(usage(format!("{name}: was made with other settings: {what}; {ANEW}")));
        }
        let (mut kept, earlier) = (Kept::new(note.journal, None, !self.args.retry_failed), Arc::default());
        let next = self.pass(&mut entries, &mut kept, true, &earlier)?;
        let passed = kept.passed();
        if next.is_none() && passed == kept.journal.count {
            let what =
                if self.args.retry_failed { "is finished, and none of its images failed" } else { "is finished" };
            say(self.common, format!("{name}: {what}; nothing to do"));
            partial.remove_rest()?;
            return Ok(Start::Finished(earlier));
        }
        self.check_missing(partial, vec![&mut kept], next.is_none())?;
        partial.begin_again(&kept.journal, |old| self.unmake(&target, &kept, old))?;
        kept.believe(partial.open_beside(OLD)?);
        let again = if self.args.retry_failed { ", and failed images are computed again" } else { "" };
        let gone = if self.args.drop_missing { ", and missing ones are left out" } else { "" };
        if next.is_some() {
            say(self.common, format!("{name}: new and changed images are added to it{again}{gone}"));
        }
        self.going(sink, next, entries, Some(kept), passed, earlier)
    }

    /// Continues after the existing records, and copies the first of the `old` ones.
    fn going(
        &self,
        mut sink: Sink,
        next: Option<Entry>,
        entries: Entries,
        old: Option<Kept>,
        copied: u64,
        earlier: Arc<Earlier>,
    ) -> Result<Start> {
        let entries = next.into_iter().chain(entries);
        let Some(old) = old else {
            return Ok(Start::Going(Log::going_on(sink, self.form.head()?, None), Rest::after(entries, earlier)));
        };
        let (steps, receiver) = channel();
        if copied > 0 {
            _ = steps.send(Step::Copy(0..copied));
        }
        let name = sink.name().to_owned();
        let (journal, data, target) = match sink.partial() {
            Some(partial) => {
                (partial.open_beside(OLD_JOURNAL)?, partial.open_beside(OLD)?, partial.target().display().to_string())
            }
            None => (None, None, String::new()),
        };
        let lost = || format!("{name}{OLD}: cannot be read");
        let source = EarlierRecords {
            journal: Journal::new(journal.with_context(lost)?, 0).with_context(lost)?,
            data: data.with_context(lost)?,
            steps: receiver,
        };
        let form = self.form.clone();
        let matching = Matching::new(old, steps, form, self.args.drop_missing, target, Arc::clone(&earlier));
        let rest = Rest::beside(entries, matching, earlier, Arc::clone(&self.list_failure));
        Ok(Start::Going(Log::going_on(sink, self.form.head()?, Some(source)), rest))
    }

    /// Skips the entries that the leading records belong to. Returns the next entry; with `look`, also the one after the last
    /// record.
    fn pass(&self, entries: &mut Entries, kept: &mut Kept, look: bool, earlier: &Earlier) -> Result<Option<Entry>> {
        let mut next = None;
        while kept.passed() < kept.journal.count || look {
            next = entries.next();
            let Some(entry) = &next else { break };
            let record = kept.next_if(&Key::of(name_of(entry).as_str()), Version::now(entry));
            match record.context("the records of the earlier run cannot be read")? {
                Some(record) => earlier.add(record.of.failed),
                None => break,
            }
            next = None;
        }
        let failure = self.list_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(next), Err)
    }

    fn say_going_on(&self, name: &str, passed: u64, old: Option<&Kept>) -> Result<()> {
        let mut line = format!("{name}: continues after {passed} of its images");
        if let Some(old) = old {
            line += "; records of unchanged images after them are kept";
            let has_failed = old.journal.entries(0..old.journal.count).any(|entry| entry.is_ok_and(|e| e.of.failed));
            match has_failed {
                true if self.args.retry_failed => line += "; failed ones are computed again",
                true => line += "; failed ones are kept too (--retry-failed computes them again)",
                false => {}
            }
        }
        say(self.common, line);
        Ok(())
    }
}
