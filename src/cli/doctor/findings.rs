//! The findings, for people and for scripts.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use crate::cli::report::columns;

/// The findings so far.
#[derive(Default)]
pub struct Findings {
    rows: Vec<[String; 2]>,
    tests: Vec<[String; 4]>,
    record: Map<String, Value>,
    warnings: Vec<String>,
    wrong: Vec<String>,
}

impl Findings {
    /// Adds a fact, as a line for people and as a value for scripts. The value's key is the name with `_` for blanks.
    pub fn add(&mut self, name: &str, text: impl Display, value: Value) {
        self.rows.push([name.to_owned(), text.to_string()]);
        self.record.insert(name.replace(' ', "_"), value);
    }

    /// Adds the tests of the numbers, as rows below a heading and as a value for scripts.
    pub fn add_tests(&mut self, rows: impl IntoIterator<Item = [String; 4]>, value: Value) {
        self.tests.push(["SELF-TEST", "RESULT", "LOGITS OFF BY", "SCORES OFF BY"].map(str::to_owned));
        self.tests.extend(rows);
        self.record.insert("self_test".to_owned(), value);
    }

    /// Adds something that may matter to some runs.
    pub fn warn(&mut self, what: impl Display) {
        self.warnings.push(what.to_string());
    }

    /// Adds something that is wrong.
    pub fn fault(&mut self, what: impl Display) {
        self.wrong.push(what.to_string());
    }

    /// Returns whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Returns everything as lines, the most important ones last.
    pub fn text(&self) -> String {
        let lines = |kind: &'static str, what: &[String]| -> String {
            what.iter().map(|what| format!("{kind}: {}\n", what.replace('\n', " "))).collect()
        };
        let last = if self.is_well() { "nothing is wrong" } else { "" };
        columns(&self.rows)
            + &columns(&self.tests)
            + &lines("warning", &self.warnings)
            + &lines("wrong", &self.wrong)
            + last
    }

    /// Returns everything as one value.
    pub fn json(&self) -> Value {
        let mut record = self.record.clone();
        record.insert("warnings".to_owned(), json!(self.warnings));
        record.insert("wrong".to_owned(), json!(self.wrong));
        record.into()
    }
}
