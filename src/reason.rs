//! The operating system's reasons in messages.

use std::io;

/// Returns the system's reason for the end of a message: in lower case and without its number.
pub fn os_reason(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
