//! A compiled classifier: the rows that labels are scored by, and the rules, in one safetensors file.
//!
//! Tensors: `weights [L, D]`, `bias [L]`, `background [B, D]` and `thresholds [A]` in f32, `offsets [B]` in f64. `A` counts all
//! answers: labels or groups, rank by rank. The metadata key `zsic` holds [`About`] as JSON. A file has no paths and no dates:
//! the same labels and examples give the same bytes.

mod about;

use std::collections::HashMap;
use std::path::Path;

use about::SIGMOID;
pub use about::{
    About, Belongs, CompiledCalibration, CompiledCheck, CompiledGroups, CompiledHead, CompiledLabel, Preprocessing,
    activation_name,
};
use safetensors::tensor::{SafeTensorError, TensorView};
use safetensors::{Dtype, SafeTensors};

use crate::classifier::Labels;
use crate::decision::{Decision, Groups, NEVER};
use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::reason::os_reason;
use crate::regular;
use crate::score::Activation;

/// The version of the format.
pub const FORMAT: u32 = 1;
/// The largest value in any tensor. Rows are about as long as 1, and scores of such values stay finite.
const LARGEST: f64 = 1e4;
/// The most values of a row.
const WIDEST: usize = 1 << 14;
/// The metadata key.
const KEY: &str = "zsic";
/// The longest file that is read: 300,000 labels of 768 values are as long.
const LONGEST: u64 = 1 << 30;

/// A compiled classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// What it is.
    pub about: About,
    /// The labels' rows [L, D].
    pub rows: Embeddings,
    /// What is added to each label's logit: `[L]`.
    pub bias: Vec<f32>,
    /// The background's rows [B, D].
    pub background: Embeddings,
    /// The offset of each background row's logit: `[B]`.
    pub offsets: Vec<f64>,
    /// The least score of each answer: `[A]`.
    pub thresholds: Vec<f32>,
}

impl Compiled {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Classifier`] with what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(path, &Self::read(path)?)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Classifier`] if it cannot be read, or is too long.
    pub fn read(path: &Path) -> Result<Vec<u8>> {
        let failed =
            |e| Error::Classifier { path: path.to_path_buf(), reason: format!("cannot be read: {}", os_reason(&e)) };
        regular::read(path, LONGEST).map_err(failed)
    }

    /// Parses the bytes of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Classifier`] with what is wrong with them.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::from_bytes(bytes).map_err(|reason| Error::Classifier { path: path.to_path_buf(), reason })
    }

    /// Parses the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
        let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let metadata = metadata.ok_or("is not a classifier of zsic: its metadata has no key `zsic`")?;
        let format = serde_json::from_str::<serde_json::Value>(metadata).ok().and_then(|json| json["format"].as_u64());
        match format {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(0) => return Err("is not a classifier of zsic: its format is 0".to_owned()),
            Some(format) => {
                let made = format!("was made by a newer zsic: its format is {format}, and this version reads {FORMAT}");
                return Err(format!("{made}; install a newer zsic"));
            }
            None => return Err("is not a classifier of zsic: its metadata has no format".to_owned()),
        }
        let about: About = serde_json::from_str(metadata).map_err(|e| format!("its metadata is damaged: {e}"))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e))?;
        let table = |name: &str| tensors.tensor(name).map_err(|_| format!("has no tensor `{name}`"));
        let weights = table("weights")?;
        let [_, dim] = *weights.shape() else { return Err("its tensor `weights` is not a table".to_owned()) };
        if dim > WIDEST {
            return Err(format!("its rows have {dim} values, and at most {WIDEST} are read"));
        }
        let rows = |name: &str, count: usize| {
            let mut rows = Embeddings::new(dim);
            let values = singles(name, &table(name)?, &[count, dim])?;
            values.chunks_exact(dim.max(1)).for_each(|row| rows.push_unit(row));
            Ok::<_, String>(rows)
        };
        let list = |name: &str, count: usize| singles(name, &table(name)?, &[count]);
        let (labels, background) = (about.labels.len(), about.background.len());
        if labels == 0 || dim == 0 {
            return Err("has no labels".to_owned());
        }
        let answers = about.check()?;
        let thresholds = list("thresholds", answers)?;
        if let Some(wrong) = thresholds.iter().find(|least| !(0.0..=NEVER).contains(*least)) {
            return Err(format!("has a threshold of {wrong}"));
        }
        Ok(Self {
            rows: rows("weights", labels)?,
            bias: list("bias", labels)?,
            background: rows("background", background)?,
            offsets: doubles("offsets", &table("offsets")?, &[background])?,
            thresholds,
            about,
        })
    }

    /// Returns the bytes of a file.
    ///
    /// # Panics
    /// If the numbers of rows, labels or thresholds differ.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { about, rows, bias, background, offsets, thresholds } = self;
        let single = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (labels, others, dim) = (about.labels.len(), about.background.len(), rows.dim());
        let tensors = [
            ("weights", Dtype::F32, vec![labels, dim], single(rows.values())),
            ("bias", Dtype::F32, vec![labels], single(bias)),
            ("background", Dtype::F32, vec![others, dim], single(background.values())),
            ("thresholds", Dtype::F32, vec![thresholds.len()], single(thresholds)),
            ("offsets", Dtype::F64, vec![others], offsets.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ];
        let about = serde_json::to_string(about).expect("names and finite numbers are JSON");
        let metadata = HashMap::from([(KEY.to_owned(), about)]);
        let views = tensors.iter().map(|(name, kind, shape, bytes)| {
            (*name, TensorView::new(*kind, shape.clone(), bytes).expect("a tensor has as many bytes as its shape says"))
        });
        safetensors::serialize(views, Some(metadata)).expect("a header of five tensors")
    }

    /// Returns how logits become scores.
    pub fn activation(&self) -> Activation {
        if self.about.activation == SIGMOID { Activation::Sigmoid } else { Activation::Softmax }
    }

    /// Returns the labels, with their rows.
    pub fn labels(&self) -> Labels {
        let names = self.about.labels.iter().map(|label| label.name.clone()).collect();
        Labels::from_rows(names, self.rows.clone(), self.bias.clone())
    }

    /// Returns the rules, unless there are none.
    pub fn decision(&self) -> Option<Decision> {
        let About { temperature, independent, ranks, answers, .. } = &self.about;
        let groups = |ranks: &CompiledGroups| Groups { names: ranks.names.clone(), of: ranks.of.clone() };
        (*answers || !ranks.is_empty()).then(|| Decision {
            temperature: *temperature,
            background: self.offsets.clone(),
            thresholds: self.thresholds.clone(),
            independent: *independent,
            ranks: ranks.iter().map(groups).collect(),
        })
    }
}

