//! Images, answers and right answers of one label.

use crate::measure::draws::{Counts, Integers, LANES, Numbers};
use crate::measure::interval::{Estimate, wilson};

/// How one label fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Images that show the label, failed ones too.
    pub images: usize,
    /// Images that were given the label.
    pub answers: usize,
    /// Images that show the label and were given it.
    pub right: usize,
}

impl Tally {
    /// Returns the share of the label's images that were given it. A label without images has none.
    pub fn recall(self) -> Option<Estimate> {
        wilson(self.right, self.images)
    }

    /// Returns the share of the images that were given the label that show it. A label that was never given has none.
    pub fn precision(self) -> Option<Estimate> {
        wilson(self.right, self.answers)
    }

    /// Returns the harmonic mean of recall and precision, 0 if only one of the two exists.
    pub fn f1(self) -> Option<f64> {
        let all = self.images + self.answers;
        (all > 0).then(|| 2.0 * self.right as f64 / all as f64)
    }
}

/// The images behind a tally.
#[derive(Default, Clone)]
pub(super) struct Lists {
    pub(super) images: Vec<u32>,
    pub(super) answers: Vec<u32>,
    pub(super) right: Vec<u32>,
}

impl Lists {
    pub(super) fn tally(&self) -> Tally {
        Tally { images: self.images.len(), answers: self.answers.len(), right: self.right.len() }
    }

    pub(super) fn draws(&self, counts: &Counts) -> TallyDraws {
        let [images, answers, right] = [&self.images, &self.answers, &self.right].map(|list| counts.sum(list));
        TallyDraws { images, answers, right }
    }
}

/// A tally in each lane.
pub(super) struct TallyDraws {
    pub(super) images: Integers,
    pub(super) answers: Integers,
    pub(super) right: Integers,
}

/// A mean over labels in each lane, of those labels that have images there.
pub(super) struct Mean {
    sum: Numbers,
    labels: Numbers,
}

impl Mean {
    pub(super) fn new() -> Self {
        Self { sum: [0.0; LANES], labels: [0.0; LANES] }
    }

    /// Adds a label with so many images, by its numerator and denominator.
    pub(super) fn add(&mut self, images: &Integers, fraction: impl Fn(usize) -> (f64, f64)) {
        for lane in (0..LANES).filter(|lane| images[*lane] > 0) {
            let (numerator, denominator) = fraction(lane);
            self.sum[lane] += numerator / denominator;
            self.labels[lane] += 1.0;
        }
    }

    /// Adds a label's F1.
    pub(super) fn add_f1(&mut self, tally: &TallyDraws) {
        self.add(&tally.images, |lane| f1(tally, lane));
    }

    pub(super) fn get(&self) -> Numbers {
        ratio(&self.sum, &self.labels)
    }
}

fn f1(tally: &TallyDraws, lane: usize) -> (f64, f64) {
    let [images, answers, right] = [&tally.images, &tally.answers, &tally.right].map(|each| f64::from(each[lane]));
    (2.0 * right, images + answers)
}

/// Returns F1 of all labels together.
pub(super) fn micro_f1<'a>(tallies: impl Iterator<Item = &'a TallyDraws>) -> Numbers {
    let (mut numerators, mut denominators) = ([0.0; LANES], [0.0; LANES]);
    for tally in tallies {
        for lane in 0..LANES {
            let (numerator, denominator) = f1(tally, lane);
            numerators[lane] += numerator;
            denominators[lane] += denominator;
        }
    }
    ratio(&numerators, &denominators)
}

/// Divides lane by lane: NaN where there is nothing.
pub(super) fn ratio<T: Copy + Into<f64>, U: Copy + Into<f64>>(numerators: &[T; LANES], of: &[U; LANES]) -> Numbers {
    std::array::from_fn(|lane| numerators[lane].into() / of[lane].into())
}
