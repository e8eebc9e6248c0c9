//! The self-test: the built-in model's logits and scores of the built-in pictures, against those of transformers.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use zsic::kernels::Element;
use zsic::source::{self, Input, MAX_PIXELS};
use zsic::{Checkpoint, Classifier, Compute, ImageEncoder, Isa, Label, Labels, Plan, Precision, Template, TextEncoder};

use super::findings::Findings;

/// The results of transformers in float64, written by `tools/fixtures/demo.py`.
const REFERENCE: &str = include_str!("../../../models/demo/reference.json");

/// The errors of f32 and of split products that the tests allow.
const EXACT: Off = Off { logits: 2e-4, scores: 5e-5 };
/// The allowed errors of bf16, three times its actual ones: with the factors of each product rounded to bf16, PyTorch's
/// logits of these pictures are off by 0.036 and its scores by 0.006.
const COARSE: Off = Off { logits: 0.1, scores: 0.02 };

#[derive(Deserialize)]
struct Reference {
    template: String,
    labels: Vec<String>,
    images: Vec<ReferenceImage>,
}

#[derive(Deserialize)]
struct ReferenceImage {
    name: String,
    logits: Vec<f64>,
}

/// The largest errors of logits and scores.
#[derive(Default)]
struct Off {
    logits: f64,
    scores: f64,
}

/// The test of one arithmetic.
struct Tested {
    device: String,
    arithmetic: &'static str,
    allowed: Off,
    off: Result<Off>,
}

/// Tests every instruction set of this CPU, and these devices.
pub fn test(found: &mut Findings, devices: &[String]) {
    let tested = Checkpoint::demo().map_err(anyhow::Error::from).and_then(|checkpoint| {
        let reference = serde_json::from_str(REFERENCE)?;
        all(&checkpoint, &reference, devices)
    });
    match tested {
        Err(_) if !cfg!(feature = "demo") => {
            found.add("self test", "not run: this build has no demo model; build it with --features demo", Value::Null);
        }
        Err(e) => found.fault(format!("the self-test could not run: {e}")),
        Ok(tested) => {
            tested.iter().filter_map(Tested::fault).for_each(|fault| found.fault(fault));
            found.add_tests(tested.iter().map(Tested::row), tested.iter().map(Tested::json).collect());
        }
    }
}

/// Tests each arithmetic of each instruction set and device.
fn all(checkpoint: &Checkpoint, reference: &Reference, devices: &[String]) -> Result<Vec<Tested>> {
    let precision = |element: &Element| match element {
        Element::F32 => Precision::F32,
        Element::Bf16 => Precision::Bf16,
        Element::Split => Precision::Auto,
    };
    let on_cpu = Isa::available().flat_map(|isa| isa.elements().iter().map(move |e| ("cpu", precision(e), isa)));
    // Not every GPU computes with halves.
    let has_halves = |device: &str| Compute::open(device, Precision::F16).is_ok();
    let precisions = |device| if has_halves(device) { &Precision::ALL[..] } else { &[Precision::F32] };
    let on_device = |device| precisions(device).iter().map(move |&precision| (device, precision, Isa::best()));
    let on_devices = devices.iter().flat_map(|device| on_device(device.as_str()));
    let mut tested = Vec::new();
    for (device, precision, isa) in on_cpu.chain(on_devices) {
        // Build the plan directly: `Compute` would not split the products of such a narrow model.
        let compute = Compute::open_with(device, precision, isa)?;
        let Compute { device, precision, isa, threads, .. } = compute;
        let plan = Plan { device, precision, isa, threads };
        tested.push(Tested {
            device: plan.device.name(),
            arithmetic: plan.instructions().unwrap_or("f32"),
            allowed: if matches!(precision, Precision::Bf16 | Precision::F16) { COARSE } else { EXACT },
            off: compare(checkpoint, reference, &plan),
        });
    }
    Ok(tested)
}

