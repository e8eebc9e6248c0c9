//! Images in order: inputs -> prepared pixels -> batches -> embeddings -> answers.
//!
//! Threads read, decode and resize images ahead of the encoder. Memory is bounded by the window of what is ahead,
//! however many images there are. Identical images are encoded once, and images that an earlier run kept are not even
//! read. A failed image has its error in its place, and the others go on.
//!
//! ```no_run
//! use zsic::pipeline::{Pipeline, Settings};
//! use zsic::source::{Input, Select, Walk};
//! use zsic::{Checkpoint, Compute, ImageEncoder};
//!
//! # fn main() -> zsic::Result<()> {
//! let checkpoint = Checkpoint::open("clip-vit-base-patch32")?;
//! let encoder = ImageEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint))?;
//! let inputs = [Ok(Input::from_arg("photos"))].into_iter();
//! let images = Walk::new(inputs, false, Select::default(), Default::default());
//! let mut pipeline = Pipeline::start(images, checkpoint.preprocessor().clone(), Settings::default())?;
//! while let Some(answers) = pipeline.next_batch(|pixels| encoder.embed(pixels))? {
//!     for answer in answers {
//!         match answer.embedding {
//!             Ok(embedding) => println!("{}: {:?}", answer.name, &embedding[..3]),
//!             Err(e) => println!("{e}"),
//!         }
//!     }
//! }
//! println!("{} images", pipeline.summary().images);
//! # Ok(())
//! # }
//! ```

mod prepare;
mod settings;
mod stats;
mod twins;
mod version;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::cache::ContentHash;
use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::preprocess::{Pixels, Preprocessor};
use crate::source::{Entry, ErrorKind, ImageError, Name, Ordered};
use prepare::{Item, Prepare};
use stats::{Part, Stats};
use twins::{Ready, Row, Twins};

pub use prepare::Preview;
pub use settings::{Fetch, Settings};
pub use stats::{Summary, Times};
pub use version::Version;

/// The most images that are answered together. Images that need no encoding do not count towards a batch.
const ANSWERED_TOGETHER: usize = 1024;

/// The answer to one image.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The image's name in records.
    pub name: Name,
    /// What the image was before it was read.
    pub version: Version,
    /// The hash of the bytes that were read, if any were.
    pub content: Option<ContentHash>,
    /// The unit embedding `[D]`, or why there is none, in a message that names the image.
    pub embedding: std::result::Result<Arc<[f32]>, ImageError>,
    /// The preview that was read in place of a camera raw file.
    pub preview: Option<Preview>,
}

/// An ordered stream of images on their way to embeddings.
pub struct Pipeline {
    items: Ordered<Item>,
    twins: Arc<Twins>,
    stats: Arc<Stats>,
    settings: Settings,
    /// The counts of the answers.
    answered: Summary,
    /// The failure that ends the run, after the last answers.
    stop: Option<ImageError>,
}

impl Pipeline {
    /// Starts the threads that prepare `images` for the encoder, a few batches ahead. Dropping the pipeline stops them. On
    /// Linux they give way to other threads of the process.
    ///
    /// # Errors
    /// [`Error::Thread`] if the system starts no thread.
    pub fn start(
        images: impl Iterator<Item = Entry> + Send + 'static,
        preprocessor: Preprocessor,
        settings: Settings,
    ) -> Result<Self> {
        let settings = settings.checked();
        let (twins, stats) = (Arc::new(Twins::new(settings.kept.is_on())), Arc::<Stats>::default());
        let (ahead, own) = (settings.ahead(), settings.clone());
        let here = std::env::current_dir().unwrap_or_default();
        let work = Prepare { preprocessor, settings, here, twins: Arc::clone(&twins), stats: Arc::clone(&stats) };
        let items = Ordered::map(images, ahead, work).map_err(Error::Thread)?;
        Ok(Self { items, twins, stats, settings: own, answered: Summary::default(), stop: None })
    }

