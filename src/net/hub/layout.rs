//! The layout of the cache, which is that of Python's huggingface_hub, so that each finds what the other fetched. The
//! only file that names hf-hub. `notes` reads and writes the notes beside the files.
//!
//! hf-hub 0.5.0 gives names, paths and references, without a feature. Its client of requests is not used: in 0.5.0 it
//! has no timeouts, fails on files behind a relative redirect, and appends to a part even if the server ignores
//! `Range`; 1.0.0 stores error pages and short bodies as model files, takes no proxy and no CA, does not resume, and
//! brings 150 crates. `net/http.rs` sends the requests instead. Xet is not used: the hub serves the same bytes over
//! plain HTTP.
//!
//! `models--owner--name/` holds `blobs/` (contents, by their hash), `snapshots/<commit>/` (relative links to them),
//! `refs/` (a branch's commit) and `.no_exist/<commit>/` (names that a commit is known to lack).

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hf_hub::{Cache, Repo as Named, RepoType};

use super::error::HubError;
use crate::checkpoint::identity;
use crate::regular;
use crate::stand_in::{LONGEST, StandIn};
use crate::system::file;

/// A repository's place in the cache.
#[derive(Debug, Clone)]
pub(super) struct Repo {
    pub name: String,
    pub revision: String,
    cache: PathBuf,
    root: PathBuf,
    /// Whether the file system has links, once that was needed.
    can_link: OnceCell<bool>,
}

impl Repo {
    pub fn new(cache: &Path, name: &str, revision: &str) -> Result<Self, HubError> {
        if !is_name(name) {
            return Err(HubError::Name(name.to_owned()));
        }
        if !is_revision(revision) {
            return Err(HubError::Revision(revision.to_owned()));
        }
        let folder = Named::new(name.to_owned(), RepoType::Model).folder_name();
        Ok(Self {
            name: name.to_owned(),
            revision: revision.to_owned(),
            cache: cache.to_path_buf(),
            root: cache.join(folder),
            can_link: OnceCell::new(),
        })
    }

    /// Returns the name that a folder of the cache stands for.
    pub fn name_of(folder: &str) -> Option<String> {
        identity::name(folder).filter(|name| is_name(name))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        let repo = Named::new(self.name.clone(), RepoType::Model);
        Cache::new(self.cache.clone()).repo(repo).pointer_path(commit)
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Returns the lock that everyone who fetches this blob takes, Python included.
    pub fn lock(&self, etag: &str) -> PathBuf {
        let folder = self.root.file_name().unwrap_or_default();
        self.cache.join(".locks").join(folder).join(format!("{etag}.lock"))
    }

    /// Returns the path of a file in a commit's snapshot.
    pub fn pointer(&self, commit: &str, file: &str) -> PathBuf {
        self.snapshot(commit).join(file)
    }

    /// Returns whether a commit's snapshot has a file of `size` bytes: a link to its blob or, on disks without links, a
    /// file of its own.
    pub fn has(&self, commit: &str, file: &str, etag: &str, size: u64) -> bool {
        let pointer = self.pointer(commit, file);
        let right = fs::read_link(&pointer).map_or(true, |there| there == target(file, etag));
        right && is_whole(&pointer, size) && stand_in(&pointer).is_none()
    }

    /// Returns whether links can be made here. Tests it once, as Python does: by making one.
    pub fn can_link(&self) -> bool {
        *self.can_link.get_or_init(|| {
            let (file, link) = (self.temporary(), self.temporary());
            if make_parent(&file).and_then(|()| create(&file, b"")).is_err() {
                return true; // nothing can be made at all; the caller will report that
            }
            // Windows may make links that it does not follow.
            let can = file::link(file.file_name().unwrap_or_default(), &link).is_ok() && link.exists();
            _ = (fs::remove_file(&link), fs::remove_file(&file));
            can
        })
    }

    /// Puts a blob under its name into a commit's snapshot, as a link.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let (pointer, target) = (self.pointer(commit, file), target(file, etag));
        if fs::read_link(&pointer).is_ok_and(|there| there == target) {
            return Ok(());
        }
        make_parent(&pointer)?;
        match file::link(&target, &pointer) {
            // A link to another blob, or a file in its place.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let temporary = self.temporary();
                let linked = file::link(&target, &temporary);
                linked.and_then(|()| fs::rename(&temporary, &pointer)).map_err(|e| HubError::io(&pointer, e))
            }
            done => done.map_err(|e| HubError::io(&pointer, e)),
        }
    }

    /// Puts a copy of a blob under its name into a commit's snapshot.
    pub fn copy(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let (pointer, temporary) = (self.pointer(commit, file), self.temporary());
        make_parent(&pointer)?;
        // Write beside it first: the name may be a link to the blob, and writing there would empty both.
        let copied = fs::copy(self.blob(etag), &temporary).and_then(|_| fs::rename(&temporary, &pointer));
        copied.map_err(|e| {
            _ = fs::remove_file(&temporary);
            HubError::io(&pointer, e)
        })
    }

    /// Returns a unique name outside the folders that are listed.
    pub fn temporary(&self) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        self.root.join(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Returns where a snapshot's link to a blob leads.
fn target(file: &str, etag: &str) -> PathBuf {
    let up = Path::new(file).components().map(|_| "..");
    [".."].into_iter().chain(up).chain(["blobs", etag]).collect()
}

/// Returns the name of the blob that a link in a snapshot leads to.
pub(super) fn linked_blob(pointer: &Path) -> Option<String> {
    let target = fs::read_link(pointer).ok()?;
    identity::blob(&target).filter(|blob| is_etag(blob)).map(str::to_owned)
}

/// Returns whether a file exists with all its bytes. A file gets its name once it is whole, so checking its length is
/// enough.
pub(super) fn is_whole(file: &Path, size: u64) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() == size)
}

