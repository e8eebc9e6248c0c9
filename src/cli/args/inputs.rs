//! Flags about images: which ones, their limits, and how they are decoded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use zsic::preprocess::Decoding;

/// The names of flags that apply to images only.
pub(super) const NAMES: [&str; 7] = ["inputs", "files_from", "include", "exclude", "shard", "follow", "decode"];

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Inputs")]
pub struct Inputs {
    /// Image files, folders, tar files, http(s) URLs, data: URIs or built-in pictures (demo:owl.png); `-` reads an image
    /// or a tar from standard input
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<OsString>,
    /// Read a list of inputs from FILE, one per line (`-` reads standard input)
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// Separate the inputs in --files-from by NUL bytes, as `find -print0` writes them
    #[arg(short = '0', long, requires = "files_from")]
    pub null: bool,
    /// In folders and tars, use only files that match GLOB; a GLOB with a slash matches the path below the folder;
    /// repeatable
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// In folders and tars, skip files and folders that match GLOB; repeatable. Neither flag skips an input that is named
    /// itself, here or in --files-from
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Use only share I of N, from 1/N to N/N; a hash of each image's name chooses its share
    #[arg(long, value_name = "I/N", default_value_t, hide_default_value = true)]
    pub shard: zsic::source::Shard,
    /// Follow symbolic links to folders
    #[arg(long)]
    pub follow: bool,
    /// Follow redirects of image URLs from public to private addresses
    #[arg(long)]
    pub allow_private_redirects: bool,
    /// Refuse images with more than N pixels
    #[arg(long, value_name = "N", default_value_t = zsic::source::MAX_PIXELS)]
    pub max_pixels: u64,
    /// Refuse images with more than N bytes [default: 2147483648; for URLs 268435456]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_bytes: Option<u64>,
    /// Decode JPEG and JPEG 2000 files exactly or fast; fast decodes large pictures at 1/2, 1/4 or 1/8 of their size and
    /// changes scores slightly
    #[arg(long, value_name = "HOW", default_value = "exact")]
    pub decode: DecodeArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecodeArg {
    Exact,
    Fast,
}

impl From<DecodeArg> for Decoding {
    fn from(arg: DecodeArg) -> Self {
        match arg {
            DecodeArg::Exact => Self::Exact,
            DecodeArg::Fast => Self::Fast,
        }
    }
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            files_from: None,
            null: false,
            include: Vec::new(),
            exclude: Vec::new(),
            shard: zsic::source::Shard::default(),
            follow: false,
            allow_private_redirects: false,
            max_pixels: zsic::source::MAX_PIXELS,
            max_bytes: None,
            decode: DecodeArg::Exact,
        }
    }
}

impl Inputs {
    /// Returns the files that are named, which must not be written over.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.inputs.iter().map(Path::new).chain(self.files_from.as_deref())
    }

    /// Replaces patterns by the files that match, in order, as shells do on other systems. One that none matches stays.
    #[cfg(windows)]
    pub fn expand_patterns(&mut self) {
        let words = self.inputs.iter().flat_map(|word| {
            let matches = matches(word);
            if matches.is_empty() { vec![word.clone()] } else { matches }
        });
        self.inputs = words.collect();
    }
}

/// Returns the files that match a path with `*` or `?`; `**` means the same as `*`.
#[cfg(windows)]
fn matches(word: &std::ffi::OsStr) -> Vec<OsString> {
    use zsic::source::Input;
    let is_pattern = matches!(Input::from_arg(word), Input::Path(path) if zsic::system::name::is_pattern(&path));
    let Some(pattern) = word.to_str().filter(|_| is_pattern) else { return Vec::new() };
    // Brackets are ordinary in names there.
    let pattern = pattern.replace("**", "*").replace('[', "[[]");
    let options = glob::MatchOptions {
        case_sensitive: false,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    glob::glob_with(&pattern, options).into_iter().flatten().flatten().map(Into::into).collect()
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_the_files_that_match() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.JPG", "a.jpg", "[x].jpg", "c.png", ".d.jpg"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let path = |name: &str| dir.path().join(name).into_os_string();
        let expanded = |words: &[OsString]| {
            let mut inputs = Inputs { inputs: words.to_vec(), ..Inputs::default() };
            inputs.expand_patterns();
            inputs.inputs
        };
        assert_eq!(expanded(&[path("*.jpg")]), ["[x].jpg", "a.jpg", "b.JPG"].map(path));
        assert_eq!(expanded(&[path("?.jpg"), path("c.png")]), ["a.jpg", "b.JPG", "c.png"].map(path));
        assert_eq!(expanded(&[path("[x]*")]), ["[x].jpg"].map(path));
        let kept = [path("x*.jpg"), "http://h/x?y=*".into(), "data:,*".into(), r"\\?\C:\x".into(), "-".into()];
        assert_eq!(expanded(&kept), kept);
    }
}
