//! The layout of records in a partial: the text before the first, the image a record names, and the way records come
//! back from a finished file.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::journal::{Journal, record};
use super::prediction::Columns;
use super::{csv, parquet, safetensors};

/// The form of an output.
#[derive(Debug, Clone)]
pub enum Form {
    /// One text, which cannot be continued.
    Whole,
    /// A JSON object per line, beginning with `image`.
    Lines,
    /// Rows of CSV.
    Csv(Columns),
    /// Lines, made into a Parquet file with these labels at the end.
    Parquet { labels: Vec<String> },
    /// Lines, each followed by its row, made into a safetensors file at the end.
    Tensor,
}

impl Form {
    /// Returns the text before the first record.
    ///
    /// # Errors
    /// If it cannot be written as text.
    pub fn head(&self) -> Result<Vec<u8>> {
        match self {
            Self::Csv(columns) => Ok(csv::header(*columns)?.into_bytes()),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the name of the image of a record.
    pub fn name(&self, record: &[u8]) -> Option<String> {
        match self {
            Self::Csv(_) => csv::first_cell(record),
            _ => {
                let rest = record.strip_prefix(br#"{"image":"#)?;
                serde_json::Deserializer::from_slice(rest).into_iter::<String>().next()?.ok()
            }
        }
    }

    /// Copies the records of the finished file at `target` to `out`, by its `journal`, and checks each.
    ///
    /// # Errors
    /// If the file cannot be read, has other records, or `out` cannot be written.
    pub fn unmake(&self, target: &Path, journal: &Journal, out: &Path) -> Result<()> {
        let failed = || format!("{}: cannot be written", out.display());
        match self {
            Self::Whole | Self::Lines | Self::Csv(_) => {
                let linked = std::fs::hard_link(target, out).or_else(|_| super::own::copy(target, out));
                linked.with_context(failed)?;
            }
            Self::Parquet { labels } => {
                parquet::unmake(target, &mut super::own::create(out).with_context(failed)?, labels)?;
            }
            Self::Tensor => {
                safetensors::unmake(target, journal, &mut super::own::create(out).with_context(failed)?)?;
            }
        }
        let file = File::open(out).with_context(failed)?;
        for (index, entry) in journal.entries(0..journal.count).enumerate() {
            let is_whole = record(&file, &entry?)?.is_some();
            ensure!(is_whole, "record {} of {} is not the one that was written", index + 1, target.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_image() {
        let line = b"{\"image\":\"a \\\"b\\\"\\n.jpg\",\"predictions\":[]}\n";
        assert_eq!(Form::Lines.name(line).as_deref(), Some("a \"b\"\n.jpg"));
        assert_eq!(Form::Tensor.name(b"{\"image\":\"a\"}\n\0\0\x80?").as_deref(), Some("a"));
        let rows = b"\"a,\n\"\"b\"\"\",x,0.5,\n\"a,\n\"\"b\"\"\",y,0.3,\n";
        assert_eq!(Form::Csv(Columns::default()).name(rows).as_deref(), Some("a,\n\"b\""));
        assert_eq!((Form::Lines.name(b"{}\n"), Form::Csv(Columns::default()).name(b"")), (None, None));
    }
}
