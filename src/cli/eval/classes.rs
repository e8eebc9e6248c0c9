//! Names in the truth -> labels: by `--map`, by their text, or by what a label set knows them as.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::Result;
use csv::{ReaderBuilder, Trim};
use zsic::Groups;
use zsic::text::LabelSet;

use super::super::fatal::usage;
use super::super::labels::{self, Given, Places};
use super::super::text;
use super::super::truth::{ClassNames, Shown};

/// What a label in `--map` means when it is none.
const UNKNOWN: &str = "unknown";
/// The most names that an error lists.
const LISTED: usize = 10;

/// What a name in the truth stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// One of what is reported: a label, or its group.
    Answer(usize),
    /// None of the labels.
    Unknown,
    /// Nothing that is counted.
    LeftOut,
}

/// `--map`: names in the truth, and the labels that they stand for.
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

/// What everything in the truth stands for.
pub struct Classes<'a> {
    found: HashMap<Shown, Class>,
    given: &'a Given,
    names: Places<'a>,
    renaming: &'a Renaming,
    /// The names of numbered classes. One that several have stands for the labels with their numbers.
    numbered: Option<&'a ClassNames>,
    repeated: HashSet<&'a str>,
    set: Option<LabelSet>,
}

impl<'a> Classes<'a> {
    /// Prepares to find classes of what [`Truth::check`](super::super::truth::Truth::check) allows.
    pub fn new(
        given: &'a Given,
        renaming: &'a Renaming,
        numbered: Option<&'a ClassNames>,
        set: Option<LabelSet>,
    ) -> Self {
        let repeated = numbered.map(ClassNames::repeated).unwrap_or_default();
        Self { found: HashMap::new(), given, names: places(given), renaming, numbered, repeated, set }
    }

    /// Finds the class of everything that is `shown`.
    ///
    /// # Errors
    /// A usage error that lists names without a label, and the nearest labels.
    pub fn find_all(&mut self, shown: &BTreeSet<Shown>) -> Result<()> {
        let mut lost = Vec::new();
        for one in shown {
            match self.find(one) {
                Ok(class) => _ = self.found.insert(one.clone(), class),
                Err(name) => lost.push(name),
            }
        }
        if lost.is_empty() { Ok(()) } else { Err(usage(unmatched(&lost, self.given))) }
    }

    /// Returns what one name or number stands for.
    ///
    /// # Errors
    /// A usage error if it has no label.
    pub fn of(&mut self, shown: &Shown) -> Result<Class> {
        if let Some(class) = self.found.get(shown) {
            return Ok(*class);
        }
        let class = self.find(shown).map_err(|name| usage(unmatched(&[name], self.given)))?;
        self.found.insert(shown.clone(), class);
        Ok(class)
    }

    /// Returns the class, or else the name that has none.
    fn find(&self, shown: &Shown) -> Result<Class, String> {
        let name = match shown {
            Shown::Name(name) => name.clone(),
            Shown::Index(index) => match self.numbered.map(|classes| &classes.names[*index]) {
                Some(class) if !self.repeated.contains(&**class) => class.clone(),
                _ => self.given.labels[*index].name.clone(),
            },
        };
        let by_id = || self.set.as_ref().and_then(|set| Some(set.labels[set.index_of(&name)?]));
        let class = match self.renaming.0.get(&name).map(String::as_str) {
            Some("") => Some(Class::LeftOut),
            Some(UNKNOWN) => Some(Class::Unknown),
            Some(label) => self.names.place(label).map(Class::Answer),
            None => self.names.place(&name).or_else(|| self.names.place(by_id()?)).map(Class::Answer),
        };
        class.ok_or_else(|| self.renaming.0.get(&name).cloned().unwrap_or(name))
    }
}

/// Returns the places of labels and groups by their names.
fn places(given: &Given) -> Places<'_> {
    let of = |label: usize| given.ranks.first().map_or(label, |Groups { of, .. }| of[label]);
    let labels = given.labels.iter().enumerate().map(move |(index, label)| (label.name.as_str(), of(index)));
    let groups = given.ranks.first().into_iter().flat_map(|groups| groups.names.iter().map(String::as_str).zip(0..));
    Places::new(labels.chain(groups))
}

/// Says which names have no label, and which labels are similar.
fn unmatched(lost: &[String], given: &Given) -> String {
    let answers = given.answers();
    let named = |name: &String| {
        let like = labels::similar(name, &answers).map(|like| format!(" (like `{}`?)", labels::shown(like)));
        format!("`{}`{}", labels::shown(name), like.unwrap_or_default())
    };
    let listed: Vec<String> = lost.iter().take(LISTED).map(named).collect();
    let more = if lost.len() > LISTED { format!(", and {} more", lost.len() - LISTED) } else { String::new() };
    let listed = listed.join(", ");
    format!(
        "the truth has names that are no labels: {listed}{more}; add them to the labels, or use --map FILE to rename them or leave them out"
    )
}

#[cfg(test)]
mod tests {
    use zsic::Label;

    use super::*;

    fn given(names: &[&str]) -> Given {
        let label = |name: &&str| Label { name: (*name).to_owned(), prompts: Vec::new() };
        Given { labels: names.iter().map(label).collect(), form: labels::LabelForm::Flag, ranks: Vec::new() }
    }

    #[test]
    fn names_match_exactly_or_plainly() {
        let (owl, bear) = (Shown::Name("Snowy-Owl".into()), Shown::Name("black_bear".into()));
        let shown = BTreeSet::from([owl.clone(), bear.clone(), Shown::Index(0)]);
        let renaming = Renaming(HashMap::new());
        let given = given(&["snowy owl", "black bear"]);
        let mut classes = Classes::new(&given, &renaming, None, None);
        classes.find_all(&shown).unwrap();
        let found = [&owl, &bear, &Shown::Index(0)].map(|shown| classes.of(shown).unwrap());
        assert_eq!(found, [Class::Answer(0), Class::Answer(1), Class::Answer(0)]);
        let other = super::tests::given(&["snowy owls", "black bear"]);
        let e = Classes::new(&other, &renaming, None, None).find_all(&shown).unwrap_err();
        assert!(
            e.to_string().starts_with("the truth has names that are no labels: `Snowy-Owl` (like `snowy owls`?);"),
            "{e}"
        );
    }

    #[test]
    fn a_map_renames_leaves_out_and_makes_unknown() {
        let names = ["a", "b", "c", "d"].map(|name| Shown::Name(name.to_owned()));
        let renaming = [("a", "owl"), ("b", ""), ("c", "unknown")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let (shown, renaming) = (BTreeSet::from(names.clone()), Renaming(HashMap::from(renaming)));
        assert_eq!(renaming.labels(&shown), ["d", "owl"]);
        let given = given(&["d", "owl"]);
        let mut classes = Classes::new(&given, &renaming, None, None);
        classes.find_all(&shown).unwrap();
        let found = names.each_ref().map(|shown| classes.of(shown).unwrap());
        assert_eq!(found, [Class::Answer(1), Class::LeftOut, Class::Unknown, Class::Answer(0)]);
    }
}
