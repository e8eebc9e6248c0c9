//! Checks that an earlier run's files fit this run: its settings, its journal, and the images of its records.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use zsic::source::Name;

use super::super::super::fatal::usage;
use super::super::super::inputs;
use super::super::beside::{JOURNAL, OLD, OLD_JOURNAL, SETTINGS};
use super::super::journal::{Journal, JournalEntry, Key, record};
use super::super::kept::{Kept, missing};
use super::super::own;
use super::super::partial::Partial;
use super::{ANEW, Resume};

impl Resume<'_> {
    /// Refuses to continue if images of earlier records are not among the inputs. If only the end of the walk can show
    /// that, the check waits until then.
    pub(super) fn check_missing(&self, partial: &Partial, mut kept: Vec<&mut Kept>, has_ended: bool) -> Result<()> {
        if self.args.drop_missing {
            return Ok(());
        }
        let mut outcome = Ok(());
        let mark = |name: &Name| {
            if outcome.is_ok() {
                outcome = kept.iter_mut().try_for_each(|kept| kept.mark(&Key::of(name.as_str())));
            }
        };
        if !has_ended && inputs::each_name(self.inputs, mark)?.is_none() {
            return Ok(());
        }
        outcome?;
        let (mut count, mut first) = (0, None);
        for kept in kept {
            let (more, entry) = kept.missing()?;
            count += more;
            if let (None, Some(entry)) = (&first, entry) {
                first = match kept.record(&entry)? {
                    Some(record) => self.form.name(&record),
                    None => self.name_in_target(partial, kept, &entry)?,
                };
            }
        }
        if count == 0 { Ok(()) } else { Err(missing(&partial.target().display().to_string(), count, first)) }
    }

    /// Returns the name of an image in the finished file.
    fn name_in_target(&self, partial: &Partial, kept: &Kept, entry: &JournalEntry) -> Result<Option<String>> {
        let place = partial.beside(OLD);
        let unmade = self.unmake(partial.target(), kept, &place);
        let file = unmade.and_then(|()| own::open(&place, false));
        own::remove(&place)?;
        let record = file?.map_or(Ok(None), |file| record(&file, entry))?;
        Ok(record.and_then(|record| self.form.name(&record)))
    }

    /// Puts the records of the finished file to `old`.
    pub(super) fn unmake(&self, target: &Path, kept: &Kept, old: &Path) -> Result<()> {
        let unmade = self.form.unmake(target, &kept.journal, old);
        unmade.with_context(|| format!("{}: its records cannot be read back; {ANEW}", target.display()))
    }

    /// Returns the records that were put aside, if there are any. The images that `there` passed over are among the
    /// inputs.
    pub(super) fn old_of(&self, partial: &Partial, there: &Kept) -> Result<Option<Kept>> {
        let Some(journal) = partial.open_beside(OLD_JOURNAL)? else { return Ok(None) };
        let mut old = Kept::new(Journal::new(journal, 0)?, partial.open_beside(OLD)?, !self.args.retry_failed);
        there.journal.entries(0..there.passed()).try_for_each(|entry| old.mark(&entry?.of.key))?;
        Ok(Some(old))
    }

    /// Opens the journal of a partial.
    pub(super) fn journal_of(&self, partial: &mut Partial) -> Result<Journal> {
        let file = match partial.open_beside(JOURNAL)? {
            Some(file) => file,
            None => {
                let name = partial.path().display();
                let reason = format!("{name}{JOURNAL}, which says what is in it, is missing");
                if partial.is_left() {
                    return Err(usage(format!("{name}: {reason}; {ANEW}")));
                }
                own::create(&partial.beside(JOURNAL))?
            }
        };
        Ok(Journal::new(file, 0)?)
    }

    /// Checks that the settings beside the partial are those of this run.
    pub(super) fn check_settings(&self, partial: &Partial) -> Result<()> {
        let name = partial.path().display();
        let beside = partial.open_beside(SETTINGS)?.and_then(|file| serde_json::from_reader::<_, Value>(file).ok());
        let Some(earlier) = beside else {
            return Err(usage(format!("{name}: {name}{SETTINGS}, which says how it was made, is missing; {ANEW}")));
        };
        match self.made_with.difference(&earlier)? {
            None => Ok(()),
            Some(what) => Err(usage(format!("{name}: was made with other settings: {what}; {ANEW}"))),
        }
    }
}
