//! The checkpoints in the cache: their sizes, their last use, and whether their bytes are still right. Nothing here
//! uses the network or changes a file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::digest;
use super::error::HubError;
use super::layout::{Repo, is_commit, linked_blob, stand_in};
use super::notes::{read_ref, read_tree};
use super::settings::MAX_READ;
use super::wanted::{self, Completeness};
use crate::checkpoint::file_names::CONFIG;
use crate::regular;

/// A repository in the cache.
#[derive(Debug, Clone)]
pub struct CachedRepo {
    /// Its name on the hub.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its commits that have files in the cache, sorted.
    pub snapshots: Vec<CachedSnapshot>,
    /// Bytes on disk: each blob once, including parts of interrupted fetches.
    pub size: u64,
    /// When one of its files was last read or written, if the system records that.
    pub last_used: Option<SystemTime>,
}

/// One commit of a repository.
#[derive(Debug, Clone)]
pub struct CachedSnapshot {
    /// The commit.
    pub commit: String,
    /// The branches, tags and other names of this commit, sorted.
    pub refs: Vec<String>,
    /// Its files in the cache, sorted.
    pub files: Vec<CachedFile>,
    /// The directory of its files.
    pub dir: PathBuf,
}

impl CachedSnapshot {
    /// Returns what is missing to open it as a checkpoint, if anything.
    pub fn missing(&self) -> Option<String> {
        match wanted::held(&self.dir, None, None) {
            Completeness::Part(what) => Some(what),
            Completeness::Enough | Completeness::All => None,
        }
    }

    /// Reads its `config.json` without updating the last use, where the system allows.
    ///
    /// # Errors
    /// If the file is missing, or is not a regular file.
    pub fn config(&self) -> io::Result<Vec<u8>> {
        regular::read_unnoticed(&self.dir.join(CONFIG), MAX_READ)
    }
}

/// One file of a commit.
#[derive(Debug, Clone)]
pub struct CachedFile {
    /// Its name in the repository.
    pub path: String,
    /// Its size in bytes; None if the blob is missing.
    pub size: Option<u64>,
    /// The name of its blob; None if it is not a link to one and Python left no list with it.
    pub etag: Option<String>,
}

/// The result of hashing a file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes match the hash.
    Right,
    /// The bytes do not match.
    Damaged,
    /// The bytes are missing.
    Missing,
    /// The cache has no hash of the file.
    Unknown,
}

/// Returns every model repository in `cache` by name, or the error of reading it. A missing directory has none.
///
/// # Errors
/// [`HubError::Io`] or [`HubError::Unreadable`] if the directory cannot be read.
pub fn cached(cache: &Path) -> Result<BTreeMap<String, Result<CachedRepo, HubError>>, HubError> {
    let mut repos = BTreeMap::new();
    for folder in entries(cache)? {
        let name = folder.file_name().and_then(|name| name.to_str()).and_then(Repo::name_of);
        let Some(name) = name else { continue };
        match fs::metadata(&folder).map(|found| found.is_dir()) {
            Ok(true) => _ = repos.insert(name.clone(), read(name, folder)),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                repos.insert(name, Err(HubError::reading(&folder, e)));
            }
            _ => {}
        }
    }
    Ok(repos)
}

fn read(name: String, dir: PathBuf) -> Result<CachedRepo, HubError> {
    let mut refs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files_under(&dir.join("refs"))? {
        if let Some(commit) = read_ref(&dir.join("refs").join(&path))? {
            refs.entry(commit).or_default().push(path);
        }
    }
    let mut snapshots = Vec::new();
    for folder in entries(&dir.join("snapshots"))? {
        let Some(commit) = folder.file_name().and_then(|name| name.to_str()).filter(|name| is_commit(name)) else {
            continue;
        };
        let listed = read_tree(&dir, commit).unwrap_or_default();
        let files = files_under(&folder)?.into_iter().map(|path| file(&folder, path, &listed)).collect();
        let refs = refs.remove(commit).unwrap_or_default();
        snapshots.push(CachedSnapshot { commit: commit.to_owned(), refs, files, dir: folder });
    }
    snapshots.sort_by(|a, b| a.commit.cmp(&b.commit));
    let (size, last_used) = usage(&dir)?;
    Ok(CachedRepo { name, dir, snapshots, size, last_used })
}

fn file(snapshot: &Path, path: String, listed: &HashMap<String, Option<String>>) -> CachedFile {
    let pointer = snapshot.join(&path);
    // Follow one link only: newer versions of Python link a blob to a store that repositories share, under another name.
    let etag = linked_blob(&pointer).or_else(|| listed.get(&path).cloned().flatten());
    CachedFile { path, size: fs::metadata(pointer).ok().filter(|meta| meta.is_file()).map(|meta| meta.len()), etag }
}

/// Returns bytes on disk and last use of blobs and of files that are not links.
fn usage(repo: &Path) -> Result<(u64, Option<SystemTime>), HubError> {
    let (mut size, mut last) = (0, None);
    for folder in ["blobs", "snapshots"] {
        for path in files_under(&repo.join(folder))? {
            let path = repo.join(folder).join(path);
            let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
            let Ok(meta) = fs::metadata(&path) else { continue };
            if folder == "blobs" || !is_link {
                size += meta.len();
                last = last.max(meta.accessed().ok().max(meta.modified().ok()));
            }
        }
    }
    Ok((size, last))
}

/// Hashes a snapshot's files again. `on` receives every file and the number of bytes read.
///
/// # Errors
/// [`HubError::Io`] or [`HubError::Unreadable`] on a file that cannot be read.
pub fn verify(
    snapshot: &CachedSnapshot,
    mut on: impl FnMut(&CachedFile, u64),
) -> Result<Vec<(CachedFile, Verdict)>, HubError> {
    let mut verdicts = Vec::new();
    for file in &snapshot.files {
        let path = snapshot.dir.join(&file.path);
        let verdict = match &file.etag {
            _ if file.size.is_none() => Verdict::Missing,
            None if stand_in(&path).is_some() => Verdict::Damaged,
            None => Verdict::Unknown,
            Some(etag) => match digest::check(&path, etag, |n| on(file, n)).map_err(|e| HubError::reading(&path, e))? {
                Some(true) => Verdict::Right,
                Some(false) => Verdict::Damaged,
                None => Verdict::Unknown,
            },
        };
        verdicts.push((file.clone(), verdict));
    }
    Ok(verdicts)
}

/// Returns the entries of a folder. A missing folder has none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, HubError> {
    let failed = |e| HubError::reading(folder, e);
    match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
    }
}

/// Returns the paths of the files and links under a folder, relative to it, sorted.
fn files_under(folder: &Path) -> Result<BTreeSet<String>, HubError> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inner) = folders.pop() {
        for path in entries(&inner)? {
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                folders.push(path);
            } else if let Some(relative) = path.strip_prefix(folder).ok().and_then(Path::to_str) {
                found.insert(relative.to_owned());
            }
        }
    }
    Ok(found)
}
