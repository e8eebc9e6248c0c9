//! The built-in checkpoint, whose files are part of the program. The code that reads any other checkpoint reads it too.
//! `models/demo/README.md` says how it was made and what it is for.

use super::Files;

#[cfg(feature = "demo")]
macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../models/demo/", $name)))
    };
}

/// Its files, in a build that has them.
#[cfg(not(feature = "demo"))]
pub(crate) const FILES: Option<Files> = None;

/// Its files, in a build that has them.
#[cfg(feature = "demo")]
pub(crate) const FILES: Option<Files> = Some(Files::Embedded {
    name: "demo",
    files: &[
        file!("config.json"),
        file!("preprocessor_config.json"),
        file!("tokenizer.json"),
        file!("tokenizer_config.json"),
        file!("model.safetensors"),
    ],
});
