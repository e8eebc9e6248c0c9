//! Weights by name, from whichever files hold them: where each tensor lies, and reading it as f32. Reading copies
//! straight into the tensor's own memory, so that loading costs no more than the model.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use safetensors::Dtype;
use serde::Deserialize;

use super::{pickle, read_json, unreadable};
use crate::{Error, Result};

/// The sets of files a checkpoint may keep its weights in, best first (the order of transformers).
const LAYOUTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The longest safetensors header that is believed: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Values read by one thread at a time.
const CHUNK: usize = 1 << 18;

/// An open file of weights.
#[derive(Debug)]
pub(super) struct WeightFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) file: Arc<WeightFile>,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Steps between neighbours along each dimension, where they are not row-major (a saved transpose).
    pub(super) strides: Option<Vec<usize>>,
    /// The first value's place in the file, in bytes.
    pub(super) offset: u64,
    /// Values from the first to the last, gaps included.
    pub(super) span: usize,
}

/// Every tensor of a checkpoint, found but not loaded.
#[derive(Debug)]
pub struct Weights {
    /// The file that stands for them all in messages: the single file, or the index.
    path: PathBuf,
    tensors: HashMap<String, Stored>,
}

/// An index of shards: `weight_map` says which file holds which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Weights {
    /// Finds the weights in `dir`: one set of files, safetensors before pickles, whole before sharded.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or torn.
    pub fn open(dir: &Path) -> Result<Self> {
        let Some(name) = LAYOUTS.iter().find(|name| dir.join(name).exists()) else {
            return Err(Error::checkpoint(dir, format!("has no weights: none of {}", LAYOUTS.join(", "))));
        };
        let path = dir.join(name);
        let tensors = if name.ends_with(".index.json") { open_shards(dir, &path)? } else { open_file(&path)? };
        Ok(Self { path, tensors })
    }

    /// The names' root, to walk down from.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, prefix: String::new() }
    }

    /// Names and shapes of every tensor, in no order.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored.shape.as_slice()))
    }
}

fn open_shards(dir: &Path, index_path: &Path) -> Result<HashMap<String, Stored>> {
    let index: Index = read_json(index_path)?;
    let mut shards: HashMap<&str, HashMap<String, Stored>> = HashMap::new();
    let mut tensors = HashMap::new();
    for (name, file) in &index.weight_map {
        if file.contains(['/', '\\']) || file == ".." {
            return Err(Error::checkpoint(index_path, format!("names a shard outside the directory: {file:?}")));
        }
        if !shards.contains_key(file.as_str()) {
            shards.insert(file, open_file(&dir.join(file))?);
        }
        let Some(stored) = shards[file.as_str()].get(name) else {
            return Err(Error::checkpoint(dir.join(file), format!("lacks `{name}`, which the index places there")));
        };
        tensors.insert(name.clone(), stored.clone());
    }
    Ok(tensors)
}

fn open_file(path: &Path) -> Result<HashMap<String, Stored>> {
    let file = File::open(path).map_err(|e| Error::checkpoint(path, unreadable(&e)))?;
    let file = Arc::new(WeightFile { path: path.to_path_buf(), file });
    let table = match path.extension().is_some_and(|e| e == "safetensors") {
        true => safetensors_table(&file),
        false => pickle::table(&file),
    };
    table.map_err(|reason| Error::checkpoint(path, reason))
}

/// The header of a safetensors file, checked against the file's length.
fn safetensors_table(file: &Arc<WeightFile>) -> std::result::Result<HashMap<String, Stored>, String> {
    let torn = |e: std::io::Error| format!("is no safetensors file, or a torn one: {e}");
    let length = file.file.metadata().map_err(torn)?.len();
    let mut size = [0; 8];
    file.file.read_exact_at(&mut size, 0).map_err(torn)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER || size + 8 > length {
        return Err("is no safetensors file, or a torn one: its header does not fit the file".to_owned());
    }
    let mut header = vec![0; size as usize];
    file.file.read_exact_at(&mut header, 8).map_err(torn)?;
    let metadata: safetensors::tensor::Metadata =
        serde_json::from_slice(&header).map_err(|e| format!("its safetensors header is damaged: {e}"))?;
    let expected = 8 + size + metadata.data_len() as u64;
    if expected != length {
        return Err(format!("is torn: it has {length} bytes where its header announces {expected}"));
    }
    let stored = |info: &safetensors::tensor::TensorInfo| Stored {
        file: Arc::clone(file),
        dtype: info.dtype,
        shape: info.shape.clone(),
        strides: None,
        offset: 8 + size + info.data_offsets.0 as u64,
        span: info.shape.iter().product(),
    };
    Ok(metadata.tensors().into_iter().map(|(name, info)| (name, stored(info))).collect())
}

