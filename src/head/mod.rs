//! Rows to score with, learned from labelled embeddings: a logistic head held near the labels' texts. Pure arithmetic, which
//! gives the same bits for any order of examples and on any number of threads.
//!
//! With unit embeddings `x_i` of examples, unit text embeddings `t_c`, and the checkpoint's scale `s`, the rows `w_c` are the
//! ones that make this least:
//!
//! ```text
//! sum over labels c of 1/n_c * sum over its n_c examples of -log softmax(s * x_i W)[c]
//!     + strength * s^2 * sum over labels c of p_c * |w_c - t_c|^2
//! ```
//!
//! The sum is strictly convex, so it has one minimum. `p_c` is the mean probability that the text alone gives to the examples
//! of `c`, and at least 0.05: a label that the text knows well is held near it. The distance is measured in logits (`s^2`),
//! so that a strength means the same for every checkpoint. A label without examples keeps its text, and takes part. For a
//! checkpoint trained with sigmoids, the loss is the sum of each label's own.
//!
//! The strength is chosen by cross-validation: it is the one with the least loss of examples left out, among those whose label
//! has others left. An example left out is judged by the strength that the other folds choose.

mod examples;
mod lbfgs;
mod logistic;
mod shown;

use rayon::prelude::*;

pub use examples::{Clash, Examples};
use logistic::{Fit, Shared};
pub use shown::shown_entries;

use crate::embeddings::Embeddings;
use crate::score::Readout;

/// The strengths to choose from, in the order in which they are tried.
pub const STRENGTHS: [f64; 6] = [0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
/// The strength where the examples do not tell: each is the only one of its label.
pub const STRENGTH: f64 = 0.03;
/// Up to so many examples, each is left out once.
const ONE_BY_ONE: usize = 50;
/// The number of folds of more examples.
const FOLDS: usize = 5;
/// From more examples on, one fold chooses the strength, and another measures.
const HELD_OUT: usize = 5000;
/// How far logits may be from the optimum: where the rows are used, and where only answers are counted.
const EXACT: f64 = 1e-7;
const ROUGH: f64 = 1e-3;

/// What examples do to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// They move rows away from the texts, as far as the strength allows.
    Anchored,
    /// A row is the unit sum of its text and the mean of its examples: for labels whose words mean nothing.
    Prototype,
    /// Nothing: they only measure the texts.
    Text,
}

impl Head {
    /// Every head.
    pub const ALL: [Self; 3] = [Self::Anchored, Self::Prototype, Self::Text];

    /// Returns its name: `anchored`, `prototype`, `text`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Prototype => "prototype",
            Self::Text => "text",
        }
    }
}

/// Learned rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The row of each label: `[C, D]`. Only those of texts and prototypes have unit length.
    pub rows: Embeddings,
    /// The strength of the anchor, if there is one.
    pub strength: Option<f64>,
    /// How good such rows are.
    pub check: Check,
}

/// What cross-validation found: answers to examples that were left out of the learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The number of folds.
    pub folds: usize,
    /// The examples that were left out once.
    pub examples: usize,
    /// Right answers to them.
    pub right: usize,
    /// Right answers of the texts alone.
    pub right_by_text: usize,
}

/// Learns rows from examples whose labels are the rows of `texts` [C, D]. Label `c` of the examples is row `c`.
///
/// # Panics
/// If there is no example, its label is not among the texts, or the dimensions differ.
pub fn learn(texts: &Embeddings, examples: &Examples, readout: Readout, head: Head) -> Learned {
    assert!(!examples.is_empty(), "there are examples");
    assert_eq!(texts.dim(), examples.rows().dim(), "embeddings of one model");
    assert!(examples.of().iter().all(|class| *class < texts.len()), "examples of these labels");
    let shared = Shared::new(texts, examples, readout);
    let folds = Folds::new(examples.len());
    let right_by_text = |example: usize| best(shared.texts(example)) == examples.of()[example];
    let count = |is_right: &dyn Fn(usize) -> bool| folds.measured().filter(|example| is_right(*example)).count();
    let (rows, strength, right) = match head {
        Head::Text => (texts.clone(), None, count(&right_by_text)),
        Head::Prototype => {
            let right = |fold| prototype_right(texts, examples, readout, &folds, fold);
            let right = folds.measuring.clone().into_par_iter().map(right).sum();
            (prototypes(texts, examples, |_| true), None, right)
        }
        Head::Anchored => {
            let (strength, right) = choose(&shared, examples, &folds);
            (anchored(&shared, texts, strength), Some(strength), right)
        }
    };
    let measured = folds.measured().count();
    let check = Check { folds: folds.count, examples: measured, right, right_by_text: count(&right_by_text) };
    Learned { rows, strength, check }
}

/// Returns the anchored rows [C, D] at one strength, without cross-validation.
///
/// # Panics
/// As [`learn`].
pub fn at_strength(texts: &Embeddings, examples: &Examples, readout: Readout, strength: f64) -> Embeddings {
    anchored(&Shared::new(texts, examples, readout), texts, strength)
}

/// Returns the rows [C, D] at a strength.
fn anchored(shared: &Shared, texts: &Embeddings, strength: f64) -> Embeddings {
    let differences = optimum(shared, texts.dim(), strength);
    let mut rows = Embeddings::new(texts.dim());
    for (text, difference) in texts.rows().zip(differences.chunks_exact(texts.dim())) {
        let row: Vec<f32> = text.iter().zip(difference).map(|(t, d)| (f64::from(*t) + d) as f32).collect();
        rows.push_unit(&row);
    }
    rows
}

