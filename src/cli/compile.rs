//! `zsic compile`: labels, and what examples teach, in a small file.

use anyhow::Result;
use zsic::cache::{ContentHash, Scope};
use zsic::calibrate::{self, Known, Promise};
use zsic::compiled::{
    About, Compiled, CompiledCalibration, CompiledCheck, CompiledGroups, CompiledHead, CompiledLabel, FORMAT,
    Preprocessing, activation_name,
};
use zsic::head::{Examples, Head};
use zsic::kernels::BITS_VERSION;
use zsic::{Decision, Embeddings};

use super::args::{Asked, Common, Compile, Inputs, LongRun};
use super::decisions::Decided;
use super::examples::{Collected, ExampleSource};
use super::fatal::usage;
use super::labels;
use super::messages::{note, say, warn};
use super::model::ImageTower;
use super::output::{Place, ending};
use super::scorer::{Flags, Rows, Taught, Wanted};
use super::session::Session;
use super::{Outcome, cache, classifier};

/// The ending of a classifier's name.
const ENDING: &str = "zsc";
/// What pictures of `--calibrate` are called that show none of the labels.
const UNKNOWN: &str = "unknown";
/// The fewest pictures that are fitted to, and the fewest without a note.
const LEAST: usize = 20;
const FEW: usize = 100;

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Compile, common: &Common) -> Result<Outcome> {
    let Compile { labels: named, decisions, activation, machine, .. } = args;
    if named.examples.classifier.is_some() {
        return Err(usage("--classifier is what compile makes; name labels or examples"));
    }
    let promise = args.want.as_deref().map(promise).transpose()?;
    let inputs = Inputs::default();
    labels::check_stdin(args.files(), &inputs)?;
    let flags = Flags { labels: named, decisions, activation: *activation, inputs: &inputs, common };
    let wanted = Wanted::gather(flags, |_| Ok(None))?;
    let known = args.calibrate.as_deref().map(|path| ExampleSource::at("--calibrate", path, Head::Text, &inputs));
    let known = known.transpose()?;
    if known.is_some() && !wanted.given.ranks.is_empty() {
        return Err(usage("--calibrate fits rules to labels, and --groups reports others; use one of them"));
    }
    let long_run = LongRun::default();
    let asked = Asked { inputs: &inputs, machine, output: Some(&args.output), long_run: &long_run, common };
    let (session, mut sink) = Session::open(asked, || {
        let place = Place::new(Some(&args.output), common);
        match place.ending().as_deref() {
            Some(ENDING) => {}
            _ if place.promises_nothing() => {}
            other => return Err(ending::refuse(&place.name(), other.unwrap_or(""), "a classifier", &[".zsc"])),
        }
        place.open(args.files())
    })?;
    let (kept, tower) = (session.kept()?, ImageTower::new(&session.checkpoint, &session.plan));
    session.introduce();
    let mut rows = wanted.rows(&session, &kept, &tower)?;
    let calibration = known.map(|known| calibrate(&known, &mut rows, &wanted, promise, (&session, &kept, &tower)));
    let mut calibration = calibration.transpose()?;
    if let Some(calibration) = &mut calibration {
        calibration.want.clone_from(&args.want);
    }
    let outcome = rows.outcome;
    let compiled = compiled(rows, &wanted, calibration, &session, &kept)?;
    let bytes = compiled.to_bytes();
    sink.write(&bytes, None)?;
    sink.finish()?;
    cache::close(&kept, common);
    note(common, 1, format!("{}: {} bytes", args.output.display(), bytes.len()));
    Ok(outcome)
}

/// Returns the file's content.
fn compiled(
    rows: Rows,
    wanted: &Wanted,
    calibration: Option<CompiledCalibration>,
    session: &Session,
    kept: &Scope,
) -> Result<Compiled> {
    let Rows { readout, labels, decision, taught, .. } = rows;
    let answers = wanted.rules.are_shown || calibration.is_some();
    let nothing = Decided {
        decision: Decision::default(),
        background: Embeddings::new(labels.embeddings().dim()),
        names: Vec::new(),
    };
    let Decided { decision, background, names } = decision.unwrap_or(nothing);
    let given = &wanted.given;
    let count = given.all_answers().len();
    let thresholds = if decision.thresholds.is_empty() { vec![0.0; count] } else { decision.thresholds };
    let label = |label: &zsic::Label| CompiledLabel { name: label.name.clone(), prompts: label.prompts.clone() };
    let about = About {
        format: FORMAT,
        zsic: env!("CARGO_PKG_VERSION").to_owned(),
        bits: BITS_VERSION,
        checkpoint: classifier::belongs(&session.checkpoint, kept.cache())?,
        preprocessing: Preprocessing { decode: "exact".to_owned(), reading: session.checkpoint.reading().to_owned() },
        activation: activation_name(readout.activation).to_owned(),
        labels: given.labels.iter().map(label).collect(),
        background: names,
        ranks: given.ranks.iter().map(|of| CompiledGroups { names: of.names.clone(), of: of.of.clone() }).collect(),
        temperature: decision.temperature,
        independent: decision.independent,
        answers,
        head: taught.and_then(head),
        calibration,
    };
    let bias = vec![0.0; given.labels.len()];
    let offsets = decision.background;
    Ok(Compiled { about, rows: labels.embeddings().clone(), bias, background, offsets, thresholds })
}

