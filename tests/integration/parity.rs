//! From checkpoint to scores against transformers, in float64, on every fixture. Tolerances: logits 2e-4, scores 5e-5,
//! pixels 1e-6. With each of the vector instructions that the machine has, and without (candle's tensors); and on the device
//! that `ZSIC_TEST_DEVICE` names, as `cuda`.

use std::fs;

use crate::common::{CHECKPOINTS, Expected, checkpoint, fixtures, worst};
use zsic::model::checkpoint::ReadAs;
use zsic::source::{MAX_PIXELS, decode};
use zsic::{
    Checkpoint, Classifier, Compute, Error, ImageEncoder, Isa, Label, Labels, Pixels, Plan, Precision, Template,
    TextEncoder,
};

const LOGITS: f64 = 2e-4;
const SCORES: f64 = 5e-5;
/// What bf16 and f16 products may cost on the fixtures; full-size checkpoints are measured apart.
const HALVES: (f64, f64) = (1.0, 0.25);
/// What PyTorch's bf16 and f16 cost where that is much: transformers 5.23, with these labels, beside its own f32. Ours may cost
/// half as much again.
const PYTORCH_HALVES: [(&str, f64, f64); 8] = [
    ("naflex/published", 2.410, 0.195),
    ("metaclip2/published", 3.200, 0.481),
    ("metaclip2/saved", 1.646, 0.140),
    ("metaclip2/mt5", 1.141, 0.119),
    ("chinese_clip/published", 2.116, 0.380),
    ("altclip/published", 2.192, 0.180),
    ("altclip/odd", 1.211, 0.274),
    ("clipseg/odd", 1.708, 0.084),
];

/// The most that bf16 and f16 may cost on a fixture.
fn halves(name: &str) -> (f64, f64) {
    let own = PYTORCH_HALVES.iter().find(|(of, ..)| *of == name).map_or((0.0, 0.0), |&(_, bf16, f16)| (bf16, f16));
    (HALVES.0.max(1.5 * own.0), HALVES.1.max(1.5 * own.1))
}

struct Loaded {
    checkpoint: Checkpoint,
    plan: Plan,
    expected: Expected,
    images: ImageEncoder,
    texts: TextEncoder,
}

/// The device under test in a precision, if one is named.
fn device(precision: Precision) -> Option<Compute> {
    let name = std::env::var("ZSIC_TEST_DEVICE").ok()?;
    let opened = Compute::open_with(&name, precision, Isa::best());
    if name == "cpu" { opened.ok() } else { Some(opened.unwrap()) } // a CPU may lack the precision
}

/// Everything that can be asked to run in f32, printed.
fn computes() -> Vec<Compute> {
    let mut computes: Vec<Compute> = Isa::available().map(|isa| Compute { isa, ..Compute::default() }).collect();
    println!("ran on {:?}", computes.iter().map(|compute| compute.isa).collect::<Vec<_>>());
    computes.extend([Precision::F32, Precision::Auto].into_iter().filter_map(device));
    computes
}

/// The same, and other precisions where there are any.
fn all_computes() -> Vec<Compute> {
    let bf16 = Compute::open("cpu", Precision::Bf16);
    println!("bf16: {}", bf16.as_ref().map_or_else(ToString::to_string, |_| "ran".to_owned()));
    let devices = [Precision::Bf16, Precision::F16].into_iter().filter_map(device);
    computes().into_iter().chain(bf16).chain(devices).collect()
}

fn load(name: &str) -> Loaded {
    load_for(name, &Compute::default())
}

fn load_for(name: &str, compute: &Compute) -> Loaded {
    load_as(name, name, &ReadAs::default(), compute)
}

/// Loads a checkpoint otherwise than its files say; what is expected is of `expected`.
fn load_as(name: &str, expected: &str, read_as: &ReadAs, compute: &Compute) -> Loaded {
    let checkpoint = Checkpoint::open_as(checkpoint(name), read_as).unwrap();
    let plan = compute.plan(&checkpoint);
    let images = ImageEncoder::load(&checkpoint, &plan).unwrap();
    let texts = TextEncoder::load(&checkpoint, &plan).unwrap();
    Loaded { checkpoint, plan, expected: Expected::of(expected), images, texts }
}

