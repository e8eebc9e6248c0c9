//! The flags about decisions -> what competes with the labels, and from which score on they are accepted.

use std::collections::HashMap;

use anyhow::Result;
use zsic::compiled::Compiled;
use zsic::decision::{self, NEVER};
use zsic::{Decision, Embeddings, Label, Template};

use super::args::{Common, DecisionArgs, LabelArgs};
use super::examples::{Taught, counted};
use super::fatal::usage;
use super::labels::{self, Given};
use super::messages::note;

/// What the flags ask for, before anything is encoded.
pub struct Rules {
    /// Labels that compete and are never answered.
    pub background: Vec<Label>,
    /// Entries of the built-in list, which also compete unless they are close to a label.
    pub built_in: Vec<Label>,
    /// Whether records carry an answer.
    pub are_shown: bool,
    decision: Decision,
    is_empty: bool,
}

/// Rules, and what competes with the labels.
pub struct Decided {
    pub decision: Decision,
    /// The rows that compete [B, D].
    pub background: Embeddings,
    /// Their names: `[B]`.
    pub names: Vec<String>,
}

impl Decided {
    /// Returns the rules that change nothing, with no row that competes. Rows have `dim` values.
    pub fn none(dim: usize) -> Self {
        Self { decision: Decision::default(), background: Embeddings::new(dim), names: Vec::new() }
    }
}

impl Rules {
    /// Reads the flags. `given` are the labels, and `background` are labels that compete with them.
    ///
    /// # Errors
    /// A usage error for a background or a threshold that is wrong.
    pub fn gather(
        args: &DecisionArgs,
        background: Vec<Label>,
        named: &LabelArgs,
        given: &Given,
        templates: &[Template],
    ) -> Result<Self> {
        let is_label = |name: &str| given.labels.iter().any(|label| label.name == name);
        if let Some(both) = background.iter().find(|entry| is_label(&entry.name)) {
            return Err(usage(format!("`{}` is both a label and background", labels::shown(&both.name))));
        }
        let built_in = if args.uses_built_in() { labels::built_in(named, templates) } else { Vec::new() };
        let decision = Decision {
            temperature: args.temperature.unwrap_or(1.0),
            background: Vec::new(),
            thresholds: thresholds(&args.threshold, given)?,
            independent: args.independent,
            ranks: given.ranks.clone(),
        };
        let is_empty = !args.is_set() && given.ranks.is_empty();
        Ok(Self { background, built_in, are_shown: args.is_set(), decision, is_empty })
    }

    /// Returns the rules of a compiled classifier, except for those that the flags change. Labels that `--threshold` does not
    /// name keep their own.
    ///
    /// # Errors
    /// A usage error for a threshold that is wrong.
    pub fn of_classifier(compiled: &Compiled, args: &DecisionArgs, given: &Given) -> Result<Self> {
        let own = compiled.decision();
        let is_empty = own.is_none() && !args.is_set();
        let mut decision = own.unwrap_or_default();
        decision.temperature = args.temperature.unwrap_or(decision.temperature);
        if !args.threshold.is_empty() {
            decision.thresholds = changed(&decision.thresholds, &args.threshold, given)?;
        }
        let are_shown = compiled.about.answers || args.is_set();
        Ok(Self { background: Vec::new(), built_in: Vec::new(), are_shown, decision, is_empty })
    }

    /// Returns the rules with the rows of a compiled classifier, which compete. Without any rule it is nothing.
    pub fn decided(&self, compiled: &Compiled) -> Option<Decided> {
        (!self.is_empty).then(|| Decided {
            decision: self.decision.clone(),
            background: compiled.background.clone(),
            names: compiled.about.background.clone(),
        })
    }

    /// Lets a list of labels compete that makes way for labels close to its entries.
    pub fn let_compete(&mut self, list: Vec<Label>) {
        (self.built_in, self.are_shown, self.is_empty) = (list, true, false);
    }

