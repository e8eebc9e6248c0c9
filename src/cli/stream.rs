//! Runs the library's pipeline over the inputs: takes its settings from flags, shows progress, and reports the result.

use std::fmt::Display;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use zsic::cache::Scope;
use zsic::pipeline::{Answer, Pipeline, Settings};
use zsic::source::{Limits, MemoryBudget, Shard, Tally};
use zsic::{Checkpoint, Error};

use super::args::{Asked, Common};
use super::fatal::usage;
use super::inputs::{self, ListFailure, Walked};
use super::messages::{note, say, warn};
use super::model::ImageTower;
use super::output::{Earlier, Rest};
use super::progress::Progress;
use super::settings::NO_THREAD;
use super::{Outcome, previews, skipped, stats, urls};

/// Images on their way through the pipeline.
pub struct Stream<'a> {
    asked: Asked<'a>,
    threads: usize,
    pipeline: Pipeline,
    tally: Arc<Tally>,
    list_failure: ListFailure,
    earlier: Arc<Earlier>,
    /// The flag and path of images that are not the command's own, which messages put first.
    name: Option<String>,
    /// The ending of files beside the images that are read too, so that they are not skipped.
    beside: Option<&'static str>,
    /// The number of boxes, if these are read in place of whole images.
    boxes: Option<u64>,
}

/// What became of some answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    /// How many of them are failures.
    pub failed: u64,
    /// Whether no further answer is wanted.
    pub is_enough: bool,
}

