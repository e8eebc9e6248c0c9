//! Messages about the previews that are scored in place of camera raw files.

use zsic::pipeline::{Answer, Preview};

use super::args::Common;
use super::messages::{note, warn};

/// The most files that are named; others are counted.
const NAMED: u64 = 20;

/// Warns of the small previews among the answers that come after `before` others, and tells the sizes of all (-v).
pub fn tell(common: &Common, answers: &[Answer], mut before: u64) {
    for (name, preview) in answers.iter().filter_map(|answer| Some((&answer.name, answer.preview?))) {
        let Preview { width, height, is_small } = preview;
        if is_small && before < NAMED {
            let advice = "convert the raw file to jpeg or tiff to score the photograph";
            warn(common, format!("{name}: only a preview of {width}x{height} pixels was read; {advice}"));
        } else {
            note(common, 1, format!("{name}: read its preview of {width}x{height} pixels"));
        }
        before += u64::from(is_small);
    }
}

/// Warns of the small previews that were not named, of `all`.
pub fn tell_the_rest(common: &Common, all: u64) {
    if all > NAMED {
        warn(common, format!("only a small preview was read of {} more camera raw files", all - NAMED));
    }
}
