//! Why there is no answer, or none to its end. What a whole answer means is told elsewhere.

use std::io;
use std::time::Duration;

/// No answer, or none to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The name has no address.
    #[error("the host {host} cannot be found; there may be no network")]
    Host {
        /// Who was asked for.
        host: String,
    },
    /// No connection.
    #[error("cannot connect to {host}: {}", super::reason(.source))]
    Connect {
        /// Who was asked.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// Connected or not, no answer in time.
    #[error("{host} does not answer: nothing came within {} s", .waited.as_secs_f32())]
    Silent {
        /// Who was asked.
        host: String,
        /// The bound that was hit.
        waited: Duration,
    },
    /// The answer began and then nothing more came.
    #[error("{host} stopped sending: nothing came for {} s", .waited.as_secs_f32())]
    Stalled {
        /// Who was asked.
        host: String,
        /// The bound that was hit.
        waited: Duration,
    },
    /// The connection ended early.
    #[error("the connection to {host} was cut: {reason}")]
    Cut {
        /// Who was asked.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// An answer that breaks the protocol, or is longer than anything that was asked for.
    #[error("{host} did not answer properly: {reason}")]
    Malformed {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy failed, rather than who is behind it.
    #[error("the proxy {proxy} failed: {reason}")]
    Proxy {
        /// Its host and port.
        proxy: String,
        /// What it says.
        reason: String,
    },
    /// The other side's certificate is not to be trusted, or no cipher is shared.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// Who was asked.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A redirect that leads nowhere.
    #[error("{host} redirects to {to:?}, which cannot be followed")]
    Redirect {
        /// Who was asked.
        host: String,
        /// Where it points.
        to: String,
    },
    /// A redirect from a public address to one of this machine or network.
    #[error("it redirects to {host}, which is a private address; --allow-private-redirects follows there")]
    Private {
        /// Where it points.
        host: String,
    },
    /// A redirect to what is no web address.
    #[error("{host} redirects to a {scheme}: address, and only http and https are followed")]
    Scheme {
        /// Who was asked.
        host: String,
        /// What it points to begins with.
        scheme: String,
    },
    /// Settings that cannot be used.
    #[error("{0}")]
    Settings(String),
}
