//! `zsic classify`: labels once, then image after image.

use anyhow::Result;
use zsic::cache::Scope;
use zsic::pipeline::Answer;
use zsic::{Activation, Checkpoint, EncodedLabel, Error, ImageError, Label, Labels, Plan, Scorer, Scores, TextEncoder};

use super::args::{ActivationArg, Asked, Classify, Common, LabelArgs, Output};
use super::messages::{HeldLines, note, warn};
use super::output::made_with::MadeWith;
use super::output::meta::Facts;
use super::output::{Format, Place, Prediction, RecordWriter};
use super::progress::Progress;
use super::session::{Begun, Records, Session};
use super::{Outcome, available_memory, labels, messages, stdout};

/// The number of prompts from which encoding them shows a bar.
const MANY_PROMPTS: usize = 100;

/// Runs the command.
///
/// # Errors
/// What kept the command from starting, or made it stop early.
pub fn run(args: &Classify, common: &Common) -> Result<Outcome> {
    let Classify { inputs, labels: named, machine, output } = args;
    labels::check_stdin(named, inputs)?;
    let templates = labels::templates(named)?;
    let given = labels::gather(named, &templates)?;
    let labels = &given.labels;
    let asked = Asked { inputs, machine, output: output.output.as_deref(), long_run: &output.long_run, common };
    let format = |place: &Place| {
        let format = Format::resolve(output.format, place)?;
        if format == Format::Json && place.is_stdout() {
            stdout::begin_array();
        }
        Ok(format)
    };
    let read: Vec<_> = named.files().collect();
    let (session, outputs, format) = Session::open(asked, &read, format)?;
    let Session { place, checkpoint, plan, threads, .. } = &session;
    let made_with = MadeWith::classify(args, format.name(), labels, &templates, checkpoint, plan)?;
    let of_labels = available_memory::of_texts(labels.len(), checkpoint.family().facts().embedding);
    available_memory::check(labels.len(), "labels", of_labels)?;
    let (log, run) = match session.start(outputs, &made_with, format.form(output.logits, labels), of_labels)? {
        Begun::Finished(outcome) => return Ok(outcome),
        Begun::Going(log, run) => (log, run),
    };
    let isa = plan.instructions().map(|name| format!(", {name}")).unwrap_or_default();
    note(common, 1, format!("{} on {}, {threads} threads{isa}", checkpoint.files().root().display(), plan.name()));
    let scorer = scorer(&given, args, checkpoint, plan, &run.kept, common)?;
    let writer = RecordWriter::new(format, place, log, output.logits, scorer.labels().names());
    let held = (format.is_one_value() && place.is_terminal()).then(messages::hold);
    run.finish(Predictions { scorer: &scorer, output, writer, _held: held })
}

/// Scores on their way to the output.
struct Predictions<'a> {
    scorer: &'a Scorer,
    output: &'a Output,
    writer: RecordWriter<'a>,
    _held: Option<HeldLines>,
}

