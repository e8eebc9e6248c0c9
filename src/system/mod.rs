//! The differences between Unix and Windows, one file for each concern. Elsewhere only `kernels/memory.rs`,
//! `source/select.rs` and `cli/` tell systems apart, next to the one use.
//!
//! What Windows lacks here: owners of files are not checked, holes in files are read, and
//! a folder's entries are checked by name instead of by an open handle.

pub mod file;
#[cfg(feature = "net")]
pub(crate) mod folder;
pub mod name;
#[cfg(feature = "net")]
pub(crate) mod network;
pub mod owner;
pub mod pipe;
pub mod place;
pub mod space;
pub(crate) mod sparse;
