//! Labels and rules -> a scorer: encodes what is not kept from before, and warns of labels that look like a mistake.

use anyhow::Result;
use zsic::cache::Scope;
use zsic::pipeline::Answer;
use zsic::{
    Activation, Checkpoint, EncodedLabel, Error, ImageError, Label, Labels, Plan, Readout, Scorer, Scores, TextEncoder,
};

use super::args::{ActivationArg, Common, LabelArgs};
use super::decisions::Rules;
use super::fatal::usage;
use super::labels::{self, Given};
use super::messages::{note, warn};
use super::progress::Progress;

/// The number of prompts from which encoding them shows a bar.
const MANY_PROMPTS: usize = 100;

/// What images are scored against.
pub struct Wanted<'a> {
    pub given: &'a Given,
    pub rules: &'a Rules,
    pub named: &'a LabelArgs,
    pub activation: ActivationArg,
}

impl Wanted<'_> {
    /// Returns the number of labels, those that compete included.
    pub fn count(&self) -> usize {
        self.given.labels.len() + self.rules.competing().count()
    }

    /// Encodes the labels, and warns of those that look like a mistake. An error about them comes alone, before any warning.
    ///
    /// # Errors
    /// If a label cannot be encoded, or the rules do not fit the checkpoint.
    pub fn scorer(&self, checkpoint: &Checkpoint, plan: &Plan, kept: &Scope, common: &Common) -> Result<Scorer> {
        let readout = self.readout(checkpoint)?;
        let labels = &self.given.labels;
        let all: Vec<Label> = labels.iter().chain(self.rules.competing()).cloned().collect();
        let mut encoded = encode(&all, self.named, checkpoint, plan, kept, common)?;
        let competing = encoded.split_off(labels.len());
        let named = |labels: &[Label]| labels.iter().map(|label| label.name.clone()).collect();
        let own = Labels::from_encoded(named(labels), &encoded)?;
        let competing = Labels::from_encoded(named(&all[labels.len()..]), &competing)?;
        if let Some(cut) = if self.named.truncate { None } else { cut_label(&all, checkpoint)? } {
            warn(common, cut);
        }
        warn_of_alike(&own, common);
        let alone = readout.activation == Activation::Softmax && !self.rules.has_background();
        let doubt = labels::doubt(self.given, self.named, alone);
        if alone && labels.len() > 1 && self.given.answers().len() == 1 {
            warn(
                common,
                "there is one group, so its score is always 1; add a label of another group, or use --unknown",
            );
        }
        let unknown = labels::unknown(labels, checkpoint)?;
        doubt.iter().chain(&unknown).for_each(|doubt| warn(common, doubt));
        let decision = self.rules.decide(own.embeddings(), competing.embeddings(), common)?;
        let scorer = Scorer::new(readout, own);
        Ok(match decision {
            Some((decision, background)) => scorer.with_decision(decision, &background),
            None => scorer,
        })
    }

    /// Returns the checkpoint's readout, with the activation asked for.
    fn readout(&self, checkpoint: &Checkpoint) -> Result<Readout> {
        let mut readout = checkpoint.family().readout(checkpoint.weights())?;
        let trained = readout.activation;
        match self.activation {
            ActivationArg::Auto => {}
            ActivationArg::Softmax => readout.activation = Activation::Softmax,
            ActivationArg::Sigmoid => readout.activation = Activation::Sigmoid,
        }
        if self.rules.are_shown && trained == Activation::Softmax && readout.activation == Activation::Sigmoid {
            let reason = "the sigmoid of this checkpoint's logits is near 1 for every label, so it decides nothing";
            return Err(usage(format!("{reason}; use --independent instead of --activation sigmoid")));
        }
        Ok(readout)
    }
}

/// Scores images, and passes each one's scores to `then` on one of many threads. A failed image keeps its failure.
pub fn score_answers<R: Send>(
    scorer: &Scorer,
    answers: &[Answer],
    then: impl Fn(Scores) -> R + Sync,
) -> Vec<Result<R, ImageError>> {
    let rows: Vec<&[f32]> = answers.iter().filter_map(|answer| answer.embedding.as_deref().ok()).collect();
    let mut scored = scorer.score_then(&rows, |scores| scores.map(&then)).into_iter();
    let scored = |Answer { name, embedding, .. }: &Answer| match embedding {
        Ok(_) => scored.next().unwrap_or_else(|| Err(ImageError::not_finite())).map_err(|e| e.named(name)),
        Err(e) => Err(e.clone()),
    };
    answers.iter().map(scored).collect()
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
) -> Result<Vec<EncodedLabel>> {
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
    Ok(encoded)
}

/// Warns of labels that the tokenizer does not distinguish.
fn warn_of_alike(labels: &Labels, common: &Common) {
    if let [(a, b), more @ ..] = labels.alike() {
        let [a, b] = [a, b].map(|label| labels::shown(&labels.names()[*label]));
        let more = if more.is_empty() { String::new() } else { format!(", and {} more pairs", more.len()) };
        warn(common, format!("the model reads the labels `{a}` and `{b}` as the same text{more}"));
    }
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
