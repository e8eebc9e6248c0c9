//! The transformers pipeline in Rust: a checkpoint, an image, labels.
//!
//!     cargo run --release --example classify -- CHECKPOINT_DIR owl.jpg fox bear seagull owl

use zsic::{Checkpoint, Classifier, Compute, ImageEncoder, Label, Labels, Template, TextEncoder, source};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(path)) = (args.next(), args.next()) else {
        return Err("usage: classify CHECKPOINT_DIR IMAGE LABEL...".into());
    };
    let labels: Vec<Label> = args.map(|name| Label::new(name, &[Template::default()])).collect();

    let checkpoint = Checkpoint::open(dir)?;
    let plan = Compute::default().plan(&checkpoint);
    let labels = Labels::encode(&TextEncoder::load(&checkpoint, &plan)?, &labels, |_, _| {})?;
    let classifier = Classifier::new(ImageEncoder::load(&checkpoint, &plan)?, labels)?;

    let image = source::decode(&std::fs::read(path)?, source::MAX_PIXELS)?;
    for scores in classifier.classify(&[classifier.preprocess(&image)?])? {
        for best in scores?.top(usize::MAX) {
            println!("{:.4}  {}", best.score, classifier.labels().names()[best.label]);
        }
    }
    Ok(())
}