/// Returns the largest errors of one arithmetic.
fn compare(checkpoint: &Checkpoint, reference: &Reference, plan: &Plan) -> Result<Off> {
    let images = ImageEncoder::load(checkpoint, plan)?;
    let templates: [Template; 1] = [reference.template.parse()?];
    let labels: Vec<Label> = reference.labels.iter().map(|label| Label::new(label.as_str(), &templates)).collect();
    let labels = Labels::encode(&TextEncoder::load(checkpoint, plan)?, &labels, |_, _| {})?;
    let mut pixels = Vec::new();
    for image in &reference.images {
        let bytes = source::read(Input::from_arg(&image.name))?;
        pixels.push(images.preprocess(&source::decode(&bytes, MAX_PIXELS)?)?);
    }
    let mut off = Off::default();
    for (scores, image) in Classifier::new(images, labels)?.classify(&pixels)?.into_iter().zip(&reference.images) {
        let scores = scores?;
        off.logits = off.logits.max(worst(scores.logits(), &image.logits));
        off.scores = off.scores.max(worst(scores.scores(), &softmax(&image.logits)));
    }
    Ok(off)
}

fn worst(got: &[f32], wanted: &[f64]) -> f64 {
    got.iter().zip(wanted).map(|(&got, wanted)| (f64::from(got) - wanted).abs()).fold(0.0, f64::max)
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    logits.iter().map(|x| (x - max).exp() / sum).collect()
}

impl Tested {
    fn name(&self) -> String {
        format!("{} {}", self.device, self.arithmetic)
    }

    /// Returns whether the errors are small enough.
    fn is_right(&self) -> bool {
        self.off.as_ref().is_ok_and(|off| off.logits <= self.allowed.logits && off.scores <= self.allowed.scores)
    }

    fn fault(&self) -> Option<String> {
        match &self.off {
            Err(e) => Some(format!("{} fails: {e}", self.name())),
            Ok(_) if self.is_right() => None,
            Ok(off) => Some(format!(
                "{} computes wrong numbers: logits are off by {:.1e} and scores by {:.1e}; use others (ZSIC_ISA, --device)",
                self.name(),
                off.logits,
                off.scores
            )),
        }
    }

    fn row(&self) -> [String; 4] {
        let result = if self.is_right() { "right" } else { "wrong" };
        let cell = |of: fn(&Off) -> f64| match &self.off {
            Ok(off) => format!("{:.1e} ({:e} allowed)", of(off), of(&self.allowed)),
            Err(_) => String::new(),
        };
        [self.name(), result.to_owned(), cell(|off| off.logits), cell(|off| off.scores)]
    }

    fn json(&self) -> Value {
        let off = self.off.as_ref().ok();
        json!({
            "device": self.device, "arithmetic": self.arithmetic, "right": self.is_right(),
            "logits_off": off.map(|off| off.logits), "logits_allowed": self.allowed.logits,
            "scores_off": off.map(|off| off.scores), "scores_allowed": self.allowed.scores,
            "error": self.off.as_ref().err().map(ToString::to_string),
        })
    }
}

#[cfg(feature = "demo")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_figure_is_noticed_on_every_instruction_set() {
        let (checkpoint, right) = (Checkpoint::demo().unwrap(), serde_json::from_str::<Reference>(REFERENCE).unwrap());
        let tested = all(&checkpoint, &right, &[]).unwrap();
        assert!(tested.len() >= Isa::available().count());
        for tested in &tested {
            println!("{:?}", tested.row());
            assert_eq!((tested.is_right(), tested.fault()), (true, None), "{}", tested.name());
        }
        let mut wrong = right;
        wrong.images[2].logits[3] += 0.2;
        for tested in all(&checkpoint, &wrong, &[]).unwrap() {
            let said = format!("{} computes wrong numbers: logits are off by 2.", tested.name());
            assert!(!tested.is_right() && tested.fault().unwrap().starts_with(&said), "{:?}", tested.fault());
            assert_eq!((&*tested.row()[1], &tested.json()["right"]), ("wrong", &json!(false)));
        }
    }
}