impl<'a> Stream<'a> {
    /// Starts to prepare the `walked` images on `threads` threads, for batches of `batch_size` at most.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(
        asked: Asked<'a>,
        checkpoint: &Checkpoint,
        kept: &Scope,
        (threads, batch_size): (usize, u16),
        walked: Walked<Rest>,
    ) -> Result<Self> {
        let Walked { entries, tally, list_failure, limits } = walked;
        let earlier = entries.earlier();
        let batch_size = batch_size.into();
        let settings = Settings { threads, batch_size, ..settings(asked, kept, limits) };
        let pipeline = Pipeline::start(entries, checkpoint.preprocessor().clone(), settings).map_err(|e| match e {
            Error::Thread(e) => anyhow!(e).context(NO_THREAD),
            e => e.into(),
        })?;
        Ok(Self { asked, threads, pipeline, tally, list_failure, earlier, name: None, beside: None, boxes: None })
    }

    /// Returns the same stream, whose messages name the flag and path that its images come from.
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Returns the same stream, whose files with this ending are read as something else than images.
    pub fn beside(self, ending: Option<&'static str>) -> Self {
        Self { beside: ending, ..self }
    }

    /// Puts the name of the images before a message, if they have one.
    fn told(&self, message: impl Display) -> String {
        self.name.as_ref().map_or_else(|| message.to_string(), |name| format!("{name}: {message}"))
    }

    /// Returns the same stream, of so many boxes.
    pub fn of_boxes(self, count: u64) -> Self {
        Self { boxes: Some(count), ..self }
    }

    /// Encodes every image and hands the answers, in order, to `write`, until that has enough. Says on stderr what was skipped
    /// and failed.
    ///
    /// # Errors
    /// The errors of the encoder and of `write`, and one if there is no image.
    pub fn run(
        mut self,
        results_on_terminal: bool,
        encoder: &ImageTower,
        mut write: impl FnMut(&[Answer]) -> Result<Written>,
    ) -> Result<Outcome> {
        let Asked { inputs, common, .. } = self.asked;
        let progress = Progress::images(common, results_on_terminal);
        let args = inputs.clone();
        let boxes = self.boxes;
        progress.count(move || boxes.or_else(|| inputs::count(&args)));
        let (mut failed, mut previews, mut writing, start) = (0u64, 0u64, Duration::ZERO, Instant::now());
        while let Some(answers) = self.pipeline.next_batch(|pixels| encoder.embed(pixels))? {
            previews::tell(common, &answers, previews);
            let begun = Instant::now();
            let written = write(&answers)?;
            failed += written.failed;
            writing += begun.elapsed();
            let summary = self.pipeline.summary();
            previews = summary.previews;
            let (earlier, earlier_failed) = self.earlier.counts();
            progress.images_done(earlier + summary.images, earlier_failed + failed);
            if written.is_enough {
                break;
            }
        }
        drop(progress);
        self.tell(failed, start.elapsed(), writing)
    }

    /// Reports the result of the run on stderr, and returns its outcome.
    fn tell(self, failed: u64, wall: Duration, writing: Duration) -> Result<Outcome> {
        let Asked { common, machine, .. } = self.asked;
        let summary = self.pipeline.summary();
        previews::tell_the_rest(common, summary.previews);
        if let Some(sentence) = skipped::sentence(&self.tally.kinds(), self.beside) {
            warn(common, self.told(sentence));
        }
        if machine.stats {
            let what = if self.boxes.is_some() { "boxes" } else { "images" };
            for line in stats::lines(&summary, what, failed.max(summary.failed), wall, writing, self.threads) {
                say(common, line);
            }
        }
        if let Some(e) = self.list_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e);
        }
        let images = if summary.images == 1 { "image" } else { "images" };
        note(common, 1, self.told(format!("{} {images} in {wall:.2?}", summary.images)));
        let (earlier, earlier_failed) = self.earlier.counts();
        let (total, failed) = (summary.images + earlier, failed + earlier_failed);
        if total == 0 {
            return self.none();
        }
        match self.earlier.dropped() {
            0 => {}
            1 => say(common, "left out the record of 1 image that is no longer among the inputs"),
            n => say(common, format!("left out the records of {n} images that are no longer among the inputs")),
        }
        if failed > 0 && self.name.is_some() {
            warn(common, self.told(failures(total, failed)));
            return Ok(Outcome::SomeFailed);
        }
        Ok(outcome(common, total, failed))
    }

    /// Reports an error if no image was found, unless another share has some.
    fn none(self) -> Result<Outcome> {
        let Asked { inputs, common, .. } = self.asked;
        if self.name.is_some() {
            return Err(usage(self.told("there is no image")));
        }
        if inputs.shard != Shard::default() && self.tally.elsewhere() > 0 {
            note(common, 1, "no image is in this share");
            return Ok(Outcome::Complete);
        }
        let dropped = self.earlier.dropped();
        let stays = if dropped > 0 { ", so no record would be left; the file stays as it is" } else { "" };
        if inputs.include.is_empty() && inputs.exclude.is_empty() {
            anyhow::bail!("no image among the inputs{stays}");
        }
        let globs = "a glob matches a file's name, and one with a slash matches the path below the named folder";
        anyhow::bail!("no image among the inputs that --include and --exclude select{stays}; {globs}");
    }
}

/// Returns the settings of the pipeline that the flags ask for.
fn settings(asked: Asked, kept: &Scope, limits: Limits) -> Settings {
    let Asked { inputs, machine, .. } = asked;
    let images = urls::images(inputs, &machine.hub);
    Settings {
        max_wait: Duration::from_millis(machine.max_wait),
        decoding: inputs.decode.into(),
        limits,
        may_be_slow: inputs::may_be_slow(inputs),
        fetch: Some(Arc::new(move |url: &str, room: &MemoryBudget| images.fetch_within(url, room))),
        kept: kept.clone(),
        ..Settings::default()
    }
}

/// Says how many images failed, and returns the outcome of the run.
pub fn outcome(common: &Common, total: u64, failed: u64) -> Outcome {
    if failed == 0 {
        return Outcome::Complete;
    }
    warn(common, failures(total, failed));
    Outcome::SomeFailed
}

fn failures(total: u64, failed: u64) -> String {
    format!("{failed} of {total} images failed")
}
