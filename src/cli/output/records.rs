//! Reads back what an earlier run wrote: record after record its image, whether it failed, and where it ends. It holds
//! one record at a time, and stops at the first that is torn.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use csv::ByteRecord;

use super::csv::columns;

/// How records lie in a file.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A JSON object a line, that begins with `image`.
    Lines,
    /// Rows of CSV, at most so many a record.
    Csv { logits: bool, most: usize },
}

/// A record that lies in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// The image.
    pub name: String,
    /// Whether it is the record of a failure.
    pub failed: bool,
    /// Where the next record begins.
    pub end: u64,
}

/// The whole records of a file, in their order. What stands before the first, a header, counts to it.
pub enum Records {
    Lines(Lines),
    Csv(Box<Csv>),
}

impl Records {
    /// Opens a file of records.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path, form: Form) -> io::Result<Self> {
        let file = BufReader::with_capacity(1 << 18, File::open(path)?);
        Ok(match form {
            Form::Lines => Self::Lines(Lines { file, line: Vec::new(), at: 0 }),
            Form::Csv { logits, most } => Self::Csv(Box::new(Csv {
                rows: csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file),
                raw: ByteRecord::new(),
                columns: columns(logits),
                most,
                ahead: None,
                begun: false,
                ended: false,
            })),
        })
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Lines(lines) => lines.next().transpose(),
            Self::Csv(rows) => rows.next().transpose(),
        }
    }
}

pub struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    at: u64,
}

impl Lines {
    fn next(&mut self) -> io::Result<Option<Record>> {
        self.line.clear();
        self.at += self.file.read_until(b'\n', &mut self.line)? as u64;
        if !self.line.ends_with(b"}\n") || self.line.contains(&0) {
            return Ok(None); // the end, or torn; a crash may leave zeros
        }
        Ok(head(&self.line).map(|(name, failed)| Record { name, failed, end: self.at }))
    }
}

