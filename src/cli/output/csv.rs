//! CSV: `image,label,score,error`, one row per label; a failed image is one row with `error` set.

use anyhow::Result;
use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use super::super::terminal::printable_lines;
use super::prediction::RecordBody;

/// Returns the names of the columns.
fn columns(logits: bool) -> &'static [&'static str] {
    if logits { &["image", "label", "score", "logit", "error"] } else { &["image", "label", "score", "error"] }
}

/// Returns the first line.
pub fn header(logits: bool) -> Result<String> {
    rows([columns(logits)])
}

/// Returns one image's rows.
pub fn record(image: &str, outcome: &RecordBody, logits: bool) -> Result<String> {
    let row = |label: &str, score: String, logit: Option<f32>, error: &str| {
        let mut row = vec![image.to_owned(), label.to_owned(), score];
        if logits {
            row.push(logit.map(number).unwrap_or_default());
        }
        row.push(error.to_owned());
        row
    };
    match outcome {
        Ok(predictions) if predictions.is_empty() => rows([row("", String::new(), None, "")]), // scored, but no label is left
        Ok(predictions) => rows(predictions.iter().map(|p| row(p.label, number(p.score), p.logit, ""))),
        Err(e) => rows([row("", String::new(), None, &e.message)]),
    }
}

/// Returns the first cell of some rows.
pub fn first_cell(rows: &[u8]) -> Option<String> {
    let mut row = ByteRecord::new();
    let is_read = ReaderBuilder::new().has_headers(false).from_reader(rows).read_byte_record(&mut row);
    is_read.ok().filter(|is_read| *is_read).and_then(|_| Some(String::from_utf8_lossy(row.get(0)?).into_owned()))
}

/// Returns the shortest form that reads back the same, as in JSON.
fn number(x: f32) -> String {
    serde_json::to_string(&x).unwrap_or_default() // writing a number never fails
}

fn rows<R: IntoIterator<Item: AsRef<[u8]>>>(rows: impl IntoIterator<Item = R>) -> Result<String> {
    let mut writer = WriterBuilder::new().flexible(false).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// Returns rows that are safe to show on a terminal, where a line break in a field would look like another row.
pub fn shown(rows: &str) -> String {
    let mut is_quoted = false;
    let one_line = |c: char| {
        is_quoted ^= c == '"';
        if c == '\n' && is_quoted { char::REPLACEMENT_CHARACTER } else { c }
    };
    printable_lines(&rows.chars().map(one_line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::prediction::Prediction;
    use super::*;
    use zsic::ImageError;
    use zsic::source::ErrorKind;

    #[test]
    fn rows_are_quoted_where_they_must_be() {
        let outcome = Ok(vec![Prediction { index: 0, label: "red, white", score: 0.25, logit: Some(-1.5) }]);
        assert_eq!(
            header(false).unwrap() + &record("a.jpg", &outcome, false).unwrap(),
            "image,label,score,error\na.jpg,\"red, white\",0.25,\n"
        );
        assert_eq!(record("a.jpg", &outcome, true).unwrap(), "a.jpg,\"red, white\",0.25,-1.5,\n");
        assert_eq!(record("a.jpg", &Ok(Vec::new()), false).unwrap(), "a.jpg,,,\n");
        let tiny = Ok(vec![Prediction { index: 0, label: "owl", score: 2.540_616_8e-16, logit: None }]);
        assert_eq!(record("a.jpg", &tiny, false).unwrap(), "a.jpg,owl,2.5406168e-16,\n");
    }

    #[test]
    fn a_failure_is_one_row() {
        let error = ImageError::new(ErrorKind::Decode, "b.jpg: torn");
        assert_eq!(record("b.jpg", &Err(&error), false).unwrap(), "b.jpg,,,b.jpg: torn\n");
        assert_eq!(record("b.jpg", &Err(&error), true).unwrap(), "b.jpg,,,,b.jpg: torn\n");
    }
}