impl Records for Predictions<'_> {
    fn write(&mut self, answers: &[Answer]) -> Result<()> {
        let names = self.scorer.labels().names();
        let rows: Vec<&[f32]> = answers.iter().filter_map(|answer| answer.embedding.as_deref().ok()).collect();
        let scored = self.scorer.score_then(&rows, |scores| Ok(predictions(self.output, names, &scores?)));
        let mut scored = scored.into_iter();
        for Answer { name, version, embedding, .. } in answers {
            let scored = match embedding {
                Ok(_) => scored.next().unwrap_or_else(|| Err(ImageError::not_finite())).map_err(|e| e.named(name)),
                Err(e) => Err(e.clone()),
            };
            match scored {
                Ok(predictions) => self.writer.record(name.as_str(), *version, &Ok(predictions))?,
                Err(e) => self.writer.record(name.as_str(), *version, &Err(&e))?,
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

/// Encodes the labels, and warns of those that look like a mistake. An error about labels is reported before any
/// warning.
fn scorer(
    given: &labels::Given,
    args: &Classify,
    checkpoint: &Checkpoint,
    plan: &Plan,
    kept: &Scope,
    common: &Common,
) -> Result<Scorer> {
    let mut readout = checkpoint.family().readout(checkpoint.weights())?;
    match args.output.activation {
        ActivationArg::Auto => {}
        ActivationArg::Softmax => readout.activation = Activation::Softmax,
        ActivationArg::Sigmoid => readout.activation = Activation::Sigmoid,
    }
    let encoded = encode(&given.labels, &args.labels, checkpoint, plan, kept, common)?;
    let doubt = labels::doubt(given, &args.labels, readout.activation == Activation::Softmax);
    let unknown = labels::unknown(&given.labels, checkpoint)?;
    doubt.iter().chain(&unknown).for_each(|doubt| warn(common, doubt));
    Ok(Scorer::new(readout, encoded))
}

/// Returns the labels' embeddings, from the cache or encoded now. The text tower is loaded only for labels that are
/// missing, and dropped before this returns.
fn encode(
    labels: &[Label],
    args: &LabelArgs,
    checkpoint: &Checkpoint,
    plan: &Plan,
    kept: &Scope,
    common: &Common,
) -> Result<Labels> {
    note(common, 1, format!("the first label's prompt: {}", labels[0].prompts[0]));
    for label in labels {
        note(common, 2, format!("{}: {}", label.name, label.prompts.join(" | ")));
    }
    let mut missing = 0;
    let encoded = kept.labels(labels, args.truncate, |labels| {
        missing = labels.len();
        let text = TextEncoder::load(checkpoint, plan)?.with_truncation(args.truncate);
        let many = labels.iter().map(|l| l.prompts.len()).sum::<usize>() >= MANY_PROMPTS;
        let progress = many.then(|| Progress::texts(common, "encoding prompts"));
        let encoded = EncodedLabel::encode(&text, labels, |done, total| {
            if let Some(progress) = &progress {
                progress.set(done, total);
            }
        })?;
        Ok((encoded, !text.depends_on_others()))
    });
    let encoded = encoded.map_err(|e| too_long(labels, e))?;
    if kept.is_on() {
        note(common, 1, format!("{} of {} labels were in the cache", labels.len() - missing, labels.len()));
    }
    let encoded = Labels::from_encoded(labels.iter().map(|l| l.name.clone()).collect(), &encoded)?;
    if let Some(cut) = if args.truncate { None } else { cut_label(labels, checkpoint)? } {
        warn(common, cut);
    }
    if let [(a, b), more @ ..] = encoded.alike() {
        let [a, b] = [a, b].map(|label| labels::shown(&encoded.names()[*label]));
        let more = if more.is_empty() { String::new() } else { format!(", and {} more pairs", more.len()) };
        warn(common, format!("the model reads the labels `{a}` and `{b}` as the same text{more}"));
    }
    Ok(encoded)
}

/// Returns a warning about the first label whose prompt is cut without `--truncate`.
fn cut_label(labels: &[Label], checkpoint: &Checkpoint) -> zsic::Result<Option<String>> {
    let prompts = labels.iter().flat_map(|label| label.prompts.iter().map(String::as_str));
    let Some(cut) = checkpoint.first_cut(prompts)? else { return Ok(None) };
    let label = labels.iter().find(|label| label.prompts.iter().any(|prompt| prompt == cut));
    let (name, limit) = (labels::shown(label.map_or(cut, |label| &label.name)), checkpoint.family().facts().max_tokens);
    Ok(Some(format!("a prompt of the label `{name}` is cut after {limit} tokens, the most that the model reads")))
}

/// Converts the error of a prompt that is too long: says which label has it, and what to do.
fn too_long(labels: &[Label], e: Error) -> anyhow::Error {
    let label = match &e {
        Error::PromptTooLong { prompt, .. } => labels.iter().find(|l| l.prompts.contains(prompt)),
        _ => None,
    };
    labels::too_long("a prompt of the label", label.map_or("", |l| &l.name), e)
}

/// Returns the predictions that the record of `scores` shows.
fn predictions<'a>(output: &Output, names: &'a [String], scores: &Scores) -> Vec<Prediction<'a>> {
    let ranked = scores.top(output.top_k.unwrap_or(usize::MAX)).into_iter().filter(|r| r.score >= output.min_score);
    let logit = |logit| output.logits.then_some(logit);
    ranked
        .map(|r| Prediction { index: r.label, label: &names[r.label], score: r.score, logit: logit(r.logit) })
        .collect()
}
