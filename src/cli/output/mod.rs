//! Records -> text, one file per format, and the place they are written to.

mod csv;
mod json;
mod sink;
mod table;

use anyhow::Result;
use zsic::ImageError;

use super::args::FormatArg;
use super::fatal::usage;
pub use json::{image_embedding, text_embedding};
pub use sink::{Place, Sink};

/// A label in a record.
pub struct Prediction<'a> {
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
}

impl Format {
    /// The format asked for; `auto` by the ending of `file`, else by whether people read it.
    ///
    /// # Errors
    /// A usage error where the ending promises a format that is not written here.
    pub fn resolve(asked: FormatArg, place: &Place) -> Result<Self> {
        Ok(match (asked, place.ending()) {
            (FormatArg::Table, _) => Self::Table,
            (FormatArg::Jsonl, _) => Self::Jsonl,
            (FormatArg::Json, _) => Self::Json,
            (FormatArg::Csv, _) => Self::Csv,
            (FormatArg::Pipeline, _) => Self::Pipeline,
            (FormatArg::Auto, Some("json")) => Self::Json,
            (FormatArg::Auto, Some("csv")) => Self::Csv,
            (FormatArg::Auto, Some("txt")) => Self::Table,
            (FormatArg::Auto, Some(ending @ ("parquet" | "safetensors" | "npy"))) => {
                return Err(usage(format!(
                    "scores are not written as {ending}; name a .jsonl, .json, .csv or .txt file"
                )));
            }
            (FormatArg::Auto, _) if place.is_terminal() => Self::Table,
            (FormatArg::Auto, _) => Self::Jsonl,
        })
    }
}

/// Writes records in one format to one place, each record whole.
pub struct Writer {
    sink: Sink,
    format: Format,
    logits: bool,
    table: table::Table,
    records: u64,
    /// The first record of `pipeline`, which is bare if no other follows.
    held: Option<String>,
}

impl Writer {
    /// A writer to `sink`, which is `place` opened. `labels` sets the width of tables.
    pub fn new(format: Format, place: &Place, sink: Sink, logits: bool, labels: &[String]) -> Self {
        let table = table::Table::new(labels, logits, place.width(), place.color());
        Self { sink, format, logits, table, records: 0, held: None }
    }

    /// Writes one image's record.
    ///
    /// # Errors
    /// If the place cannot be written; with `pipeline`, if the image failed.
    pub fn record(&mut self, image: &str, outcome: &Outcome) -> Result<()> {
        let first = self.records == 0;
        self.records += 1;
        let text = match self.format {
            Format::Table => self.table.record(image, outcome, first),
            Format::Jsonl => json::record(image, outcome)? + "\n",
            Format::Json => (if first { "[\n  " } else { ",\n  " }).to_owned() + &json::record(image, outcome)?,
            Format::Csv if first => csv::header(self.logits)? + &csv::record(image, outcome, self.logits)?,
            Format::Csv => csv::record(image, outcome, self.logits)?,
            Format::Pipeline => {
                let predictions = outcome.as_ref().map_err(|&e| e.clone())?;
                return self.pipeline(json::pipeline(predictions)?);
            }
        };
        self.sink.write(text.as_bytes())
    }

    /// One input gives a list of predictions, more give a list of such lists: which it is shows with the second.
    fn pipeline(&mut self, list: String) -> Result<()> {
        match (self.records, self.held.take()) {
            (1, _) => {
                self.held = Some(list);
                Ok(())
            }
            (_, Some(first)) => self.sink.write(format!("[{first},\n {list}").as_bytes()),
            (_, None) => self.sink.write(format!(",\n {list}").as_bytes()),
        }
    }

    /// Writes what comes after the last record, and gives a file its name.
    ///
    /// # Errors
    /// If the place cannot be written.
    pub fn finish(mut self) -> Result<()> {
        match (self.format, self.held.take()) {
            (Format::Json, _) => self.sink.write(b"\n]\n")?,
            (Format::Pipeline, Some(only)) => self.sink.write((only + "\n").as_bytes())?,
            (Format::Pipeline, None) => self.sink.write(b"]\n")?,
            _ => {}
        }
        self.sink.finish()
    }
}
