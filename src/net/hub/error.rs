//! What keeps a checkpoint from arriving, one variant for each thing that a user would do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::HttpError;

/// Why there is no checkpoint. Messages say what failed and what can be done without knowing the program around.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name cannot be one on the hub.
    #[error("{0:?} is no name of a checkpoint: the hub's names are like `owner/name`")]
    Name(String),
    /// The revision cannot be one.
    #[error("{0:?} is no revision: a branch, a tag, a commit, or refs/pr/N")]
    Revision(String),
    /// The hub knows no such repository, or hides it.
    #[error("{name}: {endpoint} has no such repository{}", if *.with_token { ", or the token may not see it" } else { ", or it is private and needs a token" })]
    NoRepo {
        /// The name asked for.
        name: String,
        /// The hub asked.
        endpoint: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{name}: no such revision: {revision}")]
    NoRevision {
        /// The repository.
        name: String,
        /// What it lacks.
        revision: String,
    },
    /// Access must be asked for first.
    #[error("{name} is gated: ask for access at {page}{}", if *.with_token { " (the token sent has none yet)" } else { ", then log in so that a token is sent" })]
    Gated {
        /// The repository.
        name: String,
        /// Where to ask.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The token is wrong, expired, or cannot be one.
    #[error("the token from {origin} {reason}")]
    Token {
        /// Where the token was found.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many requests, even after waiting.
    #[error("{host} limits the rate of requests{}", match .after { Some(wait) => format!(": try again in {} s", wait.as_secs()), None => ": try again later".to_owned() })]
    RateLimit {
        /// Who.
        host: String,
        /// What it asks for.
        after: Option<Duration>,
    },
    /// An answer that is no success and means nothing above.
    #[error("{what}: {host} answered with status {status}{}", .said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default())]
    Status {
        /// The file or request.
        what: String,
        /// Who.
        host: String,
        /// The status.
        status: u16,
        /// The hub's own words.
        said: Option<String>,
    },
    /// An answer that is not what the hub's interface promises.
    #[error("{what}: {reason}")]
    Answer {
        /// The file or request.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer at all.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A file came in part. The part is kept.
    #[error("{file}: {source}; {have} of {size} bytes are kept, and the same command {}", if *.ranges { "goes on from there" } else { "starts over, since the server sends only whole files" })]
    Interrupted {
        /// The file.
        file: String,
        /// What happened.
        source: HttpError,
        /// Bytes kept.
        have: u64,
        /// Bytes in all.
        size: u64,
        /// Whether the server can go on from there.
        ranges: bool,
    },
    /// A file came whole and is not what the hub says it is. Nothing of it is kept.
    #[error("{file}: {reason}; nothing of it was kept")]
    Damaged {
        /// The file.
        file: String,
        /// How it differs.
        reason: String,
    },
    /// The repository is not a checkpoint of the kind that is read here.
    #[error("{name} is no checkpoint for this: {reason}")]
    Unfit {
        /// The repository.
        name: String,
        /// What is missing or of another kind.
        reason: String,
    },
    /// Nothing may be asked of the network, and the cache does not have it.
    #[error("{name} (revision {revision}) is not in the cache {}: {missing}; fetching is off (offline)", .cache.display())]
    Offline {
        /// The repository.
        name: String,
        /// The revision.
        revision: String,
        /// Where it was looked for.
        cache: PathBuf,
        /// What is not there.
        missing: String,
    },
    /// No room.
    #[error("{}: not enough space: {need} bytes are needed and {free} are free", .path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// Bytes still to come.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// The cache may not be written.
    #[error("{}: no permission to write here; name another cache directory", .0.display())]
    Permission(PathBuf),
    /// Something in the cache may not be read.
    #[error("{}: no permission to read it", .0.display())]
    Unreadable(PathBuf),
    /// Something in the cache may not be, or cannot be, removed.
    #[error("{}: {reason}; {}", .path.display(), if *.begun { "some of it may be removed already: run the same command again" } else { "nothing was removed" })]
    NotRemoved {
        /// What.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// Whether others were removed before.
        begun: bool,
    },
    /// The system refused something else.
    #[error("{}: {}", .path.display(), crate::net::reason(.source))]
    Io {
        /// On which file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl HubError {
    /// A failure to read `path`.
    pub(super) fn reading(path: &Path, e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::PermissionDenied => Self::Unreadable(path.to_path_buf()),
            _ => Self::Io { path: path.to_path_buf(), source: e },
        }
    }

    /// A failure to write `path`.
    pub(super) fn io(path: &Path, e: io::Error) -> Self {
        let path = path.to_path_buf();
        match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path, need: 1, free: 0 },
            _ => Self::Io { path, source: e },
        }
    }

    /// No answer to a request about `what`, or one that breaks the protocol.
    pub(super) fn http(what: &str, e: HttpError) -> Self {
        match e {
            HttpError::Malformed { .. } => Self::Answer { what: what.to_owned(), reason: e.to_string() },
            e => Self::Http(e),
        }
    }

    /// Whether nobody could be reached, so that a copy at hand is better than nothing.
    pub fn is_no_network(&self) -> bool {
        use HttpError::{Connect, Host, Proxy, Silent, Tls};
        matches!(self, Self::Http(Host { .. } | Connect { .. } | Silent { .. } | Proxy { .. } | Tls { .. }))
    }

    /// Whether the same request may well succeed in a moment.
    pub(super) fn is_passing(&self, reached_before: bool) -> bool {
        match self {
            Self::RateLimit { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            Self::Http(e) | Self::Interrupted { source: e, .. } => match e {
                HttpError::Cut { .. } | HttpError::Stalled { .. } => true,
                HttpError::Connect { .. } | HttpError::Host { .. } | HttpError::Silent { .. } => reached_before,
                _ => false,
            },
            _ => false,
        }
    }
}
