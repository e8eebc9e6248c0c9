//! `zsic classify`: labels once, then image after image.

use anyhow::Result;
use zsic::Scorer;
use zsic::pipeline;

use super::args::{Asked, Classify, Common, ExampleArgs, Output};
use super::fatal::usage;
use super::labels::UNKNOWN;
use super::messages::{HeldLines, warn};
use super::model::ImageTower;
use super::output::made_with::{Against, MadeWith};
use super::output::meta::Facts;
use super::output::page::{About, Margins, Page, Sources};
use super::output::{Columns, Format, Place, Predictions, RecordWriter};
use super::scorer::{Flags, Rows, Wanted, score_answers};
use super::session::{Begun, Outputs, Records, Session};
use super::{Outcome, available_memory, labels, messages, model, stdout, text};

/// Runs the command.
///
/// # Errors
/// What kept the command from starting, or made it stop early.
pub fn run(args: &Classify, common: &Common) -> Result<Outcome> {
    let Classify { inputs, labels: named, decisions, machine, output, .. } = args;
    labels::check_stdin(named.files().chain(decisions.files()), inputs)?;
    let flags = Flags { labels: named, decisions, activation: output.activation, inputs, renaming: None, common };
    let wanted = Wanted::gather(flags, |_| Ok(None))?;
    let rules = &wanted.rules;
    let machine = &wanted.machine(machine)?;
    let asked = Asked { inputs, machine, output: output.output.as_deref(), long_run: &output.long_run, common };
    let format = |place: &Place| {
        let format = Format::resolve(output.format, place)?;
        if format == Format::Pipeline && rules.are_shown {
            return Err(usage("the Python pipeline's format has no place for an answer; use jsonl, json or csv"));
        }
        if format == Format::Json && place.is_stdout() {
            stdout::begin_array();
        }
        Ok(format)
    };
    let read: Vec<_> = named.files().chain(decisions.files()).collect();
    let (session, (outputs, format)) = Session::open(asked, || Outputs::open(asked, &read, format))?;
    let Session { checkpoint, plan, .. } = &session;
    let of_labels = available_memory::of_texts(wanted.count(), checkpoint.family().facts().embedding);
    available_memory::check(wanted.count(), "labels", of_labels)?;
    let tower = ImageTower::new(checkpoint, plan);
    // What examples teach decides records, so it is known before an earlier run's are continued.
    let early = if wanted.learns() { Some(wanted.rows(&session, &session.kept()?, &tower)?) } else { None };
    let learned = early.as_ref().and_then(Rows::fingerprint);
    let Wanted { given, templates, .. } = &wanted;
    let (background, built_in, compiled) = (&rules.background[..], &rules.built_in[..], wanted.compiled_rules());
    let against = Against { given, background, built_in, templates, compiled, learned };
    let made_with = MadeWith::classify(args, format.name(), against, checkpoint, plan)?;
    let columns = Columns { logits: output.logits, accepted: rules.are_shown };
    let (log, run) = match session.start(outputs, &made_with, format.form(columns, &given.all_answers()), of_labels)? {
        Begun::Finished(outcome) => return Ok(outcome),
        Begun::Going(log, run) => (log, run),
    };
    session.introduce();
    let rows = early.map_or_else(|| wanted.rows(&session, &run.kept, &tower), Ok)?;
    let of_examples = rows.outcome;
    let scorer = rows.scorer();
    let names = scorer.all_answers();
    let are_known = given.are_filled(templates) || wanted.classifier().is_some();
    let about = About {
        model: model::shown(checkpoint),
        templates: are_known.then(|| templates.iter().map(ToString::to_string).collect()),
        labels: names.clone(),
        more: more(args, &wanted),
    };
    if format == Format::Html {
        tell_of_page(output, &names, common);
    }
    let sources = Sources { asked, threads: session.threads, limits: run.limits.clone() };
    let margins = Margins { thresholds: rules.thresholds(), is_independent: rules.is_independent() };
    let writer = RecordWriter::new(format, run.place(), log, columns, &names, Page::new(about, sources, margins));
    let held = (format.is_one_value() && run.place().is_terminal()).then(messages::hold);
    let records = ScoreRecords { scorer: &scorer, names: &names, output, columns, writer, _held: held };
    Ok(run.finish(&tower, records)?.or(of_examples))
}

/// Returns what decides the scores besides the labels, for the page.
fn more(args: &Classify, wanted: &Wanted) -> Vec<(&'static str, String)> {
    let ExampleArgs { examples, classifier, .. } = &args.labels.examples;
    let classifier = classifier.as_deref().map(|file| ("Classifier", text::name(file)));
    let head = args.labels.examples.head().name();
    let examples = examples.as_deref().map(|path| ("Examples", format!("{}, head {head}", text::name(path))));
    let rules = wanted.told_rules().map(|rules| ("Rules", rules));
    classifier.into_iter().chain(examples).chain(rules).collect()
}

/// Warns of what a page cannot say.
fn tell_of_page(output: &Output, names: &[String], common: &Common) {
    let given =
        [("--top-k", output.top_k.is_some()), ("--min-score", output.min_score > 0.0), ("--logits", output.logits)];
    let given: Vec<&str> = given.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect();
    if !given.is_empty() {
        warn(common, format!("{}: without effect on a page", given.join(", ")));
    }
    if names.iter().any(|name| name == UNKNOWN) {
        warn(
            common,
            "on the page, the label `unknown` and images of none of the labels are the same; rename the label",
        );
    }
}

/// Scores on their way to the output.
struct ScoreRecords<'a> {
    scorer: &'a Scorer,
    names: &'a [String],
    output: &'a Output,
    columns: Columns,
    writer: RecordWriter<'a>,
    _held: Option<HeldLines>,
}

impl Records for ScoreRecords<'_> {
    fn write(&mut self, answers: &[pipeline::Answer]) -> Result<()> {
        let scored = score_answers(self.scorer, answers, |scores| {
            (Predictions::of(self.output, self.columns, self.names, &scores), scores)
        });
        for (pipeline::Answer { name, version, .. }, scored) in answers.iter().zip(scored) {
            match scored {
                Ok(scored) => self.writer.record(name, *version, Ok(scored))?,
                Err(e) => self.writer.record(name, *version, Err(&e))?,
            }
        }
        self.writer.flush()
    }

    fn counts(&self) -> (u64, u64) {
        self.writer.counts()
    }

    fn finish(self, facts: &Facts) -> Result<()> {
        self.writer.finish(facts)
    }
}
