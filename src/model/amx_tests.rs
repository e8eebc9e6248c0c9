//! Compares whole towers on AMX, or on its emulator, with transformers' numbers: in split products whatever the model's
//! width, and in bf16.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::encoder::{ImageEncoder, TextEncoder};
use crate::kernels::testing::amx_is_emulated;
use crate::source::{MAX_PIXELS, decode};
use crate::{Checkpoint, Compute, Isa, Pixels, Plan, Precision};

fn below_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns AMX, or its emulator, with a precision; `auto` splits products. Returns None if neither runs here.
fn amx(precision: Precision) -> Option<Compute> {
    let compute = Compute::open_with("cpu", precision, Isa::Amx);
    match &compute {
        Ok(compute) => println!("{compute:?}{}", if amx_is_emulated() { ", emulated" } else { "" }),
        Err(e) => println!("no AMX, and no AVX-512 to emulate it with: {e}"),
    }
    compute.ok()
}

/// Loads both encoders with exactly this arithmetic, whatever the width of the embeddings.
fn encoders(checkpoint: &Checkpoint, compute: &Compute) -> (ImageEncoder, TextEncoder) {
    let Compute { device, precision, isa, threads, .. } = compute.clone();
    let plan = Plan { device, precision, isa, threads };
    (ImageEncoder::load(checkpoint, &plan).unwrap(), TextEncoder::load(checkpoint, &plan).unwrap())
}

/// The results of transformers.
struct Expected {
    json: Value,
    tensors: Vec<u8>,
}

impl Expected {
    fn of(dir: &str) -> Self {
        let read = |name: &str| fs::read(below_root("tests/fixtures").join(dir).join(name)).unwrap();
        Self { json: serde_json::from_slice(&read("expected.json")).unwrap(), tensors: read("expected.safetensors") }
    }

    fn strings(&self, name: &str) -> Vec<String> {
        self.json[name].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F64);
        let values: Vec<f64> =
            tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
        values.chunks_exact(values.len() / tensor.shape()[0]).map(<[f64]>::to_vec).collect()
    }

    fn pixels(&self, images: &ImageEncoder, folder: &str, count: usize) -> Vec<Pixels> {
        let image = |name: &String| decode(&fs::read(below_root(folder).join(name)).unwrap(), MAX_PIXELS).unwrap();
        self.strings("images").iter().take(count).map(|name| images.preprocess(&image(name)).unwrap()).collect()
    }
}

fn worst(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(&got, expected)| (f64::from(got) - expected).abs()).fold(0.0, f64::max)
}

/// Returns the largest error of a value of unit embeddings of a fixture's images and texts.
fn embedding_error(name: &str, compute: &Compute) -> f64 {
    let checkpoint = Checkpoint::open(below_root("tests/fixtures/checkpoints").join(name)).unwrap();
    let expected = Expected::of(&format!("checkpoints/{name}"));
    let (images, texts) = encoders(&checkpoint, compute);
    let pixels = expected.pixels(&images, "tests/fixtures/checkpoints/images", usize::MAX);
    let (images, texts) = (images.embed(&pixels).unwrap(), texts.embed(&expected.strings("prompts")).unwrap());
    let mut off = 0f64;
    for (got, what) in [(images, "image_embeds"), (texts, "text_embeds")] {
        for (row, expected) in got.rows().zip(expected.rows(what)) {
            let norm = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
            off = off.max(worst(row, &expected.iter().map(|x| x / norm).collect::<Vec<_>>()));
        }
    }
    println!("{name}, {:?}: embeddings off by {off:.1e}", compute.precision);
    off
}

#[test]
fn embeddings_are_as_close_as_the_arithmetic_allows() {
    for (precision, least, most) in
        [(Precision::F32, 0.0, 2e-6), (Precision::Auto, 2e-6, 2e-5), (Precision::Bf16, 2e-4, 2e-2)]
    {
        let Some(compute) = amx(precision) else { return };
        for name in ["quick-gelu", "gelu", "odd"] {
            let off = embedding_error(name, &compute);
            assert!(
                off > least,
                "{name}, {precision:?}: {off:e} is less than it can be: is it that arithmetic at all?"
            );
            assert!(off < most, "{name}, {precision:?}: off by {off:e}");
        }
    }
}

#[cfg(feature = "demo")]
#[test]
fn a_trained_model_has_the_reference_s_logits_and_scores_by_split_products() {
    use crate::{Classifier, Label, Labels, Template};

    let Some(compute) = amx(Precision::Auto) else { return };
    let (checkpoint, expected) = (Checkpoint::demo().unwrap(), Expected::of("demo"));
    let (images, texts) = encoders(&checkpoint, &compute);
    let pixels = expected.pixels(&images, "examples/images", 2);
    let label = |label: String| Label::new(label, &[Template::default()]);
    let labels: Vec<Label> = expected.strings("labels").into_iter().map(label).collect();
    let labels = Labels::encode(&texts, &labels, |_, _| {}).unwrap();
    let scores = Classifier::new(images, labels).unwrap().classify(&pixels).unwrap();
    for (got, expected) in scores.into_iter().zip(expected.rows("logits")) {
        let got = got.unwrap();
        let max = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = expected.iter().map(|x| (x - max).exp()).sum();
        let exact: Vec<f64> = expected.iter().map(|x| (x - max).exp() / sum).collect();
        let (logits, scores) = (worst(got.logits(), &expected), worst(got.scores(), &exact));
        println!("logits off by {logits:.1e}, scores by {scores:.1e}");
        assert!(logits < 2e-4, "logits off by {logits:e}");
        assert!(scores < 5e-5, "scores off by {scores:e}");
    }
}

#[test]
fn an_image_and_a_prompt_have_the_same_bits_in_any_company() {
    for precision in [Precision::Auto, Precision::Bf16] {
        let Some(compute) = amx(precision) else { return };
        let checkpoint = Checkpoint::open(below_root("tests/fixtures/checkpoints/odd")).unwrap();
        let expected = Expected::of("checkpoints/odd");
        let (images, texts) = encoders(&checkpoint, &compute);
        let pixels = expected.pixels(&images, "tests/fixtures/checkpoints/images", usize::MAX);
        let prompts = expected.strings("prompts");
        let (all, all_texts) = (images.embed(&pixels).unwrap(), texts.embed(&prompts).unwrap());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for (n, pixels) in pixels.iter().enumerate() {
            let alone = pool.install(|| images.embed(std::slice::from_ref(pixels))).unwrap();
            assert_eq!(alone.row(0), all.row(n), "{precision:?}: image {n}");
        }
        for (n, prompt) in prompts.iter().enumerate() {
            assert_eq!(
                texts.embed(std::slice::from_ref(prompt)).unwrap().row(0),
                all_texts.row(n),
                "{precision:?}: {n}"
            );
        }
    }
}
