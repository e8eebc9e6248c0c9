//! Reasons why a checkpoint does not arrive, one variant for each thing that a user can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::HttpError;

/// Why there is no checkpoint. Messages say what failed and what to do, and do not depend on the program that shows
/// them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is not valid on the hub.
    #[error("{0:?} is not the name of a checkpoint; the hub's names are like `owner/name`")]
    Name(String),
    /// The revision is not valid.
    #[error("{0:?} is not a revision; use a branch, a tag, a commit, or refs/pr/N")]
    Revision(String),
    /// The hub does not know the repository, or hides it.
    #[error("{name}: {endpoint} has no such repository{}", if *.with_token { ", or the token may not see it" } else { ", or it is private and needs a token" })]
    NoRepo {
        /// The name asked for.
        name: String,
        /// The hub asked.
        endpoint: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository does not have this branch, tag or commit.
    #[error("{name}: no such revision: {revision}")]
    NoRevision {
        /// The repository.
        name: String,
        /// The missing revision.
        revision: String,
    },
    /// The user must ask for access first.
    #[error("{name} is gated: ask for access at {page}{}", if *.with_token { " (the token has no access yet)" } else { ", then log in so that a token is sent" })]
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
        /// The server.
        host: String,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
    /// Any other unsuccessful answer.
    #[error("{what}: {host} answered with status {status}{}", .said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default())]
    Status {
        /// The file or request.
        what: String,
        /// The server.
        host: String,
        /// The status.
        status: u16,
        /// The hub's own words.
        said: Option<String>,
    },
    /// An answer that breaks the hub's interface.
    #[error("{what}: {reason}")]
    Answer {
        /// The file or request.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Part of a file came. The part is kept.
    #[error("{file}: {source}; {have} of {size} bytes are kept, and the same command {}", if *.ranges { "continues from there" } else { "starts over, since the server sends only whole files" })]
    Interrupted {
        /// The file.
        file: String,
        /// The failure.
        source: HttpError,
        /// Bytes kept.
        have: u64,
        /// Bytes in all.
        size: u64,
        /// Whether the server can continue from there.
        ranges: bool,
    },
    /// A whole file came and differs from what the hub promised. It is not kept.
    #[error("{file}: {reason}; it was not kept")]
    Damaged {
        /// The file.
        file: String,
        /// How it differs.
        reason: String,
    },
    /// The repository is not a checkpoint that can be read here.
    #[error("{name} cannot be used: {reason}")]
    Unfit {
        /// The repository.
        name: String,
        /// What is missing or of another kind.
        reason: String,
    },
    /// The network is off, and the cache does not have the checkpoint.
    #[error("{name} (revision {revision}) is not in the cache {}: {missing}; fetching is off (offline)", .cache.display())]
    Offline {
        /// The repository.
        name: String,
        /// The revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
        /// What is missing.
        missing: String,
    },
    /// The disk is full.
    #[error("{}: not enough space: {need} bytes are needed and {free} are free", .path.display())]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Bytes still to come.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// The cache may not be written.
    #[error("{}: no permission to write here; name another cache directory", .0.display())]
    Permission(PathBuf),
    /// A file or folder in the cache may not be read.
    #[error("{}: no permission to read it", .0.display())]
    Unreadable(PathBuf),
    /// A file or folder in the cache may not be removed.
    #[error("{}: {reason}; {}", .path.display(), if *.begun { "some of it may be removed already: run the same command again" } else { "nothing was removed" })]
    NotRemoved {
        /// The path.
        path: PathBuf,
        /// The reason.
        reason: String,
        /// Whether other files were removed before.
        begun: bool,
    },
    /// The system refused something else.
    #[error("{}: {}", .path.display(), crate::net::reason(.source))]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl HubError {
    /// Converts a failure to read `path`.
    pub(super) fn reading(path: &Path, e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::PermissionDenied => Self::Unreadable(path.to_path_buf()),
            _ => Self::Io { path: path.to_path_buf(), source: e },
        }
    }

    /// Converts a failure to write `path`.
    pub(super) fn io(path: &Path, e: io::Error) -> Self {
        let path = path.to_path_buf();
        match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path, need: 1, free: 0 },
            _ => Self::Io { path, source: e },
        }
    }

    /// Converts a missing answer about `what`, or one that breaks the protocol.
    pub(super) fn http(what: &str, e: HttpError) -> Self {
        match e {
            HttpError::Malformed { .. } => Self::Answer { what: what.to_owned(), reason: e.to_string() },
            e => Self::Http(e),
        }
    }

    /// Returns whether no server could be reached, so that a copy in the cache is better than nothing.
    pub fn is_no_network(&self) -> bool {
        use HttpError::{Connect, Host, Proxy, Silent, Tls};
        matches!(self, Self::Http(Host { .. } | Connect { .. } | Silent { .. } | Proxy { .. } | Tls { .. }))
    }

    /// Returns whether the same request may succeed in a moment.
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