fn damaged(e: &SafeTensorError) -> String {
    match e {
        SafeTensorError::MetadataIncompleteBuffer
        | SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength => {
            format!("is cut off, or not a safetensors file: {e}")
        }
        e => format!("is not a classifier, or is damaged: {e}"),
    }
}

/// Returns the values of a tensor in f32, if they are finite and it has this shape.
fn singles(name: &str, tensor: &TensorView, shape: &[usize]) -> std::result::Result<Vec<f32>, String> {
    check_form(name, tensor, Dtype::F32, shape)?;
    let values: Vec<f32> = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    check_values(name, values.iter().copied().map(f64::from))?;
    Ok(values)
}

/// Does the same in f64.
fn doubles(name: &str, tensor: &TensorView, shape: &[usize]) -> std::result::Result<Vec<f64>, String> {
    check_form(name, tensor, Dtype::F64, shape)?;
    let values: Vec<f64> = tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    check_values(name, values.iter().copied())?;
    Ok(values)
}

fn check_form(name: &str, tensor: &TensorView, kind: Dtype, shape: &[usize]) -> std::result::Result<(), String> {
    let (is, found) = (tensor.dtype(), tensor.shape());
    if (is, found) == (kind, shape) {
        return Ok(());
    }
    Err(format!("its tensor `{name}` has the form {is:?} {found:?} in place of {kind:?} {shape:?}"))
}

