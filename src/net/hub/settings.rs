//! What fetching a checkpoint is told, and what it tells meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use super::ENDPOINT;
use super::error::HubError;
use crate::net::HttpSettings;

/// A token that opens private and gated repositories.
#[derive(Clone)]
pub struct Token {
    pub(super) secret: String,
    pub(super) origin: String,
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
    /// Link snapshots to blobs, where the file system can; otherwise the files lie in the snapshots.
    pub links: bool,
    /// Ask which commit a branch is at now, even if the cache has one.
    pub refresh: bool,
    /// Waits, proxies, certificates.
    pub http: HttpSettings,
    /// Looks at a `config.json` before weights are fetched; an error says why it is of no use.
    pub accept: fn(&[u8]) -> Result<(), String>,
    /// Looks at a `tokenizer_config.json`, `{}` where there is none, and at the `config.json`, in the same way.
    pub accept_tokenizer: fn(&[u8], &[u8]) -> Result<(), String>,
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
            links: true,
            refresh: false,
            http: HttpSettings::default(),
            accept: |_| Ok(()),
            accept_tokenizer: |_, _| Ok(()),
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
    /// All is there, and the cache could not note which commit the revision is.
    Unnoted {
        /// What kept it.
        reason: &'a HubError,
    },
}
