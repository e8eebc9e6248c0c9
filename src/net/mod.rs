//! What comes over the network: checkpoints by name ([`hub`]). It gives directories and knows no model; it reads no
//! environment variable, so what a user sets there is handed in as settings.

mod address;
mod error;
mod http;
pub mod hub;
mod proxies;

pub use error::HttpError;
pub use http::{HttpSettings, Patience};
pub use proxies::Proxies;

/// What the operating system says, as part of a line of ours.
fn reason(e: &std::io::Error) -> String {
    http::lower(e.to_string().split(" (os error").next().unwrap_or_default())
}
