//! `--stats`: how the time was spent, in lines.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};
use zsic::pipeline::Summary;

/// Returns the lines about a run in which `failed` images failed. `wall` is the time from the first image to the last, and
/// `write` the part of it for scores and records. `threads` decoded images. They are called `what`: images or boxes.
pub fn lines(of: &Summary, what: &str, failed: u64, wall: Duration, write: Duration, threads: usize) -> Vec<String> {
    let (wall, times) = (wall.as_secs_f64(), &of.times);
    let mut lines = vec![format!(
        "{} {what} in {wall:.2} s, {:.1} {what}/s: {} encoded in batches of {:.1}, {} known before, {} failed",
        HumanCount(of.images),
        of.images as f64 / wall.max(1e-9),
        HumanCount(of.encoded),
        of.encoded as f64 / (of.batches as f64).max(1.0),
        HumanCount(of.images.saturating_sub(of.encoded + failed)),
        HumanCount(failed),
    )];
    let mut line = |name: &str, time: Duration, of: &str| {
        lines.push(format!("  {name:<8} {:>9.2} s {of}", time.as_secs_f64()));
    };
    let decoders = format!("of {threads} threads");
    if !times.fetch.is_zero() {
        line("fetch", times.fetch, "waited for servers, in parallel");
    }
    line("read", times.read, &format!("{decoders}, {}", BinaryBytes(of.bytes)));
    line("decode", times.decode, &decoders);
    line("encode", times.encode, &format!("{:.0} % of the time", 100.0 * times.encode.as_secs_f64() / wall));
    line("write", write, "scores and records");
    line("idle", times.idle, &format!("the encoder waited for {what}"));
    lines
}

#[cfg(test)]
mod tests {
    use zsic::pipeline::Times;

    use super::*;

    #[test]
    fn a_summary_adds_up() {
        let times = Times { decode: Duration::from_millis(30), ..Times::default() };
        let of = Summary { images: 6, encoded: 4, batches: 2, bytes: 3 << 20, times, ..Summary::default() };
        let text = lines(&of, "images", 1, Duration::from_secs(2), Duration::ZERO, 2).join("\n");
        assert!(text.starts_with("6 images in 2.00 s, 3.0 images/s: 4 encoded in batches of 2.0, 1 known"), "{text}");
        assert!(text.contains("3.00 MiB") && text.contains("decode        0.03 s"), "{text}");
        assert!(!text.contains("fetch"), "{text}");
    }
}