impl Loaded {
    fn pixels(&self) -> Vec<Pixels> {
        let read = |name: &String| fs::read(fixtures("checkpoints/images").join(name)).unwrap();
        let image = |name: &String| decode(&read(name), MAX_PIXELS).unwrap();
        self.expected.images().iter().map(|name| self.images.preprocess(&image(name)).unwrap()).collect()
    }

    fn labels(&self, template: &str) -> Labels {
        let templates: Vec<Template> = vec![template.parse().unwrap()];
        let labels: Vec<Label> = self.expected.labels().into_iter().map(|l| Label::new(l, &templates)).collect();
        Labels::encode(&self.texts, &labels, |_, _| {}).unwrap()
    }
}

fn unit(row: &[f64]) -> Vec<f64> {
    let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
    row.iter().map(|x| x / norm).collect()
}

#[test]
fn token_ids_are_identical() {
    for name in CHECKPOINTS {
        let loaded = load(name);
        let prompts = crate::common::strings(&loaded.expected.json["prompts"]);
        for (prompt, ids) in prompts.iter().zip(loaded.expected.json["token_ids"].as_array().unwrap()) {
            let ids: Vec<u32> = ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(loaded.texts.tokenize(prompt).unwrap(), ids, "{name}: {prompt}");
        }
    }
}

#[test]
fn normalised_pixels_are_the_reference_s() {
    for name in CHECKPOINTS {
        let loaded = load(name);
        if !loaded.expected.has("pixel_values") {
            continue; // of shapes of their own; see naflex.rs
        }
        let normalizer = loaded.checkpoint.preprocessor().normalizer();
        for (pixels, expected) in loaded.pixels().iter().zip(loaded.expected.rows("pixel_values")) {
            let plane = pixels.width() * pixels.height();
            let value = |n: usize| {
                let (channel, at) = (n / plane, n % plane);
                let rgb: [u8; 3] = pixels.data()[at * 3..at * 3 + 3].try_into().unwrap();
                f64::from(normalizer.pixel(rgb)[channel])
            };
            let off = worst((0..3 * plane).map(value), expected);
            assert!(off < 1e-6, "{name}: {off}");
        }
    }
}

#[test]
fn embeddings_are_the_reference_s() {
    for compute in computes() {
        for name in CHECKPOINTS {
            let loaded = load_for(name, &compute);
            if loaded.plan.precision != Precision::F32 {
                continue; // what `auto` promises is scores
            }
            let images = loaded.images.embed(&loaded.pixels()).unwrap();
            let texts = loaded.texts.embed(&crate::common::strings(&loaded.expected.json["prompts"])).unwrap();
            // Rounding the weights alone, by half a unit in the last place, moves a prompt of this one by 1.6e-6.
            let tolerance = if *name == "chinese_clip/published" { 4e-6 } else { 2e-6 };
            for (what, got) in [("image_embeds", images), ("text_embeds", texts)] {
                for (row, expected) in got.rows().zip(loaded.expected.rows(what)) {
                    let off = worst(row.iter().map(|&x| x.into()), unit(&expected));
                    assert!(off < tolerance, "{name}, {:?} {:?}: {what} off by {off}", compute.device, compute.isa);
                }
            }
        }
    }
}

