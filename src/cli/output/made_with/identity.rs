//! Which checkpoint made an output.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use zsic::Checkpoint;
use zsic::checkpoint::Files;
use zsic::checkpoint::identity::published;
use zsic::system::name::canonical;

use super::super::notes::time;

/// The identity of the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Identity {
    /// One in the hub's cache.
    Published { name: String, commit: String },
    /// The built-in one, which the version of zsic identifies.
    BuiltIn { name: String },
    /// Any other, identified by the sizes and times of its files.
    Directory { directory: String, files: BTreeMap<String, FileStamp> },
}

/// Shows whether a file is unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileStamp {
    bytes: u64,
    changed: String,
}

impl Identity {
    /// Returns the identity of a checkpoint.
    ///
    /// # Errors
    /// If its files cannot be listed.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let root = match checkpoint.files() {
            Files::Embedded { name, .. } => return Ok(Self::BuiltIn { name: (*name).to_owned() }),
            Files::Directory(root) => root,
        };
        if let Some((name, commit)) = published(root) {
            return Ok(Self::Published { name, commit });
        }
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if let Ok(file) = fs::metadata(&path)
                && file.is_file()
                && ["json", "txt", "model", "safetensors", "bin"].contains(&ending)
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.insert(name, FileStamp { bytes: file.len(), changed: time(&file) });
            }
        }
        Ok(Self::Directory { directory: canonical(root)?.display().to_string(), files })
    }
}
