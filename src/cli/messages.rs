//! Lines for people, on stderr. A stderr that cannot be written is no reason to stop, and no name in a line can play with
//! the terminal.

use std::fmt::Display;
use std::io::Write;

use super::args::Common;

/// What goes wrong, told even to those who asked for quiet.
pub fn error(message: impl Display) {
    line("error: ", message);
}

/// What looks wrong.
pub fn warn(common: &Common, message: impl Display) {
    if !common.quiet {
        line("warning: ", message);
    }
}

/// What everybody is told, but for those who asked for quiet.
pub fn say(common: &Common, message: impl Display) {
    if !common.quiet {
        line("", message);
    }
}

/// What so many `-v` add.
pub fn note(common: &Common, level: u8, message: impl Display) {
    if common.verbose >= level {
        say(common, message);
    }
}

fn line(prefix: &str, message: impl Display) {
    let message = printable(&message.to_string().replace('\n', " "));
    let _ = writeln!(anstream::stderr().lock(), "{prefix}{message}");
}

/// `text` without control characters, which must not reach a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_play_with_the_terminal() {
        assert_eq!(printable("a\x1b[31m\nb"), "a\u{fffd}[31m\u{fffd}b");
    }
}