/// The worst error of logits and scores on a checkpoint.
fn errors(loaded: &Loaded) -> (f64, f64) {
    let pixels = loaded.pixels();
    let (mut logits, mut scores) = (0f64, 0f64);
    for (template, what) in [("This is a photo of {}.", "logits"), ("{}", "bare_logits")] {
        let labels = loaded.labels(template);
        let images = ImageEncoder::load(&loaded.checkpoint, &loaded.plan).unwrap();
        let all = Classifier::new(images, labels).unwrap().classify(&pixels).unwrap();
        for (got, expected) in all.into_iter().zip(loaded.expected.rows(what)) {
            let got = got.unwrap();
            logits = logits.max(worst(got.logits().iter().map(|&x| x.into()), expected.clone()));
            let expected = loaded.expected.scores(&expected);
            scores = scores.max(worst(got.scores().iter().map(|&x| x.into()), expected));
        }
    }
    (logits, scores)
}

#[test]
fn logits_and_scores_are_the_reference_s() {
    for compute in computes() {
        for name in CHECKPOINTS {
            let (logits, scores) = errors(&load_for(name, &compute));
            assert!(logits < LOGITS, "{name}, {:?}: logits off by {logits}", compute.isa);
            assert!(scores < SCORES, "{name}, {:?}: scores off by {scores}", compute.isa);
        }
    }
}

/// Other sizes than the files say: images of other sizes, whose positions are interpolated, and other numbers of patches.
#[test]
fn other_sizes_are_the_reference_s() {
    let side = |image_size| ReadAs { image_size: Some(image_size), ..ReadAs::default() };
    let most = |max_patches| ReadAs { max_patches: Some(max_patches), ..ReadAs::default() };
    let cases = [
        ("gelu", "clipseg/clip-gelu-24", side(24)),
        ("gelu", "clipseg/clip-gelu-45", side(45)),
        ("gelu", "clipseg/clip-gelu-48", side(48)),
        ("as-written", "clipseg/clip-as-written-8", side(8)),
        ("as-written", "clipseg/clip-as-written-40", side(40)),
        ("clipseg/published", "clipseg/published-12", side(12)),
        ("clipseg/published", "clipseg/published-33", side(33)),
        ("naflex/published", "naflex/published-9", most(9)),
        ("naflex/published", "naflex/published-64", most(64)),
    ];
    for compute in computes() {
        for (name, expected, read_as) in &cases {
            let (logits, scores) = errors(&load_as(name, expected, read_as, &compute));
            assert!(logits < LOGITS, "{expected}, {:?}: logits off by {logits}", compute.isa);
            assert!(scores < SCORES, "{expected}, {:?}: scores off by {scores}", compute.isa);
        }
    }
    let refused = |name: &str, read_as| Checkpoint::open_as(checkpoint(name), &read_as).unwrap_err().to_string();
    assert!(refused("siglip/gemma", side(64)).contains("takes only images of its own size"));
    assert!(refused("gelu", most(9)).contains("makes all images the same size"));
}

#[test]
fn bf16_costs_what_bf16_costs() {
    let computes: Vec<Compute> =
        Compute::open("cpu", Precision::Bf16).into_iter().chain(device(Precision::Bf16)).collect();
    println!("{} have bf16", computes.len());
    for (compute, name) in computes.iter().flat_map(|compute| CHECKPOINTS.iter().map(move |name| (compute, name))) {
        let (logits, scores) = errors(&load_for(name, compute));
        println!("bf16, {name}: logits off by {logits:.1e}, scores by {scores:.1e}");
        assert!(logits < halves(name).0, "{name}: logits off by {logits}");
        assert!(logits > LOGITS, "{name}: logits off by {logits} only: is it bf16 at all?");
    }
}

/// f16 has three more digits than bf16.
#[test]
fn f16_costs_what_f16_costs_on_a_device() {
    for (compute, name) in
        device(Precision::F16).iter().flat_map(|compute| CHECKPOINTS.iter().map(move |n| (compute, n)))
    {
        let (logits, scores) = errors(&load_for(name, compute));
        println!("f16, {name}: logits off by {logits:.1e}, scores by {scores:.1e}");
        assert!(logits < halves(name).1, "{name}: logits off by {logits}");
    }
}

