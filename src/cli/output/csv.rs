//! CSV: `image,label,score,error`, one row per label; a failed image is one row with `error` set.

use anyhow::Result;
use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use super::super::terminal::printable_lines;
use super::prediction::{Columns, RecordBody};

/// Returns the names of the columns.
fn names(columns: Columns) -> Vec<&'static str> {
    let optional = [("logit", columns.logits), ("accepted", columns.accepted)];
    let optional = optional.into_iter().filter_map(|(name, is_there)| is_there.then_some(name));
    ["image", "label", "score"].into_iter().chain(optional).chain(["error"]).collect()
}

/// Returns the first line.
pub fn header(columns: Columns) -> Result<String> {
    rows([names(columns)])
}

/// Returns one image's rows.
pub fn record(image: &str, outcome: &RecordBody, columns: Columns) -> Result<String> {
    let row = |label: &str, score: String, logit: Option<f32>, accepted: Option<bool>, error: &str| {
        let mut row = vec![image.to_owned(), label.to_owned(), score];
        if columns.logits {
            row.push(logit.map(number).unwrap_or_default());
        }
        if columns.accepted {
            row.push(accepted.map(|accepted| accepted.to_string()).unwrap_or_default());
        }
        row.push(error.to_owned());
        row
    };
    let bare = |error| rows([row("", String::new(), None, None, error)]);
    match outcome {
        Ok(predictions) if predictions.ranked.is_empty() => bare(""), // scored, but no label is left
        Ok(predictions) => {
            let ranked = predictions.ranked.iter();
            rows(ranked.map(|p| row(p.label, number(p.score), p.logit, predictions.accepts(p), "")))
        }
        Err(e) => bare(&e.message),
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
    use super::super::prediction::{Answer, Prediction, Predictions};
    use super::*;
    use zsic::ImageError;
    use zsic::source::ErrorKind;

    const BARE: Columns = Columns { logits: false, accepted: false };
    const LOGITS: Columns = Columns { logits: true, accepted: false };

    #[test]
    fn rows_are_quoted_where_they_must_be() {
        let with = |label, score, logit, answer| {
            let ranked = vec![Prediction { index: 0, label, score, logit }];
            Ok(Predictions { ranked, answer })
        };
        let outcome = with("red, white", 0.25, Some(-1.5), None);
        assert_eq!(
            header(BARE).unwrap() + &record("a.jpg", &outcome, BARE).unwrap(),
            "image,label,score,error\na.jpg,\"red, white\",0.25,\n"
        );
        assert_eq!(record("a.jpg", &outcome, LOGITS).unwrap(), "a.jpg,\"red, white\",0.25,-1.5,\n");
        assert_eq!(record("a.jpg", &Ok(Predictions::default()), BARE).unwrap(), "a.jpg,,,\n");
        let tiny = with("owl", 2.540_616_8e-16, None, None);
        assert_eq!(record("a.jpg", &tiny, BARE).unwrap(), "a.jpg,owl,2.5406168e-16,\n");
        let both = Columns { logits: true, accepted: true };
        let known = with("owl", 0.5, Some(2.0), Some(Answer { accepted: vec!["owl"], places: vec![0], unknown: None }));
        let rows = header(both).unwrap() + &record("a.jpg", &known, both).unwrap();
        assert_eq!(rows, "image,label,score,logit,accepted,error\na.jpg,owl,0.5,2.0,true,\n");
    }

    #[test]
    fn a_failure_is_one_row() {
        let error = ImageError::new(ErrorKind::Decode, "b.jpg: torn");
        assert_eq!(record("b.jpg", &Err(&error), BARE).unwrap(), "b.jpg,,,b.jpg: torn\n");
        assert_eq!(record("b.jpg", &Err(&error), LOGITS).unwrap(), "b.jpg,,,,b.jpg: torn\n");
    }
}
