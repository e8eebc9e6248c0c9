//! From embeddings to the best labels: cosines, softmax, ranking.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use zsic::{Activation, EncodedLabel, Labels, Readout, Scorer};

fn score(c: &mut Criterion) {
    let row = |seed: usize| -> Vec<f32> { (0..768).map(|i| ((i * 31 + seed * 17) as f32).sin()).collect() };
    let mut image = zsic::Embeddings::new(768);
    image.push(&row(7919));
    for labels in [10, 1000] {
        let names = (0..labels).map(|label| label.to_string()).collect();
        let encoded: Vec<_> =
            (0..labels).map(|label| EncodedLabel { tokens: [0; 32], embedding: row(label) }).collect();
        let labels = Labels::from_encoded(names, &encoded).unwrap();
        let name = format!("{} labels, best 5", labels.names().len());
        let scorer = Scorer::new(Readout { scale: 100.0, bias: 0.0, activation: Activation::Softmax }, labels);
        c.bench_function(&name, |b| {
            b.iter(|| scorer.score_then(black_box(&[image.row(0)]), |scores| scores.map(|scores| scores.top(5))));
        });
    }
}

criterion_group!(benches, score);
criterion_main!(benches);
