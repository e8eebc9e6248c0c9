//! Labels, examples and rules -> a scorer: encodes what is not kept from before, and warns of labels that look like a mistake.

use std::sync::Arc;

use anyhow::Result;
use zsic::cache::{ContentHash, Scope};
use zsic::head::{self, Head};
use zsic::pipeline::Answer;
use zsic::{
    Activation, Checkpoint, Decision, Embeddings, EncodedLabel, Error, ImageError, Label, Labels, Plan, Readout,
    Scorer, Scores, Template, TextEncoder,
};

use super::Outcome;
use super::args::{ActivationArg, Common, DecisionArgs, Inputs, LabelArgs, Machine};
use super::classifier::{ClassifierFile, no_prototypes};
use super::decisions::{self, Decided, Rules};
use super::examples::{self, Embedded, ExampleSource, Taught, counted};
use super::fatal::usage;
use super::labels::{self, Given, Places, UNKNOWN};
use super::messages::{note, say, warn};
use super::model::ImageTower;
use super::progress::Progress;
use super::session::Session;
use super::truth::Renaming;

/// The number of prompts from which encoding them shows a bar.
const MANY_PROMPTS: usize = 100;
/// One example of so many may be rejected without a warning.
const MANY_REJECTED: usize = 10;

/// The flags about what images are scored against.
#[derive(Clone, Copy)]
pub struct Flags<'a> {
    pub labels: &'a LabelArgs,
    pub decisions: &'a DecisionArgs,
    pub activation: ActivationArg,
    pub inputs: &'a Inputs,
    /// What names of examples stand for, if that is another.
    pub renaming: Option<&'a Renaming>,
    pub common: &'a Common,
}

/// What images are scored against, before anything is encoded.
pub struct Wanted<'a> {
    flags: Flags<'a>,
    pub templates: Vec<Template>,
    pub given: Given,
    pub rules: Rules,
    examples: Option<ExampleSource>,
    /// The names of what the examples show.
    shown: Vec<String>,
    classifier: Option<ClassifierFile>,
}

/// Rows to score with, and everything that was found out about them.
pub struct Rows {
    pub readout: Readout,
    /// The labels, with the rows that they are scored by.
    pub labels: Labels,
    /// The rules, and the rows that compete.
    pub decision: Option<Decided>,
    /// What examples taught.
    pub taught: Option<Taught>,
    /// Whether examples failed.
    pub outcome: Outcome,
}

impl<'a> Wanted<'a> {
    /// Reads what the flags name. `otherwise` returns labels, made with the templates, if the flags name none.
    ///
    /// # Errors
    /// A usage error for labels, templates, examples or rules that are wrong.
    pub fn gather(flags: Flags<'a>, otherwise: impl FnOnce(&[Template]) -> Result<Option<Given>>) -> Result<Self> {
        let Flags { labels: named, decisions, activation, inputs, renaming, common } = flags;
        if let Some(path) = &named.examples.classifier {
            let classifier = ClassifierFile::read(path)?;
            classifier.check_flags(decisions, activation)?;
            let given = classifier.given();
            let rules = Rules::of_classifier(&classifier.compiled, decisions, &given)?;
            return Ok(Self {
                flags,
                templates: Vec::new(),
                given,
                rules,
                examples: None,
                shown: Vec::new(),
                classifier: Some(classifier),
            });
        }
        let templates = labels::templates(named)?;
        let examples = ExampleSource::read(&named.examples, inputs, renaming)?;
        let background = labels::background(decisions, named, &templates)?;
        let competing = Places::new(background.iter().map(|label| label.name.as_str()).zip(0..));
        let shown = examples.as_ref().map_or(Ok(Vec::new()), ExampleSource::names)?;
        let is_added = |name: &&String| *name != UNKNOWN && competing.place(name).is_none();
        let added: Vec<String> = shown.iter().filter(is_added).cloned().collect();
        let given = labels::gather(named, &added, &templates, common, || match (otherwise(&templates)?, &examples) {
            (None, Some(examples)) if added.is_empty() => Err(examples.no_label()),
            (given, _) => Ok(given),
        })?;
        let rules = Rules::gather(decisions, background, named, &given, &templates)?;
        if rules.are_shown && shown.iter().any(|name| name == UNKNOWN) {
            given.check_unknown(
                "give it another name, or leave it out: --examples takes pictures of `unknown` for those",
            )?;
        }
        Ok(Self { flags, templates, given, rules, examples, shown, classifier: None })
    }

