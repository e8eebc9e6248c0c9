//! A name and a revision -> a local directory, in the cache that Python's huggingface_hub uses too. It knows which
//! files a checkpoint is made of by their names, and asks its caller whether a `config.json` is of a kind worth
//! fetching weights for.
//!
//! What is in the cache is used without a request. What is not is fetched file by file, the weights last, and the
//! revision's name is written when all of it is there: an interrupted fetch leaves what was there before usable.

mod ask;
mod cached;
mod digest;
mod error;
mod layout;
mod lock;
mod transfer;
mod wanted;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use cached::{CachedFile, CachedRepo, CachedSnapshot, Verdict, cached, remove, verify};
pub use error::HubError;
pub use layout::is_name;

use super::HttpSettings;
use super::http::Client;
use ask::{Hub, Listing, RemoteFile};
use layout::{Repo, is_commit};
use wanted::{CONFIG, Held};

/// Where checkpoints come from where nothing else is said.
pub const ENDPOINT: &str = "https://huggingface.co";
/// The revision where none is said.
pub const REVISION: &str = "main";
/// The longest file that is read here: a `config.json`, an index of shards.
const MAX_READ: u64 = 16 << 20;

/// A token that opens private and gated repositories.
#[derive(Clone)]
pub struct Token {
    secret: String,
    origin: String,
}

impl Token {
    /// A token, and where it was found, for messages: they never hold the token itself.
    ///
    /// # Errors
    /// [`HubError::Token`] if it has characters that no token has, as a file of something else would.
    pub fn new(secret: &str, origin: impl Into<String>) -> Result<Self, HubError> {
        let (secret, origin) = (secret.trim(), origin.into());
        if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "is none: a token is one word of letters, digits and signs".to_owned();
            return Err(HubError::Token { origin, reason });
        }
        Ok(Self { secret: secret.to_owned(), origin })
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(from {})", self.origin)
    }
}

/// How to reach the hub, and what to do meanwhile.
pub struct HubSettings {
    /// The hub, or a mirror of it, without a slash at the end.
    pub endpoint: String,
    /// The cache: the folder that holds `models--owner--name`.
    pub cache: PathBuf,
    /// Sent to the endpoint and nobody else.
    pub token: Option<Token>,
    /// Nothing may be asked of the network.
    pub offline: bool,
    /// Ask which commit a branch is at now, even if the cache has one.
    pub refresh: bool,
    /// Waits, proxies, certificates.
    pub http: HttpSettings,
    /// Looks at a `config.json` before weights are fetched; an error says why it is of no use.
    pub accept: fn(&[u8]) -> Result<(), String>,
    /// Told of everything that takes time.
    pub progress: Box<dyn Fn(Event<'_>) + Send + Sync>,
}

impl HubSettings {
    /// The public hub and a cache, silently, and with any kind of model.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            cache: cache.into(),
            token: None,
            offline: false,
            refresh: false,
            http: HttpSettings::default(),
            accept: |_| Ok(()),
            progress: Box::new(|_| ()),
        }
    }
}

/// What happens while a checkpoint is fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is known what is to come.
    Planned {
        /// The repository.
        name: &'a str,
        /// The commit.
        commit: &'a str,
        /// Files that are not there yet.
        files: usize,
        /// Their bytes, less what an interrupted run left.
        bytes: u64,
    },
    /// A file begins.
    Started {
        /// Its name.
        file: &'a str,
        /// Its bytes.
        size: u64,
        /// Those that an interrupted run left.
        have: u64,
    },
    /// A file has so many bytes now.
    Advanced {
        /// Its name.
        file: &'a str,
        /// Bytes that are there.
        position: u64,
    },
    /// A file is there and is what the hub promised.
    Finished {
        /// Its name.
        file: &'a str,
        /// Its bytes.
        size: u64,
    },
    /// Another process is fetching the file, and this one waits for it.
    Waiting {
        /// Its name.
        file: &'a str,
    },
    /// Something failed that may pass.
    Retrying {
        /// What.
        reason: &'a HubError,
        /// The wait before the next try.
        pause: Duration,
    },
}

/// A checkpoint's files at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory.
    pub dir: PathBuf,
    /// The commit.
    pub commit: String,
}

/// Finds the checkpoint `name` at `revision` in the cache, or fetches what is missing of it.
///
/// # Errors
/// See [`HubError`].
pub fn fetch(name: &str, revision: &str, settings: &HubSettings) -> Result<Snapshot, HubError> {
    let repo = Repo::new(&settings.cache, name, revision)?;
    let (here, missing) = look(&repo);
    let here = match (here, missing) {
        (Some(snapshot), None) if !settings.refresh || settings.offline => return Ok(snapshot),
        (Some(snapshot), Some(Held::Enough)) if settings.offline => return Ok(snapshot),
        (_, missing) if settings.offline => return Err(offline(&repo, settings, missing)),
        (here, None | Some(Held::Enough)) => here,
        _ => None,
    };
    match download(&repo, settings) {
        // A copy that can be opened is better than any error, unless the error is what was asked for.
        Err(e) if !settings.refresh => here.ok_or(e),
        done => done,
    }
}

