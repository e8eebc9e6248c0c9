//! Shows the progress of fetching a checkpoint: a bar per file on a terminal, a line per file elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use zsic::net::hub::Event;

use super::args::Common;
use super::messages::line;
use super::progress::show;
use super::terminal::printable;

const STYLE: &str = "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left";

/// Turns events into lines and bars.
pub struct Fetching {
    on_terminal: bool,
    file: Mutex<FileProgress>,
}

/// The current file.
struct FileProgress {
    bar: ProgressBar,
    have: u64,
    start: Instant,
}

impl Fetching {
    /// Returns the listener for the library. Dropping it removes the bar.
    pub fn listener(common: &Common) -> Box<dyn Fn(Event<'_>) + Send + Sync> {
        if common.quiet {
            return Box::new(|_| ());
        }
        let file = Mutex::new(FileProgress { bar: ProgressBar::hidden(), have: 0, start: Instant::now() });
        let fetching = Self { on_terminal: std::io::stderr().is_terminal(), file };
        Box::new(move |event| fetching.on(&event))
    }

    fn on(&self, event: &Event<'_>) {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Planned { name, files, bytes, .. } => {
                let plural = if *files == 1 { "" } else { "s" };
                line(format!("fetching {name}: {files} file{plural}, {}", size(*bytes)));
            }
            Event::Started { file: name, size, have } => {
                *file = FileProgress { bar: self.bar(name, *size, *have), have: *have, start: Instant::now() };
            }
            Event::Advanced { position, .. } => file.bar.set_position(*position),
            Event::Finished { file: name, size } => {
                file.bar.finish_and_clear();
                if !self.on_terminal {
                    line(finished(name, *size, size.saturating_sub(file.have), file.start.elapsed()));
                }
            }
            Event::Waiting { file: name } => line(format!("waiting for another process to fetch {name}")),
            Event::Retrying { reason, pause } => {
                let pause = pause.as_secs_f32();
                line(format!("warning: {reason}; trying again in {pause} s"));
            }
            Event::Unnoted { reason } => {
                line(format!("warning: {reason}; all files are there, but later runs will ask the hub again"));
            }
            _ => {}
        }
    }

    fn bar(&self, name: &str, size: u64, have: u64) -> ProgressBar {
        if !self.on_terminal {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(size).with_message(printable(name)).with_position(have);
        bar.set_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.reset_eta();
        show(bar)
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Ok(file) = self.file.get_mut() {
            file.bar.finish_and_clear();
        }
    }
}

fn finished(name: &str, whole: u64, fetched: u64, time: Duration) -> String {
    let rate = fetched as f64 / time.as_secs_f64().max(1e-3);
    let part = if fetched < whole { format!(", the last {}", size(fetched)) } else { String::new() };
    format!("fetched {name}, {}{part} in {:.1} s ({}/s)", size(whole), time.as_secs_f64(), size(rate as u64))
}

/// Formats bytes for people, in powers of ten as disks and the hub count them, with three digits. indicatif's
/// `DecimalBytes` has two decimals always: `605.16 MB`.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    let digits = if unit == "B" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_three_digits() {
        let sizes =
            [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (605_157_884, "605 MB"), (1_710_540_580, "1.71 GB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!((size(999_999), size(u64::MAX)), ("1.00 MB".to_owned(), "18.4 EB".to_owned()));
    }
}
