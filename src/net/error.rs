//! Failures of a request: no answer, or only part of one. Callers judge complete answers.

use std::io;
use std::time::Duration;

/// A missing or incomplete answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The host name has no address.
    #[error("the host {host} cannot be found; there may be no network")]
    Host {
        /// The host.
        host: String,
    },
    /// The connection failed.
    #[error("cannot connect to {host}: {}", super::reason(.source))]
    Connect {
        /// The server.
        host: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The answer did not come in time.
    #[error("{host} does not answer: nothing came within {} s", .waited.as_secs_f32())]
    Silent {
        /// The server.
        host: String,
        /// The timeout.
        waited: Duration,
    },
    /// The answer began and then stopped.
    #[error("{host} stopped sending: nothing came for {} s", .waited.as_secs_f32())]
    Stalled {
        /// The server.
        host: String,
        /// The timeout.
        waited: Duration,
    },
    /// The connection ended early.
    #[error("the connection to {host} was cut: {reason}")]
    Cut {
        /// The server.
        host: String,
        /// The system's reason.
        reason: String,
    },
    /// An answer that breaks the protocol, or is too long.
    #[error("{host} did not answer properly: {reason}")]
    Malformed {
        /// The server.
        host: String,
        /// The reason.
        reason: String,
    },
    /// The proxy failed.
    #[error("the proxy {proxy} failed: {reason}")]
    Proxy {
        /// Its host and port.
        proxy: String,
        /// The reason.
        reason: String,
    },
    /// The server's certificate is not trusted, or there is no common cipher.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// The server.
        host: String,
        /// The reason.
        reason: String,
    },
    /// A redirect that cannot be followed.
    #[error("{host} redirects to {to:?}, which cannot be followed")]
    Redirect {
        /// The server.
        host: String,
        /// The target.
        to: String,
    },
    /// A redirect from a public address to a private one.
    #[error("it redirects to {host}, which is a private address; --allow-private-redirects follows there")]
    Private {
        /// The target.
        host: String,
    },
    /// A redirect to another scheme than http and https.
    #[error("{host} redirects to a {scheme}: address; only http and https are followed")]
    Scheme {
        /// The server.
        host: String,
        /// The scheme.
        scheme: String,
    },
    /// Settings that cannot be used.
    #[error("{0}")]
    Settings(String),
}
