//! A checkpoint's files: where they are, what they are called, and the table of its weights. What they mean is known to
//! `model` and `text`.

pub(crate) mod demo;
mod files;
pub mod identity;
pub mod layout;
mod pickle;
mod safetensors;
mod stored;
mod torch;
mod weights;

pub use files::Files;
pub use weights::{WeightRows, WeightScope, Weights};
