//! What `zsic models`, `zsic cache` and `zsic doctor` print: lines, columns and JSON.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;
use zsic::source::Input;

use super::terminal::{escaped, printable, printable_lines};
use super::{Outcome, stdout};

/// Returns a path for JSON, with bytes that are not UTF-8 as `\xNN`.
pub fn shown(path: &Path) -> String {
    Input::Path(path.to_path_buf()).name().as_str().to_owned()
}

/// Returns a line about one fact, in the style of `columns`.
pub fn field(name: &str, value: impl Display) -> String {
    format!("{name:<9} {}\n", printable(&value.to_string()))
}

/// Returns rows with aligned columns, safe to show.
pub fn columns(rows: &[impl AsRef<[String]>]) -> String {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.as_ref().iter().map(|cell| printable(cell)).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line += &" ".repeat(width - cell.width() + 2);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Returns the same within `width` cells: leaves out columns with these heads, one after another, until the rest fits.
pub fn columns_within(width: usize, mut rows: Vec<Vec<String>>, spare: &[&str]) -> String {
    let mut text = columns(&rows);
    for name in spare {
        if text.lines().all(|line| line.width() <= width) {
            break;
        }
        if let Some(column) = rows.first().and_then(|heads| heads.iter().position(|head| head == name)) {
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
        text = columns(&rows);
    }
    text
}

/// Prints a text, made safe to show, or with `json` a value.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(json: bool, text: &str, value: impl Fn() -> Value) -> Result<Outcome> {
    let text = match json {
        true if std::io::stdout().is_terminal() => escaped(&value().to_string()).into_owned(),
        true => value().to_string(),
        false => printable_lines(text.trim_end()),
    };
    if !text.is_empty() {
        stdout::write(format!("{text}\n").as_bytes())?;
    }
    Ok(Outcome::Complete)
}

/// Formats a time as `2026-11-24T21:39:32Z`. Times outside of 1970 to 9999 become the nearest one inside.
pub fn date(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_a_width() {
        let rows =
            [["NAME", "KIND", "SIZE"], ["owner/name", "clip", "9 MB"]].map(|row| row.map(str::to_owned).to_vec());
        let within = |width| columns_within(width, rows.to_vec(), &["SIZE", "KIND"]);
        assert_eq!(within(22), "NAME        KIND  SIZE\nowner/name  clip  9 MB\n");
        assert_eq!(within(21), "NAME        KIND\nowner/name  clip\n");
        assert_eq!(within(15), "NAME\nowner/name\n");
        assert_eq!(within(1), within(15));
    }

    #[test]
    fn dates_are_civil() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_556_372), "2026-11-24T21:39:32Z");
        assert_eq!(at(1 << 39), "9999-12-31T23:59:59Z");
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(9)), at(0));
    }
}
