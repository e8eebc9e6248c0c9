//! A name and a revision -> a local directory, in the cache that Python's huggingface_hub also uses. It knows the names
//! of a checkpoint's files. The caller decides whether a `config.json` is worth fetching weights for.
//!
//! Files in the cache are used without a request. Missing ones are fetched one by one, the weights last, and the
//! revision's name is written at the end: an interrupted fetch leaves the earlier files usable.

mod ask;
mod cached;
mod digest;
mod error;
mod folder;
mod layout;
mod lock;
mod notes;
mod plan;
mod removal;
mod settings;
mod transfer;
mod wanted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use cached::{CachedFile, CachedRepo, CachedSnapshot, Verdict, cached, verify};
pub use error::HubError;
pub use layout::is_name;
pub use removal::Removal;
pub use settings::{ENDPOINT, EarlyFiles, Event, HubSettings, REVISION, Token};

use super::HttpError;
use super::address::parse;
use super::http::{Client, no_url};
use ask::{HubClient, Listing, RemoteFile};
use layout::{Repo, is_commit};
use settings::MAX_READ;
use wanted::Completeness;

use crate::checkpoint::Layout;
use crate::regular;

/// A checkpoint's files at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory.
    pub dir: PathBuf,
    /// The commit.
    pub commit: String,
}

/// Finds the checkpoint `name` at `revision` in the cache, and fetches its missing files.
///
/// # Errors
/// See [`HubError`].
pub fn fetch(name: &str, revision: &str, settings: &HubSettings) -> Result<Snapshot, HubError> {
    let repo = Repo::new(&settings.cache, name, revision)?;
    let (here, missing) = look(&repo, settings.layout);
    let here = match (here, missing) {
        (Some(snapshot), None) if !settings.refresh || settings.offline => return Ok(snapshot),
        (Some(snapshot), Some(Completeness::Enough)) if settings.offline => return Ok(snapshot),
        (_, missing) if settings.offline => return Err(offline(&repo, settings, missing)),
        (here, None | Some(Completeness::Enough)) => here,
        _ => None,
    };
    match download(&repo, settings) {
        // A copy that can be opened is better than any error, unless the caller asked for news.
        Err(e) if !settings.refresh => here.ok_or(e),
        done => done,
    }
}

/// Asks the hub for the list of files of `name` at `revision`, and keeps nothing of it. Something that is not a hub
/// answers with [`HubError::Answer`] or [`HubError::Status`].
///
/// # Errors
/// See [`HubError`].
pub fn ask(name: &str, revision: &str, settings: &HubSettings) -> Result<(), HubError> {
    let repo = Repo::new(&settings.cache, name, revision)?;
    HubClient { repo: &repo, settings, client: Client::new(&settings.http)?, doubts: true }.list().map(drop)
}

/// Checks that a text can be a hub's address.
///
/// # Errors
/// [`HttpError::Settings`] if it is not an `http` or `https` URL.
pub fn check_endpoint(text: &str) -> Result<(), HttpError> {
    parse(text).map(drop).ok_or_else(|| no_url(text))
}

/// Returns the cached snapshot of a revision, and what is missing of it.
fn look(repo: &Repo, layout: Option<Layout>) -> (Option<Snapshot>, Option<Completeness>) {
    let commit = match repo.commit() {
        Ok(Some(commit)) => commit,
        Ok(None) => return (None, None),
        Err(e) => return (None, Some(Completeness::Part(e.to_string()))),
    };
    let snapshot = Snapshot { dir: repo.snapshot(&commit), commit };
    match wanted::held(&snapshot.dir, repo.listed(&snapshot.commit).as_ref(), layout) {
        Completeness::All => (Some(snapshot), None),
        part => (Some(snapshot), Some(part)),
    }
}

fn offline(repo: &Repo, settings: &HubSettings, held: Option<Completeness>) -> HubError {
    HubError::Offline {
        name: repo.name.clone(),
        revision: repo.revision.clone(),
        cache: settings.cache.clone(),
        missing: if let Some(Completeness::Part(missing)) = held {
            missing
        } else {
            "none of its files is there".to_owned()
        },
    }
}

