//! The table for people: each image's name, and under it a bar for each label.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::terminal::printable;
use super::prediction::{Prediction, RecordBody};

/// The widest bar. A longer one says nothing more.
const MAX_BAR: usize = 40;
/// Eighths of a cell.
const BLOCKS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

const NAME: Style = Style::new().bold();
const BEST: Style = AnsiColor::Green.on_default().bold();
const BAR: Style = AnsiColor::Cyan.on_default();
const FAILED: Style = AnsiColor::Red.on_default();

/// The columns of a table.
pub struct Table {
    label: usize,
    bar: usize,
    logits: bool,
    color: bool,
}

impl Table {
    /// Creates columns for `labels` in `width` cells.
    pub fn new(labels: &[String], logits: bool, width: usize, color: bool) -> Self {
        let numbers = 8 + if logits { 10 } else { 0 };
        let room = width.saturating_sub(2 + 2 + 2 + numbers);
        let widest = labels.iter().map(|label| printable(label).width()).max().unwrap_or(0);
        let label = widest.min(room * 2 / 3).max(4);
        Self { label, bar: room.saturating_sub(label).min(MAX_BAR), logits, color }
    }

    /// Returns one image's lines.
    pub fn record(&self, image: &str, outcome: &RecordBody, first: bool) -> String {
        let mut text = if first { String::new() } else { "\n".to_owned() };
        match outcome {
            Ok(predictions) => {
                text += &format!("{NAME}{}{NAME:#}\n", printable(image));
                for (rank, prediction) in predictions.ranked.iter().enumerate() {
                    let is_best = predictions.accepts(prediction).unwrap_or(rank == 0);
                    let is_unknown = rank == 0 && predictions.answer.as_ref().is_some_and(|a| a.accepted.is_empty());
                    text += &self.row(prediction, is_best, is_unknown);
                }
            }
            Err(e) => text += &format!("{FAILED}{}{FAILED:#}\n", printable(&e.message)),
        }
        if self.color { text } else { anstream::adapter::strip_str(&text).to_string() }
    }

    /// Returns a label's line. The first of an unknown image has this word in place of its bar.
    fn row(&self, p: &Prediction, best: bool, is_unknown: bool) -> String {
        let style = if best { BEST } else { Style::new() };
        let label = fit(&printable(p.label), self.label);
        let logit =
            if self.logits { p.logit.map(|l| format!("  {l:>8.3}")).unwrap_or_default() } else { String::new() };
        let bar = if is_unknown { fit("unknown", self.bar) } else { bar(p.score, self.bar) };
        format!("  {style}{label}{style:#}  {BAR}{bar}{BAR:#}  {style}{:>6.2} %{style:#}{logit}\n", p.score * 100.0)
    }
}

/// Returns a bar of `width` cells, filled in eighths.
fn bar(score: f32, width: usize) -> String {
    let eighths = (f64::from(score.clamp(0.0, 1.0)) * width as f64 * 8.0).round() as usize;
    let (full, part) = (eighths / 8, eighths % 8);
    let filled = full + usize::from(part > 0);
    "█".repeat(full) + BLOCKS[part] + &" ".repeat(width - filled)
}

/// Returns `text` in exactly `width` cells, shortened with an ellipsis if needed.
fn fit(text: &str, width: usize) -> String {
    let mut cut = text.to_owned();
    if text.width() > width {
        let mut used = 1;
        let fits = |c: &char| {
            used += c.width().unwrap_or(0);
            used <= width
        };
        cut = text.chars().take_while(fits).collect::<String>() + "…";
    }
    let missing = width.saturating_sub(cut.width());
    cut + &" ".repeat(missing)
}

#[cfg(test)]
mod tests {
    use super::super::prediction::{Answer, Predictions};
    use super::*;

    #[test]
    fn rows_fit_the_width() {
        let labels = ["owl".to_owned(), "日本のふくろう".to_owned(), "a very long label indeed ".repeat(9)];
        for width in [20, 40, 80, 200] {
            for logits in [false, true] {
                let table = Table::new(&labels, logits, width, true);
                for label in &labels {
                    let prediction = Prediction { index: 0, label, score: 0.51234, logit: logits.then_some(-12.3456) };
                    let row = anstream::adapter::strip_str(&table.row(&prediction, true, false)).to_string();
                    let used = row.trim_end_matches('\n').width();
                    assert!(used <= width.max(30), "{used} of {width}: {row}");
                }
            }
        }
    }

    #[test]
    fn a_record_reads_well() {
        let labels = ["owl".to_owned(), "bear".to_owned()];
        let table = Table::new(&labels, false, 40, false);
        let rows = || {
            vec![
                Prediction { index: 0, label: "owl", score: 0.75, logit: None },
                Prediction { index: 0, label: "bear", score: 0.25, logit: None },
            ]
        };
        let expected = "\
owl.jpg
  owl   ████████████████▌        75.00 %
  bear  █████▌                   25.00 %
";
        let bare = Predictions { ranked: rows(), ..Predictions::default() };
        assert_eq!(table.record("owl.jpg", &Ok(bare), true), expected);
        let answer = Some(Answer { accepted: Vec::new(), places: Vec::new(), unknown: Some(0.9) });
        let unknown = table.record("owl.jpg", &Ok(Predictions { ranked: rows(), answer }), true);
        assert_eq!(unknown.lines().nth(1).unwrap(), "  owl   unknown                  75.00 %");
    }
}
