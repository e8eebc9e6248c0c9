//! Checks the mask of a text tower on both backends: the kernels share rows of prompts, which only a causal mask
//! allows.

use std::path::Path;

use super::attention_rows::Prompt;
use super::backend::Loaded;
use super::spec::Mask;
use crate::device::Device;
use crate::{Checkpoint, Isa, Plan, Precision, Threads};

/// Returns the features of each prompt, in order.
fn features(mask: Mask, isa: Isa, prompts: &[Prompt]) -> Vec<Vec<f32>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/odd");
    let checkpoint = Checkpoint::open(dir).unwrap();
    let mut spec = checkpoint.family().text();
    spec.blocks.mask = mask;
    let (device, threads) = (Device::Cpu, Threads::default());
    let plan = Plan { device, precision: Precision::F32, isa, threads };
    let tower = Loaded::load(&spec, checkpoint.weights(), &plan).unwrap();
    let mut rows = vec![Vec::new(); prompts.len()];
    for batch in tower.batches(prompts) {
        let together: Vec<&Prompt> = batch.iter().map(|&i| &prompts[i]).collect();
        let features = tower.prompts(&together).unwrap();
        batch.iter().zip(features.chunks(spec.dim)).for_each(|(&i, row)| rows[i] = row.to_vec());
    }
    rows
}

fn worst(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    a.concat().iter().zip(b.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn both_backends_take_the_mask_from_the_spec() {
    // Equal beginnings, a prompt that begins another, and prompts that differ only after the pooled row.
    let prompts =
        [vec![5, 6, 7, 8, 9, 1], vec![5, 6, 7, 8, 2, 3], vec![5, 6, 7], vec![4, 6, 7], vec![5, 6, 7, 8, 9, 1]];
    let prompts = prompts.map(|ids| Prompt { end: ids.len() / 2, place: ids.len() / 2, ids, padded: false });
    let kernels = Isa::available().filter(|isa| *isa != Isa::Plain);
    for isa in kernels {
        for mask in [Mask::None, Mask::Causal] {
            let (ours, oracle) = (features(mask, isa, &prompts), features(mask, Isa::Plain, &prompts));
            let off = worst(&ours, &oracle);
            assert!(off < 1e-5, "{mask:?} on {isa:?}: off by {off}");
        }
    }
    let [open, causal] = [Mask::None, Mask::Causal].map(|mask| features(mask, Isa::Plain, &prompts));
    assert!(worst(&open, &causal) > 1e-3, "the mask changes nothing here");
    assert!(open[0] != open[1] && causal[0] == causal[1], "rows before a difference see it without a mask alone");
}
