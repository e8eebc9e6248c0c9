//! From embeddings to the best labels: cosines, softmax, ranking.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use zsic::embeddings::dot;
use zsic::{Activation, Embeddings, Scores};

fn score(c: &mut Criterion) {
    for labels in [10, 1000] {
        let mut texts = Embeddings::new(768);
        for label in 0..=labels {
            let row: Vec<f32> = (0..768).map(|i| ((i * 31 + label * 17) as f32).sin()).collect();
            texts.push(&row);
        }
        let image = texts.row(labels).to_vec();
        c.bench_function(&format!("{labels} labels, best 5"), |b| {
            b.iter(|| {
                let logits = texts.rows().map(|text| (100.0 * dot(black_box(&image), text)) as f32).collect();
                Scores::new(logits, Activation::Softmax).top(5)
            });
        });
    }
}

criterion_group!(benches, score);
criterion_main!(benches);
