//! Warnings about camera raw files of which only a small preview is scored.

use zsic::pipeline::Answer;

use super::args::Common;
use super::messages::warn;

/// The most files that are named; others are counted.
const NAMED: u64 = 20;

/// Warns of the small previews among the answers that come after `before` others.
pub fn tell(common: &Common, answers: &[Answer], before: u64) {
    let small = answers.iter().filter_map(|answer| Some((&answer.name, answer.preview?)));
    for (name, (width, height)) in small.take(NAMED.saturating_sub(before) as usize) {
        let advice = "convert the raw file to jpeg or tiff to score the photograph";
        warn(common, format!("{name}: only a preview of {width}x{height} pixels was read; {advice}"));
    }
}

/// Warns of the small previews that were not named, of `all`.
pub fn tell_the_rest(common: &Common, all: u64) {
    if all > NAMED {
        warn(common, format!("only a small preview was read of {} more camera raw files", all - NAMED));
    }
}
