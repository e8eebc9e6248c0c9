//! Ctrl-C and SIGTERM: stop at once, but never inside a record, and remove files without a record.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::settings::NO_THREAD;
use super::{messages, progress, stdout, undo};

/// Held while a record is written.
static WRITING: Mutex<()> = Mutex::new(());

/// The partial of this run, and what a stop says if it leaves records in it.
static LEFT: Mutex<Option<(PathBuf, String)>> = Mutex::new(None);

/// The time a signal waits for a record to be written. A reader that stopped reading would block it for ever.
const PATIENCE: Duration = Duration::from_millis(300);

/// Holds signals back while a record is written.
pub fn hold() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process on SIGINT (status 130) and SIGTERM (status 143).
///
/// # Errors
/// If the system refuses the handler.
pub fn install() -> Result<()> {
    static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
    if IS_INSTALLED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let mut next = signals()?;
    let wait = move || {
        if let Some(signal) = next() {
            end_after(128 + signal, tell);
        }
    };
    thread::Builder::new().spawn(wait).context(NO_THREAD)?;
    Ok(())
}

/// Returns what waits for the next signal.
#[cfg(unix)]
fn signals() -> Result<impl FnMut() -> Option<i32> + Send> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    // A file that grows past the process's limit becomes an error of writing instead of a silent end.
    signal_hook::flag::register(SIGXFSZ, std::sync::Arc::new(AtomicBool::new(false)))?;
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    Ok(move || signals.forever().next())
}

/// Returns what waits for Ctrl-C and Ctrl-Break. When its console closes, Windows ends the process without waiting.
#[cfg(windows)]
fn signals() -> Result<impl FnMut() -> Option<i32> + Send> {
    const SIGINT: i32 = 2;
    let (sender, receiver) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || _ = sender.send(SIGINT))?;
    Ok(move || receiver.recv().ok())
}

/// Ends the process, but not inside a record, and removes files without a record.
pub fn end(status: i32) -> ! {
    end_after(status, |_| ())
}

/// Does the same after `last`, while nothing is written any more. `last` gets false if a record is only half written.
fn end_after(status: i32, last: impl FnOnce(bool)) -> ! {
    let deadline = Instant::now() + PATIENCE;
    let held = wait(deadline, || WRITING.try_lock().ok());
    wait(deadline, undo::try_run_all);
    last(held.is_some());
    exit(status)
}

/// Sets what a stop says if it leaves records in `partial`.
pub fn say_when_stopped(partial: &Path, line: String) {
    *LEFT.lock().unwrap_or_else(PoisonError::into_inner) = Some((partial.to_path_buf(), line));
}

/// Completes a JSON array, removes the progress bar, and prints held messages and how to go on, as long as both
/// outputs are read.
fn tell(is_whole: bool) {
    let tell = move || {
        if is_whole {
            stdout::end_array();
        }
        progress::shown().finish_and_clear();
        messages::release();
        let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((partial, line)) = left
            && std::fs::metadata(partial).is_ok_and(|partial| partial.len() > 0)
        {
            messages::line(line);
        }
    };
    if let Ok(teller) = thread::Builder::new().spawn(tell) {
        wait(Instant::now() + PATIENCE, || teller.is_finished().then_some(()));
    }
}

/// Tries once, and again until the deadline.
fn wait<T>(deadline: Instant, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let got = attempt();
        if got.is_some() || Instant::now() >= deadline {
            return got;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
