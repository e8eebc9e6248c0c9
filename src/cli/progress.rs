//! Progress on stderr, where someone watches and results do not scroll by on the same terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::Common;

/// A bar that counts, or nothing.
pub struct Progress(ProgressBar);

impl Progress {
    /// A count of images whose number is not known before the last is found.
    pub fn images(common: &Common, results_on_terminal: bool) -> Self {
        Self::new(common, results_on_terminal, "{spinner} {pos} images ({per_sec}) {msg}")
    }

    /// A count of prompts, for long lists.
    pub fn prompts(common: &Common) -> Self {
        Self::new(common, false, "encoding labels {wide_bar} {pos}/{len} prompts, {eta} left")
    }

    fn new(common: &Common, hidden: bool, style: &str) -> Self {
        if hidden || common.quiet || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::no_length();
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// `done` of `total`.
    pub fn set(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
    }

    /// One more image, `failed` of them in all failed.
    pub fn step(&self, failed: u64) {
        self.0.inc(1);
        if failed > 0 {
            self.0.set_message(format!("{failed} failed"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Warnings and notes on stderr.
pub fn warn(common: &Common, message: impl std::fmt::Display) {
    if !common.quiet {
        anstream::eprintln!("warning: {message}");
    }
}

/// What so many `-v` add.
pub fn note(common: &Common, level: u8, message: impl std::fmt::Display) {
    if common.verbose >= level && !common.quiet {
        anstream::eprintln!("{message}");
    }
}

/// What everybody is told, but for those who asked for quiet.
pub fn say(common: &Common, message: impl std::fmt::Display) {
    if !common.quiet {
        anstream::eprintln!("{message}");
    }
}
