//! The part that all commands over images share: opens the files to write and the checkpoint, continues an earlier run,
//! and sends each image through the stream.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use zsic::cache::Scope;
use zsic::pipeline::Answer;
use zsic::source::{Entry, Limits, Tally};
use zsic::{Checkpoint, Plan};

use super::args::Asked;
use super::inputs::{Entries, Walked};
use super::messages::{note, warn};
use super::model::{self, ImageTower};
use super::output::made_with::MadeWith;
use super::output::meta::{Counts, Facts, Meta};
use super::output::resume::{Resume, Start};
use super::output::{Earlier, Form, Log, Place, Rest, Sink, families};
use super::stream::{self, Stream, Written};
use super::{Outcome, available_memory, cache, interrupt, settings};

/// The checkpoint and machine of a run, and the place of its records.
pub struct Session<'a> {
    pub asked: Asked<'a>,
    /// Threads that prepare images.
    pub threads: usize,
    /// The most images that are encoded together.
    pub batch_size: u16,
    pub checkpoint: Checkpoint,
    pub plan: Plan,
}

/// The files that a run writes.
pub struct Outputs {
    pub place: Place,
    pub sink: Sink,
    pub meta: Meta,
}

/// A run over images, under way.
pub struct Run<'s> {
    session: &'s Session<'s>,
    made_with: &'s MadeWith,
    place: Place,
    meta: Meta,
    images: Stream<'s>,
    earlier: Arc<Earlier>,
    tally: Arc<Tally>,
    /// The limits of one image.
    pub limits: Limits,
    /// The embeddings that are kept between runs.
    pub kept: Scope,
}

/// How a run over images begins.
pub enum Begun<'s> {
    /// Nothing remains to be done.
    Finished(Outcome),
    /// Records go to the log.
    Going(Log, Box<Run<'s>>),
}

/// The part of a command that handles embeddings.
pub trait Records {
    /// Writes the records of images.
    ///
    /// # Errors
    /// If they cannot be written.
    fn write(&mut self, answers: &[Answer]) -> Result<()>;

    /// Returns the number of records, and of failures among them.
    fn counts(&self) -> (u64, u64);

    /// Writes the end of the output after the last record. `facts` say how the output was made.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(self, facts: &Facts) -> Result<()>;
}

impl<'a> Session<'a> {
    /// Opens the machine, what `open` opens to be written, and the checkpoint, in this order.
    ///
    /// # Errors
    /// What keeps the run from starting.
    pub fn open<O>(asked: Asked<'a>, open: impl FnOnce() -> Result<O>) -> Result<(Self, O)> {
        let Asked { machine, common, .. } = asked;
        let threads = settings::threads(machine.threads);
        let compute = settings::compute(machine, threads)?;
        if let Some(reason) = &compute.without_gpu {
            warn(common, format!("{reason}; running on the CPU (--device cpu turns this warning off)"));
        }
        interrupt::install()?;
        let outputs = open()?;
        let checkpoint = model::open(machine, common)?;
        let plan = compute.plan(&checkpoint);
        let batch_size = settings::batch_size(machine, &plan);
        Ok((Self { asked, threads, batch_size, checkpoint, plan }, outputs))
    }

    /// Opens the embeddings that are kept between runs.
    ///
    /// # Errors
    /// If a file of the checkpoint cannot be read.
    pub fn kept(&self) -> Result<Scope> {
        let Asked { machine, common, .. } = self.asked;
        cache::open(&machine.caching, &self.checkpoint, &self.plan, common)
    }