/// The image of a line, and whether it failed. The rest, which can be long, is not parsed.
fn head(line: &[u8]) -> Option<(String, bool)> {
    let rest = line.strip_prefix(br#"{"image":"#)?;
    let mut names = serde_json::Deserializer::from_slice(rest).into_iter::<String>();
    let name = names.next()?.ok()?;
    Some((name, rest[names.byte_offset()..].starts_with(br#","error":"#)))
}

pub struct Csv {
    rows: csv::Reader<BufReader<File>>,
    raw: ByteRecord,
    columns: &'static [&'static str],
    /// Rows in a record, at most.
    most: usize,
    /// A row that was read to see whether it is of the record before it.
    ahead: Option<Row>,
    /// Whether the header was read.
    begun: bool,
    /// Whether the end, or something torn, was met.
    ended: bool,
}

struct Row {
    image: Vec<u8>,
    /// Empty if the row is a record by itself.
    label: Vec<u8>,
    score: f32,
    failed: bool,
    end: u64,
}

impl Csv {
    fn next(&mut self) -> io::Result<Option<Record>> {
        if !std::mem::replace(&mut self.begun, true) {
            self.rows.read_byte_record(&mut self.raw)?;
            self.ended = self.raw.iter().ne(self.columns.iter().map(|name| name.as_bytes()));
        }
        let Some(first) = self.row()? else { return Ok(None) };
        let (mut labels, mut score, mut end) = (HashSet::from([first.label.clone()]), first.score, first.end);
        while !first.label.is_empty() && labels.len() < self.most {
            let Some(next) = self.row()? else { break };
            // An image can be named twice in a row: in a record labels come once, and scores fall.
            if next.image != first.image
                || next.label.is_empty()
                || next.score > score
                || !labels.insert(next.label.clone())
            {
                self.ahead = Some(next);
                break;
            }
            (score, end) = (next.score, next.end);
        }
        Ok(Some(Record { name: String::from_utf8_lossy(&first.image).into_owned(), failed: first.failed, end }))
    }

    /// The next row; none at the end, and from a torn one on.
    fn row(&mut self) -> io::Result<Option<Row>> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        self.ended = self.ended
            || !self.rows.read_byte_record(&mut self.raw)?
            || self.raw.len() != self.columns.len()
            || self.raw.as_slice().contains(&0);
        if self.ended {
            return Ok(None);
        }
        let cell = |index: usize| self.raw[index].to_vec();
        let failed = !self.raw[self.columns.len() - 1].is_empty();
        let score = std::str::from_utf8(&self.raw[2]).ok().and_then(|score| score.parse().ok()).unwrap_or_default();
        Ok(Some(Row { image: cell(0), label: cell(1), score, failed, end: self.rows.position().byte() }))
    }
}

/// What a file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Whole records.
    pub records: u64,
    /// Those of failures among them.
    pub failed: u64,
    /// Where they end.
    pub end: u64,
}

/// Counts the whole records of a file. Of a file that may be `torn` the last of CSV is not counted: its last rows may be
/// missing. At most `images` records that did not fail are counted.
///
/// # Errors
/// If it cannot be read.
pub fn count(path: &Path, form: Form, torn: bool, images: u64) -> io::Result<Held> {
    let (mut held, mut before) = (Held::default(), Held::default());
    for record in Records::open(path, form)? {
        let record = record?;
        if !record.failed && held.records - held.failed == images {
            break;
        }
        before = held;
        held.records += 1;
        held.failed += u64::from(record.failed);
        held.end = record.end;
    }
    Ok(if torn && matches!(form, Form::Csv { .. }) { before } else { held })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, form: Form) -> (Vec<(String, bool, u64)>, Held) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, text).unwrap();
        let records = Records::open(&path, form).unwrap().map(Result::unwrap);
        (records.map(|r| (r.name, r.failed, r.end)).collect(), count(&path, form, true, u64::MAX).unwrap())
    }

    #[test]
    fn lines_are_read_up_to_a_torn_one() {
        let whole = "{\"image\":\"a \\\"b\\\"\\n.jpg\",\"predictions\":[]}\n{\"image\":\"\",\"error\":{}}\n";
        for torn in ["", "{\"image\":\"c\",\"pred", "\0\0\0\n", "{\"image\":\"c\"", "{}\n{\"image\":\"d\"}\n"] {
            let (records, held) = read(&(whole.to_owned() + torn), Form::Lines);
            let expected = [("a \"b\"\n.jpg".to_owned(), false, 43), (String::new(), true, whole.len() as u64)];
            assert_eq!(records, expected, "{torn}");
            assert_eq!(held, Held { records: 2, failed: 1, end: whole.len() as u64 });
        }
    }

    #[test]
    fn rows_are_gathered_into_records() {
        let form = Form::Csv { logits: false, most: 2 };
        let text = "image,label,score,error\na,x,0.7,\na,y,0.3,\na,x,0.7,\na,y,0.3,\nb,,,\"b: \"\"torn\"\"\nat once\"\nc,,,\nd,x,0.9,\n";
        let (records, held) = read(text, form);
        let told: Vec<_> = records.iter().map(|(name, failed, _)| (name.as_str(), *failed)).collect();
        assert_eq!(told, [("a", false), ("a", false), ("b", true), ("c", false), ("d", false)]);
        assert_eq!(records[0].2, 42);
        assert_eq!(records[4].2, text.len() as u64);
        // Of the last, rows may be missing.
        assert_eq!(held, Held { records: 4, failed: 1, end: records[3].2 });
        // Cut to fewer labels by their scores, an image named twice is still two records.
        let (records, _) = read("image,label,score,error\na,x,0.7,\na,x,0.7,\n", form);
        assert_eq!(records.len(), 2);
        assert!(read("image,label,score,logit,error\na,x,0.7,1,\n", form).0.is_empty());
        assert!(read("", form).0.is_empty());
    }

    #[test]
    fn a_file_cut_anywhere_never_gives_a_part_of_a_record() {
        let form = Form::Csv { logits: true, most: 3 };
        let header = "image,label,score,logit,error\n";
        let records = [
            "\"a,\nb\",x,0.5,1,\n\"a,\nb\",\"y\n\",0.3,1,\n\"a,\nb\",z,0.2,1,\n",
            "t,,,,\"t: one\ntwo\"\n",
            "c,x,0.5,1,\nc,z,0.3,1,\nc,\"y\n\",0.2,1,\n",
        ];
        let text = header.to_owned() + &records.concat();
        let mut ends = vec![0, header.len() + records[0].len()];
        ends.extend([ends[1] + records[1].len(), text.len()]);
        for cut in 0..=text.len() {
            let (_, held) = read(&text[..cut], form);
            assert!(ends.contains(&(held.end as usize)) && held.end as usize <= cut, "{cut}: {held:?}");
        }
    }
}