fn check_values(name: &str, mut values: impl Iterator<Item = f64>) -> std::result::Result<(), String> {
    if values.all(|x| x.abs() <= LARGEST) {
        return Ok(());
    }
    Err(format!("its tensor `{name}` has values that are not finite, or over {LARGEST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Compiled {
        let label = |name: &str| CompiledLabel { name: name.to_owned(), prompts: vec![format!("a {name}")] };
        let [mut rows, mut background] = [Embeddings::new(3), Embeddings::new(3)];
        rows.push_unit(&[1.0, 0.5, 0.0]);
        rows.push_unit(&[0.0, 1.0, 0.1]);
        background.push_unit(&[0.0, 0.0, 1.0]);
        let about = About {
            format: FORMAT,
            zsic: "0.0.0".to_owned(),
            bits: 2,
            checkpoint: Belongs { name: "a/b".to_owned(), commit: None, built_in: false, content: "12".to_owned() },
            preprocessing: Preprocessing { decode: "exact".to_owned(), reading: String::new() },
            activation: activation_name(Activation::Softmax).to_owned(),
            labels: ["cat", "dog"].map(label).to_vec(),
            background: vec!["sky".to_owned()],
            ranks: Vec::new(),
            temperature: 1.5,
            independent: false,
            answers: true,
            head: None,
            calibration: None,
        };
        let (bias, offsets, thresholds) = (vec![0.0, 0.25], vec![-0.1], vec![0.5, NEVER]);
        Compiled { about, rows, bias, background, offsets, thresholds }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = small().to_bytes();
        assert_eq!(Compiled::from_bytes(&bytes).unwrap(), small());
        assert_eq!(bytes, small().to_bytes());
        let decision = small().decision().unwrap();
        assert_eq!((decision.background, decision.thresholds, decision.temperature), (vec![-0.1], vec![0.5, 2.0], 1.5));
    }

    #[test]
    fn a_cut_or_changed_file_is_refused() {
        let bytes = small().to_bytes();
        for length in 0..bytes.len() {
            assert!(Compiled::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        let with = |change: &dyn Fn(&mut Compiled)| {
            let mut other = small();
            change(&mut other);
            Compiled::from_bytes(&other.to_bytes()).unwrap_err()
        };
        assert!(with(&|of| of.about.format = 2).starts_with("was made by a newer zsic: its format is 2"));
        assert!(with(&|of| of.about.format = 0).starts_with("is not a classifier of zsic"));
        assert!(with(&|of| of.about.activation = "tanh".to_owned()).contains("neither softmax nor sigmoid"));
        assert!(with(&|of| of.about.temperature = 0.0).contains("the temperature"));
        assert!(with(&|of| of.about.labels[1].name = "cat".to_owned()).contains("there twice"));
        assert!(with(&|of| of.offsets[0] = f64::NAN).contains("`offsets` has values that are not finite"));
        assert!(with(&|of| of.thresholds[0] = -0.5).contains("a threshold of -0.5"));
        assert!(with(&|of| of.thresholds.truncate(1)).contains("in place of F32 [2]"));
        let groups = CompiledGroups { names: vec!["pet".to_owned()], of: vec![0, 1] };
        assert!(with(&|of| of.about.ranks = vec![groups.clone()]).contains("a group has other members"));
        let group = |names: &[&str], of: &[usize]| CompiledGroups {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            of: of.to_vec(),
        };
        for (names, of) in
            [(&["pet", "pet"][..], &[0, 1][..]), (&["pet", "empty"][..], &[0, 0][..]), (&["a\u{1b}b"][..], &[0, 0][..])]
        {
            let wrong = with(&|compiled| compiled.about.ranks = vec![group(names, of)]);
            assert!(wrong.contains("a group is there twice, is no name, or has no member"), "{wrong}");
        }
        for name in ["", " cat", "a\nb", "\u{1b}[2J"] {
            assert!(with(&|of| of.about.labels[0].name = name.to_owned()).contains("is no name"), "{name}");
            assert!(with(&|of| of.about.background[0] = name.to_owned()).contains("is no name"), "{name}");
        }
        let alone = with(&|of| {
            of.about.independent = true;
            (of.about.background, of.background, of.offsets) = (Vec::new(), Embeddings::new(3), Vec::new());
        });
        assert!(alone.contains("and there is none"), "{alone}");
        let wide = with(&|of| {
            [of.rows, of.background] = [2, 1].map(|rows| {
                let mut wide = Embeddings::new(WIDEST + 1);
                (0..rows).for_each(|_| wide.push_unit(&vec![0.0; WIDEST + 1]));
                wide
            });
        });
        assert!(wide.contains("at most 16384 are read"), "{wide}");
        let other = safetensors::serialize(std::iter::empty::<(&str, TensorView)>(), None).unwrap();
        assert!(Compiled::from_bytes(&other).unwrap_err().starts_with("is not a classifier of zsic"));
    }

    /// Any one byte may be another: no panic, and no values that are not finite.
    #[test]
    fn a_flipped_byte_never_panics() {
        let bytes = small().to_bytes();
        for at in 0..bytes.len() {
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[at] ^= flip;
                if let Ok(read) = Compiled::from_bytes(&other) {
                    assert!(read.rows.values().iter().all(|x| x.is_finite()) && read.rows.len() == 2);
                }
            }
        }
    }
}