/// Returns how each row differs from its text [C, D] at the optimum of all examples.
fn optimum(shared: &Shared, dim: usize, strength: f64) -> Vec<f64> {
    let mut fit = Fit::new(shared, (0..shared.count()).collect());
    fit.minimise(strength, EXACT);
    fit.differences(dim)
}

/// The label with the highest logit, the first of equals.
fn best(logits: &[f64]) -> usize {
    (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}

/// Which examples are left out together. Examples are ordered by label, so each label's are spread over the folds.
struct Folds {
    count: usize,
    examples: usize,
    /// The folds whose answers are counted, and those whose losses choose the strength.
    measuring: Vec<usize>,
    choosing: Vec<usize>,
}

impl Folds {
    fn new(examples: usize) -> Self {
        let count = if examples <= ONE_BY_ONE { examples } else { FOLDS };
        let (measuring, choosing) =
            if examples > HELD_OUT { (vec![0], vec![1]) } else { ((0..count).collect(), (0..count).collect()) };
        Self { count, examples, measuring, choosing }
    }

    /// Returns the examples of a fold, or else those outside it.
    fn of(&self, fold: usize, inside: bool) -> Vec<usize> {
        (0..self.examples).filter(|example| (example % self.count == fold) == inside).collect()
    }

    /// Returns the examples whose answers are counted.
    fn measured(&self) -> impl Iterator<Item = usize> {
        (0..self.examples).filter(|example| self.measuring.contains(&(example % self.count)))
    }
}

/// What a fit says of the examples that it left out.
#[derive(Clone, Copy, Default)]
struct Outcome {
    /// The loss of those whose label has examples in the fit.
    loss: f64,
    /// How many these are.
    judged: usize,
    /// Right answers, to all of them.
    right: usize,
}

/// Returns the outcomes of one fold at some strengths.
fn outcomes(shared: &Shared, examples: &Examples, folds: &Folds, fold: usize, strengths: &[f64]) -> Vec<Outcome> {
    let (left_out, mut fit) = (folds.of(fold, true), Fit::new(shared, folds.of(fold, false)));
    let at = |strength: &f64| {
        fit.minimise(*strength, ROUGH); // starts where the last strength ended
        let mut outcome = Outcome::default();
        for &example in &left_out {
            let (logits, class) = (fit.logits(example), examples.of()[example]);
            outcome.right += usize::from(best(&logits) == class);
            if fit.trains(class) {
                outcome.judged += 1;
                outcome.loss += shared.loss(&logits, class);
            }
        }
        outcome
    };
    strengths.iter().map(at).collect()
}

/// Chooses the strength, and returns the right answers to examples left out.
fn choose(shared: &Shared, examples: &Examples, folds: &Folds) -> (f64, usize) {
    let has_choice = examples.of().windows(2).any(|pair| pair[0] == pair[1]);
    let strengths = if has_choice { &STRENGTHS[..] } else { &[STRENGTH] };
    let choosing = folds.choosing.par_iter().map(|&fold| outcomes(shared, examples, folds, fold, strengths));
    let choosing: Vec<Vec<Outcome>> = choosing.collect();
    let chosen = |but: Option<usize>| {
        let others = || folds.choosing.iter().zip(&choosing).filter(|(fold, _)| Some(**fold) != but);
        let losses = (0..strengths.len()).map(|at| others().map(|(_, of)| of[at].loss).sum::<f64>());
        let judged: usize = others().map(|(_, of)| of[0].judged).sum();
        let best = losses.enumerate().reduce(|a, b| if b.1 < a.1 { b } else { a });
        if judged == 0 { None } else { best.map(|(at, _)| at) }
    };
    let right = |fold: usize| match (folds.choosing.iter().position(|other| *other == fold), chosen(Some(fold))) {
        (Some(own), Some(at)) => choosing[own][at].right,
        (Some(own), None) if !has_choice => choosing[own][0].right,
        (_, at) => outcomes(shared, examples, folds, fold, &[at.map_or(STRENGTH, |at| strengths[at])])[0].right,
    };
    let right = folds.measuring.clone().into_par_iter().map(right).sum();
    (chosen(None).map_or(STRENGTH, |at| strengths[at]), right)
}

/// Returns each label's prototype [C, D], from examples that are used.
fn prototypes(texts: &Embeddings, examples: &Examples, is_used: impl Fn(usize) -> bool) -> Embeddings {
    let dim = texts.dim();
    let mut sums = vec![(0usize, vec![0f64; dim]); texts.len()];
    for example in (0..examples.len()).filter(|example| is_used(*example)) {
        let (count, sum) = &mut sums[examples.of()[example]];
        *count += 1;
        sum.iter_mut().zip(examples.rows().row(example)).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let mut rows = Embeddings::new(dim);
    for (text, (count, sum)) in texts.rows().zip(sums) {
        if count == 0 {
            rows.push_unit(text);
        } else {
            let row = text.iter().zip(&sum).map(|(t, sum)| (f64::from(*t) + sum / count as f64) as f32);
            rows.push(&row.collect::<Vec<f32>>());
        }
    }
    rows
}

/// Returns the right answers of prototypes to the examples of a fold, which is left out.
fn prototype_right(texts: &Embeddings, examples: &Examples, readout: Readout, folds: &Folds, fold: usize) -> usize {
    let rows = prototypes(texts, examples, |example| example % folds.count != fold);
    let is_right = |example: &usize| {
        let image = examples.rows().row(*example);
        let logits: Vec<f64> = rows.rows().map(|row| readout.scale * crate::embeddings::dot(row, image)).collect();
        best(&logits) == examples.of()[*example]
    };
    folds.of(fold, true).iter().filter(|example| is_right(example)).count()
}

#[cfg(test)]
mod tests;