    /// Returns the rules of a compiled classifier, with those that the flags change, if there are any.
    pub fn changed(&self) -> Option<&Decision> {
        (!self.is_empty).then_some(&self.decision)
    }

    /// Returns the least score of each answer, if any was given.
    pub fn thresholds(&self) -> &[f32] {
        &self.decision.thresholds
    }

    /// Returns whether each label competes with the background alone.
    pub fn is_independent(&self) -> bool {
        self.decision.independent
    }

    /// Returns whether something competes with the labels.
    pub fn has_background(&self) -> bool {
        self.competing().next().is_some() || !self.decision.background.is_empty()
    }

    /// Returns all labels that are encoded beside the `labels`.
    pub fn competing(&self) -> impl Iterator<Item = &Label> {
        self.background.iter().chain(&self.built_in)
    }

    /// Returns the rules and the rows that compete, from the texts of the labels [L, D] and of [`Self::competing`]. Without any
    /// rule it is nothing. Of the built-in list, entries close to a label are left out, and those that its examples show; the
    /// others weigh together as much as the labels.
    ///
    /// # Errors
    /// A usage error if nothing is left of the list.
    pub fn decide(
        &self,
        labels: &Embeddings,
        competing: &Embeddings,
        taught: Option<&Taught>,
        common: &Common,
    ) -> Result<Option<Decided>> {
        if self.is_empty {
            return Ok(None);
        }
        let own = self.background.len();
        let (mut rows, mut list) = (Embeddings::new(labels.dim()), Embeddings::new(labels.dim()));
        competing.rows().enumerate().for_each(|(at, row)| if at < own { &mut rows } else { &mut list }.push_unit(row));
        let apart = decision::apart(labels, &list);
        let shown = taught.map_or_else(Vec::new, |taught| taught.shown(labels.len(), &list));
        let is_shown = |entry: &usize| shown.binary_search(entry).is_ok();
        let entries: Vec<usize> = apart.iter().copied().filter(|entry| !is_shown(entry)).collect();
        entries.iter().for_each(|&entry| rows.push_unit(list.row(entry)));
        let mut background = vec![0.0; own];
        background.resize(own + entries.len(), decision::list_offset(labels.len(), entries.len()));
        if !list.is_empty() {
            let names = |left_out: Vec<usize>| match &left_out[..] {
                [] => "none".to_owned(),
                some => some.iter().map(|entry| &*self.built_in[*entry].name).collect::<Vec<_>>().join(", "),
            };
            let close: Vec<usize> = (0..list.len()).filter(|entry| apart.binary_search(entry).is_err()).collect();
            let mut told =
                format!("background: {} entries; close to a label and left out: {}", entries.len(), names(close));
            if taught.is_some() {
                let shown: Vec<usize> = apart.iter().copied().filter(is_shown).collect();
                told += &format!("; shown by examples and left out: {}, {}", shown.len(), names(shown));
            }
            note(common, 1, told);
        }
        if rows.is_empty() && !list.is_empty() {
            let reason = "every entry of the built-in background is close to a label, so nothing competes";
            return Err(usage(format!("{reason}; name a background with --background")));
        }
        let entries = entries.iter().map(|&entry| &self.built_in[entry]);
        let names = self.background.iter().chain(entries).map(|label| label.name.clone()).collect();
        Ok(Some(Decided { decision: Decision { background, ..self.decision.clone() }, background: rows, names }))
    }
}

/// Parses `X`, or `LABEL=X,..` where `*` stands for labels that are not named, and without it these have 0.
fn thresholds(asked: &[String], given: &Given) -> Result<Vec<f32>> {
    if asked.is_empty() { Ok(Vec::new()) } else { changed(&vec![0.0; given.all_answers().len()], asked, given) }
}

