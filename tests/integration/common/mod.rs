//! What the integration tests share: where the fixtures are, and what transformers computed from them.

pub mod by_url;
pub mod caches;
pub mod command;
pub mod long_run;
#[cfg(unix)] // a pseudoterminal
pub mod terminal;

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

/// The checkpoints of `tools/make_fixtures.py`.
pub const CHECKPOINTS: &[&str] = &[
    "quick-gelu",
    "legacy-dict",
    "gelu",
    "odd",
    "wide-crop",
    "bin",
    "bin-sharded",
    "bin-f16",
    "bin-legacy",
    "sharded",
    "f16",
    "bf16",
    "added-by-name",
    "padded",
    "as-written",
    "without-ends",
    "siglip/unigram",
    "siglip/unigram-json",
    "siglip/gemma",
    "open_clip/datacomp",
    "open_clip/dfn",
    "open_clip/dfn378",
    "open_clip/openai",
    "open_clip/bioclip2",
    "open_clip/avg-first",
    "open_clip/eos-bias",
    "open_clip/last",
    "open_clip/longest",
    "open_clip/clipa",
    "open_clip/openvision",
    "open_clip/siglip",
    "open_clip/siglip2",
    "open_clip/biomedclip",
    "open_clip/xlm-roberta",
    "open_clip/roberta",
    "naflex/published",
    "naflex/odd",
    "metaclip2/published",
    "metaclip2/saved",
    "metaclip2/mt5",
    "chinese_clip/published",
    "chinese_clip/odd",
    "altclip/published",
    "altclip/odd",
    "clipseg/published",
    "clipseg/odd",
];

/// A path below `tests/fixtures`.
pub fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A checkpoint's folder. CLIP's are in `checkpoints`.
pub fn checkpoint(name: &str) -> PathBuf {
    if name.contains('/') { fixtures(name) } else { fixtures("checkpoints").join(name) }
}

/// Copies a checkpoint of the fixtures, so that a file of it can be changed. The copy lives as long as the directory.
pub fn copied(checkpoint: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(self::checkpoint(checkpoint)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = dir.path().to_path_buf();
    (dir, path)
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Numbers below others, without any pattern that matters here. Prints the seed, which a failing test then shows.
pub fn random(seed: u64) -> impl FnMut(usize) -> usize {
    println!("random numbers from seed {seed}");
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    }
}

pub fn strings(json: &Value) -> Vec<String> {
    json.as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
}

/// What transformers computed from a checkpoint.
pub struct Expected {
    pub json: Value,
    tensors: Vec<u8>,
}

impl Expected {
    pub fn of(checkpoint: &str) -> Self {
        Self::in_dir(&self::checkpoint(checkpoint))
    }

    /// Scores of logits, by the activation that the checkpoint was trained for.
    pub fn scores(&self, logits: &[f64]) -> Vec<f64> {
        if self.json["activation"] == "sigmoid" {
            return logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        }
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
        logits.iter().map(|x| (x - max).exp() / sum).collect()
    }

    pub fn in_dir(dir: &Path) -> Self {
        Self { json: json(&dir.join("expected.json")), tensors: fs::read(dir.join("expected.safetensors")).unwrap() }
    }

    pub fn images(&self) -> Vec<String> {
        strings(&self.json["images"])
    }

    pub fn labels(&self) -> Vec<String> {
        strings(&self.json["labels"])
    }

    /// Returns whether there is a tensor.
    pub fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.tensors).unwrap().tensor(name).is_ok()
    }

    /// A tensor's rows as f64.
    pub fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let values: Vec<f64> = match tensor.dtype() {
            safetensors::Dtype::F32 => {
                tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            safetensors::Dtype::F64 => {
                tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
            }
            safetensors::Dtype::U8 => tensor.data().iter().map(|&b| b.into()).collect(),
            other => panic!("{other:?}"),
        };
        values.chunks_exact(values.len() / tensor.shape()[0]).map(<[f64]>::to_vec).collect()
    }
}

/// The largest difference between two rows.
pub fn worst(a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |w, d| if d.is_nan() { f64::INFINITY } else { w.max(d) })
}

/// A TIFF file of one grey picture with these tags besides.
pub fn tiff(width: u32, height: u32, more: &[(u16, u32)]) -> Vec<u8> {
    let pixels = width * height;
    let mut tags = vec![(256, width), (257, height), (258, 8), (259, 1), (262, 1), (277, 1), (278, height)];
    let start = 8 + 2 + 12 * (tags.len() + 2 + more.len()) as u32 + 4;
    tags.extend([(273, start), (279, pixels)]);
    tags.extend(more);
    tags.sort_unstable();
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend([4, 0, 1, 0, 0, 0]); // one number of 32 bits
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend((0..pixels).map(|n| n as u8));
    file
}
