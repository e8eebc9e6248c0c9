//! Embeds every image of a folder and prints the two that are most alike. Broken images are reported and skipped.
//!
//!     cargo run --release --example embed_folder -- CHECKPOINT_DIR FOLDER

use std::sync::Arc;

use zsic::embeddings::dot;
use zsic::pipeline::{Pipeline, Settings};
use zsic::source::{Input, Select, Walk};
use zsic::{Checkpoint, Compute, ImageEncoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(dir), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: embed_folder CHECKPOINT_DIR FOLDER".into());
    };
    let checkpoint = Checkpoint::open(dir)?;
    let encoder = ImageEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint))?;
    let walk = Walk::new([Ok(Input::from_arg(folder))].into_iter(), false, Select::default(), Arc::default());
    let mut images = Pipeline::start(walk, checkpoint.preprocessor().clone(), Settings::default())?;

    let mut embedded = Vec::new();
    while let Some(answers) = images.next_batch(|pixels| encoder.embed(pixels))? {
        for answer in answers {
            match answer.embedding {
                Ok(embedding) => embedded.push((answer.name, embedding)),
                Err(error) => eprintln!("{error}"),
            }
        }
    }
    let pairs = (0..embedded.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let cosine = |&(a, b): &(usize, usize)| dot(&embedded[a].1, &embedded[b].1);
    match pairs.max_by(|x, y| cosine(x).total_cmp(&cosine(y))) {
        Some((a, b)) => println!("{} and {}: cosine {:.4}", embedded[b].0, embedded[a].0, cosine(&(a, b))),
        None => println!("{} images: nothing to compare", embedded.len()),
    }
    Ok(())
}
