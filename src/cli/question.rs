//! `--is` and `--not`: labels, and what a match is. `zsic grep` and `zsic test` ask it of each image.

use anyhow::Result;
use zsic::pipeline::Answer;
use zsic::{Activation, ImageError, Scores, Template};

use super::args::{Asked, Common, DecisionArgs, Inputs, LabelArgs, LongRun, Machine, Question};
use super::fatal::usage;
use super::labels::{self, Given};
use super::messages::warn;
use super::model::ImageTower;
use super::scorer::{Flags, Wanted, score_answers};
use super::session::Session;
use super::stream::Written;
use super::{Outcome, available_memory, cache, messages};

/// What the flags of a command ask.
pub struct Search<'a> {
    pub inputs: &'a Inputs,
    pub question: &'a Question,
    pub labels: &'a LabelArgs,
    pub decisions: &'a DecisionArgs,
    pub machine: &'a Machine,
    pub common: &'a Common,
}

/// What became of the images, and of the examples.
pub struct Outcomes {
    pub images: Outcome,
    pub examples: Outcome,
}

/// What the question says of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// The score of the labels that are looked for.
    pub score: f32,
    pub is_match: bool,
}

impl Search<'_> {
    /// Asks the question of every image, in order, until `see` wants no more. `open` opens what is written, and `see` gets each
    /// image and returns whether it has seen enough. A failure was told by then.
    ///
    /// # Errors
    /// What kept the run from starting, or made it stop early.
    pub fn run<O>(
        &self,
        open: impl FnOnce() -> Result<O>,
        mut see: impl FnMut(&mut O, &Answer, Result<Finding, &ImageError>) -> Result<bool>,
        flush: impl Fn(&mut O) -> Result<()>,
    ) -> Result<(Outcomes, O)> {
        let Self { inputs, question, labels: named, machine, common, .. } = *self;
        labels::check_stdin(named.files().chain(self.decisions.files()), inputs)?;
        let (decisions, activation) = (self.decisions, question.activation);
        let flags = Flags { labels: named, decisions, activation, inputs, renaming: None, common };
        let mut wanted = Wanted::gather(flags, |templates| self.labels(templates).map(Some))?;
        let asked_for = self.asked_for(&wanted)?;
        if !named.names_any()
            && let Some(name) = wanted.without_example(&asked_for)
        {
            warn(common, format!("no example shows `{}`", labels::shown(name)));
        }
        if self.is_alone(&wanted, &asked_for) {
            wanted.let_list_compete();
        }
        self.check_may_differ(&wanted, &asked_for)?;
        let machine = &wanted.machine(machine)?;
        let long_run = LongRun::default();
        let asked = Asked { inputs, machine, output: None, long_run: &long_run, common };
        let (session, mut out) = Session::open(asked, open)?;
        let of_labels = available_memory::of_texts(wanted.count(), session.checkpoint.family().facts().embedding);
        available_memory::check(wanted.count(), "labels", of_labels)?;
        let (images, kept) = session.images(Vec::new(), of_labels)?;
        session.introduce();
        let encoder = ImageTower::new(&session.checkpoint, &session.plan);
        let rows = wanted.rows(&session, &kept, &encoder)?;
        let of_examples = rows.outcome;
        let scorer = rows.scorer();
        let adds_up = scorer.activation() == Activation::Softmax && !wanted.rules.is_independent();
        let find = |scores: Scores| finding(&scores, &asked_for, adds_up, question.min_score);
        let outcome = images.run(false, &encoder, |answers| {
            let found = score_answers(&scorer, answers, find);
            let mut written = Written::default();
            for (answer, found) in answers.iter().zip(found) {
                if let Err(e) = &found {
                    messages::error(e);
                    written.failed += 1;
                }
                if see(&mut out, answer, found.as_ref().copied())? {
                    written.is_enough = true;
                    break;
                }
            }
            flush(&mut out)?;
            Ok(written)
        })?;
        cache::close(&kept, common);
        Ok((Outcomes { images: outcome, examples: of_examples }, out))
    }

    /// Checks that a compiled classifier can say no. Labels that are given beside the question are the user's own choice.
    fn check_may_differ(&self, wanted: &Wanted, asked_for: &[usize]) -> Result<()> {
        let Some(name) = wanted.classifier() else { return Ok(()) };
        let answers = wanted.given.answers().len();
        let has_threshold = wanted.rules.thresholds().iter().any(|least| *least > 0.0);
        let may_reject = wanted.rules.has_background() || has_threshold && (answers > 1 || wanted.is_sigmoid());
        let by_score = self.question.min_score.is_some() && wanted.is_sigmoid();
        if asked_for.len() < answers || may_reject || by_score {
            return Ok(());
        }
        let reason = "--is names all its labels, and nothing competes with them, so every image would match";
        Err(usage(format!("{name}: {reason}; compile it with --unknown or --background")))
    }

    /// Returns the labels of the question, which are scored if the flags name no others.
    fn labels(&self, templates: &[Template]) -> Result<Given> {
        let Question { is, not, .. } = self.question;
        let both: Vec<String> = is.iter().chain(not).cloned().collect();
        labels::of_lists(&both, templates, self.labels.canonicalize)
    }

    /// Returns the places of what is looked for.
    fn asked_for(&self, wanted: &Wanted) -> Result<Vec<usize>> {
        let Wanted { given, .. } = wanted;
        let [asked_for, others] = [&self.question.is, &self.question.not].map(|lists| places(lists, wanted));
        let (asked_for, others) = (asked_for?, others?);
        match asked_for.iter().find(|label| others.contains(label)) {
            Some(both) => {
                let both = labels::shown(given.answers()[*both]);
                Err(usage(format!("`{both}` is given by --is and by --not")))
            }
            None => Ok(asked_for),
        }
    }

    /// Returns whether nothing else could be the answer: no other label, of flags or examples, and no background.
    fn is_alone(&self, wanted: &Wanted, asked_for: &[usize]) -> bool {
        let is_only = asked_for.len() == wanted.given.labels.len() && !self.labels.names_any();
        is_only && wanted.classifier().is_none() && !wanted.rules.has_background()
    }
}

