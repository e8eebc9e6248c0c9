//! A terminal of a test's own: what a command writes on it, standard output and standard error on one screen.

#![allow(dead_code)] // each test file uses its part

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A command that writes on a terminal.
pub struct Terminal {
    pub child: Child,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts the command, standard error on the terminal, and standard output too if `both`.
    pub fn start(command: &mut Command, both: bool) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ptsname(&master, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(terminal.to_str().unwrap()).unwrap();
        let out = if both { open().into() } else { Stdio::null() };
        let child = command.stdout(out).stderr(open()).spawn().unwrap();
        command.stdout(Stdio::null()).stderr(Stdio::null()); // the child's are the only ones that are open
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let all = Arc::clone(&bytes);
        let reader = spawn(move || {
            let (mut master, mut some) = (File::from(master), [0; 4096]);
            while let Ok(count @ 1..) = master.read(&mut some) {
                all.lock().unwrap().extend_from_slice(&some[..count]); // until nobody has the terminal open
            }
        });
        Self { child, bytes, reader }
    }

    /// Waits until this was written.
    pub fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !written(&self.bytes).contains(text) {
            assert!(start.elapsed().as_secs() < 60, "{text} was not written: {}", written(&self.bytes));
            sleep(Duration::from_millis(5));
        }
    }

    /// Returns what was written when the command has ended.
    pub fn end(mut self) -> String {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        written(&self.bytes)
    }
}

fn written(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap()).replace("\r\n", "\n")
}

/// Returns what is on the screen when the command has ended.
pub fn screen(command: &mut Command) -> String {
    Terminal::start(command, true).end()
}
