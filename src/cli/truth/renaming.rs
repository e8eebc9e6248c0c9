//! `--map`: names in the truth, and the labels that they stand for.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::Result;
use csv::{ReaderBuilder, Trim};

use super::super::fatal::usage;
use super::super::labels::{self, UNKNOWN};
use super::super::text;
use super::shown::Shown;

/// The most names that a warning lists.
const LISTED: usize = 10;

/// `--map`: names in the truth, and the labels that they stand for.
#[derive(Clone, Default)]
pub struct Renaming(HashMap<String, String>);

impl Renaming {
    /// Reads csv with two columns, or a JSON object.
    ///
    /// # Errors
    /// A usage error if the file cannot be read, or is neither.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(HashMap::new())) };
        let text = text::read(path)?;
        let wrong = |reason: String| usage(format!("{}: {reason}", text::name(path)));
        let rows =
            if text.trim_start().starts_with('{') { json_rows(&text) } else { csv_rows(&text) }.map_err(wrong)?;
        let mut renaming = HashMap::new();
        for (truth, label) in rows {
            if renaming.insert(truth.clone(), label).is_some() {
                return Err(wrong(format!("`{}` is there twice", labels::shown(&truth))));
            }
        }
        Ok(Self(renaming))
    }

    /// Returns what a name stands for, if that is another: a label, [`UNKNOWN`], or nothing for images that are left out.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the renaming of each first name to the second.
    #[cfg(test)]
    pub fn of_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect())
    }

    /// Returns whether nothing is renamed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether some images are of none of the labels.
    pub fn has_unknown(&self) -> bool {
        self.0.values().any(|label| label == UNKNOWN)
    }

    /// Returns a warning about names that the truth does not have.
    pub fn unused(&self, shown: &BTreeSet<Shown>) -> Option<String> {
        let is_shown = |name: &&String| shown.contains(&Shown::Name((*name).clone()));
        let mut unused: Vec<String> =
            self.0.keys().filter(|name| !is_shown(name)).map(|name| labels::shown(name)).collect();
        unused.sort_unstable();
        let more = unused.len().saturating_sub(LISTED);
        unused.truncate(LISTED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        (!unused.is_empty()).then(|| format!("--map: the truth does not have `{}`{more}", unused.join("`, `")))
    }

    /// Returns the labels that the truth's names stand for, in order, without the unknown and those left out.
    pub fn labels(&self, shown: &BTreeSet<Shown>) -> Vec<String> {
        let name = |shown: &Shown| match shown {
            Shown::Name(name) => Some(self.0.get(name).unwrap_or(name).clone()),
            Shown::Index(_) => None,
        };
        let names: BTreeSet<String> = shown.iter().filter_map(name).collect();
        let own =
            |name: &String| !name.is_empty() && (name != UNKNOWN || !self.0.values().any(|label| label == UNKNOWN));
        names.into_iter().filter(own).collect()
    }
}

/// Reads csv with two columns.
fn csv_rows(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut reader = ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(text.as_bytes());
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row.map_err(|e| format!("is not csv: {e}"))?;
        match (row.get(0), row.get(1), row.len()) {
            (Some(truth), Some(label), 2) => Ok((truth.to_owned(), label.to_owned())),
            _ => Err("write two columns: a name in the truth, and a label".to_owned()),
        }
    };
    reader.records().map(row).collect()
}

/// Reads an object of texts, with doubled keys.
fn json_rows(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = |e: String| format!("is not an object of texts: {e}");
    let (_, entries) = labels::json::read(text).map_err(|e| wrong(e.to_string()))?;
    let row = |(line, name, label): labels::json::JsonEntry| match (name, label) {
        (Some(name), serde_json::Value::String(label)) => Ok((name, label)),
        _ => Err(wrong(format!("line {line}"))),
    };
    entries.into_iter().map(row).collect()
}