/// What the cache has of a revision: the snapshot, and what is missing of it, if anything is.
fn look(repo: &Repo) -> (Option<Snapshot>, Option<Held>) {
    let Some(commit) = repo.commit() else { return (None, None) };
    let snapshot = Snapshot { dir: repo.snapshot(&commit), commit };
    match wanted::held(&snapshot.dir, repo.listed(&snapshot.commit).as_ref()) {
        Held::All => (Some(snapshot), None),
        part => (Some(snapshot), Some(part)),
    }
}

fn offline(repo: &Repo, settings: &HubSettings, held: Option<Held>) -> HubError {
    HubError::Offline {
        name: repo.name.clone(),
        revision: repo.revision.clone(),
        cache: settings.cache.clone(),
        missing: if let Some(Held::Part(missing)) = held { missing } else { "nothing of it is there".to_owned() },
    }
}

fn download(repo: &Repo, settings: &HubSettings) -> Result<Snapshot, HubError> {
    let hub = Hub { repo, settings, client: Client::new(&settings.http)? };
    let listing = hub.list()?;
    let commit = listing.commit.as_str();
    pinned(repo, commit)?;
    let dir = repo.snapshot(commit);
    let unfit = |reason: String| HubError::Unfit { name: repo.name.clone(), reason };

    // A repository of another kind is told by its config, before its files are looked for.
    let mut files: Vec<RemoteFile> = Vec::new();
    if listing.has(CONFIG) {
        files.push(readable(&hub, hub.file(&listing, CONFIG)?)?);
        transfer::fetch(&hub, commit, &files[0])?;
        (settings.accept)(&read(&dir.join(CONFIG))?).map_err(unfit)?;
    }
    let wanted = wanted::choose(|name| listing.has(name)).map_err(unfit)?;
    for name in wanted.small.iter().filter(|name| **name != CONFIG) {
        files.push(hub.file(&listing, name)?);
    }
    files.extend(weights(&hub, &listing, &wanted, &dir)?);

    plan(&hub, commit, &files)?;
    for file in &files {
        transfer::fetch(&hub, commit, file)?;
    }
    repo.write_absent(commit, &wanted.absent)?;
    repo.write_ref(commit)?;
    Ok(Snapshot { dir, commit: commit.to_owned() })
}

/// Who asks for a commit gets that one or none.
fn pinned(repo: &Repo, commit: &str) -> Result<(), HubError> {
    let asked = &repo.revision;
    if !is_commit(&asked.to_ascii_lowercase()) || asked.eq_ignore_ascii_case(commit) {
        return Ok(());
    }
    let reason = format!("the hub answered with commit {commit}, and {asked} was asked for");
    Err(HubError::Answer { what: repo.name.clone(), reason })
}

/// A file that is read whole into memory, if it is no longer than such files are.
fn readable(hub: &Hub<'_>, file: RemoteFile) -> Result<RemoteFile, HubError> {
    if file.size <= MAX_READ {
        return Ok(file);
    }
    let reason = format!("its {} has {} bytes, and no more than {MAX_READ} are read", file.path, file.size);
    Err(HubError::Unfit { name: hub.repo.name.clone(), reason })
}

/// The files of the weights. An index is fetched at once, since it alone knows its shards.
fn weights(hub: &Hub<'_>, listing: &Listing, wanted: &wanted::Wanted, dir: &Path) -> Result<Vec<RemoteFile>, HubError> {
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
        return Err(unfit(format!("its {} names {missing}, which it has not", wanted.weights)));
    }
    shards.iter().map(|shard| hub.file(listing, shard)).collect()
}

/// Says what is to come, and makes sure that it has room.
fn plan(hub: &Hub<'_>, commit: &str, files: &[RemoteFile]) -> Result<(), HubError> {
    let missing: Vec<u64> = files.iter().map(|file| transfer::missing(hub, file)).collect();
    let need = missing.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    let count = files.iter().filter(|file| !transfer::is_whole(&hub.repo.blob(&file.etag), file)).count();
    if count > 0 {
        (hub.settings.progress)(Event::Planned { name: &hub.repo.name, commit, files: count, bytes: need });
    }
    match free_space(hub.repo.root()) {
        Some(free) if need > free => Err(HubError::NoSpace { path: hub.settings.cache.clone(), need, free }),
        _ => Ok(()),
    }
}

/// Bytes that may be written where `path` is; None where the system does not say.
fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path.ancestors().find(|p| p.exists())?).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn read(path: &Path) -> Result<Vec<u8>, HubError> {
    std::fs::read(path).map_err(|e| HubError::io(path, e))
}
