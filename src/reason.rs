//! The operating system's reasons in messages.

use std::io;

/// Returns the system's reason for the end of a message: in lower case, without its number and its full stop.
pub fn os_reason(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
