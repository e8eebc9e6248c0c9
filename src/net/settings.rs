//! How requests leave this machine, and how long answers are waited for.

use std::path::PathBuf;
use std::time::Duration;

use super::proxies::Proxies;

/// What requests are sent as, where nobody says.
pub(super) const USER_AGENT: &str = concat!("zsic/", env!("CARGO_PKG_VERSION"));

/// How requests leave this machine.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Proxies, and who is reached without.
    pub proxies: Proxies,
    /// Certificates (PEM) to trust in place of the ones that are built in.
    pub ca_file: Option<PathBuf>,
    /// What is sent as `User-Agent`; `zsic/VERSION` where there is none. See [`is_user_agent`].
    pub user_agent: Option<String>,
    /// How long to wait and how often to try.
    pub patience: Patience,
}

/// Returns whether a text can be sent as `User-Agent`: it has letters, and printable ASCII only.
pub fn is_user_agent(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.trim().is_empty()
}

/// Bounds on waiting.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For a name to be resolved and a connection made, TLS included.
    pub connect: Duration,
    /// For the whole of a short answer; connecting counts.
    pub answer: Duration,
    /// Between two pieces of a long answer.
    pub stall: Duration,
    /// Tries in all of what may pass: busy servers, cut connections.
    pub attempts: u32,
    /// Before the second try; doubled before each further one.
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
