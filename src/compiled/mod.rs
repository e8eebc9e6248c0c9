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
    About, Belongs, CompiledCalibration, CompiledCheck, CompiledHead, FORMAT, Preprocessing, activation_name, is_name,
};
use safetensors::tensor::{SafeTensorError, TensorView};
use safetensors::{Dtype, SafeTensors};

use crate::classifier::Labels;
use crate::decision::{Decision, NEVER};
use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::reason::os_reason;
use crate::regular;
use crate::score::Activation;

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
        let about = About::read(metadata.ok_or("is not a classifier of zsic: its metadata has no key `zsic`")?)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e))?;
        let table = |name: &str| tensors.tensor(name).map_err(|_| format!("has no tensor `{name}`"));
        let (labels, background, answers) = (about.labels.len(), about.background.len(), about.check()?);
        let dim = match *table("weights")?.shape() {
            [_, 0] => return Err("its rows have no values".to_owned()),
            [_, dim @ ..=WIDEST] => dim,
            [_, dim] => return Err(format!("its rows have {dim} values, and at most {WIDEST} are read")),
            _ => return Err("its tensor `weights` is not a table".to_owned()),
        };
        // All forms come before any copy: what a file claims may be large.
        for (name, kind, shape) in [
            ("weights", Dtype::F32, &[labels, dim][..]),
            ("bias", Dtype::F32, &[labels]),
            ("background", Dtype::F32, &[background, dim]),
            ("offsets", Dtype::F64, &[background]),
            ("thresholds", Dtype::F32, &[answers]),
        ] {
            check_form(name, &table(name)?, kind, shape)?;
        }
        let list = |name: &str| singles(name, &table(name)?).map(Iterator::collect::<Vec<f32>>);
        let thresholds = list("thresholds")?;
        if let Some(wrong) = thresholds.iter().find(|least| !(0.0..=NEVER).contains(*least)) {
            return Err(format!("has a threshold of {wrong}"));
        }
        if !about.answers && thresholds.iter().any(|least| *least > 0.0) {
            return Err("has thresholds and no answers".to_owned());
        }
        Ok(Self {
            rows: rows("weights", &table("weights")?, dim)?,
            bias: list("bias")?,
            background: rows("background", &table("background")?, dim)?,
            offsets: doubles("offsets", &table("offsets")?)?,
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
        (*answers || !ranks.is_empty()).then(|| Decision {
            temperature: *temperature,
            background: self.offsets.clone(),
            thresholds: self.thresholds.clone(),
            independent: *independent,
            ranks: ranks.clone(),
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

/// Returns the values of a tensor of f32, if they are finite.
fn singles<'a>(name: &str, tensor: &'a TensorView) -> std::result::Result<impl Iterator<Item = f32> + use<'a>, String> {
    let values = || tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    check_values(name, values().map(f64::from))?;
    Ok(values())
}

/// Does the same in f64.
fn doubles(name: &str, tensor: &TensorView) -> std::result::Result<Vec<f64>, String> {
    let values: Vec<f64> = tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    check_values(name, values.iter().copied())?;
    Ok(values)
}

/// Returns the rows of a tensor of f32. They are copied once, as there may be a gigabyte of them.
fn rows(name: &str, tensor: &TensorView, dim: usize) -> std::result::Result<Embeddings, String> {
    let mut values = singles(name, tensor)?;
    let count = tensor.shape()[0];
    let mut rows = Embeddings::with_capacity(dim, count);
    let mut row = vec![0.0; dim];
    for _ in 0..count {
        row.iter_mut().zip(&mut values).for_each(|(place, value)| *place = value);
        rows.push_unit(&row);
    }
    Ok(rows)
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
mod tests;
