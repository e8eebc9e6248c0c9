//! Resize and crop of a photograph's size to the usual 224 pixels.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::RgbImage;
use serde_json::json;
use zsic::Preprocessor;
use zsic::preprocess::Arithmetic;

fn preprocess(c: &mut Criterion) {
    let mut group = c.benchmark_group("preprocess");
    let preprocessor = Preprocessor::from_json(json!({})).expect("the defaults are sound");
    for (width, height) in [(640, 480), (1600, 1200), (4000, 3000)] {
        let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * y) as u8, x as u8, (x ^ y) as u8]));
        group.throughput(Throughput::Elements(u64::from(width * height)));
        for arithmetic in [Arithmetic::Torchvision, Arithmetic::Pillow] {
            let preprocessor = preprocessor.clone().with_arithmetic(arithmetic);
            group.bench_function(format!("{width}x{height}, {arithmetic:?}"), |b| {
                b.iter(|| preprocessor.run(black_box(&image)).map(|p| p.data().len()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, preprocess);
criterion_main!(benches);