    /// Returns the answers to the next images, in the order of the inputs, and None at the end. Waits for one image,
    /// and takes those after it that are begun, until a batch is full or [`Settings::max_wait`] is over. Calls `encode`
    /// for the unit embeddings [B, D] of the pixels that are not known, if there are any.
    ///
    /// # Errors
    /// The error of `encode`. [`Error::Image`] of the kind [`ErrorKind::Memory`] for an image that the run cannot hold:
    /// it comes after the answers to the images before it, and ends the run.
    pub fn next_batch(&mut self, encode: impl FnOnce(&[Pixels]) -> Result<Embeddings>) -> Result<Option<Vec<Answer>>> {
        if let Some(e) = &self.stop {
            return Err(e.clone().into());
        }
        let Self { items, settings, stats, .. } = self;
        let Some(items) = stats.time(Part::Idle, || gather(items, settings)) else { return Ok(None) };
        let mut answers = self.answer(items, encode)?;
        self.stop = stopped_by(&mut answers);
        if let Some(e) = &self.stop
            && answers.is_empty()
        {
            return Err(e.clone().into());
        }
        self.answered.images += answers.len() as u64;
        for answer in &answers {
            self.answered.failed += u64::from(answer.embedding.is_err());
            self.answered.previews += u64::from(answer.preview.is_some_and(|preview| preview.is_small));
        }
        Ok(Some(answers))
    }

    /// Returns the counts so far.
    pub fn summary(&self) -> Summary {
        self.stats.summary(self.answered)
    }

    /// Encodes those of `items` that need it.
    fn answer(&self, items: Vec<Item>, encode: impl FnOnce(&[Pixels]) -> Result<Embeddings>) -> Result<Vec<Answer>> {
        let rows = self.rows(&items, encode)?;
        let missing = || Err(ImageError::new(ErrorKind::Internal, "no result came back"));
        let answer = |Item { name, version, content, ready, preview }| {
            let row = ready.and_then(|ready| match ready {
                Ready::Known(row) => Ok(row),
                Ready::Pixels { content, .. } => rows.get(&content).cloned().unwrap_or_else(missing),
            });
            Answer { embedding: row.map_err(|e| e.named(&name)), version, content, name, preview }
        };
        Ok(items.into_iter().map(answer).collect())
    }

    /// Returns the embedding of every content among `items` that has pixels.
    fn rows(
        &self,
        items: &[Item],
        encode: impl FnOnce(&[Pixels]) -> Result<Embeddings>,
    ) -> Result<HashMap<ContentHash, std::result::Result<Row, ImageError>>> {
        let mut rows = HashMap::new();
        let (mut contents, mut pixels) = (Vec::new(), Vec::new());
        for item in items {
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
        if pixels.is_empty() {
            return Ok(rows);
        }
        let embeddings = self.stats.time(Part::Encode, || encode(&pixels))?; // [B, D]
        self.stats.batch(contents.len());
        for (content, row) in contents.iter().zip(embeddings.rows()) {
            let row = finite(row);
            self.twins.done(content);
            if let Ok(row) = &row {
                self.twins.remember(*content, row);
                self.settings.kept.put_image(content, self.settings.decoding, row);
            }
            rows.insert(*content, row);
        }
        Ok(rows)
    }
}

/// Takes the next images: waits for one, and adds those after it that are begun, until a batch is full or the time is
/// over. Returns None at the end.
fn gather(items: &mut Ordered<Item>, settings: &Settings) -> Option<Vec<Item>> {
    let mut batch = vec![items.next()?];
    let deadline = Instant::now() + settings.max_wait;
    let mut to_encode = usize::from(batch[0].is_to_encode());
    while to_encode < settings.batch_size
        && batch.len() < ANSWERED_TOGETHER
        && let Some(item) = items.next_before(deadline)
    {
        to_encode += usize::from(item.is_to_encode());
        batch.push(item);
    }
    Some(batch)
}

/// Returns the failure of an image that the run cannot hold, and leaves the answers before it.
fn stopped_by(answers: &mut Vec<Answer>) -> Option<ImageError> {
    let is_memory = |answer: &Answer| answer.embedding.as_ref().is_err_and(|e| e.kind == ErrorKind::Memory);
    let at = answers.iter().position(is_memory)?;
    let e = answers.swap_remove(at).embedding.err()?;
    answers.truncate(at);
    Some(e)
}

fn finite(row: &[f32]) -> std::result::Result<Row, ImageError> {
    if row.iter().all(|x| x.is_finite()) { Ok(row.into()) } else { Err(ImageError::not_finite()) }
}
