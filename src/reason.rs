//! Words of the operating system in messages.

use std::io;

/// Returns what the operating system says, as the end of a message: in lower case and without its number.
pub fn os_reason(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