/// Says what examples did.
fn head(taught: Taught) -> Option<CompiledHead> {
    let Taught::Now { learned, examples, head } = taught else { return None };
    let check = learned.check;
    Some(CompiledHead {
        name: head.name().to_owned(),
        strength: learned.strength,
        examples: examples.len(),
        content: content(&examples),
        cross_validation: CompiledCheck {
            folds: check.folds,
            examples: check.examples,
            right: check.right,
            right_by_text: check.right_by_text,
        },
    })
}

/// Returns a hash of examples.
fn content(examples: &Examples) -> String {
    let of = examples.of().iter().flat_map(|label| (*label as u64).to_le_bytes());
    let bytes: Vec<u8> = of.chain(examples.rows().values().iter().flat_map(|x| x.to_le_bytes())).collect();
    format!("{:?}", ContentHash::of(&bytes))
}

/// Parses `precision=X` or `recall=X`.
fn promise(text: &str) -> Result<Promise> {
    let wrong =
        || usage(format!("--want `{}`: write precision=X or recall=X with X between 0 and 1", labels::shown(text)));
    let (what, share) = text.split_once('=').ok_or_else(wrong)?;
    let share = share.trim().parse().ok().filter(|share: &f64| *share > 0.0 && *share < 1.0).ok_or_else(wrong)?;
    match what.trim() {
        "precision" => Ok(Promise::Precision(share)),
        "recall" => Ok(Promise::Recall(share)),
        _ => Err(wrong()),
    }
}

/// Fits the rules to pictures whose labels are known, and says what that changed.
fn calibrate(
    source: &ExampleSource,
    rows: &mut Rows,
    wanted: &Wanted,
    promise: Option<Promise>,
    (session, kept, tower): (&Session, &Scope, &ImageTower),
) -> Result<CompiledCalibration> {
    let common = session.asked.common;
    let labels: Vec<&str> = wanted.given.labels.iter().map(|label| label.name.as_str()).collect();
    let others = wanted.rules.background.iter().map(|label| label.name.as_str());
    let unknown = (!labels.contains(&UNKNOWN)).then_some(UNKNOWN);
    let all: Vec<&str> = labels.iter().copied().chain(unknown).chain(others).collect();
    let Collected { mut found, outcome } = source.collect(&all, session, kept, tower)?;
    rows.outcome = rows.outcome.or(outcome);
    if let Some(Taught::Now { examples, .. }) = &rows.taught {
        let before = found.len();
        found.retain(|(_, _, row)| !examples.rows().rows().any(|example| *example == **row));
        let same = before - found.len();
        if same > 0 {
            say(common, format!("{same} pictures of --calibrate are examples too, and are left out"));
        }
    }
    if found.len() < LEAST {
        let count = found.len();
        return Err(usage(format!("--calibrate: {count} pictures are too few to fit to; use {LEAST}, better {FEW}")));
    }
    if found.len() < FEW {
        say(common, format!("{} pictures are few to fit to; {FEW} would be better", found.len()));
    }
    let scorer = rows.scorer();
    let truth = |place: usize| (place < labels.len()).then_some(place);
    let images = found.iter().map(|(_, place, row)| Known { logits: scorer.all_logits(row), truth: truth(*place) });
    let images: Vec<Known> = images.collect();
    let dim = rows.labels.embeddings().dim();
    let decided = rows.decision.get_or_insert_with(|| Decided {
        decision: Decision::default(),
        background: Embeddings::new(dim),
        names: Vec::new(),
    });
    let activation = rows.readout.activation;
    let nll = |decision: &Decision| calibrate::loss(decision, &images, activation);
    let fitted = calibrate::fit(&decided.decision, &images, activation);
    let nll = [nll(&decided.decision), nll(&fitted)];
    let moved = match (fitted.background.first(), decided.decision.background.first()) {
        (Some(now), Some(before)) if now != before => format!(", the background's logit moves by {:.2}", now - before),
        _ => String::new(),
    };
    let unknown = images.iter().filter(|image| image.truth.is_none()).count();
    let count = images.len() - unknown;
    let temperature = fitted.temperature;
    say(
        common,
        format!(
            "{count} pictures of labels, {unknown} of none: temperature {temperature:.3}{moved}; mean negative log-likelihood \
             {:.3} before, {:.3} after",
            nll[0], nll[1]
        ),
    );
    decided.decision = fitted;
    if let Some(promise) = promise {
        let found = calibrate::thresholds(&decided.decision, &images, labels.len(), activation, promise);
        let names =
            |places: &[usize]| labels::shown(&places.iter().map(|at| labels[*at]).collect::<Vec<_>>().join(", "));
        if !found.shared.is_empty() {
            say(common, format!("these labels have few pictures, and share one threshold: {}", names(&found.shared)));
        }
        if !found.unreachable.is_empty() {
            let then =
                if matches!(promise, Promise::Precision(_)) { "they are never accepted" } else { "they have none" };
            let names = names(&found.unreachable);
            warn(common, format!("no threshold of these labels keeps what --want asks for, so {then}: {names}"));
        }
        decided.decision.thresholds = found.least;
    }
    Ok(CompiledCalibration { images: count, unknown, nll: nll.map(calibrate::rounded), want: None })
}
