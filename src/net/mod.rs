//! The network: checkpoints by name ([`hub`]), returned as directories, and images by URL ([`Images`]), returned as
//! bytes. It reads no environment variable; callers pass settings.

mod address;
mod cookies;
mod encoding;
mod error;
mod http;
pub mod hub;
mod images;
mod meter;
mod private_addresses;
mod proxies;
mod redirects;
mod settings;
mod space;

pub use error::HttpError;
pub use images::{ImageSettings, Images};
pub use proxies::Proxies;
pub use settings::{HttpSettings, Patience, is_user_agent};

/// Returns the system's reason as part of a message.
fn reason(e: &std::io::Error) -> String {
    http::lower(e.to_string().split(" (os error").next().unwrap_or_default())
}