    /// Lets the built-in list compete with the labels.
    pub fn let_list_compete(&mut self) {
        self.rules.let_compete(labels::built_in(self.flags.labels, &self.templates));
    }

    /// Returns the first of these labels that no example shows, if examples show others by name.
    pub fn without_example(&self, places: &[usize]) -> Option<&str> {
        let shown = Places::new(self.shown.iter().map(String::as_str).zip(0..));
        let mut names = places.iter().map(|place| self.given.answers()[*place]);
        names.find(|name| !self.shown.is_empty() && shown.place(name).is_none())
    }

    /// Returns the number of labels, those that compete included.
    pub fn count(&self) -> usize {
        self.given.labels.len() + self.rules.competing().count()
    }

    /// Returns the machine's flags, with the checkpoint of a compiled classifier if they name none.
    ///
    /// # Errors
    /// A usage error if the classifier does not know where its checkpoint is.
    pub fn machine(&self, machine: &Machine) -> Result<Machine> {
        self.classifier
            .as_ref()
            .map_or_else(|| Ok(machine.clone()), |classifier| classifier.machine(machine, self.flags.common))
    }

    /// Returns the name of the file of a compiled classifier, if there is one.
    pub fn classifier(&self) -> Option<&str> {
        self.classifier.as_ref().map(ClassifierFile::name)
    }

    /// Returns the rules of a compiled classifier with those that the flags change, and the names of what competes, if there are
    /// any.
    pub fn compiled_rules(&self) -> Option<(&Decision, &[String])> {
        let classifier = self.classifier.as_ref()?;
        Some((self.rules.changed()?, &classifier.compiled.about.background))
    }

    /// Says what decides answers besides the scores: the flags, or a compiled classifier's rules. None if nothing does.
    pub fn told_rules(&self) -> Option<String> {
        let Flags { labels, decisions, .. } = self.flags;
        match self.compiled_rules() {
            Some((decision, competing)) => decisions::told(decision, competing.len(), &self.given.all_answers()),
            None => decisions.typed(&labels.groups),
        }
    }

    /// Returns whether the flags or a compiled classifier ask for scores by sigmoid.
    pub fn is_sigmoid(&self) -> bool {
        let own = self.classifier.as_ref().map(|classifier| classifier.compiled.activation());
        self.flags.activation.or(own.unwrap_or(Activation::Softmax)) == Activation::Sigmoid
    }

    /// Returns whether the rows are not known from texts and flags alone.
    pub fn learns(&self) -> bool {
        self.examples.is_some() || self.classifier.is_some()
    }

    /// Encodes the labels, learns from the examples, and warns of labels that look like a mistake, or if many examples are
    /// rejected, and says if some are among the inputs. An error about them comes alone, before any warning.
    ///
    /// # Errors
    /// As [`Self::rows_untold`].
    pub fn rows(&self, session: &Session, kept: &Scope, tower: &ImageTower) -> Result<Rows> {
        let rows = self.rows_untold(session, kept, tower)?;
        rows.tell_rejected(self.flags.common);
        self.examples.iter().for_each(|examples| examples.tell_overlap(&session.asked));
        Ok(rows)
    }

