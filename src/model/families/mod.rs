//! One file a family: what its `config.json` means, as data. No loading, no arithmetic.

pub mod clip;
