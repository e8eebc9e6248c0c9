//! Settings of a fetch, and its events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::error::HubError;
use crate::checkpoint::file_names::{CONFIG, NESTED_PROCESSOR, OPEN_CLIP_CONFIG, PROCESSOR, TOKENIZER_SETTINGS};
use crate::checkpoint::{Layout, parse_json};
use crate::net::HttpSettings;

/// The default hub.
pub const ENDPOINT: &str = "https://huggingface.co";
/// The default revision.
pub const REVISION: &str = "main";
/// The most bytes of a file that is read here: a `config.json`, an index of shards.
pub(super) const MAX_READ: u64 = 16 << 20;

/// A token that opens private and gated repositories.
#[derive(Clone)]
pub struct Token {
    pub(super) secret: String,
    pub(super) origin: String,
}

impl Token {
    /// Creates a token. Messages name its origin and never the token itself.
    ///
    /// # Errors
    /// [`HubError::Token`] if it has characters that a token cannot have, as another file would.
    pub fn new(secret: &str, origin: impl Into<String>) -> Result<Self, HubError> {
        let (secret, origin) = (secret.trim(), origin.into());
        if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "is not a token: a token is one word of letters, digits and signs".to_owned();
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

/// The settings of a checkpoint, which come before its weights.
#[derive(Debug)]
pub struct EarlyFiles {
    /// The repository's name.
    pub name: String,
    /// The layout that was asked for.
    pub asked: Option<Layout>,
    /// The files that are there, by name.
    pub files: BTreeMap<&'static str, Vec<u8>>,
}

impl EarlyFiles {
    /// The names of these files. The model's come first, so that another kind of model costs no more requests.
    pub(super) const NAMES: [&[&str]; 2] = [&[CONFIG, OPEN_CLIP_CONFIG], &[TOKENIZER_SETTINGS]];
    /// The names of those that come just before the weights.
    pub(super) const LAST: [&str; 2] = [NESTED_PROCESSOR, PROCESSOR];

    /// Returns whether there are settings of a model.
    pub(super) fn is_model(&self) -> bool {
        self.files.contains_key(CONFIG) || self.files.contains_key(OPEN_CLIP_CONFIG)
    }

    /// Returns the layout that was asked for, or else the one that they are in.
    pub fn layout(&self) -> Layout {
        let config = self.files.get(CONFIG).and_then(|json| parse_json(json).ok());
        self.asked.unwrap_or_else(|| Layout::of(config.as_ref(), self.files.contains_key(OPEN_CLIP_CONFIG)))
    }
}

/// How to reach the hub.
pub struct HubSettings {
    /// The hub or a mirror of it, without a trailing slash.
    pub endpoint: String,
    /// The cache: the folder that holds `models--owner--name`.
    pub cache: PathBuf,
    /// The token, sent only to the endpoint.
    pub token: Option<Token>,
    /// Whether the network is off.
    pub offline: bool,
    /// Whether to link snapshots to blobs, if the file system can. Otherwise the files lie in the snapshots.
    pub links: bool,
    /// Whether to ask for the current commit of a branch, even if the cache has one.
    pub refresh: bool,
    /// Waits, proxies, certificates.
    pub http: HttpSettings,
    /// The layout to fetch, if a repository has two.
    pub layout: Option<Layout>,
    /// Checks a checkpoint before its weights are fetched, and says in which layout it is. An error says why it cannot be
    /// used.
    pub accept: fn(&EarlyFiles) -> Result<Layout, String>,
    /// Receives an event for everything that takes time.
    pub progress: Box<dyn Fn(Event<'_>) + Send + Sync>,
}

impl HubSettings {
    /// Returns settings for the public hub and a cache, without events, for any kind of model.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            cache: cache.into(),
            token: None,
            offline: false,
            links: true,
            refresh: false,
            http: HttpSettings::default(),
            layout: None,
            accept: |early| Ok(early.layout()),
            progress: Box::new(|_| ()),
        }
    }
}

/// An event of a fetch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The list of missing files is known.
    Planned {
        /// The repository.
        name: &'a str,
        /// The commit.
        commit: &'a str,
        /// The number of missing files.
        files: usize,
        /// Their bytes, without those that an interrupted run left.
        bytes: u64,
    },
    /// A file begins.
    Started {
        /// Its name.
        file: &'a str,
        /// Its bytes.
        size: u64,
        /// Bytes that an interrupted run left.
        have: u64,
    },
    /// A file grew.
    Advanced {
        /// Its name.
        file: &'a str,
        /// Its bytes so far.
        position: u64,
    },
    /// A file is complete and matches its hash.
    Finished {
        /// Its name.
        file: &'a str,
        /// Its bytes.
        size: u64,
    },
    /// Another process fetches the file, and this one waits.
    Waiting {
        /// Its name.
        file: &'a str,
    },
    /// A failure that may pass.
    Retrying {
        /// The error.
        reason: &'a HubError,
        /// The wait before the next try.
        pause: Duration,
    },
    /// All files are there, but the cache could not note the revision's commit.
    Unnoted {
        /// The reason.
        reason: &'a HubError,
    },
}
