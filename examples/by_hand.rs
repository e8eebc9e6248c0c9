//! The second half of the transformers guide, "zero-shot image classification by hand": processor, model, logits,
//! softmax, sorted result, each as a call of its own. The labels are bare, as in the guide.
//!
//!     cargo run --release --example by_hand -- CHECKPOINT_DIR car.jpg tree car bike cat

use zsic::embeddings::dot;
use zsic::{Activation, Checkpoint, Compute, ImageEncoder, Scores, TextEncoder, source};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(path)) = (args.next(), args.next()) else {
        return Err("usage: by_hand CHECKPOINT_DIR IMAGE LABEL...".into());
    };
    let labels: Vec<String> = args.collect();

    // model = AutoModelForZeroShotImageClassification.from_pretrained(checkpoint)
    let checkpoint = Checkpoint::open(dir)?;
    let compute = Compute::default();
    let (images, texts) = (ImageEncoder::load(&checkpoint, &compute)?, TextEncoder::load(&checkpoint, &compute)?);

    // inputs = processor(images=image, text=candidate_labels, return_tensors="pt", padding=True)
    let image = source::decode(&std::fs::read(path)?, source::MAX_PIXELS)?;
    let pixels = images.preprocess(&image)?;
    for label in &labels {
        eprintln!("{label}: tokens {:?}", texts.tokenize(label)?);
    }

    // outputs = model(**inputs); logits = outputs.logits_per_image[0]
    let image = images.embed(&[pixels])?; // [1, D], unit length
    let texts = texts.embed(&labels)?; // [L, D], unit length
    let logits: Vec<f32> = texts.rows().map(|text| images.logit(dot(image.row(0), text))).collect();

    // probs = logits.softmax(dim=-1)
    let scores = Scores::new(logits, Activation::Softmax);

    // result = sorted(zip(probs, candidate_labels), key=lambda x: -x[0])
    for best in scores.top(labels.len()) {
        println!("{:.6}  {}", best.score, labels[best.label]);
    }
    Ok(())
}
