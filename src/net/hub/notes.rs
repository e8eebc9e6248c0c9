//! The cache's notes beside the files: the commit of a branch, names that a commit lacks, and Python's lists of a
//! commit's files.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::error::HubError;
use super::layout::{Repo, create, is_commit, make_parent};
use crate::regular;

/// The longest list of files that is read.
const MAX_TREE: u64 = 32 << 20;
/// The longest reference: a commit and a line end.
const MAX_REF: u64 = 1 << 10;

impl Repo {
    /// Returns the known commit of the revision, if any.
    ///
    /// # Errors
    /// [`HubError::Unreadable`] if the note may not be read.
    pub fn commit(&self) -> Result<Option<String>, HubError> {
        if is_commit(&self.revision) {
            return Ok(Some(self.revision.clone()));
        }
        Ok(read_ref(&self.root().join("refs").join(&self.revision))?.filter(|commit| is_commit(commit)))
    }

    /// Returns every file of a commit with its blob's name, if Python left a list of them.
    pub fn listed(&self, commit: &str) -> Option<HashMap<String, Option<String>>> {
        read_tree(self.root(), commit)
    }

    /// Notes the revision's commit, once all files are there.
    pub fn write_ref(&self, commit: &str) -> Result<(), HubError> {
        if self.revision == commit || self.commit().is_ok_and(|known| known.as_deref() == Some(commit)) {
            return Ok(());
        }
        let path = self.root().join("refs").join(&self.revision);
        make_parent(&path)?;
        // A reader sees either the old or the new reference, whole.
        let temporary = self.temporary();
        create(&temporary, commit.as_bytes())?;
        fs::rename(&temporary, &path).map_err(|e| {
            _ = fs::remove_file(&temporary);
            HubError::io(&path, e)
        })
    }

    /// Notes names that the commit lacks, so that Python does not ask for them.
    pub fn write_absent(&self, commit: &str, names: &[&str]) -> Result<(), HubError> {
        for name in names {
            let path = self.root().join(".no_exist").join(commit).join(name);
            if fs::symlink_metadata(&path).is_err() {
                make_parent(&path)?;
                create(&path, b"")?;
            }
        }
        Ok(())
    }
}

/// Reads the commit in a reference. Returns None if the reference is missing or is something else.
///
/// # Errors
/// [`HubError::Unreadable`] if it may not be read.
pub(super) fn read_ref(path: &Path) -> Result<Option<String>, HubError> {
    match regular::read(path, MAX_REF) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(HubError::reading(path, e)),
        read => Ok(read.ok().and_then(|bytes| Some(String::from_utf8(bytes).ok()?.trim().to_owned()))),
    }
}

/// Reads Python's list of a commit's files with their blobs' names.
pub(super) fn read_tree(root: &Path, commit: &str) -> Option<HashMap<String, Option<String>>> {
    #[derive(Deserialize)]
    struct Tree {
        format_version: u32,
        files: HashMap<String, TreeEntry>,
    }
    #[derive(Deserialize)]
    struct TreeEntry {
        blob_id: Option<String>,
        lfs_sha256: Option<String>,
    }
    let json = regular::read(&root.join("trees").join(format!("{commit}.json")), MAX_TREE).ok()?;
    let tree: Tree = serde_json::from_slice(&json).ok()?;
    let etag = |entry: TreeEntry| entry.lfs_sha256.or(entry.blob_id);
    (tree.format_version == 1).then(|| tree.files.into_iter().map(|(file, entry)| (file, etag(entry))).collect())
}
