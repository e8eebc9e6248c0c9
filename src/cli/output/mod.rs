//! Records -> text, one file per format, and the place they are written to.

mod beside;
mod csv;
pub mod ending;
pub mod journal;
mod json;
mod kept;
mod log;
pub mod made_with;
pub mod meta;
pub mod notes;
pub mod own;
pub mod page;
mod parquet;
mod partial;
mod prediction;
mod records;
mod rest;
pub mod resume;
mod safetensors;
mod sink;
mod table;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use super::args::FormatArg;
use super::fatal::usage;
pub use beside::families;
use journal::Of;
pub use json::{boxed_record, image_embedding, text_embedding};
pub use log::Log;
use meta::Facts;
use page::Page;
use prediction::RecordBody;
pub use prediction::{Columns, Predictions};
pub use records::Form;
pub use rest::{Earlier, Rest};
pub use safetensors::Tensor;
pub use sink::{Place, Sink};
use zsic::pipeline::Version;
use zsic::source::Name;

/// A format that is not `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Jsonl,
    Json,
    Csv,
    Pipeline,
    Parquet,
    Html,
}

impl Format {
    /// Returns the requested format. `auto` is the format of the file's ending, or else depends on whether people read
    /// it.
    ///
    /// # Errors
    /// A usage error if the ending promises something other than what would be written.
    pub fn resolve(asked: FormatArg, place: &Place) -> Result<Self> {
        let ending = place.ending();
        let format = match asked {
            FormatArg::Table => Self::Table,
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Json => Self::Json,
            FormatArg::Csv => Self::Csv,
            FormatArg::Pipeline => Self::Pipeline,
            FormatArg::Parquet => Self::Parquet,
            FormatArg::Html => Self::Html,
            FormatArg::Megadetector => return Err(usage("--format megadetector fills the file of --boxes; name that")),
            FormatArg::Auto => match ending.as_deref() {
                None if place.is_terminal() => Self::Table,
                None => Self::Jsonl,
                Some(ending) => match Self::of_ending(ending) {
                    Some(format) => format,
                    None if place.promises_nothing() => Self::Jsonl,
                    None => {
                        let all = [".jsonl", ".json", ".csv", ".parquet", ".html", ".txt"].into_iter();
                        let known = all.filter(|ending| parquet::IS_BUILT || *ending != ".parquet");
                        return Err(ending::refuse(&place.name(), ending, "scores", &known.collect::<Vec<_>>()));
                    }
                },
            },
        };
        if let Some(ending) = ending.filter(|ending| place.is_file() && ending::names_another(ending, format.endings()))
        {
            let endings: Vec<String> = format.endings().iter().map(|ending| format!(".{ending}")).collect();
            let what = format!("{} scores", format.name());
            return Err(ending::refuse(&place.name(), &ending, &what, &endings));
        }
        match format {
            Self::Parquet => Self::parquet(place),
            Self::Html if place.is_terminal() => Err(page::no_terminal()),
            format => Ok(format),
        }
    }

    /// Returns the format that an ending stands for.
    fn of_ending(ending: &str) -> Option<Self> {
        let all = [Self::Table, Self::Jsonl, Self::Json, Self::Csv, Self::Parquet, Self::Html];
        all.into_iter().find(|format| format.endings().contains(&ending))
    }

    /// Returns the endings that a file of this format may have. A `txt` may have any text format, and is a table by
    /// default.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Table => &["txt"],
            Self::Jsonl => &["jsonl", "ndjson", "txt"],
            Self::Json | Self::Pipeline => &["json", "txt"],
            Self::Csv => &["csv", "txt"],
            Self::Parquet => &["parquet"],
            Self::Html => page::ENDINGS,
        }
    }

    /// Returns Parquet, which not every build writes, and only to a file.
    fn parquet(place: &Place) -> Result<Self> {
        if !parquet::IS_BUILT {
            let reason =
                "this build writes no parquet; install one that does: cargo install --path . --features parquet";
            return Err(usage(reason));
        }
        if !place.is_file() {
            return Err(usage("parquet is written to a file only; name it with -o FILE"));
        }
        Ok(Self::Parquet)
    }

    /// Returns its name for `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Pipeline => "pipeline",
            Self::Parquet => "parquet",
            Self::Html => "html",
        }
    }

    /// Returns whether all records are one JSON value, inside which nothing else may be printed.
    pub fn is_one_value(self) -> bool {
        matches!(self, Self::Json | Self::Pipeline)
    }

    /// Returns the layout of records in a partial.
    pub fn form(self, columns: Columns, labels: &[&str]) -> Form {
        match self {
            Self::Jsonl => Form::Lines,
            Self::Parquet => Form::Parquet { labels: labels.iter().map(|&label| label.to_owned()).collect() },
            Self::Csv => Form::Csv(columns),
            Self::Table | Self::Json | Self::Pipeline | Self::Html => Form::Whole,
        }
    }
}

