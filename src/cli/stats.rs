//! `--stats`: how the time was spent. Threads add their times; a summary is printed at the end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount};

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Waiting for servers.
    Fetch,
    /// Reading and hashing files, and looking up results.
    Read,
    /// Decoding bytes to the model's pixels.
    Decode,
    /// Encoding pixels to embeddings.
    Encode,
    /// Turning embeddings into records, and writing them.
    Write,
    /// The encoder waiting for images.
    Idle,
}

/// Counters, shared by all threads.
#[derive(Debug, Default)]
pub struct Stats {
    nanoseconds: [AtomicU64; 6],
    encoded: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
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

    /// Adds an encoded batch.
    pub fn batch(&self) {
        self.batches.fetch_add(1, Relaxed);
    }

    /// Adds encoded images.
    pub fn encoded(&self, count: usize) {
        self.encoded.fetch_add(count as u64, Relaxed);
    }

    /// Returns the summary for `total` images, of which `failed` failed. `wall` is the time from the first image to the
    /// last, `threads` the number of decoding threads.
    pub fn summary(&self, wall: Duration, threads: usize, total: u64, failed: u64) -> Vec<String> {
        let seconds = |part: Part| self.nanoseconds[part as usize].load(Relaxed) as f64 / 1e9;
        let encoded = self.encoded.load(Relaxed);
        let wall = wall.as_secs_f64();
        let mut lines = vec![format!(
            "{} images in {wall:.2} s, {:.1} images/s: {} encoded in batches of {:.1}, {} known before, {} failed",
            HumanCount(total),
            total as f64 / wall.max(1e-9),
            HumanCount(encoded),
            encoded as f64 / (self.batches.load(Relaxed) as f64).max(1.0),
            HumanCount(total.saturating_sub(encoded + failed)),
            HumanCount(failed),
        )];
        let mut line = |name: &str, seconds: f64, of: &str| {
            lines.push(format!("  {name:<8} {seconds:>9.2} s {of}"));
        };
        let decoders = format!("of {threads} threads");
        let bytes = BinaryBytes(self.bytes.load(Relaxed));
        if seconds(Part::Fetch) > 0.0 {
            line("fetch", seconds(Part::Fetch), "waited for servers, in parallel");
        }
        line("read", seconds(Part::Read), &format!("{decoders}, {bytes}"));
        line("decode", seconds(Part::Decode), &decoders);
        line("encode", seconds(Part::Encode), &format!("{:.0} % of the time", 100.0 * seconds(Part::Encode) / wall));
        line("write", seconds(Part::Write), "scores and records");
        line("idle", seconds(Part::Idle), "the encoder waited for images");
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_adds_up() {
        let stats = Stats::default();
        stats.time(Part::Decode, || std::thread::sleep(Duration::from_millis(30)));
        stats.read(3 << 20);
        stats.encoded(4);
        (0..2).for_each(|_| stats.batch());
        let text = stats.summary(Duration::from_secs(2), 2, 6, 1).join("\n");
        assert!(text.starts_with("6 images in 2.00 s, 3.0 images/s: 4 encoded in batches of 2.0, 1 known"), "{text}");
        assert!(text.contains("3.00 MiB") && text.contains("decode"), "{text}");
        assert!(!text.contains("fetch"), "{text}");
    }
}
