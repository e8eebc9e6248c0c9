//! Resize and crop of a photograph's size to the usual 224 pixels, beside the crate `fast_image_resize` on the same pixels
//! with the same filter and window, one thread each.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize as fir;
use image::RgbImage;
use serde_json::json;
use zsic::Preprocessor;
use zsic::preprocess::Arithmetic;

fn preprocess(c: &mut Criterion) {
    let mut group = c.benchmark_group("preprocess");
    let preprocessor =
        Preprocessor::from_json(json!({}), zsic::preprocess::ProcessorClass::Clip).expect("the defaults are sound");
    for (width, height) in [(640, 480), (1600, 1200), (4000, 3000)] {
        let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * y) as u8, x as u8, (x ^ y) as u8]));
        group.throughput(Throughput::Elements(u64::from(width * height)));
        for arithmetic in [Arithmetic::Torchvision, Arithmetic::Pillow] {
            let preprocessor = preprocessor.clone().with_arithmetic(arithmetic);
            group.bench_function(format!("{width}x{height}, {arithmetic:?}"), |b| {
                b.iter(|| preprocessor.run(black_box(&image)).map(|p| p.data().len()));
            });
        }
        let source = fir::images::Image::from_vec_u8(width, height, image.into_raw(), fir::PixelType::U8x3);
        let source = source.expect("the bytes of the image");
        let mut resized = fir::images::Image::new(224, 224, fir::PixelType::U8x3);
        let mut resizer = fir::Resizer::new();
        let side = f64::from(height);
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom))
            .crop((f64::from(width) - side) / 2.0, 0.0, side, side);
        group.bench_function(format!("{width}x{height}, fast_image_resize"), |b| {
            b.iter(|| resizer.resize(black_box(&source), &mut resized, &options).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, preprocess);
criterion_main!(benches);
