//! Top scores against the share that is right.

use crate::measure::draws::{Counts, LANES, Numbers};
use crate::measure::judged::Judged;

/// The bins of top scores, equally wide.
pub const BINS: usize = 15;

/// The images whose top score is above `from` and at most `to`. A score of 0 is in the first bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The bin's lower edge, which is not in it.
    pub from: f64,
    /// The bin's upper edge, which is in it.
    pub to: f64,
    /// How many images it has.
    pub images: usize,
    /// Their mean top score, if there are any.
    pub confidence: Option<f64>,
    /// The share whose top label is the truth.
    pub right: Option<f64>,
}

/// The images behind a bin.
#[derive(Default, Clone)]
pub(super) struct BinLists {
    images: Vec<u32>,
    scores: Vec<f64>,
    right: Vec<u32>,
}

/// Puts images with a truth and scores into their bins. A rejection plays no part: calibration is about scores.
pub(super) fn bins(images: &[Judged]) -> Vec<BinLists> {
    let mut bins = vec![BinLists::default(); BINS];
    for (image, judged) in (0..).zip(images).filter(|(_, judged)| judged.truth.is_some()) {
        let Some(scored) = judged.scored else { continue };
        let score = f64::from(scored.score);
        let bin = &mut bins[((score * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
        bin.images.push(image);
        bin.scores.push(score);
        if Some(scored.top) == judged.truth {
            bin.right.push(image);
        }
    }
    bins
}

/// Returns all bins, lowest first, for a table of reliability.
pub fn calibration(images: &[Judged]) -> Vec<Bin> {
    let edge = |bin: usize| bin as f64 / BINS as f64;
    let bin = |(number, lists): (usize, BinLists)| {
        let images = lists.images.len();
        let mean = |sum: f64| (images > 0).then(|| sum / images as f64);
        let (confidence, right) = (mean(lists.scores.iter().sum()), mean(lists.right.len() as f64));
        Bin { from: edge(number), to: edge(number + 1), images, confidence, right }
    };
    bins(images).into_iter().enumerate().map(bin).collect()
}

/// Returns the sum, over bins, of how far scores and right answers are apart.
pub(super) fn gaps(bins: &[BinLists], counts: &Counts) -> Numbers {
    let mut gaps = [0.0; LANES];
    for bin in bins {
        let (confidence, right) = (counts.dot(&bin.images, &bin.scores), counts.sum(&bin.right));
        (0..LANES).for_each(|lane| gaps[lane] += (confidence[lane] - f64::from(right[lane])).abs());
    }
    gaps
}
