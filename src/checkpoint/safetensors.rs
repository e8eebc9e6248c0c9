//! Reads the table of a `model.safetensors`: its header, checked against the file's length.

use std::sync::Arc;

use super::files::WeightFile;
use super::stored::{Stored, TensorTable};

/// The longest safetensors header that is accepted: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Reads the header of a safetensors file, and checks it against the file's length.
pub(super) fn table(file: &Arc<WeightFile>) -> Result<TensorTable, String> {
    let torn = |e: std::io::Error| format!("is not a safetensors file, or is cut off: {e}");
    let length = file.len().map_err(torn)?;
    let mut size = [0; 8];
    file.read_exact_at(&mut size, 0).map_err(torn)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER || size + 8 > length {
        return Err("is not a safetensors file, or is cut off: its header does not fit the file".to_owned());
    }
    let mut header = vec![0; size as usize];
    file.read_exact_at(&mut header, 8).map_err(torn)?;
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
