//! Lines for people, on stderr. A stderr that cannot be written is no reason to stop. No name in a line can play with the
//! terminal, and no URL in it shows its password.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use zsic::source::without_passwords;

use super::args::Common;
use super::progress;
use super::stdout::{self, Patient};
use super::terminal::printable;

/// What goes wrong, told even to those who asked for quiet.
pub fn error(message: impl Display) {
    line(format_args!("error: {message}"));
}

/// What looks wrong.
pub fn warn(common: &Common, message: impl Display) {
    if !common.quiet {
        line(format_args!("warning: {message}"));
    }
}

/// What everybody is told, but for those who asked for quiet.
pub fn say(common: &Common, message: impl Display) {
    if !common.quiet {
        line(message);
    }
}

/// What so many `-v` add.
pub fn note(common: &Common, level: u8, message: impl Display) {
    if common.verbose >= level {
        say(common, message);
    }
}

/// A line on stderr.
pub fn line(message: impl Display) {
    let message = shown(&message.to_string());
    match &mut *HELD.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(held) => held.push(message),
        None => print(&message),
    }
}

/// Prints a line of its own: neither behind a progress bar, nor behind a result that is not finished.
fn print(line: &str) {
    let start = if io::stderr().is_terminal() && stdout::leave_line() { "\n" } else { "" };
    let write = || Patient(io::stderr()).write_all(format!("{start}{line}\n").as_bytes());
    _ = progress::shown().suspend(write);
}

/// Lines that wait, while they are held.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Holds all lines until it is dropped.
pub struct Held(());

/// Holds lines back: on one terminal, they would fall into what is being written on standard output.
pub fn hold() -> Held {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    Held(())
}

impl Drop for Held {
    fn drop(&mut self) {
        release();
    }
}

/// Prints the lines that are held.
pub fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    held.unwrap_or_default().iter().for_each(|line| print(line));
}

/// Asks on stderr; the answer is typed on the same line.
pub fn ask(question: impl Display) {
    let mut stderr = anstream::stderr().lock();
    let _ = write!(stderr, "{} ", shown(&question.to_string()));
    let _ = stderr.flush();
}

/// A text as one line that gives no password away and cannot play with the terminal.
fn shown(text: &str) -> String {
    printable(&without_passwords(&text.replace('\n', " ")))
}
