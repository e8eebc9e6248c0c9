//! Both towers of the checkpoint that ZSIC_BENCH_CHECKPOINT names. The default is a small fixture, whose times say
//! little.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::RgbImage;
use zsic::{Checkpoint, Compute, ImageEncoder, Template, TextEncoder};

fn towers(c: &mut Criterion) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/quick-gelu");
    let dir = std::env::var_os("ZSIC_BENCH_CHECKPOINT").map_or(fixture, PathBuf::from);
    let checkpoint = Checkpoint::open(dir).expect("a checkpoint");
    let images = ImageEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint)).expect("an image tower");
    let picture = RgbImage::from_fn(320, 240, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
    let pixels = images.preprocess(&picture).expect("pixels");
    let mut group = c.benchmark_group("image tower");
    group.sample_size(10);
    for batch in [1, 8] {
        let pixels = vec![pixels.clone(); batch];
        group.throughput(Throughput::Elements(batch as u64));
        group
            .bench_function(format!("batch {batch}"), |b| b.iter(|| images.embed(black_box(&pixels)).map(|e| e.len())));
    }
    group.finish();
    drop(images);

    let texts = TextEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint)).expect("a text tower");
    let prompts: Vec<String> = ["fox", "bear", "seagull", "owl"].map(|l| Template::default().fill(l)).to_vec();
    let mut group = c.benchmark_group("text tower");
    group.sample_size(10).throughput(Throughput::Elements(prompts.len() as u64));
    group.bench_function("4 prompts", |b| b.iter(|| texts.embed(black_box(&prompts)).map(|e| e.len())));
    group.finish();
}

criterion_group!(benches, towers);
criterion_main!(benches);
