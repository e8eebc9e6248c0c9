//! What an evaluation found, as plain data. `table.rs` and `csv.rs` print it; JSON is its own form.

use std::collections::BTreeMap;

use serde::Serialize;
use zsic::measure::{self, Estimate, Judged, Measured, Metric, Tally};

use super::super::labels::UNKNOWN;
use super::judge::{Images, Run, TaughtBy};
use super::vary::Variant;

/// The most suspects of a run.
const SUSPECTS: usize = 50;
/// From this score on a label is taken for accepted, where images may show several and no threshold is given.
const THRESHOLD: f32 = 0.5;

#[derive(Serialize)]
pub struct Report {
    pub truth: TruthFacts,
    pub runs: Vec<RunReport>,
    pub pairs: Vec<Pair>,
}

#[derive(Serialize)]
pub struct TruthFacts {
    pub kind: &'static str,
    /// Images that are counted.
    pub images: usize,
    /// Those of them that failed.
    pub failed: u64,
    /// Images without a truth, or whose truth is left out.
    pub left_out: u64,
}

#[derive(Serialize)]
pub struct RunReport {
    pub model: String,
    pub precision: String,
    pub templates: Vec<String>,
    #[serde(flatten)]
    pub taught: TaughtBy,
    #[serde(skip)]
    pub variant: Variant,
    pub metrics: BTreeMap<&'static str, Interval>,
    pub labels: Vec<LabelReport>,
    pub confusions: Vec<ConfusionReport>,
    pub calibration: Vec<BinReport>,
    pub suspects: Vec<Suspect>,
    #[serde(skip)]
    pub measured: Vec<Measured>,
}

/// A value and its 95 % interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl From<Estimate> for Interval {
    fn from(Estimate { value, low, high }: Estimate) -> Self {
        Self { value, low, high }
    }
}

/// How one label fared. What is undefined is null.
#[derive(Serialize)]
pub struct LabelReport {
    pub label: String,
    /// Images that show it.
    pub images: usize,
    pub recall: Option<Interval>,
    pub precision: Option<Interval>,
    pub f1: Option<f64>,
    /// Where images may show several labels: the threshold for the highest F1 on these images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_f1: Option<f32>,
}

/// Images of one truth with one wrong answer.
#[derive(Serialize)]
pub struct ConfusionReport {
    pub truth: String,
    pub answer: String,
    pub images: usize,
}

/// Images whose highest score is above `from` and at most `to`.
#[derive(Serialize)]
pub struct BinReport {
    pub from: f64,
    pub to: f64,
    pub images: usize,
    pub confidence: Option<f64>,
    pub right: Option<f64>,
}

/// An image whose answer is wrong with a high score. Its truth may be the one that is wrong.
#[derive(Serialize)]
pub struct Suspect {
    pub image: String,
    pub truth: String,
    pub answer: String,
    pub score: f32,
}

/// Two runs on the same images.
#[derive(Serialize)]
pub struct Pair {
    pub a: usize,
    pub b: usize,
    pub metric: &'static str,
    /// What `b` has more than `a`.
    pub difference: f64,
    pub low: f64,
    pub high: f64,
    /// Images that only one of them got right, and McNemar's exact p.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<DisagreementReport>,
}

#[derive(Serialize)]
pub struct DisagreementReport {
    pub only_a: usize,
    pub only_b: usize,
    pub p: f64,
}

impl LabelReport {
    fn new(label: &str, tally: Tally, best: Option<measure::BestThreshold>) -> Self {
        Self {
            label: label.to_owned(),
            images: tally.images,
            recall: tally.recall().map(Interval::from),
            precision: tally.precision().map(Interval::from),
            f1: tally.f1(),
            threshold_f1: best.map(|best| best.threshold),
        }
    }
}

impl From<measure::Bin> for BinReport {
    fn from(measure::Bin { from, to, images, confidence, right }: measure::Bin) -> Self {
        Self { from, to, images, confidence, right }
    }
}

