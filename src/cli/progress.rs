//! Progress on stderr, where someone watches and results do not scroll by on the same terminal.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::args::Common;

/// The bar on the screen; there is one at a time.
static SHOWN: LazyLock<Mutex<ProgressBar>> = LazyLock::new(|| Mutex::new(ProgressBar::hidden()));

/// Notes that a bar is on the screen now, in place of another.
pub fn show(bar: ProgressBar) -> ProgressBar {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&bar);
    bar
}

/// Returns the bar on the screen; one that is hidden if there is none.
pub fn shown() -> ProgressBar {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A bar that counts, or nothing.
pub struct Progress(ProgressBar);

impl Progress {
    /// A count of images; see [`Self::count`] for how many there will be.
    pub fn images(common: &Common, results_on_terminal: bool) -> Self {
        Self::new(common, results_on_terminal, "{spinner} {pos} images ({rate}/s) {msg}")
    }

    /// Finds out, on a thread of its own, how many images there will be, if anybody watches.
    pub fn count(&self, total: impl FnOnce() -> Option<u64> + Send + 'static) {
        if self.0.is_hidden() {
            return;
        }
        let bar = self.0.clone();
        let count = move || {
            if let Some(total) = total() {
                bar.set_length(total);
                bar.set_style(style(
                    "{spinner} {wide_bar} {human_pos}/{human_len} images ({rate}/s), {eta} left {msg}",
                ));
            }
        };
        _ = std::thread::Builder::new().spawn(count); // without it, the bar has no end
    }

    /// A count of texts, for long lists; `what` is being done to them.
    pub fn texts(common: &Common, what: &str) -> Self {
        Self::new(common, false, &format!("{what} {{wide_bar}} {{pos}}/{{len}}, {{eta}} left"))
    }

    fn new(common: &Common, hidden: bool, style: &str) -> Self {
        if hidden || common.quiet || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::no_length();
        bar.set_style(self::style(style));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(show(bar))
    }

    /// `done` of `total`.
    pub fn set(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
    }

    /// `done` images have their records, of which `failed` failed.
    pub fn images_done(&self, done: u64, failed: u64) {
        self.0.set_position(done);
        if failed > 0 {
            self.0.set_message(format!("{failed} failed"));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let rate = |state: &ProgressState, out: &mut dyn Write| _ = write!(out, "{:.1}", state.per_sec());
    style.with_key("rate", rate)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
