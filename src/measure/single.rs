//! The metrics of images with one truth.

use crate::measure::calibration::{self, BinLists};
use crate::measure::draws::{Counts, Numbers};
use crate::measure::interval;
use crate::measure::judged::Judged;
use crate::measure::metric::{Measured, Metric};
use crate::measure::ranking::Ranking;
use crate::measure::tally::{Lists, Mean, Tally, TallyDraws, ratio};

/// How many labels top5 looks at.
const FIVE: usize = 5;

/// In the order in which [`Single::draws`] computes them.
const METRICS: [Metric; 9] = [
    Metric::Top1,
    Metric::Top5,
    Metric::MeanRecall,
    Metric::MacroF1,
    Metric::Ece,
    Metric::Nll,
    Metric::Brier,
    Metric::Auroc,
    Metric::Fpr95,
];

/// Images in lists, by what they count for.
struct Single {
    labels: Vec<Lists>,
    /// Images of labels; those with the right answer; those with the truth among the best five.
    known: Vec<u32>,
    right: Vec<u32>,
    among_five: Vec<u32>,
    /// Images of labels that have scores, with their loss and squares.
    scored: Vec<u32>,
    losses: Vec<f64>,
    squares: Vec<f64>,
    bins: Vec<BinLists>,
    /// Images of labels are its positive ones. The least unknown comes first.
    ranking: Ranking,
}

/// Sorts images into the lists of their truths and answers.
fn lists(images: &[Judged], labels: usize) -> Vec<Lists> {
    let mut lists = vec![Lists::default(); labels];
    for (image, judged) in (0..).zip(images) {
        if let Some(truth) = judged.truth {
            lists[truth].images.push(image);
        }
        if let Some(answer) = judged.answer() {
            lists[answer].answers.push(image);
            if judged.is_right() {
                lists[answer].right.push(image);
            }
        }
    }
    lists
}

impl Single {
    fn new(images: &[Judged], labels: usize) -> Self {
        let select = |is_in: &dyn Fn(&Judged) -> bool| -> Vec<u32> {
            (0..).zip(images).filter(|(_, judged)| is_in(judged)).map(|(image, _)| image).collect()
        };
        let scores = || images.iter().filter(|judged| judged.truth.is_some()).filter_map(|judged| judged.scored);
        // The wrong end of a failed image: an image of a label looks unknown, and an unknown one does not.
        let worst = |judged: &Judged| if judged.truth.is_some() { f32::NEG_INFINITY } else { f32::INFINITY };
        let familiar =
            images.iter().map(|judged| judged.scored.map_or_else(|| worst(judged), |scored| -scored.unknown));
        Self {
            labels: lists(images, labels),
            known: select(&|judged| judged.truth.is_some()),
            right: select(&Judged::is_right),
            among_five: select(&|judged| judged.is_among(FIVE)),
            scored: select(&|judged| judged.truth.is_some() && judged.scored.is_some()),
            losses: scores().map(|scored| -f64::from(scored.truth_score).max(f64::EPSILON).ln()).collect(),
            squares: scores().map(|scored| scored.squares).collect(),
            bins: calibration::bins(images),
            ranking: Ranking::new(familiar, |image| images[image as usize].truth.is_some()),
        }
    }

    fn draws(&self, counts: &Counts) -> [Numbers; METRICS.len()] {
        let known = counts.sum(&self.known);
        let scored = counts.sum(&self.scored);
        let (mut recall, mut f1) = (Mean::new(), Mean::new());
        for tally in self.labels.iter().map(|lists| lists.draws(counts)) {
            let TallyDraws { images, right, .. } = &tally;
            recall.add(images, |lane| (right[lane].into(), images[lane].into()));
            f1.add_f1(&tally);
        }
        let [auroc, fpr95] = self.ranking.separation(counts);
        [
            ratio(&counts.sum(&self.right), &known),
            ratio(&counts.sum(&self.among_five), &known),
            recall.get(),
            f1.get(),
            ratio(&calibration::gaps(&self.bins, counts), &scored),
            ratio(&counts.dot(&self.scored, &self.losses), &scored),
            ratio(&counts.dot(&self.scored, &self.squares), &scored),
            auroc,
            fpr95,
        ]
    }
}

/// Measures images with one truth or none, whose scores are for so many labels. Metrics that are undefined are left out:
/// AUROC and FPR95 without an unknown image, for one.
///
/// # Panics
///
/// If a truth or an answer is not among the labels.
pub fn single(images: &[Judged], labels: usize) -> Vec<Measured> {
    let single = Single::new(images, labels);
    let draws = Counts::all(images.len()).map(|counts| single.draws(&counts));
    let mut measured = Measured::all(METRICS, images.len(), draws);
    measured.retain(|measured| measured.metric != Metric::Top5 || labels > FIVE);
    for measured in &mut measured {
        let right = match measured.metric {
            Metric::Top1 => &single.right,
            Metric::Top5 => &single.among_five,
            _ => continue,
        };
        measured.estimate = interval::wilson(right.len(), single.known.len()).unwrap_or(measured.estimate);
    }
    measured
}

/// Returns how each of so many labels fared, in their order.
///
/// # Panics
///
/// If a truth or an answer is not among the labels.
pub fn tallies(images: &[Judged], labels: usize) -> Vec<Tally> {
    lists(images, labels).iter().map(Lists::tally).collect()
}