/// Returns the places of labels among the answers.
fn places(lists: &[String], wanted: &Wanted) -> Result<Vec<usize>> {
    let answers = wanted.given.answers();
    let mut places = Vec::new();
    for name in lists.iter().flat_map(|list| labels::split(list)) {
        let place = answers.iter().position(|answer| *answer == name);
        let place = place.ok_or_else(|| {
            usage(match wanted.classifier() {
                Some(file) => {
                    let (name, own) = (labels::shown(&name), labels::shown(&answers.join(", ")));
                    format!("{file} has no label `{name}`; it has {own}")
                }
                None => {
                    let lacks = labels::no_such(&name, &answers);
                    format!("{lacks}; --is and --not name labels of -l where it is given")
                }
            })
        })?;
        if places.contains(&place) {
            return Err(usage(format!("`{}` is given twice", labels::shown(&name))));
        }
        places.push(place);
    }
    Ok(places)
}

/// Looks for labels: by their score if there is a least one, and else by whether one of them is the answer.
fn finding(scores: &Scores, asked_for: &[usize], adds_up: bool, least: Option<f32>) -> Finding {
    let each = asked_for.iter().map(|&label| f64::from(scores.scores()[label]));
    let score = if adds_up { each.sum::<f64>().min(1.0) } else { each.fold(0.0, f64::max) } as f32;
    let is_answer = || match scores.verdict() {
        Some(verdict) => verdict.accepted.iter().any(|answer| asked_for.contains(&answer.label)),
        None => scores.top(1).iter().any(|best| asked_for.contains(&best.label)),
    };
    Finding { score, is_match: least.map_or_else(is_answer, |least| score >= least) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_add_up_or_the_largest_counts() {
        let scores = Scores::new(vec![1.0, 2.0, 2.5], Activation::Softmax);
        let both = finding(&scores, &[0, 1], true, None);
        assert!((both.score - scores.scores()[0] - scores.scores()[1]).abs() < 1e-6 && !both.is_match);
        assert_eq!(finding(&scores, &[0, 1], false, None).score, scores.scores()[1]);
        assert!(finding(&scores, &[0, 1], true, Some(0.45)).is_match, "0.45 of 1");
        assert!(finding(&scores, &[2], true, None).is_match && !finding(&scores, &[2], true, Some(0.99)).is_match);
    }
}