    /// Does the same, and says neither what the rules reject, which may not be the last ones yet, nor what is among the inputs.
    ///
    /// # Errors
    /// If a label cannot be encoded, or the rules do not fit the checkpoint.
    pub fn rows_untold(&self, session: &Session, kept: &Scope, tower: &ImageTower) -> Result<Rows> {
        let Self { flags: Flags { common, .. }, rules, .. } = self;
        let readout = self.readout(&session.checkpoint)?;
        if let Some(classifier) = &self.classifier {
            classifier.check(&session.checkpoint, kept.cache(), common)?;
            note(common, 1, classifier.told());
            let (labels, decision) = (classifier.compiled.labels(), rules.decided(&classifier.compiled));
            let taught = Some(Taught::Before(classifier.fingerprint()));
            return Ok(Rows { readout, labels, decision, taught, outcome: Outcome::Complete });
        }
        let (own, competing) = self.encode(readout, session, kept)?;
        let taught = self.learn(&own, &competing, session, kept, tower)?;
        let (taught, outcome) = taught.map_or((None, Outcome::Complete), |(taught, outcome)| (Some(taught), outcome));
        let decision = rules.decide(own.embeddings(), competing.embeddings(), taught.as_ref(), common)?;
        let mut rows = Rows { readout, labels: own, decision, taught, outcome };
        rows.put_learned();
        Ok(rows)
    }

    /// Encodes the labels, and those that compete with them, and warns of what looks like a mistake.
    fn encode(&self, readout: Readout, session: &Session, kept: &Scope) -> Result<(Labels, Labels)> {
        let (Self { flags, given, rules, .. }, Session { checkpoint, plan, .. }) = (self, session);
        let (named, common, labels) = (flags.labels, flags.common, &given.labels);
        let all: Vec<Label> = labels.iter().chain(rules.competing()).cloned().collect();
        let mut encoded = encode(&all, named, checkpoint, plan, kept, common)?;
        let competing = encoded.split_off(labels.len());
        let names = |labels: &[Label]| labels.iter().map(|label| label.name.clone()).collect();
        let own = Labels::from_encoded(names(labels), &encoded)?;
        let competing = Labels::from_encoded(names(&all[labels.len()..]), &competing)?;
        if let Some(cut) = if named.truncate { None } else { cut_label(&all, checkpoint)? } {
            warn(common, cut);
        }
        warn_of_alike(&own, common);
        let alone = readout.activation == Activation::Softmax && !rules.has_background();
        let doubt = labels::doubt(given, named, alone);
        if alone && labels.len() > 1 && given.answers().len() == 1 {
            let reason = "there is one group, so its score is always 1";
            warn(common, format!("{reason}; add a label of another group, or use --unknown"));
        }
        let unknown = labels::unknown(labels, checkpoint)?;
        doubt.iter().chain(&unknown).for_each(|doubt| warn(common, doubt));
        Ok((own, competing))
    }

    /// Learns from the examples, if there are any.
    fn learn(
        &self,
        own: &Labels,
        competing: &Labels,
        session: &Session,
        kept: &Scope,
        tower: &ImageTower,
    ) -> Result<Option<(Taught, Outcome)>> {
        let Some(source) = &self.examples else { return Ok(None) };
        let (labels, background, head) = (&self.given.labels, &self.rules.background, source.head);
        if head == Head::Prototype && self.readout(&session.checkpoint)?.activation == Activation::Sigmoid {
            return Err(no_prototypes("--head prototype", "use --head anchored"));
        }
        // The background of the flags learns too, and stands behind the labels.
        let mut texts = own.embeddings().clone();
        (0..background.len()).for_each(|at| texts.push_unit(competing.embeddings().row(at)));
        let names: Vec<&str> = labels.iter().chain(background).map(|label| label.name.as_str()).collect();
        let Embedded { found, examples, outcome } = source.embed(&names, labels.len(), session, kept, tower)?;
        let trained = session.checkpoint.family().readout(session.checkpoint.weights())?;
        let learned = head::learn(&texts, &examples, trained, head);
        examples::tell(&learned, &examples, head, self.flags.common);
        Ok(Some((Taught::Now { learned, found, examples, head }, outcome)))
    }

