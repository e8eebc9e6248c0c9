//! The second half of the transformers guide, "zero-shot image classification by hand": processor, model, logits,
//! softmax and sorted result, each as a separate call. As in the guide, the labels are put into the pipeline's template
//! first, and the result shows the filled templates.
//!
//!     cargo run --release --example by_hand -- openai/clip-vit-large-patch14 car.jpg tree car bike cat
//!
//! The first word is a name on the Hugging Face hub, or a directory with a checkpoint.

use std::error::Error;
use std::path::{Path, PathBuf};

use zsic::embeddings::dot;
use zsic::net::hub::{self, HubSettings};
use zsic::{Activation, Checkpoint, Compute, ImageEncoder, Scores, Template, TextEncoder, source};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, image, labels @ ..] = &words[..] else {
        return Err("usage: by_hand NAME|DIRECTORY IMAGE LABEL...".into());
    };
    for (score, label) in classify(&open(checkpoint)?, Path::new(image), labels)? {
        println!("{score:.6}  {label}");
    }
    Ok(())
}

/// checkpoint = "openai/clip-vit-large-patch14"
/// model = AutoModelForZeroShotImageClassification.from_pretrained(checkpoint)
pub fn open(name: &str) -> Result<Checkpoint, Box<dyn Error>> {
    if Path::new(name).is_dir() {
        return Ok(Checkpoint::open(name)?);
    }
    let cache = std::env::var_os("HF_HUB_CACHE").map(PathBuf::from);
    let cache =
        cache.or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface/hub"))).ok_or("no home directory")?;
    Ok(Checkpoint::open(hub::fetch(name, hub::REVISION, &HubSettings::new(cache))?.dir)?)
}

/// Returns the scores and labels, best first.
pub fn classify(
    checkpoint: &Checkpoint,
    image: &Path,
    labels: &[String],
) -> Result<Vec<(f32, String)>, Box<dyn Error>> {
    let plan = Compute::default().plan(checkpoint);
    let (images, texts) = (ImageEncoder::load(checkpoint, &plan)?, TextEncoder::load(checkpoint, &plan)?);

    // candidate_labels = [f'This is a photo of {label}.' for label in candidate_labels]
    let labels: Vec<String> = labels.iter().map(|label| Template::default().fill(label)).collect();

    // inputs = processor(images=image, text=candidate_labels, return_tensors="pt", padding=True)
    let image = source::decode(&std::fs::read(image)?, source::MAX_PIXELS)?;
    let pixels = images.preprocess(&image)?;

    // outputs = model(**inputs); logits = outputs.logits_per_image[0]
    let image = images.embed(&[pixels])?; // [1, D], unit length
    let texts = texts.embed(&labels)?; // [L, D], unit length
    let logits: Vec<f32> = texts.rows().map(|text| images.logit(dot(image.row(0), text))).collect();

    // probs = logits.softmax(dim=-1)
    let scores = Scores::new(logits, Activation::Softmax);

    // result = sorted(zip(probs, candidate_labels), key=lambda x: -x[0])
    Ok(scores.top(labels.len()).into_iter().map(|best| (best.score, labels[best.label].clone())).collect())
}
