//! Keeps made-up embeddings for every image of a folder, to try the cache at sizes that would take hours to encode:
//!
//! `cargo run --release --example fill_cache -- CHECKPOINT_DIR FOLDER CACHE_DIR [bf16]`, for runs of that precision

use std::fs;
use std::path::Path;

use zsic::cache::{Cache, ContentHash, Stamp};
use zsic::preprocess::Decoding;
use zsic::source::{Input, Select, Walk};
use zsic::{Checkpoint, Compute, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ([checkpoint, folder, dir], precision) = (match &args[..] {
        [first @ .., last] if last == "bf16" => (first, Precision::Bf16),
        all => (all, Precision::Auto),
    }) else {
        return Err("usage: fill_cache CHECKPOINT_DIR FOLDER CACHE_DIR [bf16]".into());
    };
    let checkpoint = Checkpoint::open(checkpoint)?;
    let plan = Compute::open("cpu", precision)?.plan(&checkpoint);
    let kept = Cache::open(Path::new(dir), zsic::cache::LIMIT)?.scope(&checkpoint, &plan)?;
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut count = 0;
    for entry in Walk::new([Ok(Input::from_arg(folder))].into_iter(), false, Select::default(), Default::default()) {
        let Ok(Input::Path(path)) = entry else { continue };
        let stamp = Stamp::of(&path, &fs::metadata(&path)?).ok_or("a file was changed just now; wait two seconds")?;
        let content = ContentHash::of(&fs::read(&path)?);
        let row: Vec<f32> = (0..checkpoint.family().facts().embedding).map(|_| noise()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        kept.cache().remember(&stamp, &content);
        kept.put_image(&content, Decoding::Exact, &row.iter().map(|x| x / norm).collect::<Vec<_>>());
        count += 1;
        if count % 1000 == 0 {
            kept.cache().flush()?; // entries that come faster than the disk takes them are dropped
        }
    }
    kept.cache().flush()?;
    println!("{count} images");
    Ok(())
}
