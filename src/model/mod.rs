//! The model: a checkpoint opened (`checkpoint.rs`), its family described as data (`family.rs`, `families/`, `spec.rs`),
//! its towers loaded (`tower.rs`, `parts.rs`) and run (`encoder.rs`) on one of two backends (`backend.rs`).

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod amx_tests;
pub mod attention_rows;
pub mod backend;
pub mod checkpoint;
pub mod encoder;
pub mod engine;
pub mod families;
pub mod family;
#[cfg(test)]
mod mask_tests;
pub mod parts;
pub mod plan;
pub mod positions;
pub mod spec;
pub mod tensors;
pub mod tower;
