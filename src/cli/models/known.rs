//! `zsic models list --known`: the checkpoints that could be fetched.

use std::io::IsTerminal;

use anyhow::Result;
use serde_json::json;

use super::super::Outcome;
use super::super::fetching::size;
use super::super::known::{Known, all};
use super::super::report::{columns_within, print};

const HEAD: [&str; 8] = ["NAME", "FAMILY", "SIZE", "GFLOP", "TOP-1", "SOURCE", "LICENCE", "LANGUAGES"];
/// The columns that a narrow terminal leaves out, in this order.
const SPARE: [&str; 5] = ["SOURCE", "FAMILY", "LANGUAGES", "LICENCE", "GFLOP"];

/// Prints the table.
///
/// # Errors
/// If standard output cannot be written.
pub fn list(json: bool) -> Result<Outcome> {
    let all = all();
    let rows = std::iter::once(HEAD.map(str::to_owned)).chain(all.iter().map(row)).map(Vec::from).collect();
    print(json, &columns_within(width(), rows, &SPARE), || json!(all))
}

fn row(known: &Known) -> [String; 8] {
    let digits = if known.gflop < 99.95 { 1 } else { 0 };
    [
        known.name.clone(),
        known.family.clone(),
        size(known.size),
        format!("{:.digits$}", known.gflop),
        known.imagenet_top1.map(|top1| format!("{top1:.1}")).unwrap_or_default(),
        known.top1_source.clone().unwrap_or_default(),
        known.licence.clone(),
        known.languages.clone(),
    ]
}

/// Returns the cells in a line of the terminal, or 80 if it does not say. Elsewhere nothing is left out.
fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return usize::MAX;
    }
    terminal_size::terminal_size().map_or(80, |(terminal_size::Width(cells), _)| usize::from(cells))
}
