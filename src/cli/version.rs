//! `--version`, and its details with `-v`: the commit, the features, the instruction set.

use std::ffi::OsString;

use clap::error::ErrorKind;
use zsic::Isa;

use super::args::Cli;
use super::{fatal, stdout};

/// The commit that this build was made from, if it is known.
pub const COMMIT: Option<&str> = option_env!("ZSIC_COMMIT");
/// The text printed if the commit is unknown.
pub const NO_COMMIT: &str = "unknown; release builds from a clone or a package record it";

/// Parses the command line. `--version`, `--help` and wrong usage end the process, as in clap.
pub fn parse() -> Cli {
    let words = || std::env::args_os();
    Cli::read().unwrap_or_else(|e| {
        if e.kind() == ErrorKind::DisplayVersion && words().skip(1).any(is_verbose) {
            fatal::end_with(stdout::write(format!("{e}{}", details()).as_bytes()));
        }
        fatal::usage_or_help(e)
    })
}

/// Returns whether a word is `--verbose`, or short flags with a `v` among them.
fn is_verbose(word: OsString) -> bool {
    let word = word.to_string_lossy();
    let flags = word.strip_prefix('-').filter(|flags| !flags.starts_with('-'));
    word == "--verbose" || flags.is_some_and(|flags| flags.contains('v'))
}

fn details() -> String {
    let commit = COMMIT.unwrap_or(NO_COMMIT);
    format!("commit: {commit}\nfeatures: {}\ninstruction set: {}\n", features().join(" "), Isa::best().name())
}

/// Returns the features of this build.
pub fn features() -> Vec<&'static str> {
    let features = [
        ("cli", cfg!(feature = "cli")),
        ("demo", cfg!(feature = "demo")),
        ("jpeg-simd", cfg!(feature = "jpeg-simd")),
        ("parquet", cfg!(feature = "parquet")),
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
    ];
    features.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
}
