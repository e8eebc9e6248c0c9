//! How images are read, decoded and batched.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::cache::Scope;
use crate::preprocess::Decoding;
use crate::source::{Ahead, Bytes, ImageError, Limits, MAX_BYTES, MAX_PIXELS, MemoryBudget};

/// The number of images that are looked up together in the cache, if the next one never takes long to come.
const LOOKED_UP_TOGETHER: usize = 64;
/// The most threads that wait for servers, in all and for each working thread.
const FETCHERS: usize = 16;
const FETCHERS_OF_WORKER: usize = 8;

/// Returns the bytes at a URL once the room has space for them. Runs on several threads at once.
pub type Fetch = Arc<dyn Fn(&str, &MemoryBudget) -> Result<Bytes, ImageError> + Send + Sync>;

/// The settings of a [`Pipeline`](super::Pipeline). No setting but `decoding` changes an embedding.
#[derive(Clone)]
pub struct Settings {
    /// Threads that read, decode and resize images. The default is one for each CPU.
    pub threads: usize,
    /// The most images to encode together.
    pub batch_size: usize,
    /// The longest time to wait for a batch to fill.
    pub max_wait: Duration,
    /// How JPEG and JPEG 2000 files are decoded.
    pub decoding: Decoding,
    /// The largest image, and the memory that images in flight share.
    pub limits: Limits,
    /// Whether an entry may take long to come, as from a pipe. Then no entry waits for the next one.
    pub may_be_slow: bool,
    /// Fetches images by URL. Without it, they fail as `refused`.
    pub fetch: Option<Fetch>,
    /// The embeddings kept between runs. They are not used with limits other than the default ones, which might refuse
    /// what is kept.
    pub kept: Scope,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: available_parallelism().map_or(1, NonZero::get),
            batch_size: 8,
            max_wait: Duration::from_millis(250),
            decoding: Decoding::Exact,
            limits: Limits::default(),
            may_be_slow: false,
            fetch: None,
            kept: Scope::none(),
        }
    }
}

impl Settings {
    /// Turns the cache off if the limits are not the default ones.
    pub(super) fn checked(mut self) -> Self {
        let are_usual = self.limits.max_pixels == MAX_PIXELS && self.limits.max_bytes == MAX_BYTES;
        if !are_usual {
            self.kept = Scope::none();
        }
        self
    }

    /// Returns the numbers of threads, and how far they run ahead: a few batches.
    pub(super) fn ahead(&self) -> Ahead {
        Ahead {
            workers: self.threads,
            fetchers: FETCHERS.min(self.threads * FETCHERS_OF_WORKER),
            window: (4 * self.batch_size + 2 * self.threads).max(64),
            together: if self.may_be_slow { 1 } else { LOOKED_UP_TOGETHER },
        }
    }
}
