//! Records -> text, one file per format, and the place they are written to.

mod csv;
mod json;
mod parquet;
mod partial;
pub mod provenance;
mod records;
pub mod resume;
mod safetensors;
mod sink;
mod table;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use zsic::ImageError;

use super::args::FormatArg;
use super::fatal::usage;
pub use json::{image_embedding, text_embedding};
pub use partial::{Partial, families};
pub use records::Form;
pub use resume::{Done, Earlier, Log};
pub use safetensors::Tensor;
use serde_json::Value;
pub use sink::{Place, Sink};

/// A label in a record.
pub struct Prediction<'a> {
    /// Its place among the labels.
    pub index: usize,
    pub label: &'a str,
    pub score: f32,
    /// Set if it is to be printed.
    pub logit: Option<f32>,
}

/// What one image came to.
pub type Outcome<'a> = std::result::Result<Vec<Prediction<'a>>, &'a ImageError>;

/// A format that is not `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Jsonl,
    Json,
    Csv,
    Pipeline,
    Parquet,
}

impl Format {
    /// The format asked for; `auto` by the ending of `file`, else by whether people read it.
    ///
    /// # Errors
    /// A usage error where the ending promises a format that is not written here.
    pub fn resolve(asked: FormatArg, place: &Place) -> Result<Self> {
        Ok(match (asked, place.ending().as_deref()) {
            (FormatArg::Table, _) => Self::Table,
            (FormatArg::Jsonl, _) => Self::Jsonl,
            (FormatArg::Json, _) => Self::Json,
            (FormatArg::Csv, _) => Self::Csv,
            (FormatArg::Pipeline, _) => Self::Pipeline,
            (FormatArg::Parquet, _) | (FormatArg::Auto, Some("parquet")) => Self::parquet(place)?,
            (FormatArg::Auto, Some("json")) => Self::Json,
            (FormatArg::Auto, Some("csv")) => Self::Csv,
            (FormatArg::Auto, Some("txt")) => Self::Table,
            (FormatArg::Auto, Some(ending @ ("safetensors" | "npy" | "tsv" | "xlsx" | "html"))) => {
                return Err(usage(format!(
                    "scores are not written as {ending}; name a .jsonl, .json, .csv, .parquet or .txt file"
                )));
            }
            (FormatArg::Auto, _) if place.is_terminal() => Self::Table,
            (FormatArg::Auto, _) => Self::Jsonl,
        })
    }

    /// Parquet, which not every build writes, and only to a file.
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

    /// The name of `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Pipeline => "pipeline",
            Self::Parquet => "parquet",
        }
    }

    /// Returns whether all records are one JSON value, which nothing may stand inside.
    pub fn is_one_value(self) -> bool {
        matches!(self, Self::Json | Self::Pipeline)
    }

    /// How records lie in a partial, if one can be gone on from. A record has at most `most` labels.
    pub fn form(self, logits: bool, most: usize) -> Option<Form> {
        match self {
            Self::Jsonl | Self::Parquet => Some(Form::Lines),
            Self::Csv => Some(Form::Csv { logits, most }),
            Self::Table | Self::Json | Self::Pipeline => None,
        }
    }
}

/// Writes records in one format to one place, each record whole.
pub struct Writer<'a> {
    log: Log,
    format: Format,
    /// Whether people see it as it is written.
    is_terminal: bool,
    logits: bool,
    labels: &'a [String],
    table: table::Table,
    records: u64,
    failed: u64,
    /// The first record of `pipeline`, which is bare if no other follows.
    held: Option<String>,
}

impl<'a> Writer<'a> {
    /// A writer to `log`, which goes to `place`, of scores of `labels`.
    pub fn new(format: Format, place: &Place, log: Log, logits: bool, labels: &'a [String]) -> Self {
        let table = table::Table::new(labels, logits, place.width(), place.color());
        Self { log, format, is_terminal: place.is_terminal(), logits, labels, table, records: 0, failed: 0, held: None }
    }

    /// Writes one image's record.
    ///
    /// # Errors
    /// If the place cannot be written; with `pipeline`, if the image failed.
    pub fn record(&mut self, image: &str, outcome: &Outcome) -> Result<()> {
        let first = self.log.is_first()?;
        self.records += 1;
        self.failed += u64::from(outcome.is_err());
        let text = match self.format {
            Format::Table => self.table.record(image, outcome, first),
            Format::Jsonl => json::record(image, outcome)? + "\n",
            Format::Parquet => parquet::record(image, outcome)? + "\n",
            Format::Json => (if first { "[\n  " } else { ",\n  " }).to_owned() + &json::record(image, outcome)?,
            Format::Csv => {
                let header = if first { csv::header(self.logits)? } else { String::new() };
                let text = header + &csv::record(image, outcome, self.logits)?;
                if self.is_terminal { csv::shown(&text) } else { text }
            }
            Format::Pipeline => {
                let predictions = outcome.as_ref().map_err(|&e| e.clone())?;
                return self.pipeline(json::pipeline(predictions)?);
            }
        };
        self.log.write(text.as_bytes())
    }

    /// One input gives a list of predictions, more give a list of such lists: which it is shows with the second.
    fn pipeline(&mut self, list: String) -> Result<()> {
        match (self.records, self.held.take()) {
            (1, _) => {
                self.held = Some(list);
                Ok(())
            }
            (_, Some(first)) => self.log.write(format!("[{first},\n {list}").as_bytes()),
            (_, None) => self.log.write(format!(",\n {list}").as_bytes()),
        }
    }

    /// The records written, and those of failures among them.
    pub fn counts(&self) -> (u64, u64) {
        (self.records, self.failed)
    }

    /// Writes what comes after the last record, and gives a file its name. `meta` says how it was made.
    ///
    /// # Errors
    /// If the place cannot be written.
    pub fn finish(mut self, meta: &Value) -> Result<()> {
        let is_empty = self.log.is_first()?;
        match (self.format, self.held.take()) {
            (Format::Json, _) | (Format::Pipeline, None) if is_empty => self.log.write(b"[]\n")?,
            (Format::Csv, _) if is_empty => self.log.write(csv::header(self.logits)?.as_bytes())?,
            (Format::Json, _) => self.log.write(b"\n]\n")?,
            (Format::Pipeline, Some(only)) => self.log.write((only + "\n").as_bytes())?,
            (Format::Pipeline, None) => self.log.write(b"]\n")?,
            (Format::Parquet, _) => {
                let make = |journal: &Path, out: &mut File| {
                    let made = parquet::make(journal, out, self.labels, self.logits, meta);
                    made.context("the parquet file cannot be written")
                };
                return self.log.into_sink()?.finish_made(make);
            }
            _ => {}
        }
        self.log.into_sink()?.finish()
    }
}
