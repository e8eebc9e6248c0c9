//! Removes a repository, or one commit of it, from the cache: only files that belong to the layout, below the
//! repository's own folder. It walks everything once to check, and again to delete.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::cached::CachedRepo;
use super::error::HubError;
use super::folder::Folder;
use super::layout::{is_commit, is_etag};
use crate::system::name::canonical;

/// The folders of a repository, in the order of deletion. Names go first and blobs last: an interrupted removal leaves
/// unused blobs, but never a name without its blob.
const FOLDERS: [&str; 5] = ["refs", "snapshots", ".no_exist", "trees", "blobs"];
/// The folder of locks, beside the repositories.
const LOCKS: &str = ".locks";
/// The shortest hash that names a blob.
const SHORTEST_HASH: usize = 32;

/// A checked removal, not yet done.
pub struct Removal {
    cache: Folder,
    /// Paths relative to the cache.
    doomed: Vec<PathBuf>,
    /// The repository's folder, if all of it goes.
    emptied: Option<PathBuf>,
    target: PathBuf,
}

impl Removal {
    /// Finds the files of `commit` alone, or of a whole repository, and checks that they can be deleted.
    ///
    /// # Errors
    /// [`HubError::NotRemoved`] on a link, a mount point, an entry outside the layout, or a file that may not be
    /// deleted.
    pub fn plan(cache: &Path, repo: &CachedRepo, commit: Option<&str>) -> Result<Self, HubError> {
        let cache = Folder::open(cache)?;
        let name = Path::new(repo.dir.file_name().unwrap_or_default());
        let target = canonical(&repo.dir).unwrap_or_else(|_| repo.dir.clone());
        let mut removal = Self { cache, doomed: Vec::new(), emptied: None, target };
        let Some(folder) = removal.cache.inner(name.as_os_str())? else { return Ok(removal) };
        match commit.filter(|commit| repo.snapshots.iter().any(|s| s.commit != *commit)) {
            Some(commit) => {
                removal.doomed = of_commit(repo, commit).into_iter().map(|path| name.join(path)).collect();
                removal.target = removal.target.join("snapshots").join(commit);
            }
            None => {
                let parts = of_all(repo, &folder)?;
                removal.doomed = parts.into_iter().map(|part| name.join(part)).chain(removal.locks(name)?).collect();
                removal.emptied = Some(name.to_owned());
            }
        }
        removal.walk(false)?;
        removal.cache.check_writable()?;
        Ok(removal)
    }

    /// Returns the folder that would be deleted.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Deletes the planned files, and returns the bytes freed.
    ///
    /// # Errors
    /// [`HubError::NotRemoved`] on a file that could not be deleted.
    pub fn run(self) -> Result<u64, HubError> {
        let empty = |folder: &PathBuf| self.cache.delete(folder.as_os_str(), true);
        let done = self.walk(true).and_then(|freed| self.emptied.as_ref().map_or(Ok(()), empty).map(|()| freed));
        done.map_err(|e| match e {
            HubError::NotRemoved { path, reason, .. } => HubError::NotRemoved { path, reason, begun: true },
            e => e,
        })
    }

    fn walk(&self, delete: bool) -> Result<u64, HubError> {
        self.doomed.iter().map(|path| self.cache.take(path, delete)).sum()
    }

    /// Returns the folder of the repository's locks, if it exists.
    fn locks(&self, name: &Path) -> Result<Option<PathBuf>, HubError> {
        let Some(locks) = self.cache.inner(OsStr::new(LOCKS))? else { return Ok(None) };
        let Some(folder) = locks.inner(name.as_os_str())? else { return Ok(None) };
        check(&folder, |entry, is_folder| !is_folder && entry.ends_with(".lock"))?;
        Ok(Some(Path::new(LOCKS).join(name)))
    }
}

/// Returns everything in a repository's folder, in the order of [`FOLDERS`].
fn of_all(repo: &CachedRepo, folder: &Folder) -> Result<Vec<PathBuf>, HubError> {
    let linked: HashSet<&str> =
        repo.snapshots.iter().flat_map(|s| &s.files).filter_map(|file| file.etag.as_deref()).collect();
    let mut found = folder.entries()?;
    found.sort_by_key(|(entry, _)| FOLDERS.iter().position(|known| entry == *known));
    for (entry, is_folder) in &found {
        match FOLDERS.into_iter().find(|known| *is_folder && entry == *known) {
            Some(known) => {
                let inner = folder.inner(entry)?;
                inner.map_or(Ok(()), |inner| {
                    check(&inner, |entry, is_folder| belongs(known, entry, is_folder, &linked))
                })?;
            }
            None if !is_folder && is_aside(entry) => {}
            None => return Err(folder.stranger(entry)),
        }
    }
    Ok(found.into_iter().map(|(entry, _)| entry.into()).collect())
}

/// Returns the files of this commit alone, in the order of [`FOLDERS`].
fn of_commit(repo: &CachedRepo, commit: &str) -> Vec<PathBuf> {
    let (gone, kept): (Vec<_>, Vec<_>) = repo.snapshots.iter().partition(|s| s.commit == commit);
    let names = gone.iter().flat_map(|s| &s.refs).map(|name| Path::new("refs").join(name));
    let notes = [format!("snapshots/{commit}"), format!(".no_exist/{commit}"), format!("trees/{commit}.json")];
    let needed: HashSet<_> = kept.iter().flat_map(|s| &s.files).filter_map(|file| file.etag.as_ref()).collect();
    let blobs = gone.iter().flat_map(|s| &s.files).filter_map(|file| file.etag.as_ref());
    let blobs: HashSet<_> = blobs.filter(|etag| is_etag(etag) && !needed.contains(etag)).collect();
    let blobs = blobs.into_iter().map(|etag| Path::new("blobs").join(etag));
    names.chain(notes.map(PathBuf::from)).chain(blobs).collect()
}

/// Refuses a folder with an entry that does not belong there.
fn check(folder: &Folder, belongs: impl Fn(&str, bool) -> bool) -> Result<(), HubError> {
    let stranger = |(entry, is_folder): &(std::ffi::OsString, bool)| {
        !entry.to_str().is_some_and(|name| belongs(name, *is_folder)) && (*is_folder || !is_aside(entry))
    };
    folder.entries()?.iter().find(|entry| stranger(entry)).map_or(Ok(()), |(entry, _)| Err(folder.stranger(entry)))
}

/// Returns whether an entry belongs in a folder of the layout.
fn belongs(folder: &str, entry: &str, is_folder: bool, linked: &HashSet<&str>) -> bool {
    match folder {
        "refs" => true,
        "snapshots" | ".no_exist" => is_folder && is_commit(entry),
        "trees" => !is_folder && (entry.ends_with(".json") || entry.ends_with(".tmp")),
        _ => !is_folder && (linked.contains(entry) || entry.ends_with(".incomplete") || is_hash(entry)),
    }
}

fn is_hash(name: &str) -> bool {
    name.len() >= SHORTEST_HASH && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Returns whether an extra file is harmless: left by a killed run, or written by a file manager.
fn is_aside(name: &OsStr) -> bool {
    let name = name.to_str().unwrap_or_default();
    let hidden = name.starts_with('.');
    hidden && (name.ends_with(".tmp") || name.ends_with(".shared") || name == ".DS_Store" || name.starts_with("._"))
}
