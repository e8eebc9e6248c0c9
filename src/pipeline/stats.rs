//! Counts of the work, and how the time was spent. Threads add their shares.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Fetch,
    Read,
    Decode,
    Encode,
    Idle,
}

/// Counters, shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Stats {
    nanoseconds: [AtomicU64; 5],
    encoded: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

/// What a pipeline has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Images answered.
    pub images: u64,
    /// Images without an embedding, among these.
    pub failed: u64,
    /// Camera raw files of which a preview smaller than the model's input was read.
    pub previews: u64,
    /// Images encoded. The others failed, were kept from an earlier run, or have the bytes of another image.
    pub encoded: u64,
    /// Batches encoded.
    pub batches: u64,
    /// Bytes of images read.
    pub bytes: u64,
    /// How the time was spent.
    pub times: Times,
}

/// Time by kind of work. Threads work at once, so the times of one second may add up to more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Waiting for servers.
    pub fetch: Duration,
    /// Reading and hashing files, and looking up embeddings.
    pub read: Duration,
    /// Turning bytes into pixels.
    pub decode: Duration,
    /// Turning pixels into embeddings.
    pub encode: Duration,
    /// The encoder waiting for images.
    pub idle: Duration,
}

impl Stats {
    /// Adds the time of `work` to a part.
    pub fn time<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.nanoseconds[part as usize].fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
        result
    }

    /// Adds bytes that were read.
    pub fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Adds a batch of so many images.
    pub fn batch(&self, images: usize) {
        self.batches.fetch_add(1, Relaxed);
        self.encoded.fetch_add(images as u64, Relaxed);
    }

    /// Returns `answered`, which counts answers, with the counts of the work.
    pub fn summary(&self, answered: Summary) -> Summary {
        let time = |part: Part| Duration::from_nanos(self.nanoseconds[part as usize].load(Relaxed));
        Summary {
            encoded: self.encoded.load(Relaxed),
            batches: self.batches.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            times: Times {
                fetch: time(Part::Fetch),
                read: time(Part::Read),
                decode: time(Part::Decode),
                encode: time(Part::Encode),
                idle: time(Part::Idle),
            },
            ..answered
        }
    }
}
