//! Standard output, which may be closed or full. If a process starts without it, the standard library opens `/dev/null`
//! instead and all output would be lost silently, so this is checked before.

use std::io::{self, ErrorKind, IsTerminal, Stdout, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use zsic::system::pipe::{self, AsStream};

use super::terminal::escaped;

const UNWRITABLE: &str = "standard output: cannot be written";
/// Bytes of records that are written together.
const TOGETHER: usize = 1 << 16;
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
/// What completes the JSON array on standard output, while it is unfinished.
static REST: Mutex<Option<&str>> = Mutex::new(None);
const EMPTY: &str = "[]\n";
const END: &str = "\n]\n";
/// Whether the last line on the terminal is unfinished.
static IS_IN_LINE: AtomicBool = AtomicBool::new(false);

ctor::declarative::ctor! {
    #[ctor(unsafe)]
    fn look() {
        IS_CLOSED.store(pipe::is_closed(&stdout()), Ordering::Relaxed);
    }
}

/// Returns standard output, for results.
///
/// # Errors
/// If the parent process closed it.
pub fn open() -> Result<Patient<Stdout>> {
    if IS_CLOSED.load(Ordering::Relaxed) {
        bail!("standard output: cannot be written: it is closed; send it to a file or a pipe");
    }
    Ok(Patient(stdout()))
}

/// Writes to standard output.
///
/// # Errors
/// If it is closed or cannot be written.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut out = open()?;
    out.write_all(bytes).and_then(|()| out.flush()).context(UNWRITABLE)
}

/// Prints clap's help or version, in colour on a terminal.
///
/// # Errors
/// If standard output is closed or cannot be written.
pub fn print(e: &clap::Error) -> Result<()> {
    let mut out = open()?;
    e.print().and_then(|()| out.flush()).context(UNWRITABLE)
}

fn rest() -> MutexGuard<'static, Option<&'static str>> {
    REST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a JSON array of records. From then on [`end_array`] makes the output one value.
pub fn begin_array() {
    *rest() = Some(EMPTY);
}

/// Completes the array, if it is unfinished. Call it only when no record is being written.
pub fn end_array() {
    if let Some(rest) = rest().take() {
        _ = write(rest.as_bytes());
        IS_IN_LINE.store(false, Ordering::Relaxed);
    }
}

/// Standard output, for records.
pub struct RecordOut {
    out: Patient<Stdout>,
    is_terminal: bool,
    /// Records that are not written yet.
    waiting: Vec<u8>,
}

impl RecordOut {
    /// Opens standard output.
    ///
    /// # Errors
    /// If the parent process closed it.
    pub fn open() -> Result<Self> {
        Ok(Self { out: open()?, is_terminal: stdout().is_terminal(), waiting: Vec::new() })
    }

    /// Adds a record, or another part of the output. It may wait for the next ones.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: &[u8]) -> io::Result<()> {
        if self.is_terminal {
            let text = String::from_utf8_lossy(record);
            IS_IN_LINE.store(!text.ends_with('\n'), Ordering::Relaxed);
            self.waiting.extend(escaped(&text).as_bytes());
        } else {
            self.waiting.extend(record);
        }
        if self.is_terminal || self.waiting.len() >= TOGETHER { self.flush() } else { Ok(()) }
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.out.write_all(&waiting).and_then(|()| self.out.flush());
        if let Some(rest) = &mut *rest()
            && !waiting.is_empty()
        {
            *rest = if written.is_err() || waiting.ends_with(b"]\n") { "" } else { END };
        }
        written
    }
}

impl Drop for RecordOut {
    /// Writes the records before a failure that ends the run, and the end of their array.
    fn drop(&mut self) {
        _ = self.flush();
        let has_records = *rest() == Some(END);
        if has_records {
            end_array();
        }
    }
}

/// Returns whether the last line on the terminal is unfinished, and counts it as finished from then on.
pub fn leave_line() -> bool {
    IS_IN_LINE.swap(false, Ordering::Relaxed)
}

/// A pipe or terminal that is waited for while it is full. A process that shares it may have made it nonblocking.
pub struct Patient<W>(pub W);

impl<W: Write + AsStream> Patient<W> {
    fn wait_for<T>(&mut self, mut attempt: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(&mut self.0) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => pipe::wait_for_room(&self.0)?,
                done => return done,
            }
        }
    }
}

impl<W: Write + AsStream> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait_for(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait_for(Write::flush)
    }
}

#[cfg(all(test, unix))] // pipes that do not block
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use std::io::{LineWriter, Read, pipe};
    use std::os::fd::AsFd;
    use std::thread;
    use std::time::Duration;

    /// A pipe behind the standard library's buffer of standard output.
    struct Lines(LineWriter<io::PipeWriter>);

    impl AsFd for Lines {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.get_ref().as_fd()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    #[test]
    fn a_full_pipe_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = pipe().unwrap();
        fcntl_setfl(&writer, fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK).unwrap();
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let read = thread::spawn(move || {
            let mut all = Vec::new();
            let mut part = [0; 5000];
            while let n @ 1.. = reader.read(&mut part).unwrap() {
                all.extend_from_slice(&part[..n]);
                thread::sleep(Duration::from_micros(100));
            }
            all
        });
        let mut out = Patient(Lines(LineWriter::new(writer)));
        for part in text.chunks(100_000) {
            out.write_all(part).and_then(|()| out.flush()).unwrap();
        }
        drop(out);
        assert!(read.join().unwrap() == text);
    }
}
