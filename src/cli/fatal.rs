//! The end of a run: errors on stderr in one line, and the exit status.

use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, exit};

use anyhow::{Error, Result};
use clap::error::{ContextKind, ContextValue};

use zsic::reason::os_reason;
use zsic::source::without_passwords;
use zsic::system::pipe;

use super::Outcome;
use super::args::{Common, DEVICE, PRECISION, THREADS};
use super::settings::NO_THREAD;
use super::terminal::{printable, printable_lines};
use super::{interrupt, messages, stdout};

/// Everything was done, or the reader left.
const DONE: u8 = 0;
/// An image failed, or none matched.
const SOME_FAILED: u8 = 1;
/// Wrong usage, as in clap.
const USAGE: u8 = 2;
/// The run could not start, had to stop early, or could not tell.
const STOPPED: u8 = 3;

/// An error in what the user typed.
#[derive(Debug)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Creates a usage error from its message.
pub fn usage(message: impl Into<String>) -> Error {
    Error::new(Usage(message.into()))
}

/// Hides panics from the terminal: each is caught where it can happen and reported as an error. `RUST_BACKTRACE` shows
/// them.
pub fn hide_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

/// Prints clap's message, or its help, and exits as clap does. User input may be a file name that the shell expanded,
/// so it is made safe for the terminal.
pub fn usage_or_help(mut e: clap::Error) -> ! {
    if !e.use_stderr() {
        end_with(stdout::print(&e));
    }
    name_variable(&mut e);
    let shown = |text: &String| printable(&without_passwords(text));
    let safe = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(ContextValue::String(shown(text))),
        ContextValue::Strings(texts) => Some(ContextValue::Strings(texts.iter().map(shown).collect())),
        _ => None,
    };
    let values: Vec<_> = e.context().filter_map(|(kind, value)| Some((kind, safe(value)?))).collect();
    for (kind, value) in values {
        e.insert(kind, value);
    }
    let text = e.render().to_string();
    if printable_lines(&text) == text {
        let _ = e.print(); // in colour
    } else {
        let _ = write!(io::stderr(), "{}", printable_lines(&text)); // a value parser's message may contain the value
    }
    exit(e.exit_code())
}

/// Names the variable instead of its flag, if the value that clap refuses is from a variable.
fn name_variable(e: &mut clap::Error) {
    let text = |kind| if let Some(ContextValue::String(text)) = e.get(kind) { Some(text.as_str()) } else { None };
    let flag = text(ContextKind::InvalidArg).and_then(|arg| arg.split(' ').next());
    let variable = match flag {
        Some("--threads") => THREADS,
        Some("--device") => DEVICE,
        Some("--precision") => PRECISION,
        _ => return,
    };
    if std::env::var(variable).ok().as_deref() == text(ContextKind::InvalidValue) {
        e.insert(ContextKind::InvalidArg, ContextValue::String(variable.to_owned()));
    }
}

/// Ends the process after it only printed something.
pub fn end_with(printed: Result<()>) -> ! {
    exit(status(printed.map(|()| Outcome::Complete), false).into())
}

/// Runs the command and reports how it ended.
pub fn run(common: &Common, command: impl FnOnce() -> Result<Outcome>) -> ExitCode {
    let result = catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default();
        if text.starts_with("failed to spawn thread") {
            return Err(anyhow::anyhow!(NO_THREAD));
        }
        Err(anyhow::anyhow!("internal error, a bug in zsic (RUST_BACKTRACE=1 shows where): {text}"))
    });
    ExitCode::from(status(result, common.verbose > 0))
}

/// Reports an error, with its causes if wanted, and returns the exit status.
fn status(result: Result<Outcome>, causes: bool) -> u8 {
    match result {
        Ok(Outcome::Complete) => DONE,
        Ok(Outcome::SomeFailed | Outcome::NothingMatched) => SOME_FAILED,
        Ok(Outcome::Undecided) => STOPPED,
        Err(e) if is_closed_pipe(&e) => DONE, // the reader left
        Err(e) => {
            messages::error(reason(&e, causes));
            if e.is::<Usage>() { USAGE } else { STOPPED }
        }
    }
}

/// Ends the run when the system has no more memory: with a message that needs none, and as a signal would.
pub fn out_of_memory(bytes: usize) -> ! {
    let mut line = io::Cursor::new([0; 256]);
    let _ = writeln!(
        line,
        "error: out of memory: the system refused {bytes} bytes; allow more memory, or use fewer threads (-j N)"
    );
    let length = line.position() as usize;
    pipe::write_unlocked(&io::stderr(), &line.get_ref()[..length]);
    interrupt::end(STOPPED.into())
}

/// Returns an error's message, with its causes if wanted.
pub fn reason(e: &Error, causes: bool) -> String {
    let mut line = e.to_string();
    for cause in e.chain().skip(1) {
        match cause.downcast_ref::<io::Error>() {
            Some(e) => line += &format!(": {}", os_reason(e)), // always shown: the user can act on it
            None if causes => line += &format!(": {cause}"),
            None => {}
        }
    }
    line
}

fn is_closed_pipe(e: &Error) -> bool {
    e.chain().any(|cause| cause.downcast_ref().is_some_and(pipe::is_broken))
}