impl Report {
    /// Measures all runs.
    pub fn new(kind: &'static str, images: &Images, runs: &[Run]) -> Self {
        let truth = TruthFacts { kind, images: images.names.len(), failed: images.failed, left_out: images.left_out };
        let reports: Vec<RunReport> = runs.iter().map(|run| RunReport::new(run, images)).collect();
        let pairs = (0..runs.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let pairs = pairs.filter_map(|(a, b)| Pair::new((a, b), runs, &reports)).collect();
        Self { truth, runs: reports, pairs }
    }

    /// Returns the place of the best run, the first of equals.
    pub fn best(&self) -> usize {
        let better = |best: usize, run: usize| if self.runs[run].main() > self.runs[best].main() { run } else { best };
        (0..self.runs.len()).fold(0, better)
    }
}

impl RunReport {
    /// Returns the value that runs are compared by.
    pub fn main(&self) -> f64 {
        self.metrics.get("top1").or(self.metrics.get("map")).map_or(0.0, |metric| metric.value)
    }

    fn new(run: &Run, images: &Images) -> Self {
        let names = run.scorer.answers();
        let name = |label: Option<usize>| label.map_or_else(|| UNKNOWN.to_owned(), |label| names[label].clone());
        let least = (0..names.len()).map(|answer| run.thresholds.get(answer).copied().unwrap_or(THRESHOLD));
        let least: Vec<f32> = least.collect();
        let (measured, tallies, best) = match &run.multi {
            Some(multi) => (multi.measure(&least), multi.tallies(&least), multi.best_thresholds()),
            None => {
                let tallies = measure::tallies(&run.judged, names.len());
                (measure::single(&run.judged, names.len()), tallies, vec![None; names.len()])
            }
        };
        let labels =
            names.iter().zip(tallies).zip(best).map(|((label, tally), best)| LabelReport::new(label, tally, best));
        let single: &[Judged] = if run.multi.is_some() { &[] } else { &run.judged };
        let confusions = measure::confusions(single).into_iter().map(|c| ConfusionReport {
            truth: name(c.truth),
            answer: name(c.answer),
            images: c.images,
        });
        let bins = if single.is_empty() { Vec::new() } else { measure::calibration(single) };
        Self {
            model: run.model.clone(),
            precision: run.precision.clone(),
            templates: run.templates.clone(),
            taught: run.taught.clone(),
            variant: run.variant.clone(),
            metrics: measured.iter().map(|m| (m.metric.name(), m.estimate.into())).collect(),
            labels: labels.collect(),
            confusions: confusions.collect(),
            calibration: bins.into_iter().map(BinReport::from).collect(),
            suspects: suspects(single, images, name),
            measured,
        }
    }
}

/// Returns wrong answers with the highest scores.
fn suspects(judged: &[Judged], images: &Images, name: impl Fn(Option<usize>) -> String) -> Vec<Suspect> {
    let wrong = |(image, judged): (usize, &Judged)| {
        let answer = judged.answer().filter(|answer| Some(*answer) != judged.truth)?;
        let score = judged.scored?.score;
        let image = images.names[image].clone();
        Some(Suspect { image, truth: name(judged.truth), answer: name(Some(answer)), score })
    };
    let mut suspects: Vec<Suspect> = judged.iter().enumerate().filter_map(wrong).collect();
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score));
    suspects.truncate(SUSPECTS);
    suspects
}

impl Pair {
    /// Compares two runs by their main metric.
    fn new((a, b): (usize, usize), runs: &[Run], reports: &[RunReport]) -> Option<Self> {
        let metric = if runs[a].multi.is_some() { Metric::Map } else { Metric::Top1 };
        let [of_a, of_b] = [a, b].map(|run| reports[run].measured.iter().find(|m| m.metric == metric));
        let Estimate { value, low, high } = measure::difference(of_a?, of_b?)?;
        let disagreement = (metric == Metric::Top1).then(|| {
            let right = |run: usize| runs[run].judged.iter().filter(|j| j.truth.is_some()).map(Judged::is_right);
            let measure::Disagreement { only_a, only_b, p } = measure::mcnemar(right(a).zip(right(b)));
            DisagreementReport { only_a, only_b, p }
        });
        Some(Self { a, b, metric: metric.name(), difference: value, low, high, disagreement })
    }
}
