//! What comes over the network: checkpoints by name ([`hub`]), which it gives as directories, knowing no model; and images
//! by URL ([`Images`]), which it gives as bytes. It reads no environment variable: what a user sets there is handed in as
//! settings.

mod address;
mod cookies;
mod encoding;
mod error;
mod http;
pub mod hub;
mod images;
mod meter;
mod proxies;
mod reach;
mod settings;
mod space;

pub use error::HttpError;
pub use images::{ImageSettings, Images};
pub use proxies::Proxies;
pub use settings::{HttpSettings, Patience, is_user_agent};

/// What the operating system says, as part of a line of ours.
fn reason(e: &std::io::Error) -> String {
    http::lower(e.to_string().split(" (os error").next().unwrap_or_default())
}