/// Returns the path of a blob's bytes until it is whole.
pub(super) fn partial_path(blob: &Path) -> PathBuf {
    let mut name = blob.file_name().unwrap_or_default().to_owned();
    name.push(".incomplete");
    blob.with_file_name(name)
}

/// Returns what stands in for a file's content (a git-lfs pointer or an unpacked link), or None for a real file.
pub(super) fn stand_in(file: &Path) -> Option<StandIn> {
    StandIn::of(&regular::read_unnoticed(file, LONGEST as u64).ok()?)
}

/// Creates a file where nothing exists, not even a link.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), HubError> {
    let created = File::create_new(path).and_then(|mut file| file.write_all(content));
    created.map_err(|e| HubError::io(path, e))
}

/// Creates the parent folder of `path`.
pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| HubError::io(parent, e))
}

/// Returns whether this can be a repository's name: one or two parts of letters, digits, `.`, `_` and `-`.
pub fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let allowed = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        !part.is_empty() && allowed && !part.starts_with(['.', '-']) && !part.ends_with(['.', '-'])
    };
    name.len() <= 96
        && name.split('/').count() <= 2
        && name.split('/').all(part)
        && !name.contains(identity::SEPARATOR)
        && !name.contains("..")
}

/// Returns whether this can be a revision: it becomes a path under `refs/`, so it must stay there.
fn is_revision(revision: &str) -> bool {
    let inside = Path::new(revision).components().all(|c| matches!(c, Component::Normal(_)));
    let odd = |c: char| c.is_control() || c.is_whitespace() || "\\?*[^~:".contains(c);
    !revision.is_empty() && revision.len() <= 200 && inside && !revision.contains(odd) && !revision.ends_with('/')
}

/// Returns whether this is a full commit.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns whether this can be a blob's name.
pub(super) fn is_etag(etag: &str) -> bool {
    let plain = etag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    plain && !etag.is_empty() && etag.len() <= 200 && !etag.starts_with('.') && !etag.ends_with(".incomplete")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_revisions_stay_in_their_folders() {
        for name in ["openai/clip-vit-base-patch32", "gpt2", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "a_b/c.d"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a/b/c", "../x", "a/..", "/a", "a/", "a--b/c", "a b/c", "a/b?c", "-a/b", "a/b.", "ä/b"] {
            assert!(!is_name(name), "{name}");
        }
        for revision in ["main", "refs/pr/15", "v1.0", "feature/x"] {
            assert!(is_revision(revision), "{revision}");
        }
        for revision in ["", "/etc", "../x", "a/../b", "a b", "x\n", "a?b", "main/"] {
            assert!(!is_revision(revision), "{revision:?}");
        }
    }

    #[test]
    fn folders_are_named_as_python_names_them() {
        let repo = Repo::new(Path::new("/c"), "openai/clip", "main").unwrap();
        assert_eq!(repo.root(), Path::new("/c/models--openai--clip"));
        assert_eq!(repo.snapshot("abc"), Path::new("/c/models--openai--clip/snapshots/abc"));
        assert_eq!(repo.lock("e"), Path::new("/c/.locks/models--openai--clip/e.lock"));
        assert_eq!(Repo::name_of("models--openai--clip").unwrap(), "openai/clip");
        assert_eq!(Repo::name_of("models--gpt2").unwrap(), "gpt2");
        assert_eq!(Repo::name_of("datasets--a--b"), None);
    }
}