/// Does the same, and labels that are not named keep the thresholds that they had before.
fn changed(before: &[f32], asked: &[String], given: &Given) -> Result<Vec<f32>> {
    let answers = &given.all_answers()[..];
    let wrong =
        |what: &str| usage(format!("--threshold `{}`: use a number from 0 to 1, or LABEL=X", labels::shown(what)));
    let score = |text: &str| text.trim().parse().ok().filter(|x: &f32| (0.0..=1.0).contains(x));
    let mut others = None;
    let mut own = HashMap::new();
    for part in asked.iter().flat_map(|list| labels::split(list)) {
        let (name, value) = part.rsplit_once('=').unwrap_or(("*", &part));
        let value = score(value).ok_or_else(|| wrong(&part))?;
        let name = name.trim();
        if name != "*" && !answers.contains(&name) {
            let groups = if given.ranks.is_empty() { "" } else { "; with --groups, name a group" };
            return Err(usage(format!("--threshold: {}{groups}", labels::no_such(name, answers))));
        }
        let earlier = if name == "*" { others.replace(value) } else { own.insert(name.to_owned(), value) };
        if earlier.is_some() {
            return Err(usage(format!("--threshold: `{}` has two values", labels::shown(name))));
        }
    }
    let before = |at: usize| before.get(at).copied().unwrap_or_default();
    let least = |(at, answer): (usize, &&str)| own.get(*answer).copied().or(others).unwrap_or_else(|| before(at));
    Ok(answers.iter().enumerate().map(least).collect())
}

/// Says what the rules of a compiled classifier are, if any of them changes an answer.
pub fn told(decision: &Decision, competing: usize, answers: &[&str]) -> Option<String> {
    let Decision { temperature, background: _, thresholds, independent, ranks } = decision;
    let least = answers.iter().zip(thresholds).filter(|(_, least)| **least > 0.0);
    let shown = |least: f32| if least == NEVER { "never".to_owned() } else { least.to_string() };
    let least: Vec<String> = least.map(|(answer, least)| format!("{answer}={}", shown(*least))).collect();
    let rules = [
        (*temperature != 1.0).then(|| format!("temperature {temperature}")),
        (competing > 0).then(|| format!("{} in the background", counted(competing, "label"))),
        independent.then(|| "independent labels".to_owned()),
        (!least.is_empty()).then(|| format!("thresholds {}", least.join(", "))),
        ranks.first().map(|groups| format!("{} groups", groups.names.len())),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    (!rules.is_empty()).then(|| rules.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_for_all_or_by_label() {
        let read = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            let label = |name: &str| Label { name: name.to_owned(), prompts: Vec::new() };
            let labels = ["cat", "dog", "a=b, c"].map(label).to_vec();
            let labels = Given { labels, form: labels::LabelForm::Flag, ranks: Vec::new() };
            thresholds(&given, &labels).map_err(|e| e.to_string())
        };
        assert!(read(&[]).unwrap().is_empty());
        assert_eq!(read(&["0.5"]).unwrap(), [0.5, 0.5, 0.5]);
        assert_eq!(read(&["cat=0.8,dog=0.6"]).unwrap(), [0.8, 0.6, 0.0]);
        assert_eq!(read(&["cat=0.8, *=0.25", r"a=b\, c=1"]).unwrap(), [0.8, 0.25, 1.0]);
        let labels = ["cat", "dog", "owl"].map(|name| Label { name: name.to_owned(), prompts: Vec::new() }).to_vec();
        let given = Given { labels, form: labels::LabelForm::Flag, ranks: Vec::new() };
        let change = |asked: &str| changed(&[0.5, 2.0, 0.1], &[asked.to_owned()], &given).unwrap();
        assert_eq!((change("dog=0.3"), change("*=0.2")), (vec![0.5, 0.3, 0.1], vec![0.2; 3]), "others keep their own");
        for wrong in ["1.5", "cat=", "cat=x", "nan", "", "cat=0.1,cat=0.2", "0.1,0.2"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
        assert_eq!(read(&["cta=0.5"]).unwrap_err(), "--threshold: no label is called `cta`; did you mean `cat`?");
    }
}
