//! Messages for people, on stderr. A stderr that cannot be written does not stop the run. Names in messages are safe
//! for the terminal, and URLs hide their passwords.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use zsic::source::without_passwords;

use super::args::Common;
use super::progress;
use super::stdout::{self, Patient};
use super::terminal::printable;

/// Prints an error, even with `--quiet`.
pub fn error(message: impl Display) {
    line(format_args!("error: {message}"));
}

/// Prints a warning.
pub fn warn(common: &Common, message: impl Display) {
    if !common.quiet {
        line(format_args!("warning: {message}"));
    }
}

/// Prints a message, except with `--quiet`.
pub fn say(common: &Common, message: impl Display) {
    if !common.quiet {
        line(message);
    }
}

/// Prints a message at this level of `-v`.
pub fn note(common: &Common, level: u8, message: impl Display) {
    if common.verbose >= level {
        say(common, message);
    }
}

/// Prints a line on stderr.
pub fn line(message: impl Display) {
    let message = shown(&message.to_string());
    match &mut *HELD.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(held) => held.push(message),
        None => print(&message),
    }
}

/// Prints a line that starts after any progress bar and any unfinished result.
fn print(line: &str) {
    let start = if io::stderr().is_terminal() && stdout::leave_line() { "\n" } else { "" };
    let write = || Patient(io::stderr()).write_all(format!("{start}{line}\n").as_bytes());
    _ = progress::shown().suspend(write);
}

/// The lines held back, while they are held.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Holds all lines until it is dropped.
pub struct HeldLines(());

/// Holds lines back: on one terminal, they would appear in the middle of the output.
pub fn hold() -> HeldLines {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    HeldLines(())
}

impl Drop for HeldLines {
    fn drop(&mut self) {
        release();
    }
}

/// Prints the held lines.
pub fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    held.unwrap_or_default().iter().for_each(|line| print(line));
}

/// Asks a question on stderr; the answer is typed on the same line.
pub fn ask(question: impl Display) {
    let mut stderr = anstream::stderr().lock();
    let _ = write!(stderr, "{} ", shown(&question.to_string()));
    let _ = stderr.flush();
}

/// Returns a text as one line without passwords that is safe for the terminal.
fn shown(text: &str) -> String {
    printable(&without_passwords(&text.replace('\n', " ")))
}
