//! Times the learning from examples, on embeddings that are not pictures':
//! `head_speed [LABELS] [EXAMPLES OF EACH] [VALUES]`.

use std::time::Instant;

use zsic::head::{Examples, Head, STRENGTH, at_strength, learn};
use zsic::{Activation, Embeddings, Readout};

/// Returns numbers in [-1, 1) that look random and are the same in every run.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Unit rows around others.
fn around(places: &[Vec<f32>], spread: f32, seed: u64) -> Embeddings {
    let dim = places[0].len();
    let mut rows = Embeddings::new(dim);
    for (row, place) in noise(places.len() * dim, seed).chunks_exact(dim).zip(places) {
        rows.push(&row.iter().zip(place).map(|(x, place)| spread * x + place).collect::<Vec<_>>());
    }
    rows
}

fn main() {
    let number = |at: usize, default: usize| {
        std::env::args().nth(at).map_or(default, |word| word.parse().expect("a number of labels, examples or values"))
    };
    let (labels, shots, dim) = (number(1, 10), number(2, 16), number(3, 512));
    let common = noise(dim, 1);
    let texts = around(&vec![common.clone(); labels], 1.0, 2);
    // A label's pictures lie around a place that is half way between its text and a random one.
    let places: Vec<Vec<f32>> =
        around(&texts.rows().map(<[f32]>::to_vec).collect::<Vec<_>>(), 0.05, 3).rows().map(<[f32]>::to_vec).collect();
    let rows = around(&(0..labels * shots).map(|at| places[at % labels].clone()).collect::<Vec<_>>(), 0.05, 4);
    let given: Vec<(usize, &[f32])> = rows.rows().enumerate().map(|(at, row)| (at % labels, row)).collect();
    let examples = Examples::new(dim, &given).expect("different rows");
    let readout = Readout { scale: 100.0, bias: 0.0, activation: Activation::Softmax };
    let start = Instant::now();
    at_strength(&texts, &examples, readout, STRENGTH);
    println!("{labels} x {shots} examples of {dim} values: {:.2?} for the rows alone", start.elapsed());
    let start = Instant::now();
    let learned = learn(&texts, &examples, readout, Head::Anchored);
    println!("{:.2?} with the choice of the strength; {:?}, {:?}", start.elapsed(), learned.strength, learned.check);
}
