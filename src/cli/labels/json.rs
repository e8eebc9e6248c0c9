//! Reads a labels file in JSON: an array, or an object `{label: prompt or [prompts]}`.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::Deserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use zsic::{Label, Template};

use super::doubts::array;
use super::{LabelForm, shown};

/// How to write labels.
const ADVICE: &str = "write one label per line, or an array like [\"cat\", \"dog\"]";

/// Parses an array of labels, or an object of labels with prompts, which are used as written. Each label comes with its
/// line.
///
/// # Errors
/// The reason why it is not such a file.
pub fn parse(text: &str, templates: &[Template]) -> Result<(LabelForm, Vec<(usize, Label)>), String> {
    let (form, entries) = read(text).map_err(|e| no_json(text, &e))?;
    let names: Vec<String> = entries.iter().filter_map(|(_, name, _)| name.clone()).collect();
    let alone = |reason: String| format!("{reason}; for labels without prompts write {}", array(names.iter()));
    let label = |(line, key, value): JsonEntry| {
        let Some(name) = key else {
            let name = string(value).map_err(|value| format!("has {value} where a label is expected; {ADVICE}"))?;
            return Ok((line, Label::new(name, templates)));
        };
        let prompts = match value {
            Value::Array(prompts) if prompts.is_empty() => {
                return Err(alone(format!("the label `{}` has no prompt", shown(&name))));
            }
            Value::Array(prompts) => prompts,
            prompt => vec![prompt],
        };
        let prompts = prompts.into_iter().map(string).collect::<Result<_, _>>().map_err(|value| {
            alone(format!("the label `{}` has {value} where its prompt is expected, which is a text", shown(&name)))
        })?;
        Ok((line, Label { name, prompts }))
    };
    Ok((form, entries.into_iter().map(label).collect::<Result<_, _>>()?))
}

/// Describes a text that is not one JSON value.
fn no_json(text: &str, e: &serde_json::Error) -> String {
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let inside = text.trim_start().trim_start_matches(['[', '{']).trim_start();
    match values {
        Ok(values) => format!("has {} JSON values instead of one; {ADVICE}", values.len()),
        Err(_) if inside.starts_with('\'') => {
            format!("has single quotation marks instead of JSON's double ones; {ADVICE}")
        }
        Err(_) => format!("begins like JSON but is not: {e}; {ADVICE}"),
    }
}

/// Returns the text of a value, or else the beginning of the value.
fn string(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(shown(&other.to_string())),
    }
}

/// A line, a key of an object, and a value.
pub type JsonEntry = (usize, Option<String>, Value);

/// Returns the entries of a JSON array or object, in order. serde_json's map would keep only the last of two equal keys.
pub fn read(text: &str) -> serde_json::Result<(LabelForm, Vec<JsonEntry>)> {
    let line = Cell::new(1);
    let mut json = serde_json::Deserializer::from_reader(CountedBytes { bytes: text.as_bytes(), line: &line });
    let entries = json.deserialize_any(EntriesVisitor { line: &line })?;
    json.end()?;
    Ok(entries)
}

/// Reads bytes one at a time, and counts lines.
struct CountedBytes<'a> {
    bytes: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for CountedBytes<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let one = 1.min(out.len());
        let read = self.bytes.read(&mut out[..one])?;
        self.line.set(self.line.get() + usize::from(read == 1 && out[0] == b'\n'));
        Ok(read)
    }
}

struct EntriesVisitor<'a> {
    line: &'a Cell<usize>,
}

impl<'de> Visitor<'de> for EntriesVisitor<'_> {
    type Value = (LabelForm, Vec<JsonEntry>);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(value) = array.next_element()? {
            entries.push((self.line.get(), None, value));
        }
        Ok((LabelForm::Array, entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = object.next_key()? {
            let line = self.line.get();
            entries.push((line, Some(key), object.next_value()?));
        }
        Ok((LabelForm::Object, entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_prompts_are_used_as_written() {
        let (_, labels) = parse(r#"{"b": "a bee", "a": ["one {}", "two"]}"#, &[Template::default()]).unwrap();
        assert_eq!(labels[0].1, Label { name: "b".to_owned(), prompts: vec!["a bee".to_owned()] });
        assert_eq!(labels[1].1.prompts, ["one {}", "two"]);
        let (_, labels) = parse(r#"["x"]"#, &["{}".parse().unwrap()]).unwrap();
        assert_eq!(labels[0].1.prompts, ["x"]);
    }

    #[test]
    fn every_entry_of_json_has_its_line() {
        let lines = |json| read(json).unwrap().1.into_iter().map(|(line, key, _)| (line, key)).collect::<Vec<_>>();
        let key = |key: &str| Some(key.to_owned());
        assert_eq!(
            lines("{\"a\": \"x\\ny\",\n \"b\": [\n\"x\"],\n\n\"a\"\n:\"y\"}"),
            [(1, key("a")), (2, key("b")), (5, key("a"))]
        );
        assert_eq!(lines("[\n\"a\",\n\n\"b\"\n]\n"), [(2, None), (4, None)]);
    }
}