#[test]
fn an_image_has_the_same_bits_in_any_batch_and_on_any_threads() {
    for compute in all_computes() {
        for name in ["quick-gelu", "odd", "naflex/published", "clipseg/published", "open_clip/avg-first"] {
            let loaded = load_for(name, &compute);
            let pixels = loaded.pixels();
            let many: Vec<Pixels> = (0..33).map(|n| pixels[n * 7 % pixels.len()].clone()).collect();
            let together = loaded.images.embed(&many).unwrap();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| loaded.images.embed(&many)).unwrap();
                assert!(again.rows().eq(together.rows()), "{name}, {:?}: {threads} threads", compute.isa);
            }
            for (n, pixels) in many.iter().enumerate() {
                let alone = loaded.images.embed(std::slice::from_ref(pixels)).unwrap();
                assert_eq!(alone.row(0), together.row(n), "{name}, {:?}: image {n} of a batch", compute.isa);
            }
        }
    }
}

/// Prompts that begin alike share what they begin with, so many together are computed otherwise than one alone.
#[test]
fn a_prompt_has_the_same_bits_in_any_company() {
    for compute in all_computes() {
        for name in ["gelu", "quick-gelu"] {
            let loaded = load_for(name, &compute);
            let labels = loaded.expected.labels();
            let filled = |template: &str| {
                let template: Template = template.parse().unwrap();
                labels.iter().map(move |label| template.fill(label)).collect::<Vec<_>>()
            };
            let templates = ["This is a photo of {}.", "{}", "a photo of the {}", "a {} in a photo of the snow"];
            let mut prompts: Vec<String> = templates.into_iter().flat_map(filled).collect();
            prompts.extend(prompts.clone()); // each twice
            prompts.extend(["".to_owned(), "a".to_owned(), "a a a a a a a a a".to_owned()]);
            let mut tokens: Vec<Vec<u32>> = prompts.iter().map(|p| loaded.texts.tokenize(p).unwrap()).collect();
            tokens.push(vec![5, 6, 7]); // begins like no other
            tokens.push(vec![9]);
            let together = loaded.texts.embed_tokens(&tokens, |_| {}).unwrap();
            for (n, ids) in tokens.iter().enumerate() {
                let alone = loaded.texts.embed_tokens(std::slice::from_ref(ids), |_| {}).unwrap();
                assert_eq!(alone.row(0), together.row(n), "{name}, {:?}: {ids:?}", compute.isa);
            }
        }
    }
}

#[test]
fn an_ensemble_is_the_unit_mean_of_unit_vectors() {
    let loaded = load("quick-gelu");
    let templates: Vec<Template> = ["{}", "a photo of {}.", "art of the {}"].map(|t| t.parse().unwrap()).to_vec();
    let labels = Labels::encode(&loaded.texts, &[Label::new("cat", &templates)], |_, _| {}).unwrap();
    let prompts: Vec<String> = templates.iter().map(|t| t.fill("cat")).collect();
    let rows = loaded.texts.embed(&prompts).unwrap();
    let sum: Vec<f64> = (0..rows.dim()).map(|i| rows.rows().map(|row| f64::from(row[i])).sum::<f64>() / 3.0).collect();
    assert!(worst(labels.embeddings().row(0).iter().map(|&x| x.into()), unit(&sum)) < 1e-7);
}

#[test]
fn labels_read_alike_are_told() {
    let loaded = load("quick-gelu");
    let labels = ["owl", "cat", "OWL"].map(|l| Label::new(l, &[Template::default()]));
    let labels = Labels::encode(&loaded.texts, &labels, |_, _| {}).unwrap();
    assert_eq!(labels.alike(), [(0, 2)]);
}

#[test]
fn images_and_labels_of_two_models_are_refused() {
    let compute = Compute::default();
    let (images, labels) = (load_for("quick-gelu", &compute).images, load_for("odd", &compute).labels("{}"));
    let refused = Classifier::new(images, labels).unwrap_err();
    assert!(matches!(refused, Error::OtherModel { images: 24, labels: 20 }), "{refused}");
}
