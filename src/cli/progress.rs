//! Progress on stderr, if it is a terminal and results do not scroll by on it.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::args::Common;

/// The bar on the screen. There is one at a time.
static SHOWN: LazyLock<Mutex<ProgressBar>> = LazyLock::new(|| Mutex::new(ProgressBar::hidden()));

/// Makes a bar the one on the screen.
pub fn show(bar: ProgressBar) -> ProgressBar {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&bar);
    bar
}

/// Returns the bar on the screen, or a hidden one.
pub fn shown() -> ProgressBar {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A progress bar, or nothing.
pub struct Progress(ProgressBar);

impl Progress {
    /// Creates a count of images; see [`Self::count`] for their total.
    pub fn images(common: &Common, results_on_terminal: bool) -> Self {
        Self::new(common, results_on_terminal, "{spinner} {pos} images ({rate}/s) {msg}")
    }

    /// Counts all images on a separate thread, if the bar is visible.
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
        _ = std::thread::Builder::new().spawn(count); // on failure the bar shows no total
    }

    /// Creates a count of texts, for long lists. `what` names the work.
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

    /// Shows that `done` of `total` are done.
    pub fn set(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
    }

    /// Shows that `done` images have records, of which `failed` failed.
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