/// A place in the tree of weight names, as in `vision_model.encoder.layers.0`.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl Scope<'_> {
    /// One step down.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Scope { weights: self.weights, prefix: self.name(&name.to_string()) }
    }

    /// The tensor `name` as f32 on `device`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, has another shape, or cannot be read.
    pub fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let values = self.values(name, shape)?;
        Ok(Tensor::from_vec(values, shape, device)?)
    }

    /// Tensors of one shape, stacked along the first dimension: [rows, ..] each, [n * rows, ..] together.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn stacked(&self, names: &[&str], shape: &[usize], device: &Device) -> Result<Tensor> {
        let size: usize = shape.iter().product();
        let mut values = vec![0f32; names.len() * size];
        for (name, part) in names.iter().zip(values.chunks_exact_mut(size.max(1))) {
            self.read_into(name, shape, part)?;
        }
        let mut shape = shape.to_vec();
        shape[0] *= names.len();
        Ok(Tensor::from_vec(values, shape, device)?)
    }

    /// The values of tensor `name`, row-major.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.find(name, shape)?; // before any memory is asked for
        let mut values = vec![0f32; shape.iter().product()];
        self.read_into(name, shape, &mut values)?;
        Ok(values)
    }

    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&Stored> {
        let name = self.name(name);
        let Some(stored) = self.weights.tensors.get(&name) else {
            return Err(Error::checkpoint(&self.weights.path, format!("has no weight `{name}`")));
        };
        if stored.shape != shape {
            let reason = format!("weight `{name}` has shape {:?} where config.json asks for {shape:?}", stored.shape);
            return Err(Error::checkpoint(&stored.file.path, reason));
        }
        Ok(stored)
    }

    fn read_into(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<()> {
        let stored = self.find(name, shape)?;
        let failed = |e: String| Error::checkpoint(&stored.file.path, format!("weight `{}` {e}", self.name(name)));
        match &stored.strides {
            None => stored.read(values).map_err(failed),
            Some(strides) => {
                let mut span = vec![0f32; stored.span];
                stored.read(&mut span).map_err(failed)?;
                gather(&span, &stored.shape, strides, values);
                Ok(())
            }
        }
    }
}

impl Stored {
    /// Reads `out.len()` values in the order they are stored, on all threads.
    fn read(&self, out: &mut [f32]) -> std::result::Result<(), String> {
        let size = match self.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => return Err(format!("is stored as {other:?}; zsic reads F32, F16 and BF16")),
        };
        let torn = |e: std::io::Error| format!("cannot be read: {e}");
        out.par_chunks_mut(CHUNK).enumerate().try_for_each(|(index, chunk)| {
            let at = self.offset + (index * CHUNK * size) as u64;
            if self.dtype == Dtype::F32 {
                let bytes = bytemuck::cast_slice_mut(chunk);
                return self.file.file.read_exact_at(bytes, at).map_err(torn);
            }
            let mut bits = vec![0u16; chunk.len()];
            self.file.file.read_exact_at(bytemuck::cast_slice_mut(&mut bits), at).map_err(torn)?;
            match self.dtype {
                Dtype::F16 => {
                    half::vec::HalfBitsVecExt::reinterpret_into::<half::f16>(bits).convert_to_f32_slice(chunk)
                }
                _ => half::vec::HalfBitsVecExt::reinterpret_into::<half::bf16>(bits).convert_to_f32_slice(chunk),
            }
            Ok(())
        })
    }
}

/// Copies a strided tensor into row-major order.
fn gather(span: &[f32], shape: &[usize], strides: &[usize], out: &mut [f32]) {
    let mut index = vec![0; shape.len()];
    for value in out {
        *value = span[index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>()];
        for (i, &n) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transpose_is_gathered() {
        let mut out = [0.0; 6];
        gather(&[0., 1., 2., 3., 4., 5.], &[3, 2], &[1, 3], &mut out); // stored as [2, 3]
        assert_eq!(out, [0., 3., 1., 4., 2., 5.]);
    }
}
