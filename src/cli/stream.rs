//! Inputs -> embeddings -> records: read, decoded and preprocessed ahead on workers, encoded in batches, written in the
//! order of the inputs. Memory is bounded by the window of what is ahead, however many images there are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use zsic::cache::Scope;
use zsic::preprocess::Decoding;
use zsic::source::{self, Ahead, ErrorKind, ImageError, Name, Ordered, Shard, Tally};
use zsic::{Checkpoint, Embeddings, Pixels};

use super::args::{Common, Inputs, Machine};
use super::image_version::Version;
use super::inputs::{self, ListFailure, Walked};
use super::messages::{note, say, warn};
use super::output::{Earlier, Rest};
use super::prepare::{Item, Prepare};
use super::previews::Previews;
use super::progress::Progress;
use super::settings::NO_THREAD;
use super::stats::{Part, Stats};
use super::twins::{Ready, Row, Twins};
use super::{Outcome, skipped, urls};

/// The most images that are answered together: those that need no encoding do not count as a batch.
const ANSWERED_TOGETHER: usize = 1024;
/// Images that are looked up together among those that earlier runs kept, where the next is never long in coming.
const LOOKED_UP_TOGETHER: usize = 64;
/// Threads that wait for servers: of those for each working thread no more than this in all.
const FETCHERS: usize = 16;
const FETCHERS_OF_WORKER: usize = 8;

/// One image's embedding, or why there is none.
pub struct Answer {
    pub name: Name,
    /// What the image was.
    pub version: Version,
    pub row: Result<Row, ImageError>,
}

/// An ordered stream of images.
pub struct Stream {
    items: Ordered<Item>,
    twins: Arc<Twins>,
    kept: Scope,
    decoding: Decoding,
    stats: Arc<Stats>,
    tally: Arc<Tally>,
    previews: Arc<Previews>,
    is_share: bool,
    list_failure: ListFailure,
    earlier: Arc<Earlier>,
    batch: usize,
    threads: usize,
    max_wait: Duration,
    args: Inputs,
}

