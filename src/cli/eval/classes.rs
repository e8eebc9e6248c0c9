//! Names in the truth -> labels: by `--map`, by their text, or by what a label set knows them as.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Result;
use zsic::Groups;
use zsic::text::LabelSet;

use super::super::fatal::usage;
use super::super::labels::{self, Given, Places, UNKNOWN};
use super::super::truth::{ClassNames, Renaming, Shown};

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
        let class = match self.renaming.of(&name) {
            Some("") => Some(Class::LeftOut),
            Some(UNKNOWN) => Some(Class::Unknown),
            Some(label) => self.names.place(label).map(Class::Answer),
            None => self.names.place(&name).or_else(|| self.names.place(by_id()?)).map(Class::Answer),
        };
        class.ok_or_else(|| self.renaming.of(&name).map_or(name.clone(), str::to_owned))
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
    let advice = "add them to the labels, or use --map FILE to rename them or leave them out";
    let none = if lost.iter().any(|name| name == UNKNOWN) {
        format!("; for images of none of the labels, --map with the row {UNKNOWN},{UNKNOWN}")
    } else {
        String::new()
    };
    format!("the truth has names that are no labels: {listed}{more}; {advice}{none}")
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
        let renaming = Renaming::default();
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
        let (shown, renaming) =
            (BTreeSet::from(names.clone()), Renaming::of_pairs(&[("a", "owl"), ("b", ""), ("c", "unknown")]));
        assert_eq!(renaming.labels(&shown), ["d", "owl"]);
        let given = given(&["d", "owl"]);
        let mut classes = Classes::new(&given, &renaming, None, None);
        classes.find_all(&shown).unwrap();
        let found = names.each_ref().map(|shown| classes.of(shown).unwrap());
        assert_eq!(found, [Class::Answer(1), Class::LeftOut, Class::Unknown, Class::Answer(0)]);
    }
}