/// Writes records in one format to one place, each record whole.
pub struct RecordWriter<'a> {
    log: Log,
    format: Format,
    /// Whether people see the output as it is written.
    is_terminal: bool,
    columns: Columns,
    labels: &'a [String],
    table: table::Table,
    page: Page<'a>,
    records: u64,
    failed: u64,
    /// The first record of `pipeline`, which has no outer list if no other follows.
    held: Option<String>,
}

impl<'a> RecordWriter<'a> {
    /// Creates a writer of scores of `labels` to `log`, which goes to `place`. `page` is for HTML.
    pub fn new(
        format: Format,
        place: &Place,
        log: Log,
        columns: Columns,
        labels: &'a [String],
        page: Page<'a>,
    ) -> Self {
        let table = table::Table::new(labels, columns.logits, place.width(), place.color());
        let is_terminal = place.is_terminal();
        Self { log, format, is_terminal, columns, labels, table, page, records: 0, failed: 0, held: None }
    }

    /// Writes one image's record.
    ///
    /// # Errors
    /// If the place cannot be written; with `pipeline`, if the image failed.
    pub fn record(&mut self, name: &Name, version: Version, outcome: &RecordBody) -> Result<()> {
        let image = name.as_str();
        let first = self.log.is_first()?;
        self.records += 1;
        self.failed += u64::from(outcome.is_err());
        let text = match self.format {
            Format::Table => self.table.record(image, outcome, first),
            Format::Jsonl => json::record(image, outcome)? + "\n",
            Format::Parquet => parquet::record(image, outcome)? + "\n",
            Format::Json => (if first { "[\n  " } else { ",\n  " }).to_owned() + &json::record(image, outcome)?,
            Format::Csv => {
                let text = csv::record(image, outcome, self.columns)?;
                if self.is_terminal { csv::shown(&text) } else { text }
            }
            Format::Pipeline => {
                let predictions = outcome.as_ref().map_err(|&e| e.clone())?;
                return self.pipeline(json::pipeline(&predictions.ranked)?);
            }
            Format::Html => {
                self.page.record(name, version, outcome);
                return Ok(());
            }
        };
        self.log.write(text.as_bytes(), &Of::new(image, version, outcome.is_err()))
    }

    /// Writes all records so far.
    ///
    /// # Errors
    /// If the place cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.log.flush()
    }

    /// Writes one list for one input, and a list of lists for several. The first list is held back until a second
    /// arrives.
    fn pipeline(&mut self, list: String) -> Result<()> {
        match (self.records, self.held.take()) {
            (1, _) => {
                self.held = Some(list);
                Ok(())
            }
            (_, Some(first)) => self.log.write_rest(format!("[{first},\n {list}").as_bytes()),
            (_, None) => self.log.write_rest(format!(",\n {list}").as_bytes()),
        }
    }

    /// Returns the number of records written, and of failures among them.
    pub fn counts(&self) -> (u64, u64) {
        (self.records, self.failed)
    }

    /// Writes the end of the output after the last record, and gives a file its name. `facts` say how it was made.
    ///
    /// # Errors
    /// If the place cannot be written.
    pub fn finish(mut self, facts: &Facts) -> Result<()> {
        let is_empty = self.log.is_first()?;
        match (self.format, self.held.take()) {
            (Format::Json, _) | (Format::Pipeline, None) if is_empty => self.log.write_rest(b"[]\n")?,
            (Format::Json, _) => self.log.write_rest(b"\n]\n")?,
            (Format::Pipeline, Some(only)) => self.log.write_rest((only + "\n").as_bytes())?,
            (Format::Pipeline, None) => self.log.write_rest(b"]\n")?,
            (Format::Html, _) => self.page.write(|part| self.log.write_rest(part))?,
            (Format::Parquet, _) => {
                let make = |records: &Path, out: &mut File| {
                    let made = parquet::make(records, out, self.labels, self.columns, &serde_json::to_string(facts)?);
                    made.context("the parquet file cannot be written")
                };
                return self.log.into_sink()?.finish_made(make);
            }
            _ => {}
        }
        self.log.into_sink()?.finish()
    }
}
