//! Embeds every image of a folder and prints the two that are most alike. Broken images are told and passed over.
//!
//!     cargo run --release --example embed_folder -- CHECKPOINT_DIR FOLDER

use std::sync::Arc;

use zsic::embeddings::dot;
use zsic::source::{self, Ahead, Entry, Input, Ordered, Select, Walk};
use zsic::{Checkpoint, Compute, Embeddings, ImageEncoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(dir), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: embed_folder CHECKPOINT_DIR FOLDER".into());
    };
    let checkpoint = Checkpoint::open(dir)?;
    let encoder = ImageEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint))?;

    // Read, decode and preprocess on two threads, at most sixteen images ahead.
    let preprocessor = checkpoint.preprocessor().clone();
    let walk = Walk::new([Ok(Input::from_arg(folder))].into_iter(), false, Select::default(), Arc::default());
    let ahead = Ahead { workers: 2, fetchers: 0, window: 16, together: 1 };
    let pixels = Ordered::map(walk, ahead, move |entry: Entry| {
        let input = entry.map_err(|(_, error)| error)?;
        let name = input.name();
        let image = source::decode(&source::read(input)?, source::MAX_PIXELS).map_err(|e| e.named(&name))?;
        Ok::<_, zsic::Error>((name, preprocessor.run(&image)?))
    })?;

    let (mut names, mut embeddings) = (Vec::new(), Embeddings::new(encoder.dim()));
    for result in pixels {
        match result {
            Ok((name, pixels)) => {
                embeddings.extend(&encoder.embed(&[pixels])?);
                names.push(name);
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    let pairs = (0..names.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let cosine = |&(a, b): &(usize, usize)| dot(embeddings.row(a), embeddings.row(b));
    match pairs.max_by(|x, y| cosine(x).total_cmp(&cosine(y))) {
        Some((a, b)) => println!("{} and {}: cosine {:.4}", names[b], names[a], cosine(&(a, b))),
        None => println!("{} images: nothing to compare", names.len()),
    }
    Ok(())
}
