//! The metrics of images with any number of truths.

use rayon::prelude::*;

use crate::measure::draws::{Counts, Numbers};
use crate::measure::metric::{Measured, Metric};
use crate::measure::ranking::Ranking;
use crate::measure::tally::{self, Lists, Mean, Tally, TallyDraws};
use crate::score::Scores;

/// Images with any number of truths, label by label. It takes 8 bytes for each score; [`measure`](Self::measure) takes
/// 1 KiB more for each image.
#[derive(Debug, Clone, Default)]
pub struct Multi {
    labels: Vec<Column>,
    images: usize,
}

/// One label: the images that show it, and all images' scores, and what ranks them.
#[derive(Debug, Clone, Default)]
struct Column {
    images: Vec<u32>,
    /// An image that failed ranks last and is never accepted.
    scores: Vec<f32>,
    ranks: Vec<f32>,
}

/// Labels that take turns with one group of draws while the processor's cache holds it.
const TOGETHER: usize = 64;

const FAILED: f32 = f32::NEG_INFINITY;

/// A label's threshold for the highest F1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestThreshold {
    /// Scores of this or more are accepted.
    pub threshold: f32,
    /// F1 with it on these images. On others it is lower, as the threshold was chosen on these.
    pub f1: f64,
}

/// What one label brings to a group of draws.
struct LabelDraws {
    precision: Numbers,
    tally: TallyDraws,
}

impl LabelDraws {
    fn new(ranking: &Ranking, lists: &Lists, counts: &Counts) -> Self {
        Self { precision: ranking.average_precision(counts), tally: lists.draws(counts) }
    }
}

/// Returns what images are ranked by: the logits, or the scores against a background, which the logits do not know.
fn ranks(scores: &Scores) -> &[f32] {
    let has_background = scores.verdict().is_some_and(|verdict| verdict.unknown.is_some());
    if has_background { scores.scores() } else { scores.logits() }
}

/// Returns mAP, micro F1 and macro F1.
fn averaged(labels: &[LabelDraws]) -> [Numbers; 3] {
    let (mut precision, mut f1) = (Mean::new(), Mean::new());
    for label in labels {
        precision.add(&label.tally.images, |lane| (label.precision[lane], 1.0));
        f1.add_f1(&label.tally);
    }
    [precision.get(), tally::micro_f1(labels.iter().map(|label| &label.tally)), f1.get()]
}

impl Column {
    /// Sorts images by their scores or ranks.
    fn ranking(&self, by: &[f32]) -> Ranking {
        let mut is_positive = vec![false; by.len()];
        self.images.iter().for_each(|image| is_positive[*image as usize] = true);
        Ranking::new(by.iter().copied(), |image| is_positive[image as usize])
    }

    fn lists(&self, threshold: f32) -> Lists {
        let is_accepted =
            |image: &u32| self.scores[*image as usize] >= threshold && self.scores[*image as usize] != FAILED;
        let right = self.images.iter().copied().filter(is_accepted).collect();
        let answers = (0..self.scores.len() as u32).filter(is_accepted).collect();
        Lists { images: self.images.clone(), answers, right }
    }

    fn best_threshold(&self) -> Option<BestThreshold> {
        let score = |image: u32| self.scores[image as usize];
        let (image, f1) = self.ranking(&self.scores).best_f1(|image| score(image) != FAILED)?;
        Some(BestThreshold { threshold: score(image), f1 })
    }
}

impl Multi {
    /// Begins with no images, for so many labels.
    pub fn new(labels: usize) -> Self {
        Self { labels: vec![Column::default(); labels], images: 0 }
    }

    /// Adds an image: the labels that it shows, and its scores in the labels' order, or none if it failed.
    ///
    /// # Panics
    ///
    /// If there is not one score for each label, or a truth is not among the labels.
    pub fn push(&mut self, truths: &[usize], scores: Option<&Scores>) {
        assert!(scores.is_none_or(|scores| scores.scores().len() == self.labels.len()), "one score for each label");
        for (label, column) in self.labels.iter_mut().enumerate() {
            column.scores.push(scores.map_or(FAILED, |scores| scores.scores()[label]));
            column.ranks.push(scores.map_or(FAILED, |scores| ranks(scores)[label]));
        }
        let image = self.images as u32;
        for truth in truths {
            let images = &mut self.labels[*truth].images;
            if images.last() != Some(&image) {
                images.push(image);
            }
        }
        self.images += 1;
    }

    /// Measures `map`, `micro_f1` and `macro_f1`. An image is given the labels whose scores reach their thresholds.
    ///
    /// # Panics
    ///
    /// If there is not one threshold for each label.
    pub fn measure(&self, thresholds: &[f32]) -> Vec<Measured> {
        let mut groups: Vec<(Counts, Vec<LabelDraws>)> =
            Counts::all(self.images).map(|counts| (counts, Vec::new())).collect();
        let labels: Vec<(&Column, f32)> = self.with(thresholds).collect();
        for labels in labels.chunks(TOGETHER) {
            let prepare =
                |(column, threshold): &(&Column, f32)| (column.ranking(&column.ranks), column.lists(*threshold));
            let prepared: Vec<(Ranking, Lists)> = labels.par_iter().map(prepare).collect();
            for (counts, draws) in &mut groups {
                draws.par_extend(prepared.par_iter().map(|(ranking, lists)| LabelDraws::new(ranking, lists, counts)));
            }
        }
        let draws = groups.iter().map(|(_, labels)| averaged(labels));
        Measured::all([Metric::Map, Metric::MicroF1, Metric::MacroF1], self.images, draws)
    }

    /// Returns how each label fared with its threshold.
    ///
    /// # Panics
    ///
    /// If there is not one threshold for each label.
    pub fn tallies(&self, thresholds: &[f32]) -> Vec<Tally> {
        self.with(thresholds).map(|(column, threshold)| column.lists(threshold).tally()).collect()
    }

    /// Returns each label's threshold for the highest F1, the highest one of several. A label without images that have
    /// scores has none.
    pub fn best_thresholds(&self) -> Vec<Option<BestThreshold>> {
        self.labels.par_iter().map(Column::best_threshold).collect()
    }

    fn with<'a>(&'a self, thresholds: &'a [f32]) -> impl IndexedParallelIterator<Item = (&'a Column, f32)> {
        assert_eq!(thresholds.len(), self.labels.len(), "one threshold for each label");
        self.labels.par_iter().zip(thresholds.par_iter().copied())
    }
}