    /// Starts a run over all images of `asked` that keeps no records, with the entries that `through` makes of the walk.
    /// `besides` are the bytes of memory that the command takes for itself, and `own` are the files that it writes.
    ///
    /// # Errors
    /// What keeps the run from starting.
    pub fn images_of<'s, I: Iterator<Item = Entry> + Send + 'static>(
        &self,
        asked: Asked<'s>,
        kept: &Scope,
        own: Vec<PathBuf>,
        besides: u64,
        through: impl FnOnce(Entries) -> I,
    ) -> Result<Stream<'s>> {
        let limits = available_memory::limits(asked.inputs, &self.checkpoint, besides);
        let Walked { entries, tally, list_failure, limits } = Walked::new(asked.inputs, limits, own, asked.common)?;
        let walked = Walked { entries: Rest::all(through(entries)), tally, list_failure, limits };
        Stream::start(asked, &self.checkpoint, kept, (self.threads, self.batch_size), walked)
    }

    /// Starts a run over all images of the command that keeps no records; see [`Self::images_of`].
    ///
    /// # Errors
    /// What keeps the run from starting.
    pub fn images(&self, own: Vec<PathBuf>, besides: u64) -> Result<(Stream<'_>, Scope)> {
        let kept = self.kept()?;
        Ok((self.images_of(self.asked, &kept, own, besides, |walk| walk)?, kept))
    }

    /// Starts a run over these entries.
    ///
    /// # Errors
    /// What keeps the run from starting.
    pub fn entries(
        &self,
        entries: impl ExactSizeIterator<Item = Entry> + Send + 'static,
        besides: u64,
    ) -> Result<(Stream<'_>, Scope)> {
        let Asked { inputs, machine, common, .. } = self.asked;
        let limits = available_memory::limits(inputs, &self.checkpoint, besides);
        let kept = cache::open(&machine.caching, &self.checkpoint, &self.plan, common)?;
        let total = entries.len() as u64;
        let (tally, list_failure) = Default::default();
        let walked = Walked { entries: Rest::all(entries), tally, list_failure, limits };
        let images = Stream::start(self.asked, &self.checkpoint, &kept, (self.threads, self.batch_size), walked)?;
        Ok((images.of_boxes(total), kept))
    }

    /// Says what computes.
    pub fn introduce(&self) {
        let Self { asked, checkpoint, plan, threads, .. } = self;
        let isa = plan.instructions().map(|name| format!(", {name}")).unwrap_or_default();
        let root = checkpoint.files().root().display();
        note(asked.common, 1, format!("{root} on {}, {threads} threads{isa}", plan.device.name()));
    }

    /// Begins the run over images, after the records of an earlier run if the flags ask for it. `form` is the layout of
    /// records in the file, and `besides` is the number of bytes of memory that the command itself takes.
    ///
    /// # Errors
    /// What keeps the run from starting.
    pub fn start<'s>(
        &'s self,
        outputs: Outputs,
        made_with: &'s MadeWith,
        form: Form,
        besides: u64,
    ) -> Result<Begun<'s>> {
        let Asked { inputs, machine, output, long_run, common } = self.asked;
        let own = families(output.into_iter().chain(long_run.meta.as_deref()));
        let limits = available_memory::limits(inputs, &self.checkpoint, besides);
        let Walked { entries, tally, list_failure, limits } = Walked::new(inputs, limits, own, common)?;
        let notes = cache::notes(&machine.caching, long_run.resume, common);
        let resume =
            Resume { form, made_with, args: long_run, inputs, list_failure: Arc::clone(&list_failure), notes, common };
        let (log, entries) = match resume.start(outputs.sink, entries)? {
            Start::Going(log, entries) => (log, entries),
            Start::Finished(earlier) => {
                let counts = Counts::new((0, 0), &earlier, tally.skipped());
                outputs.meta.write_missing(&Facts { made_with, counts }, self.batch_size, self.threads)?;
                return Ok(Begun::Finished(stream::outcome(common, counts.records, counts.failed)));
            }
        };
        let earlier = entries.earlier();
        let kept = self.kept()?;
        let walked = Walked { entries, tally: Arc::clone(&tally), list_failure, limits: limits.clone() };
        let images = Stream::start(self.asked, &self.checkpoint, &kept, (self.threads, self.batch_size), walked)?;
        let Outputs { place, meta, .. } = outputs;
        let run = Run { session: self, made_with, place, meta, images, earlier, tally, limits, kept };
        Ok(Begun::Going(log, Box::new(run)))
    }
}

impl Outputs {
    /// Opens the files that the flags name. `format` chooses how records are written, and `read` are the files that the run
    /// reads besides its inputs.
    ///
    /// # Errors
    /// A usage error if one of them is read too; otherwise if one cannot be written.
    pub fn open<F>(asked: Asked, read: &[&Path], format: impl FnOnce(&Place) -> Result<F>) -> Result<(Self, F)> {
        let Asked { inputs, output, long_run, common, .. } = asked;
        let place = Place::new(output, common);
        let format = format(&place)?;
        let read = || inputs.files().chain(read.iter().copied());
        let sink = place.open(read())?;
        let meta = Meta::open(long_run.meta.as_deref(), output, read(), common)?;
        Ok((Self { place, sink, meta }, format))
    }
}

impl Run<'_> {
    /// Returns where records go.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Encodes every image, and has its records written.
    ///
    /// # Errors
    /// What makes the run stop early.
    pub fn finish(self, encoder: &ImageTower, mut records: impl Records) -> Result<Outcome> {
        let Self { session, made_with, place, meta, images, earlier, tally, kept, .. } = self;
        let common = session.asked.common;
        let write = |answers: &[Answer]| {
            let (_, failed_before) = records.counts();
            records.write(answers)?;
            Ok(Written { failed: records.counts().1 - failed_before, is_enough: false })
        };
        let outcome = images.run(place.is_terminal(), encoder, write)?;
        let facts = Facts { made_with, counts: Counts::new(records.counts(), &earlier, tally.skipped()) };
        meta.write(&facts, session.batch_size, session.threads)?;
        records.finish(&facts)?;
        cache::close(&kept, common);
        Ok(outcome)
    }
}
