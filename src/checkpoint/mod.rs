//! A checkpoint's files: where they are, what they are called, and the table of its weights. `model` and `text`
//! interpret them.

pub(crate) mod demo;
pub mod file_names;
mod files;
pub mod identity;
pub mod layout;
mod pickle;
pub mod recipe;
mod safetensors;
mod stored;
mod torch;
mod weights;

pub(crate) use files::WeightFile;
pub use files::{Files, parse_json};
pub use layout::Layout;
pub use weights::{WeightRows, WeightScope, Weights};
