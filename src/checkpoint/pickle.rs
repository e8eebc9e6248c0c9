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

use std::collections::HashMap;

use code::Code;
use machine::Unpickler;
pub(super) use value::{Storage, View};

/// A pickled state dict: its tensors, by name.
pub(super) type Tensors = Vec<(String, View)>;

/// Returns the tensors of a pickled state dict.
pub(super) fn state_dict(pickle: &[u8]) -> Result<Tensors, String> {
    tensors(&Unpickler::run(&mut Code(pickle))?)
}

/// The pickles at the beginning of a file older than PyTorch 1.6.
pub(super) struct Head {
    pub tensors: Tensors,
    /// The storages that follow, in order.
    pub storages: Vec<Storage>,
    /// Bytes of all pickles.
    pub length: usize,
}

/// Runs these pickles: the format's number, its version, facts about the machine, the state dict, and the storages'
/// names.
pub(super) fn head(pickles: &[u8]) -> Result<Head, String> {
    let mut code = Code(pickles);
    for _ in 0..3 {
        Unpickler::run(&mut code)?;
    }
    let (state, names) = (Unpickler::run(&mut code)?, Unpickler::run(&mut code)?);
    let known: HashMap<&str, &Storage> = state.storages().map(|storage| (&*storage.key, storage)).collect();
    let storage = |name: &str| {
        let known = known.get(name).map(|storage| Storage::clone(storage));
        known.ok_or_else(|| format!("lists a storage {name} that its pickle does not name"))
    };
    let storages = names.texts()?.into_iter().map(storage).collect::<Result<_, _>>()?;
    Ok(Head { tensors: tensors(&state)?, storages, length: pickles.len() - code.0.len() })
}

fn tensors(state: &Unpickler) -> Result<Tensors, String> {
    Ok(state.state_dict()?.map(|(name, view)| (name.to_owned(), view.clone())).collect())
}