impl Stream {
    /// Starts reading, decoding and preprocessing the `walked` images on `threads` workers, a few batches ahead.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(
        args: &Inputs,
        machine: &Machine,
        checkpoint: &Checkpoint,
        kept: &Scope,
        threads: usize,
        walked: Walked<Rest>,
        common: &Common,
    ) -> Result<Self> {
        let Walked { entries, tally, list_failure, limits } = walked;
        let previews = Arc::new(Previews::new(common));
        let earlier = entries.earlier();
        let batch = usize::from(machine.batch_size);
        let together = if inputs::may_be_slow(args) { 1 } else { LOOKED_UP_TOGETHER };
        let fetchers = FETCHERS.min(threads * FETCHERS_OF_WORKER);
        let ahead = Ahead { workers: threads, fetchers, window: (4 * batch + 2 * threads).max(64), together };
        let stats = Arc::<Stats>::default();
        let decoding = args.decode.into();
        // Other limits would find what is over them among what is kept.
        let are_usual = args.max_pixels == source::MAX_PIXELS && args.max_bytes.is_none();
        let kept = if are_usual { kept.clone() } else { Scope::none() };
        let twins = Arc::new(Twins::new(kept.is_on()));
        let work = Prepare {
            preprocessor: checkpoint.preprocessor().clone(),
            urls: urls::images(args, &machine.hub),
            limits,
            decoding,
            twins: Arc::clone(&twins),
            kept: kept.clone(),
            stats: Arc::clone(&stats),
            previews: Arc::clone(&previews),
        };
        let max_wait = Duration::from_millis(machine.max_wait);
        let items = Ordered::map(entries, ahead, work).context(NO_THREAD)?;
        Ok(Self {
            items,
            twins,
            kept,
            decoding,
            stats,
            tally,
            previews,
            is_share: args.shard != Shard::default(),
            list_failure,
            earlier,
            batch,
            threads,
            max_wait,
            args: args.clone(),
        })
    }

    /// The next images: one that is waited for and those behind it that are begun, until a batch is full, or
    /// `max_wait` is over. None at the end.
    fn next_batch(&mut self) -> Option<Vec<Item>> {
        let mut batch = vec![self.items.next()?];
        let deadline = Instant::now() + self.max_wait;
        let mut to_encode = usize::from(batch[0].is_to_encode());
        while to_encode < self.batch
            && batch.len() < ANSWERED_TOGETHER
            && let Some(item) = self.items.next_before(deadline)
        {
            to_encode += usize::from(item.is_to_encode());
            batch.push(item);
        }
        Some(batch)
    }

    /// Encodes every image and hands the embeddings, in order, to `write`, which returns how many of their records are
    /// failures. Says on stderr what was skipped and failed.
    ///
    /// # Errors
    /// What `encode` and `write` say, and that there is no image at all.
    pub fn run(
        mut self,
        common: &Common,
        machine: &Machine,
        results_on_terminal: bool,
        mut encode: impl FnMut(&[Pixels]) -> Result<Embeddings>,
        mut write: impl FnMut(&[Answer]) -> Result<u64>,
    ) -> Result<Outcome> {
        let progress = Progress::images(common, results_on_terminal);
        let args = self.args.clone();
        progress.count(move || inputs::count(&args));
        let (mut total, mut failed, start) = (0u64, 0u64, Instant::now());
        let stats = Arc::clone(&self.stats);
        while let Some(items) = stats.time(Part::Idle, || self.next_batch()) {
            let mut answers = self.answer(items, &mut encode)?;
            let stop = stopped_by(&mut answers);
            failed += stats.time(Part::Write, || write(&answers))?;
            if let Some(e) = stop {
                return Err(e);
            }
            total += answers.len() as u64;
            let (earlier, earlier_failed) = self.earlier.counts();
            progress.images_done(earlier + total, earlier_failed + failed);
        }
        drop(progress);
        self.tell(common, total, failed, start.elapsed(), machine.stats)
    }

    /// Encodes those of `items` that need it.
    fn answer(
        &self,
        items: Vec<Item>,
        encode: &mut impl FnMut(&[Pixels]) -> Result<Embeddings>,
    ) -> Result<Vec<Answer>> {
        let mut rows = HashMap::new(); // of every content among the items that has pixels
        let (mut contents, mut pixels) = (Vec::new(), Vec::new());
        for item in &items {
            let Ok(Ready::Pixels { pixels: own, content, .. }) = &item.ready else { continue };
            if rows.contains_key(content) || contents.contains(content) {
                continue;
            }
            match self.twins.row(content) {
                Some(row) => _ = rows.insert(*content, Ok(row)),
                None => {
                    contents.push(*content);
                    pixels.push(own.clone());
                }
            }
        }
        if !pixels.is_empty() {
            self.stats.batch();
            let embeddings = self.stats.time(Part::Encode, || encode(&pixels))?; // [B, D]
            for (content, row) in contents.iter().zip(embeddings.rows()) {
                let row = finite(row);
                self.twins.done(content);
                if let Ok(row) = &row {
                    self.twins.remember(*content, row);
                    self.kept.put_image(content, self.decoding, row);
                }
                rows.insert(*content, row);
            }
        }
        self.stats.encoded(contents.len());
        let missing = || Err(ImageError::new(ErrorKind::Internal, "no result came back"));
        let answer = |Item { name, version, ready }| {
            let row = ready.and_then(|ready| match ready {
                Ready::Known(row) => Ok(row),
                Ready::Pixels { content, .. } => rows.get(&content).cloned().unwrap_or_else(missing),
            });
            Answer { row: row.map_err(|e| e.named(&name)), version, name }
        };
        Ok(items.into_iter().map(answer).collect())
    }

    /// What the run came to, on stderr and as its outcome.
    fn tell(self, common: &Common, total: u64, failed: u64, wall: Duration, stats: bool) -> Result<Outcome> {
        self.previews.tell_the_rest();
        if let Some(sentence) = skipped::sentence(&self.tally.kinds()) {
            warn(common, sentence);
        }
        if stats {
            for line in self.stats.summary(wall, self.threads, total, failed) {
                say(common, line);
            }
        }
        if let Some(e) = self.list_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e);
        }
        let images = if total == 1 { "image" } else { "images" };
        note(common, 1, format!("{total} {images} in {wall:.2?}"));
        let (earlier, earlier_failed) = self.earlier.counts();
        let (total, failed) = (total + earlier, failed + earlier_failed);
        if total == 0 && self.is_share && self.tally.elsewhere() > 0 {
            note(common, 1, "no image is of this share");
            return Ok(Outcome::Complete);
        }
        let dropped = self.earlier.dropped();
        let stays = if dropped > 0 { ", so no record would be left; the file stays as it is" } else { "" };
        if total == 0 && self.args.include.is_empty() && self.args.exclude.is_empty() {
            anyhow::bail!("no image among the inputs{stays}");
        }
        if total == 0 {
            let globs = "globs are matched against names, and those with a slash against paths below the folder named";
            anyhow::bail!("no image among the inputs that --include and --exclude let in{stays}; {globs}");
        }
        match dropped {
            0 => {}
            1 => say(common, "left out the record of 1 image that is no longer among the inputs"),
            n => say(common, format!("left out the records of {n} images that are no longer among the inputs")),
        }
        Ok(outcome(common, total, failed))
    }
}

/// Says how many images failed, and returns what that makes of the run.
pub fn outcome(common: &Common, total: u64, failed: u64) -> Outcome {
    if failed == 0 {
        return Outcome::Complete;
    }
    warn(common, format!("{failed} of {total} images failed"));
    Outcome::SomeFailed
}

/// The failure that ends the run: of an image that it cannot hold. Those before it remain.
fn stopped_by(answers: &mut Vec<Answer>) -> Option<anyhow::Error> {
    let is_memory = |answer: &Answer| answer.row.as_ref().is_err_and(|e| e.kind == ErrorKind::Memory);
    let at = answers.iter().position(is_memory)?;
    let e = answers.swap_remove(at).row.err()?;
    answers.truncate(at);
    Some(anyhow!(e))
}

fn finite(row: &[f32]) -> Result<Row, ImageError> {
    if row.iter().all(|x| x.is_finite()) { Ok(row.into()) } else { Err(ImageError::not_finite()) }
}