fn download(repo: &Repo, settings: &HubSettings) -> Result<Snapshot, HubError> {
    let hub = HubClient { repo, settings, client: Client::new(&settings.http)?, doubts: false };
    let listing = hub.list()?;
    let commit = listing.commit.as_str();
    pinned(repo, commit)?;
    let dir = repo.snapshot(commit);
    let unfit = |reason: String| HubError::Unfit { name: repo.name.clone(), reason };

    // The settings show a repository of another kind before its files are looked for.
    let mut files: Vec<RemoteFile> = Vec::new();
    let mut early = EarlyFiles { name: repo.name.clone(), asked: settings.layout, files: BTreeMap::new() };
    let mut layout = None;
    for names in EarlyFiles::NAMES {
        for name in names.iter().copied().filter(|name| listing.has(name)) {
            let file = readable(&hub, hub.file(&listing, name)?)?;
            transfer::fetch(&hub, commit, &file)?;
            files.push(file);
            early.files.insert(name, read(&dir.join(name))?);
        }
        if early.is_model() {
            layout = Some((settings.accept)(&early).map_err(unfit)?);
        }
    }
    let layout = layout.unwrap_or_else(|| early.layout());
    let wanted = wanted::choose(layout, |name| listing.has(name)).map_err(unfit)?;
    for name in wanted.small.iter().filter(|name| !early.files.contains_key(*name)) {
        files.push(hub.file(&listing, name)?);
    }
    let small = files.len();
    files.extend(weights(&hub, &listing, &wanted, &dir)?);

    plan::announce(&hub, commit, &files)?;
    for (index, file) in files.iter().enumerate() {
        if index == small {
            accept_processor(&mut early, &wanted, &dir, settings).map_err(unfit)?;
        }
        transfer::fetch(&hub, commit, file)?;
    }
    // Everything is there: a cache that belongs to another user need not take notes.
    let _ = repo.write_absent(commit, &wanted.absent);
    if let Err(reason) = repo.write_ref(commit) {
        (settings.progress)(Event::Unnoted { reason: &reason });
    }
    Ok(Snapshot { dir, commit: commit.to_owned() })
}

/// Checks the settings again, those of the image processor with them.
fn accept_processor(
    early: &mut EarlyFiles,
    wanted: &wanted::WantedFiles,
    dir: &Path,
    settings: &HubSettings,
) -> Result<(), String> {
    for name in EarlyFiles::LAST.into_iter().filter(|name| wanted.small.contains(name)) {
        early.files.insert(name, read(&dir.join(name)).map_err(|e| e.to_string())?);
    }
    if early.is_model() { (settings.accept)(early).map(drop) } else { Ok(()) }
}

/// Checks that a request for a commit was answered with that commit.
fn pinned(repo: &Repo, commit: &str) -> Result<(), HubError> {
    let asked = &repo.revision;
    if !is_commit(&asked.to_ascii_lowercase()) || asked.eq_ignore_ascii_case(commit) {
        return Ok(());
    }
    let reason = format!("the hub answered with commit {commit} instead of {asked}");
    Err(HubError::Answer { what: repo.name.clone(), reason })
}

/// Refuses a file that is too long to be read into memory.
fn readable(hub: &HubClient<'_>, file: RemoteFile) -> Result<RemoteFile, HubError> {
    if file.size <= MAX_READ {
        return Ok(file);
    }
    let reason = format!("its {} has {} bytes; at most {MAX_READ} are read", file.path, file.size);
    Err(HubError::Unfit { name: hub.repo.name.clone(), reason })
}

/// Returns the files of the weights. An index is fetched at once, since it names the shards.
fn weights(
    hub: &HubClient<'_>,
    listing: &Listing,
    wanted: &wanted::WantedFiles,
    dir: &Path,
) -> Result<Vec<RemoteFile>, HubError> {
    let first = hub.file(listing, wanted.weights)?;
    if !wanted.sharded() {
        return Ok(vec![first]);
    }
    let first = readable(hub, first)?;
    transfer::fetch(hub, &listing.commit, &first)?;
    let unfit = |reason| HubError::Unfit { name: hub.repo.name.clone(), reason };
    let shards = wanted::shards(&read(&dir.join(wanted.weights))?);
    let shards = shards.map_err(|reason| unfit(format!("its {} {reason}", wanted.weights)))?;
    if let Some(missing) = shards.iter().find(|shard| !listing.has(shard)) {
        return Err(unfit(format!("its {} names {missing}, which the repository lacks", wanted.weights)));
    }
    shards.iter().map(|shard| hub.file(listing, shard)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, HubError> {
    regular::read(path, MAX_READ).map_err(|e| HubError::reading(path, e))
}
