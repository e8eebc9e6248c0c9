//! What comes over the network: checkpoints by name ([`hub`]). It gives directories and knows no model; it reads no
//! environment variable, so what a user sets there is handed in as settings.

mod http;
pub mod hub;

pub use http::{HttpError, HttpSettings, Patience, Proxies};
