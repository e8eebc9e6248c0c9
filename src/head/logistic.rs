//! The anchored head at one strength: its loss over some of the examples, and the rows that make it least.

use rayon::prelude::*;

use super::examples::Examples;
use super::lbfgs::minimise;
use crate::embeddings::Embeddings;
use crate::kernels::doubles::{times_transposed, transposed_times};
use crate::score::{Activation, Readout};

/// The least share of its anchor that a label keeps however badly its text does.
const LEAST_TRUST: f64 = 0.05;

/// What all fits to one set of examples share.
pub(super) struct Shared<'a> {
    examples: &'a Examples,
    readout: Readout,
    /// The examples in coordinates of the space that they span: `[N, dim]`. All their products are those of the embeddings.
    coordinates: Vec<f64>,
    dim: usize,
    /// The logit of each example for each label's text: `[N, C]`.
    texts: Vec<f64>,
    classes: usize,
}

impl<'a> Shared<'a> {
    pub fn new(texts: &Embeddings, examples: &'a Examples, readout: Readout) -> Self {
        let doubles = |rows: &Embeddings| rows.values().iter().copied().map(f64::from).collect::<Vec<f64>>();
        let (dim, count) = (texts.dim(), examples.len());
        let rows = doubles(examples.rows());
        let mut logits = vec![0.0; count * texts.len()];
        times_transposed(&rows, &doubles(texts), dim, &mut logits);
        logits.iter_mut().for_each(|x| *x = readout.scale * *x + readout.bias);
        let (coordinates, dim) = if count < dim { (triangle(&rows, dim), count) } else { (rows, dim) };
        Self { examples, readout, coordinates, dim, texts: logits, classes: texts.len() }
    }

    /// Returns the logits of an example for the labels' texts.
    pub fn texts(&self, example: usize) -> &[f64] {
        &self.texts[example * self.classes..][..self.classes]
    }

    /// Returns the number of examples.
    pub fn count(&self) -> usize {
        self.examples.len()
    }

    /// Returns the loss of logits for all labels, of which one is right.
    pub fn loss(&self, logits: &[f64], class: usize) -> f64 {
        match self.readout.activation {
            Activation::Softmax => log_sum_exp(logits.iter().copied()) - logits[class],
            Activation::Sigmoid => logits.iter().map(|&x| softplus(x)).sum::<f64>() - logits[class],
        }
    }

    fn coordinates(&self, example: usize) -> &[f64] {
        &self.coordinates[example * self.dim..][..self.dim]
    }

    /// Returns the text's probability of an example's own label.
    fn text_probability(&self, example: usize) -> f64 {
        let logits = self.texts(example);
        (logits[self.examples.of()[example]] - log_sum_exp(logits.iter().copied())).exp()
    }
}

/// Returns rows [N, N] with the products of these [N, dim]: the Cholesky factor of their products. An example that others
/// already express gets no dimension of its own.
fn triangle(rows: &[f64], dim: usize) -> Vec<f64> {
    const NOTHING_NEW: f64 = 1e-13;
    let count = rows.len() / dim;
    let mut factor = vec![0.0; count * count];
    times_transposed(rows, rows, dim, &mut factor);
    for i in 0..count {
        let (above, own) = factor.split_at_mut(i * count);
        for j in 0..i {
            let other = &above[j * count..][..=j];
            let sum: f64 = own[..j].iter().zip(other).map(|(a, b)| a * b).sum();
            own[j] = if other[j] > 0.0 { (own[j] - sum) / other[j] } else { 0.0 };
        }
        let left = own[i] - own[..i].iter().map(|x| x * x).sum::<f64>();
        own[i] = if left > NOTHING_NEW { left.sqrt() } else { 0.0 };
        own[i + 1..count].fill(0.0);
    }
    factor
}

fn log_sum_exp(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY { largest } else { largest + logits.map(|x| (x - largest).exp()).sum::<f64>().ln() }
}

fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// Returns `ln(1 + exp(x))`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// A fit to some of the examples, at one strength.
///
/// Its variables are `v_c = s * sqrt(p_c) * (w_c - t_c)`, in which the anchor pulls every label alike.
pub(super) struct Fit<'a> {
    shared: &'a Shared<'a>,
    strength: f64,
    /// The examples, in order.
    examples: Vec<usize>,
    /// Their coordinates: `[n, dim]`.
    rows: Vec<f64>,
    /// The labels that have examples; others keep their texts.
    trained: Vec<usize>,
    /// The place among those of each example's label, and the example's weight: a label's examples weigh 1 together.
    targets: Vec<(usize, f64)>,
    /// `1 / sqrt(p_c)` of each of those.
    freedom: Vec<f64>,
    /// The log-sum-exp of the other labels' logits: `[n]`.
    others: Vec<f64>,
    /// The variables: `[trained, dim]`.
    variables: Vec<f64>,
}

