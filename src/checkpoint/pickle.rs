//! The pickle of a PyTorch state dict -> where each tensor lies in which storage.
//!
//! The machine here runs nothing. It knows the few opcodes that `torch.save` writes, builds tensors' places from the few
//! globals that a state dict needs, and refuses every other global. Values live in one flat arena and are named by index,
//! so that neither sharing nor nesting in a hostile file can cost more memory than the file has opcodes.

mod code;
mod machine;
#[cfg(test)]
mod tests;
mod value;

use machine::Unpickler;
pub(super) use value::View;

/// Returns the tensors of a pickled state dict, by name.
pub(super) fn state_dict(pickle: &[u8]) -> Result<Vec<(String, View)>, String> {
    Ok(Unpickler::run(pickle)?.state_dict()?.map(|(name, view)| (name.to_owned(), view.clone())).collect())
}
