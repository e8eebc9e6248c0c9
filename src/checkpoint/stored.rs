//! One tensor in a file: where it lies, and reading it as f32. Reading copies straight into the tensor's own memory, so
//! that loading costs no more than the model.

use std::collections::HashMap;
use std::sync::Arc;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use rayon::prelude::*;
use safetensors::Dtype;

use super::files::WeightFile;
use crate::reason::os_reason;

/// Values read by one thread at a time.
const CHUNK: usize = 1 << 18;
/// Values of two or eight bytes read at a time.
const HALVES: usize = 1 << 13;

/// The tensors of a file by name.
pub(super) type TensorTable = HashMap<String, Stored>;

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) file: Arc<WeightFile>,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Steps between neighbours along each dimension, if they are not row-major (a saved transpose).
    pub(super) strides: Option<Vec<usize>>,
    /// The first value's place in the file, in bytes.
    pub(super) offset: u64,
    /// Values from the first to the last, gaps included.
    pub(super) span: usize,
}

impl Stored {
    /// Returns the bytes of a value.
    pub(super) fn size(&self) -> std::result::Result<usize, String> {
        match self.dtype {
            Dtype::F64 => Ok(8),
            Dtype::F32 => Ok(4),
            Dtype::F16 | Dtype::BF16 => Ok(2),
            other => Err(format!("is stored as {other:?}; zsic reads F64, F32, F16 and BF16")),
        }
    }

    /// Reads `out.len()` values in the order they are stored, on all threads.
    pub(super) fn read(&self, out: &mut [f32]) -> std::result::Result<(), String> {
        out.par_chunks_mut(CHUNK).enumerate().try_for_each(|(index, chunk)| self.read_part(index * CHUNK, chunk))
    }

    /// Reads `out.len()` values from the `first`-th on, on this thread.
    pub(super) fn read_part(&self, first: usize, out: &mut [f32]) -> std::result::Result<(), String> {
        let size = self.size()?;
        let read = |bytes: &mut [u8], value: usize| {
            let at = self.offset + (value * size) as u64;
            self.file.read_exact_at(bytes, at).map_err(|e| format!("cannot be read: {}", os_reason(&e)))
        };
        if self.dtype == Dtype::F32 {
            return read(bytemuck::cast_slice_mut(out), first);
        }
        if self.dtype == Dtype::F64 {
            let mut doubles = [0f64; HALVES];
            for (index, out) in out.chunks_mut(HALVES).enumerate() {
                let doubles = &mut doubles[..out.len()];
                read(bytemuck::cast_slice_mut(doubles), first + index * HALVES)?;
                out.iter_mut().zip(doubles).for_each(|(out, double)| *out = *double as f32);
            }
            return Ok(());
        }
        let mut bits = [0u16; HALVES];
        for (index, out) in out.chunks_mut(HALVES).enumerate() {
            let bits = &mut bits[..out.len()];
            read(bytemuck::cast_slice_mut(bits), first + index * HALVES)?;
            match self.dtype {
                Dtype::F16 => bits.reinterpret_cast::<half::f16>().convert_to_f32_slice(out),
                _ => bits.reinterpret_cast::<half::bf16>().convert_to_f32_slice(out),
            }
        }
        Ok(())
    }
}

/// Copies a strided tensor into row-major order.
pub(super) fn gather(span: &[f32], shape: &[usize], strides: &[usize], out: &mut [f32]) {
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