impl<'a> Fit<'a> {
    /// Prepares a fit that starts at the texts.
    pub fn new(shared: &'a Shared<'a>, examples: Vec<usize>) -> Self {
        let of = shared.examples.of();
        let mut sums = vec![(0usize, 0f64); shared.classes];
        for &example in &examples {
            let (count, sum) = &mut sums[of[example]];
            (*count, *sum) = (*count + 1, *sum + shared.text_probability(example));
        }
        let trained: Vec<usize> = (0..shared.classes).filter(|&class| sums[class].0 > 0).collect();
        let mut place = vec![0; shared.classes];
        trained.iter().enumerate().for_each(|(at, &class)| place[class] = at);
        let trust = |class: &usize| (sums[*class].1 / sums[*class].0 as f64).max(LEAST_TRUST);
        let others = |&example: &usize| {
            let logits = shared.texts(example).iter().enumerate();
            log_sum_exp(logits.filter(|(class, _)| sums[*class].0 == 0).map(|(_, logit)| *logit))
        };
        Self {
            rows: examples.iter().flat_map(|&example| shared.coordinates(example)).copied().collect(),
            targets: examples.iter().map(|&e| (place[of[e]], 1.0 / sums[of[e]].0 as f64)).collect(),
            freedom: trained.iter().map(|class| trust(class).powf(-0.5)).collect(),
            others: examples.iter().map(others).collect(),
            variables: vec![0.0; trained.len() * shared.dim],
            strength: 1.0,
            shared,
            examples,
            trained,
        }
    }

    /// Returns whether a label has examples here.
    pub fn trains(&self, class: usize) -> bool {
        self.trained.binary_search(&class).is_ok()
    }

    /// Minimises the loss at a strength, from where the variables are, until no logit is more than about `tolerance` from its
    /// optimum.
    pub fn minimise(&mut self, strength: f64, tolerance: f64) {
        self.strength = strength;
        let mut variables = std::mem::take(&mut self.variables);
        let mut logits = vec![0.0; self.examples.len() * self.trained.len()];
        // The loss is at least as curved as its anchor, 2 * strength.
        let shortest = 2.0 * strength * tolerance * (self.trained.len() as f64).sqrt();
        minimise(&mut variables, shortest, |variables, gradient| self.loss(variables, &mut logits, gradient));
        self.variables = variables;
    }

    /// Returns the loss, and writes its gradient. `residuals` [n, trained] become its derivatives by the products of rows and
    /// variables.
    fn loss(&self, variables: &[f64], residuals: &mut [f64], gradient: &mut [f64]) -> f64 {
        times_transposed(&self.rows, variables, self.shared.dim, residuals);
        let each = residuals.par_chunks_mut(self.trained.len().max(1)).enumerate().with_min_len(16);
        let losses: Vec<f64> = each.map(|(at, row)| self.example_loss(at, row)).collect();
        transposed_times(residuals, &self.rows, self.examples.len(), gradient);
        gradient.iter_mut().zip(variables).for_each(|(g, v)| *g += 2.0 * self.strength * v);
        losses.iter().sum::<f64>() + self.strength * variables.iter().map(|v| v * v).sum::<f64>()
    }

    /// Returns the loss of one example, by the products [trained] of its row and the variables, and turns these into
    /// derivatives.
    fn example_loss(&self, at: usize, row: &mut [f64]) -> f64 {
        let texts = self.shared.texts(self.examples[at]);
        let (target, weight) = self.targets[at];
        for (x, (&class, freedom)) in row.iter_mut().zip(self.trained.iter().zip(&self.freedom)) {
            *x = texts[class] + freedom * *x;
        }
        let loss = match self.shared.readout.activation {
            Activation::Softmax => {
                let sum = log_sum_exp(row.iter().copied().chain([self.others[at]]));
                let loss = sum - row[target];
                row.iter_mut().for_each(|x| *x = (*x - sum).exp());
                loss
            }
            Activation::Sigmoid => {
                let loss = row.iter().map(|&x| softplus(x)).sum::<f64>() - row[target];
                row.iter_mut().for_each(|x| *x = sigmoid(*x));
                loss
            }
        };
        row[target] -= 1.0;
        row.iter_mut().zip(&self.freedom).for_each(|(x, freedom)| *x *= weight * freedom);
        weight * loss
    }

    /// Returns the logits of any example for all labels.
    pub fn logits(&self, example: usize) -> Vec<f64> {
        let mut logits = self.shared.texts(example).to_vec();
        let own = self.shared.coordinates(example);
        let rows = self.variables.chunks_exact(self.shared.dim.max(1));
        for ((&class, freedom), row) in self.trained.iter().zip(&self.freedom).zip(rows) {
            logits[class] += freedom * own.iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
        }
        logits
    }

    /// Returns how each label's row differs from its text: `[C, D]`. At the optimum that is a sum of examples, weighted by
    /// their derivatives.
    pub fn differences(&self, dim: usize) -> Vec<f64> {
        let mut residuals = vec![0.0; self.examples.len() * self.trained.len()];
        self.loss(&self.variables, &mut residuals, &mut vec![0.0; self.variables.len()]);
        let all = self.shared.examples.rows();
        let rows: Vec<f64> = self.examples.iter().flat_map(|&e| all.row(e)).copied().map(f64::from).collect();
        let mut sums = vec![0.0; self.trained.len() * dim];
        transposed_times(&residuals, &rows, self.examples.len(), &mut sums);
        let mut differences = vec![0.0; self.shared.classes * dim];
        for ((&class, freedom), sums) in self.trained.iter().zip(&self.freedom).zip(sums.chunks_exact(dim)) {
            let times = -freedom / (2.0 * self.strength * self.shared.readout.scale);
            differences[class * dim..][..dim].iter_mut().zip(sums).for_each(|(d, sum)| *d = times * sum);
        }
        differences
    }
}
