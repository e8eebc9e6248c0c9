//! Weights by name, from whichever files hold them, as f32 tensors.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::files::Files;
use super::recipe::{self, Recipe};
use super::stored::{Stored, TensorTable, gather};
use super::{safetensors, torch};
use crate::{Error, Result};

/// Every tensor of a checkpoint, found but not loaded.
#[derive(Debug)]
pub struct Weights {
    /// The file that messages name for all of them: the single file, or the index.
    path: PathBuf,
    tensors: TensorTable,
}

/// An index of shards: `weight_map` says which file holds which tensor.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

impl Weights {
    /// Finds the weights in the first of `names` that is there, under the names that `recipe` gives them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing or torn.
    pub fn open(files: &Files, names: &[&str], recipe: &Recipe) -> Result<Self> {
        let Some(name) = names.iter().find(|name| files.contains(name)) else {
            return Err(Error::checkpoint(files.root(), format!("has no weights: none of {}", names.join(", "))));
        };
        let tensors = if name.ends_with(".index.json") { open_shards(files, name)? } else { open_file(files, name)? };
        let path = files.path(name);
        let tensors = recipe::apply(recipe, tensors).map_err(|e| Error::checkpoint(&path, e))?;
        Ok(Self { path, tensors })
    }

    /// Returns the root of the names.
    pub fn root(&self) -> WeightScope<'_> {
        WeightScope { weights: self, prefix: String::new() }
    }

    /// Returns the files that hold them, and the index if there is one.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        self.tensors.values().map(|stored| stored.file.path.clone()).chain([self.path.clone()]).collect()
    }

    /// Returns the names and shapes of all tensors, in no order.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored.shape.as_slice()))
    }
}

fn open_shards(files: &Files, index: &str) -> Result<TensorTable> {
    let index_path = files.path(index);
    let index: ShardIndex = files.read_json(index)?;
    let mut shards: HashMap<&str, TensorTable> = HashMap::new();
    let mut tensors = HashMap::new();
    for (name, file) in &index.weight_map {
        if file.contains(['/', '\\']) || file == ".." {
            return Err(Error::checkpoint(index_path, format!("names a shard outside the directory: {file:?}")));
        }
        if !shards.contains_key(file.as_str()) {
            shards.insert(file, open_file(files, file)?);
        }
        let Some(stored) = shards[file.as_str()].get(name) else {
            return Err(Error::checkpoint(files.path(file), format!("lacks `{name}`, which the index places there")));
        };
        tensors.insert(name.clone(), stored.clone());
    }
    Ok(tensors)
}

fn open_file(files: &Files, name: &str) -> Result<TensorTable> {
    let file = files.open(name)?;
    let table = if name.ends_with(".safetensors") { safetensors::table(&file) } else { torch::table(&file) };
    table.map_err(|reason| Error::checkpoint(&file.path, reason))
}

/// A place in the tree of weight names, as in `vision_model.encoder.layers.0`.
#[derive(Debug, Clone)]
pub struct WeightScope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl WeightScope<'_> {
    /// Returns the place `name` below this one.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        WeightScope { weights: self.weights, prefix: self.name(&name.to_string()) }
    }

    /// Loads the tensor `name` as f32 on `device`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, has another shape, or cannot be read.
    pub fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let values = self.values(name, shape)?;
        Ok(Tensor::from_vec(values, shape, device)?)
    }

    /// Loads tensors of one shape, stacked along the first dimension: [rows, ..] each, [n * rows, ..] together.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn stacked(&self, names: &[&str], shape: &[usize], device: &Device) -> Result<Tensor> {
        names.iter().try_for_each(|name| self.find(name, shape).map(drop))?; // before memory is allocated
        let size: usize = shape.iter().product();
        let mut values = vec![0f32; names.len() * size];
        for (name, part) in names.iter().zip(values.chunks_exact_mut(size.max(1))) {
            self.read_into(name, shape, part)?;
        }
        let mut shape = shape.to_vec();
        shape[0] *= names.len();
        Ok(Tensor::from_vec(values, shape, device)?)
    }

    /// Loads the values of the tensor `name`, row-major.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.find(name, shape)?; // before memory is allocated
        let mut values = vec![0f32; shape.iter().product()];
        self.read_into(name, shape, &mut values)?;
        Ok(values)
    }

    /// Loads the only value of the tensor `name`, which may have any number of dimensions.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn number(&self, name: &str) -> Result<f32> {
        let stored = self.weights.tensors.get(&self.name(name));
        let ones = vec![1; stored.map_or(0, |stored| stored.shape.len())];
        Ok(self.values(name, &ones)?[0])
    }

    /// Finds the tensor `name`, to be read row by row.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn rows(&self, name: &str, shape: &[usize]) -> Result<WeightRows> {
        let stored = self.find(name, shape)?.clone();
        let rows = WeightRows {
            name: self.name(name),
            width: shape[1..].iter().product(),
            gathered: if stored.strides.is_some() { Some(self.values(name, shape)?) } else { None },
            stored,
        };
        rows.stored.size().map_err(|e| rows.failed(&e))?;
        Ok(rows)
    }

    /// Finds the tensor `name`, which has one or more rows of `width` values.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn rows_of(&self, name: &str, width: usize) -> Result<WeightRows> {
        let stored = self.weights.tensors.get(&self.name(name));
        let count = stored.and_then(|stored| stored.shape.first().copied()).unwrap_or(1).max(1);
        self.rows(name, &[count, width])
    }

    /// Returns the shape of the tensor `name`, if it exists.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.weights.tensors.get(&self.name(name)).map(|stored| stored.shape.as_slice())
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
        if shape.contains(&0) {
            let reason = format!("weight `{name}` has no values: its shape is {shape:?}");
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

/// A tensor that was found. Any thread may read its rows from the file.
#[derive(Debug)]
pub struct WeightRows {
    name: String,
    stored: Stored,
    /// Values in a row.
    width: usize,
    /// All values, if the file has them in another order.
    gathered: Option<Vec<f32>>,
}

impl WeightRows {
    /// Returns the number of rows.
    pub fn count(&self) -> usize {
        self.stored.shape[0]
    }

    /// Reads rows from `first` on, as many as fit, on this thread.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if they cannot be read.
    ///
    /// # Panics
    /// If they are more than there are.
    pub fn read(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let first = first * self.width;
        assert!(first + out.len() <= self.stored.shape.iter().product());
        match &self.gathered {
            Some(values) => out.copy_from_slice(&values[first..first + out.len()]),
            None => self.stored.read_part(first, out).map_err(|e| self.failed(&e))?,
        }
        Ok(())
    }

    fn failed(&self, reason: &str) -> Error {
        Error::checkpoint(&self.stored.file.path, format!("weight `{}` {reason}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the weights `a` [1, 1] and `b` [0, 4].
    fn weights() -> Weights {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},
            "b":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
        std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        let recipe = Recipe { views: &[], names: &[] };
        Weights::open(&Files::directory(dir.path()), &["model.safetensors"], &recipe).unwrap()
    }

    #[test]
    fn a_wrong_shape_takes_no_memory() {
        let said = weights().root().stacked(&["a", "a"], &[1 << 24, 1 << 24], &Device::Cpu).unwrap_err().to_string();
        assert!(said.contains("weight `a` has shape [1, 1]"), "{said}");
    }

    #[test]
    fn a_weight_without_values_is_refused() {
        let said = weights().root().rows("b", &[0, 4]).unwrap_err().to_string();
        assert!(said.contains("weight `b` has no values"), "{said}");
    }
}
