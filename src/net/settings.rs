//! How requests leave this machine, and how long to wait for answers.

use std::path::PathBuf;
use std::time::Duration;

use super::proxies::Proxies;

/// The default `User-Agent`.
pub(super) const USER_AGENT: &str = concat!("zsic/", env!("CARGO_PKG_VERSION"));

/// How requests leave this machine.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Proxies, and hosts reached without one.
    pub proxies: Proxies,
    /// Certificates (PEM) to trust instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// The `User-Agent`; `zsic/VERSION` if None. See [`is_user_agent`].
    pub user_agent: Option<String>,
    /// Time limits and retries.
    pub patience: Patience,
}

/// Returns whether a text can be sent as `User-Agent`: it has letters, and only printable ASCII.
pub fn is_user_agent(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.trim().is_empty()
}

/// Limits on waiting.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Resolving a name and connecting, including TLS.
    pub connect: Duration,
    /// A whole short answer, including connecting.
    pub answer: Duration,
    /// Between two pieces of a long answer.
    pub stall: Duration,
    /// The number of tries after failures that may pass: busy servers, cut connections.
    pub attempts: u32,
    /// Before the second try. Doubled before each further one.
    pub pause: Duration,
    /// The longest wait that a busy server may ask for.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(8),
            answer: Duration::from_secs(9),
            stall: Duration::from_secs(15),
            attempts: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}