    /// Returns the checkpoint's readout, with the activation asked for.
    fn readout(&self, checkpoint: &Checkpoint) -> Result<Readout> {
        let mut readout = checkpoint.family().readout(checkpoint.weights())?;
        let trained = readout.activation;
        let own = self.classifier.as_ref().map(|classifier| classifier.compiled.activation());
        readout.activation = self.flags.activation.or(own.unwrap_or(trained));
        if self.rules.are_shown && trained == Activation::Softmax && readout.activation == Activation::Sigmoid {
            let reason = "the sigmoid of this checkpoint's logits is near 1 for every label, so it decides nothing";
            return Err(usage(format!("{reason}; use --independent instead of --activation sigmoid")));
        }
        Ok(readout)
    }
}

impl Rows {
    /// Returns a scorer by these rows.
    pub fn scorer(&self) -> Scorer {
        let scorer = Scorer::new(self.readout, self.labels.clone());
        match &self.decision {
            Some(Decided { decision, background, .. }) => scorer.with_decision(decision.clone(), background),
            None => scorer,
        }
    }

    /// Puts what was learned in this run in place of the texts' rows: those of the labels, and the background's behind them.
    fn put_learned(&mut self) {
        let Some(Taught::Now { learned, .. }) = &self.taught else { return };
        let (mut rows, mut background) = (Embeddings::new(learned.rows.dim()), Embeddings::new(learned.rows.dim()));
        let labels = self.labels.names().len();
        let each = learned.rows.rows().enumerate();
        each.for_each(|(at, row)| if at < labels { &mut rows } else { &mut background }.push_unit(row));
        self.labels = self.labels.clone().with_rows(rows);
        if let Some(Decided { background: competing, .. }) = &mut self.decision {
            (background.len()..competing.len()).for_each(|at| background.push_unit(competing.row(at)));
            *competing = background;
        }
    }

    /// Says how many examples of labels the background rejects, and warns if these are many.
    pub fn tell_rejected(&self, common: &Common) {
        let (Some(Taught::Now { examples, .. }), Some(decided)) = (&self.taught, &self.decision) else { return };
        if decided.background.is_empty() {
            return;
        }
        let bare = Decision { thresholds: Vec::new(), ..decided.decision.clone() };
        let scorer = Scorer::new(self.readout, self.labels.clone()).with_decision(bare, &decided.background);
        let of_labels = examples.of().iter().zip(examples.rows().rows());
        let of_labels: Vec<&[f32]> =
            of_labels.filter(|(of, _)| **of < self.labels.names().len()).map(|(_, row)| row).collect();
        let is_rejected = |scores: &Scores| scores.verdict().is_some_and(|verdict| verdict.accepted.is_empty());
        let rejected = scorer.score(&of_labels).iter().flatten().filter(|scores| is_rejected(scores)).count();
        let told = format!("the background rejects {rejected} of {}", counted(of_labels.len(), "example"));
        if MANY_REJECTED * rejected > of_labels.len() {
            warn(
                common,
                format!("{told}; name what else your pictures show with --background, or let nothing compete"),
            );
        } else {
            say(common, told);
        }
    }

    /// Returns the embeddings of the examples of this run.
    pub fn examples(&self) -> impl Iterator<Item = &Arc<[f32]>> {
        let found = if let Some(Taught::Now { found, .. }) = &self.taught { &found[..] } else { &[] };
        found.iter().map(|(_, _, row)| row)
    }

    /// Returns a hash of what examples taught, if there are any: it decides records.
    pub fn fingerprint(&self) -> Option<String> {
        match self.taught.as_ref()? {
            Taught::Before(fingerprint) => Some(fingerprint.clone()),
            Taught::Now { learned, head, .. } => {
                let bytes: Vec<u8> = learned.rows.values().iter().flat_map(|x| x.to_le_bytes()).collect();
                Some(format!("{} {}", head.name(), ContentHash::of(&bytes).hex()))
            }
        }
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
