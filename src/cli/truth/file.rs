//! `--truth FILE`: csv, tsv or jsonl with an image and its label, or several, in each row.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::Value;
use zsic::source::Input;
use zsic::text::lines;

use super::super::fatal::usage;
use super::super::text;
use super::shown::{Shown, absolute};

const IMAGE: [&str; 3] = ["image", "path", "file"];
const LABEL: [&str; 2] = ["label", "labels"];
/// What separates labels in a cell of csv.
const SEPARATOR: char = ';';

/// An image as it is written, and its labels.
type Row = (String, Vec<String>);

/// Returns what each image shows, by its absolute path. Paths are relative to the file, and rows of one image add up.
///
/// # Errors
/// A usage error if the file cannot be read, lacks a column, or a row is not as it should be.
pub fn read(file: &Path) -> Result<HashMap<PathBuf, Vec<Shown>>> {
    let text = text::read(file)?;
    let wrong = |reason: String| usage(format!("{}: {reason}", text::name(file)));
    let is_jsonl = text.trim_start().starts_with('{');
    let rows = if is_jsonl { json_rows(&text) } else { csv_rows(&text) }.map_err(wrong)?;
    if rows.is_empty() {
        return Err(wrong("has no rows".to_owned()));
    }
    let base = file.parent().unwrap_or(Path::new(""));
    let mut shown = HashMap::<PathBuf, Vec<Shown>>::new();
    for (image, labels) in rows {
        let image = without_space(base, &image);
        let key = match Input::from_arg(image) {
            Input::Path(path) => absolute(&base.join(path)),
            other => PathBuf::from(other.name().as_str()), // a URL, or a built-in picture
        };
        let all = shown.entry(key).or_default();
        let new = labels.into_iter().map(Shown::Name).filter(|label| !all.contains(label)).collect::<Vec<_>>();
        all.extend(new);
    }
    Ok(shown)
}

/// Reads csv, or tsv if the first line has a tab.
fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let separator = if text.lines().next().is_some_and(|line| line.contains('\t')) { b'\t' } else { b',' };
    let mut reader = ReaderBuilder::new().delimiter(separator).trim(Trim::Headers).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| format!("is not csv: {e}"))?.clone();
    let column = |names: &[&str]| header.iter().position(|name| names.contains(&name.to_lowercase().as_str()));
    let is_joined = |cell: &str| cell.contains([SEPARATOR, ',']);
    let advice = if header.iter().any(is_joined) { "; separate columns with commas" } else { "" };
    let need = |names: &[&str]| {
        let lacks = || format!("has no column `{}`; its first line is `{}`{advice}", names[0], shown(&header));
        column(names).ok_or_else(lacks)
    };
    let (image, label) = (need(&IMAGE)?, need(&LABEL)?);
    let several = header[label].eq_ignore_ascii_case(LABEL[1]);
    let row = |row: csv::Result<StringRecord>| {
        let row = row.map_err(|e| format!("is not csv: {e}"))?;
        let labels = row[label].trim();
        let labels: Vec<String> = if several {
            labels.split(SEPARATOR).map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect()
        } else if labels.is_empty() {
            let line = row.position().map_or(0, csv::Position::line);
            return Err(format!("line {line}: has no label; a column `labels` may be empty"));
        } else {
            vec![labels.to_owned()]
        };
        Ok((row[image].to_owned(), labels))
    };
    reader.records().map(row).collect()
}

/// Returns a name without the space around it, unless there is a file of the whole name.
fn without_space<'i>(base: &Path, image: &'i str) -> &'i str {
    let trimmed = image.trim();
    if trimmed.len() < image.len() && base.join(image).exists() { image } else { trimmed }
}

fn shown(header: &StringRecord) -> String {
    super::super::labels::shown(&header.iter().collect::<Vec<_>>().join(","))
}

/// Reads an object in each line.
fn json_rows(text: &str) -> Result<Vec<Row>, String> {
    let row = |(line, text): (usize, &str)| {
        let wrong = |what: &str| format!("line {line}: {what}; write {{\"image\": .., \"label\": ..}}");
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(&format!("is not JSON: {e}")))?;
        let find = |names: &[&str]| names.iter().find_map(|name| value.get(name));
        let image = find(&IMAGE).and_then(Value::as_str).ok_or_else(|| wrong("has no `image`"))?;
        let labels = match find(&LABEL) {
            Some(Value::String(label)) => vec![label.clone()],
            Some(Value::Array(labels)) => {
                let text = |label: &Value| label.as_str().map(str::to_owned);
                labels.iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong("has a label that is not a text"))?
            }
            _ => return Err(wrong("has no `label` or `labels`")),
        };
        Ok((image.to_owned(), labels))
    };
    lines(text).filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image: &str, labels: &[&str]) -> Row {
        (image.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())
    }

    #[test]
    fn rows_are_read_in_every_form() {
        let one = vec![row("a.jpg", &["cat"]), row("b, c.jpg", &["dog"])];
        assert_eq!(csv_rows("image,label\na.jpg,cat\n\"b, c.jpg\",dog\n").unwrap(), one);
        assert_eq!(csv_rows("x\tPath\tlabel\n1\ta.jpg\tcat\n2\tb, c.jpg\tdog\n").unwrap(), one);
        let lines = "{\"file\":\"a.jpg\",\"label\":\"cat\"}\n\n{\"image\":\"b, c.jpg\",\"labels\":[\"dog\"]}\n";
        assert_eq!(json_rows(lines).unwrap(), one);
        let several = vec![row("a.jpg", &["cat", "dog"]), row("b.jpg", &[])];
        assert_eq!(csv_rows("image,labels\na.jpg,cat; dog\nb.jpg,\n").unwrap(), several);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| csv_rows(text).unwrap_err();
        assert_eq!(wrong("name,label\na,b\n"), "has no column `image`; its first line is `name,label`");
        assert!(wrong("image;label\na;b\n").ends_with("its first line is `image;label`; separate columns with commas"));
        assert!(wrong("image,label\tx\na,b\tc\n").ends_with("; separate columns with commas"));
        assert!(wrong("image,label\na,\n").starts_with("line 2: has no label"));
        assert!(wrong("image,label\na,b,c\n").starts_with("is not csv"));
        assert!(json_rows("{\"image\":\"a\"}").unwrap_err().starts_with("line 1: has no `label` or `labels`"));
    }
}
