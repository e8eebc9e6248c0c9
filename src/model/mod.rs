//! The model: a checkpoint opened (`checkpoint.rs`), its family described as data (`family.rs`, `families/`, `spec.rs`),
//! its towers loaded (`tower.rs`) and run on one of two backends (`engine.rs`, `tensors.rs`).

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod amx_tests;
pub mod checkpoint;
pub mod encoder;
pub mod engine;
pub mod families;
pub mod family;
#[cfg(test)]
mod mask_tests;
pub mod parts;
pub mod plan;
pub mod rows;
pub mod spec;
pub mod tensors;
pub mod tower;
