//! The formats of the report, and which one is asked for.

use anyhow::Result;
use clap::ValueEnum;

use super::super::args::ReportFormat;
use super::super::output::{Place, ending, page};
use super::report::Report;
use super::{csv, table};

/// Returns the report in a format, a table within `width` cells; nothing for HTML, which `page.rs` writes.
///
/// # Errors
/// If a number cannot be written.
pub fn text(format: ReportFormat, report: &Report, width: usize) -> Result<Option<String>> {
    Ok(Some(match format {
        ReportFormat::Html => return Ok(None),
        ReportFormat::Table | ReportFormat::Auto => table::table(report, width),
        ReportFormat::Json => serde_json::to_string_pretty(report)? + "\n",
        ReportFormat::Csv => csv::report(report)?,
        ReportFormat::Jsonl => {
            let lines = report.runs.iter().map(|run| Ok(serde_json::to_string(run)? + "\n"));
            lines.collect::<Result<String>>()?
        }
    }))
}

/// Returns the format asked for; `auto` is what the ending of the file says, and else depends on whether people read it.
///
/// # Errors
/// A usage error for an ending that names another format.
pub fn format(asked: ReportFormat, place: &Place) -> Result<ReportFormat> {
    let ending = place.ending();
    let format = match (asked, ending.as_deref()) {
        (ReportFormat::Auto, None) if place.is_terminal() => ReportFormat::Table,
        (ReportFormat::Auto, None | Some("json")) => ReportFormat::Json,
        (ReportFormat::Auto, Some("jsonl" | "ndjson")) => ReportFormat::Jsonl,
        (ReportFormat::Auto, Some("csv")) => ReportFormat::Csv,
        (ReportFormat::Auto, Some(ending)) if page::ENDINGS.contains(&ending) => ReportFormat::Html,
        (ReportFormat::Html, _) if place.is_terminal() => return Err(page::no_terminal()),
        (ReportFormat::Auto, Some("txt")) => ReportFormat::Table,
        (ReportFormat::Auto, Some(_)) if place.promises_nothing() => ReportFormat::Json,
        (ReportFormat::Auto, Some(ending)) => {
            return Err(ending::refuse(
                &place.name(),
                ending,
                "reports",
                &[".json", ".jsonl", ".csv", ".html", ".txt"],
            ));
        }
        (asked, _) => asked,
    };
    match ending.filter(|ending| place.is_file() && ending::names_another(ending, endings(format))) {
        Some(ending) => {
            let endings: Vec<String> = endings(format).iter().map(|ending| format!(".{ending}")).collect();
            Err(ending::refuse(&place.name(), &ending, &format!("{} reports", name(format)), &endings))
        }
        None => Ok(format),
    }
}

/// Returns the name of a format for `--format`.
fn name(format: ReportFormat) -> String {
    format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Returns the endings that a file of this format may have.
fn endings(format: ReportFormat) -> &'static [&'static str] {
    match format {
        ReportFormat::Auto | ReportFormat::Table => &["txt"],
        ReportFormat::Json => &["json", "txt"],
        ReportFormat::Jsonl => &["jsonl", "ndjson", "txt"],
        ReportFormat::Csv => &["csv", "txt"],
        ReportFormat::Html => page::ENDINGS,
    }
}
