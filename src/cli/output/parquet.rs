//! Parquet: one row per label, as in CSV. The format has its index at the end, so nothing can be appended to a file.
//! During the run records are lines of JSON, with scores as raw bits. At the end the file is made from them, a bounded
//! number of rows at a time.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::prediction::RecordBody;

pub use file::{make, unmake};

/// Whether this build can write the format.
pub const IS_BUILT: bool = cfg!(feature = "parquet");

/// An image's line in the partial. It begins like a JSON record.
#[derive(Serialize, Deserialize)]
struct RecordLine {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<LineError>,
    /// Indices of the labels, best first.
    #[serde(default)]
    labels: Vec<u32>,
    /// The bits of f32 values.
    #[serde(default)]
    scores: Vec<u32>,
    #[serde(default)]
    logits: Vec<u32>,
    /// Whether each label is accepted, where answers were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accepted: Vec<bool>,
}

impl RecordLine {
    /// Creates an image without labels.
    fn new(image: impl Into<String>) -> Self {
        let image = image.into();
        Self { image, error: None, labels: Vec::new(), scores: Vec::new(), logits: Vec::new(), accepted: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
struct LineError {
    kind: String,
    message: String,
}

/// Returns an image's line in the partial.
pub fn record(image: &str, outcome: &RecordBody) -> Result<String> {
    let mut line = RecordLine::new(image);
    match outcome {
        Ok(predictions) => {
            let ranked = &predictions.ranked;
            line.labels = ranked.iter().map(|p| p.index as u32).collect();
            line.scores = ranked.iter().map(|p| p.score.to_bits()).collect();
            line.logits = ranked.iter().filter_map(|p| p.logit).map(f32::to_bits).collect();
            line.accepted = ranked.iter().filter_map(|p| predictions.accepts(p)).collect();
        }
        Err(e) => line.error = Some(LineError { kind: e.kind.name().to_owned(), message: e.message.clone() }),
    }
    Ok(serde_json::to_string(&line)?)
}

/// Replaces the writer in builds without the format; no run gets that far.
#[cfg(not(feature = "parquet"))]
mod file {
    use std::fs::File;
    use std::path::Path;

    use anyhow::{Result, bail};

    use crate::cli::output::Columns;

    pub fn make(_: &Path, _: &mut File, _: &[String], _: Columns, _: &str) -> Result<()> {
        bail!("this build cannot write parquet")
    }

    pub fn unmake(_: &Path, _: &mut File, _: &[String]) -> Result<()> {
        bail!("this build cannot read parquet")
    }
}

#[cfg(feature = "parquet")]
mod file {
    use std::collections::HashMap;
    use std::fs::File;
    use std::io::{BufRead, BufReader, BufWriter, Write};
    use std::path::Path;
    use std::sync::Arc;

    use crate::cli::output::Columns;
    use crate::cli::output::parquet::{LineError, RecordLine};
    use anyhow::{Context, Result};
    use parquet::basic::{Compression, Encoding};
    use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::record::{Row, RowAccessor};
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::ColumnPath;

    /// Rows of a group: the rows in memory at a time.
    const GROUP: usize = 1 << 18;
    /// The metadata key of the settings.
    const KEY: &str = "zsic";

    /// Makes the file `out` from the lines of a partial. Their indices refer to `labels`, and `meta` says how the file
    /// was made.
    ///
    /// # Errors
    /// If the partial cannot be read, or the file cannot be written.
    pub fn make(partial: &Path, out: &mut File, labels: &[String], columns: Columns, meta: &str) -> Result<()> {
        let logit = if columns.logits { "optional float logit;" } else { "" };
        let accepted = if columns.accepted { "optional boolean accepted;" } else { "" };
        let schema = format!(
            "message scores {{ required binary image (STRING); optional int32 rank; optional binary label (STRING); \
             optional float score; {logit} {accepted} optional binary error_kind (STRING); optional binary error (STRING); }}"
        );
        let mut writer =
            SerializedFileWriter::new(&mut *out, Arc::new(parse_message_type(&schema)?), Arc::new(properties(meta)))?;
        let labels: Vec<ByteArray> = labels.iter().map(|label| label.as_str().into()).collect();
        let mut rows = Rows::default();
        for line in BufReader::with_capacity(1 << 18, File::open(partial)?).split(b'\n') {
            let line: RecordLine = serde_json::from_slice(&line?).context("the partial is damaged")?;
            rows.push(line, &labels).context("the partial is damaged")?;
            if rows.image.len() >= GROUP {
                rows.write(columns, writer.next_row_group()?)?;
                rows.clear();
            }
        }
        if !rows.image.is_empty() {
            rows.write(columns, writer.next_row_group()?)?;
        }
        writer.close()?;
        Ok(())
    }

    /// Writes the lines that a file was made from.
    ///
    /// # Errors
    /// If it cannot be read, has other columns or labels, or `lines` cannot be written.
    pub fn unmake(path: &Path, lines: &mut File, labels: &[String]) -> Result<()> {
        let labels: HashMap<&str, u32> = labels.iter().map(String::as_str).zip(0..).collect();
        let reader = SerializedFileReader::new(File::open(path)?)?;
        let mut lines = BufWriter::new(lines);
        let mut line: Option<RecordLine> = None;
        let mut put =
            |line: &RecordLine| writeln!(lines, "{}", serde_json::to_string(line)?).context("it cannot be written");
        for row in reader.get_row_iter(None)? {
            let row = row?;
            let rank = cell(&row, "rank").and_then(|column| row.get_int(column).ok());
            if rank.is_none_or(|rank| rank == 1) {
                line.take().map_or(Ok(()), |line| put(&line))?;
            }
            let text = |name: &str| cell(&row, name).and_then(|column| row.get_string(column).ok().cloned());
            let bits = |name: &str| cell(&row, name).and_then(|column| row.get_float(column).ok()).map(f32::to_bits);
            let image = text("image").context("a row has no image")?;
            let line = line.get_or_insert_with(|| RecordLine::new(image));
            if let Some(label) = text("label") {
                line.labels.push(*labels.get(label.as_str()).context("it has another label")?);
                line.scores.push(bits("score").context("a row has no score")?);
                line.logits.extend(bits("logit"));
                line.accepted.extend(cell(&row, "accepted").and_then(|column| row.get_bool(column).ok()));
            }
            line.error = text("error_kind").zip(text("error")).map(|(kind, message)| LineError { kind, message });
        }
        line.map_or(Ok(()), |line| put(&line))?;
        Ok(lines.flush()?)
    }

    fn cell(row: &Row, name: &str) -> Option<usize> {
        row.get_column_iter().position(|(column, _)| column == name)
    }

    fn properties(meta: &str) -> WriterProperties {
        let builder = WriterProperties::builder()
            .set_created_by(format!("zsic {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![KeyValue::new(KEY.to_owned(), meta.to_owned())]))
            .set_compression(Compression::LZ4_RAW)
            .set_statistics_enabled(EnabledStatistics::Chunk);
        // Scores rarely repeat, and compress better when split into bytes.
        ["score", "logit"]
            .into_iter()
            .fold(builder, |builder, column| {
                let column = ColumnPath::from(column);
                builder
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::BYTE_STREAM_SPLIT)
            })
            .build()
    }

    /// Rows under construction, column by column. A definition level is 1 for a present value.
    #[derive(Default)]
    struct Rows {
        image: Vec<ByteArray>,
        rank: Vec<i32>,
        label: Vec<ByteArray>,
        score: Vec<f32>,
        logit: Vec<f32>,
        accepted: Vec<bool>,
        scored: Vec<i16>,
        kind: Vec<ByteArray>,
        error: Vec<ByteArray>,
        failed: Vec<i16>,
    }

    impl Rows {
        /// Adds an image's rows. A failed image, or one without predictions, has one row.
        fn push(&mut self, line: RecordLine, labels: &[ByteArray]) -> Option<()> {
            let image = ByteArray::from(line.image.into_bytes());
            let rows = line.labels.len();
            for (rank, (&label, &score)) in line.labels.iter().zip(&line.scores).enumerate() {
                self.rank.push(rank as i32 + 1);
                self.label.push(labels.get(label as usize)?.clone());
                self.score.push(f32::from_bits(score));
            }
            self.logit.extend(line.logits.iter().map(|&bits| f32::from_bits(bits)));
            self.accepted.extend(line.accepted);
            self.failed.resize(self.failed.len() + rows.max(1), i16::from(line.error.is_some()));
            if let Some(error) = line.error {
                self.kind.push(error.kind.into_bytes().into());
                self.error.push(error.message.into_bytes().into());
            }
            self.scored.resize(self.scored.len() + rows.max(1), i16::from(rows > 0));
            self.image.resize(self.image.len() + rows.max(1), image);
            Some(())
        }

        fn write(&self, columns: Columns, mut group: SerializedRowGroupWriter<&mut File>) -> Result<()> {
            column::<ByteArrayType>(&mut group, &self.image, None)?;
            column::<Int32Type>(&mut group, &self.rank, Some(&self.scored))?;
            column::<ByteArrayType>(&mut group, &self.label, Some(&self.scored))?;
            column::<FloatType>(&mut group, &self.score, Some(&self.scored))?;
            if columns.logits {
                column::<FloatType>(&mut group, &self.logit, Some(&self.scored))?;
            }
            if columns.accepted {
                column::<BoolType>(&mut group, &self.accepted, Some(&self.scored))?;
            }
            column::<ByteArrayType>(&mut group, &self.kind, Some(&self.failed))?;
            column::<ByteArrayType>(&mut group, &self.error, Some(&self.failed))?;
            group.close()?;
            Ok(())
        }

        /// Takes the rows out, and keeps the memory.
        fn clear(&mut self) {
            self.image.clear();
            self.rank.clear();
            self.label.clear();
            self.score.clear();
            self.logit.clear();
            self.accepted.clear();
            self.scored.clear();
            self.kind.clear();
            self.error.clear();
            self.failed.clear();
        }
    }

    /// Writes the next column of a group.
    fn column<T: DataType>(
        group: &mut SerializedRowGroupWriter<&mut File>,
        values: &[T::T],
        levels: Option<&[i16]>,
    ) -> Result<()> {
        let mut column = group.next_column()?.context("the schema has fewer columns")?;
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()?;
        Ok(())
    }
}
