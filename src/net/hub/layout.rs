//! Where things lie in the cache, which is laid out as Python's huggingface_hub does it, so that either finds what the
//! other fetched. The only file that names hf-hub. What the files say is none of its business.
//!
//! hf-hub 0.5.0 gives names, paths and references, without a feature. Its client of requests is not used: in 0.5.0 it
//! has no timeouts, fails on files behind a relative redirect, and appends to a part even if the server ignores
//! `Range`; 1.0.0 stores error pages and short bodies as model files, takes no proxy and no CA, does not resume, and
//! brings 150 crates. `net/http.rs` asks in its place. Xet is not spoken: over plain HTTP the hub serves the same
//! bytes.
//!
//! `models--owner--name/` holds `blobs/` (contents, by their hash), `snapshots/<commit>/` (relative links to them),
//! `refs/` (a branch's commit) and `.no_exist/<commit>/` (names that a commit is known to lack).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hf_hub::{Cache, Repo as Named, RepoType};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::HubError;

/// What separates owner and name in a folder's name.
const SEPARATOR: &str = "--";

/// A repository's place in the cache.
#[derive(Debug, Clone)]
pub(super) struct Repo {
    pub name: String,
    pub revision: String,
    cache: PathBuf,
    root: PathBuf,
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
        })
    }

    /// The name that a folder of the cache stands for.
    pub fn name_of(folder: &str) -> Option<String> {
        let name = folder.strip_prefix("models--")?.replacen(SEPARATOR, "/", 1);
        is_name(&name).then_some(name)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that the revision is known to be, if it is.
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let commit = fs::read_to_string(self.root.join("refs").join(&self.revision)).ok()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    }

    /// A commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        let repo = Named::new(self.name.clone(), RepoType::Model);
        Cache::new(self.cache.clone()).repo(repo).pointer_path(commit)
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// The lock that everybody who fetches this blob takes, Python included.
    pub fn lock(&self, etag: &str) -> PathBuf {
        let folder = self.root.file_name().unwrap_or_default();
        self.cache.join(".locks").join(folder).join(format!("{etag}.lock"))
    }

    /// Every file of a commit, where Python left its list of them.
    pub fn listed(&self, commit: &str) -> Option<HashSet<String>> {
        #[derive(Deserialize)]
        struct Tree {
            format_version: u32,
            files: HashMap<String, IgnoredAny>,
        }
        let json = fs::read(self.root.join("trees").join(format!("{commit}.json"))).ok()?;
        let tree: Tree = serde_json::from_slice(&json).ok()?;
        (tree.format_version == 1).then(|| tree.files.into_keys().collect())
    }

    /// Puts a blob under its name into a commit's snapshot.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(file);
        let up = "../".repeat(1 + Path::new(file).components().count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        if fs::read_link(&pointer).is_ok_and(|there| there == target) {
            return Ok(());
        }
        make_parent(&pointer)?;
        match symlink(&target, &pointer) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {} // a link to another blob, or to one that is gone
            // A file system without symbolic links, or one that forbids them, has the file twice.
            Err(_) => {
                let copied =
                    fs::hard_link(self.blob(etag), &pointer).or_else(|_| fs::copy(self.blob(etag), &pointer).map(drop));
                return copied.map_err(|e| HubError::io(&pointer, e));
            }
        }
        let temporary = self.temporary();
        let linked = symlink(&target, &temporary);
        linked.and_then(|()| fs::rename(&temporary, &pointer)).map_err(|e| HubError::io(&pointer, e))
    }

    /// A name that nobody else uses, outside the folders that are listed.
    fn temporary(&self) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        self.root.join(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Notes the revision's commit, once all of it is there.
    pub fn write_ref(&self, commit: &str) -> Result<(), HubError> {
        if self.revision == commit || self.commit().as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(&self.revision);
        make_parent(&path)?;
        // So that a reader sees the old or the new one, whole.
        let temporary = self.temporary();
        let written = fs::write(&temporary, commit).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|e| HubError::io(&path, e))
    }

    /// Notes names that the commit lacks, so that Python does not ask for them either.
    pub fn write_absent(&self, commit: &str, names: &[&str]) -> Result<(), HubError> {
        for name in names {
            let path = self.root.join(".no_exist").join(commit).join(name);
            if !path.exists() {
                make_parent(&path)?;
                fs::File::create(&path).map_err(|e| HubError::io(&path, e))?;
            }
        }
        Ok(())
    }
}

/// Creates the folder that `path` is to be in.
pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| HubError::io(parent, e))
}

/// Whether this can be a repository's name: one or two parts of letters, digits, `.`, `_` and `-`.
pub fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let allowed = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        !part.is_empty() && allowed && !part.starts_with(['.', '-']) && !part.ends_with(['.', '-'])
    };
    name.len() <= 96
        && name.split('/').count() <= 2
        && name.split('/').all(part)
        && !name.contains(SEPARATOR)
        && !name.contains("..")
}

/// Whether this can be a revision: it becomes a path under `refs/`, so it must stay there.
fn is_revision(revision: &str) -> bool {
    let inside = Path::new(revision).components().all(|c| matches!(c, Component::Normal(_)));
    let odd = |c: char| c.is_control() || c.is_whitespace() || "\\?*[^~:".contains(c);
    !revision.is_empty() && revision.len() <= 200 && inside && !revision.contains(odd) && !revision.ends_with('/')
}

/// Whether this is a commit in full.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a blob may be named so.
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
