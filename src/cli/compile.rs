//! `zsic compile`: labels, and what examples teach, in a small file.

use anyhow::Result;
use zsic::cache::{ContentHash, Scope};
use zsic::calibrate::Promise;
use zsic::compiled::{
    About, Compiled, CompiledCalibration, CompiledCheck, CompiledHead, FORMAT, Preprocessing, activation_name, is_name,
};
use zsic::head::{Examples, Head};
use zsic::kernels::BITS_VERSION;

use super::args::{Asked, Common, Compile, Inputs, LongRun};
use super::decisions::Decided;
use super::examples::{ExampleSource, Taught};
use super::fatal::usage;
use super::labels;
use super::messages::note;
use super::model::ImageTower;
use super::output::{Place, ending};
use super::scorer::{Flags, Rows, Wanted};
use super::session::Session;
use super::{Outcome, cache, calibration, classifier};

/// The ending of a classifier's name.
const ENDING: &str = "zsc";

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Compile, common: &Common) -> Result<Outcome> {
    let Compile { labels: named, decisions, activation, machine, .. } = args;
    if named.examples.classifier.is_some() {
        return Err(usage(
            "compile makes a classifier, and does not read one; name labels or examples in place of --classifier",
        ));
    }
    let promise = args.want.as_deref().map(promise).transpose()?;
    let inputs = Inputs::default();
    labels::check_stdin(args.files(), &inputs)?;
    let flags = Flags { labels: named, decisions, activation: *activation, inputs: &inputs, renaming: None, common };
    let wanted = Wanted::gather(flags, |_| Ok(None))?;
    let known = args.calibrate.as_deref().map(|path| ExampleSource::at("--calibrate", path, Head::Text, &inputs));
    let known = known.transpose()?;
    check_names(&wanted)?;
    if known.is_some() {
        wanted.given.check_unknown("--calibrate takes pictures of `unknown` for those; give the label another name")?;
    }
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
            Some(other) => return Err(ending::refuse(&place.name(), other, "classifiers", &[".zsc"])),
            None => return Err(usage(format!("{}: name a file that ends in .zsc", place.name()))),
        }
        place.open(args.files())
    })?;
    let (kept, tower) = (session.kept()?, ImageTower::new(&session.checkpoint, &session.plan));
    session.introduce();
    let mut rows = wanted.rows_untold(&session, &kept, &tower)?;
    let calibration =
        known.map(|known| calibration::run(&known, &mut rows, &wanted, promise, (&session, &kept, &tower)));
    let mut calibration = calibration.transpose()?;
    rows.tell_rejected(common);
    if let Some(calibration) = &mut calibration {
        calibration.want.clone_from(&args.want);
    }
    let outcome = rows.outcome;
    let compiled = compiled(rows, &wanted, calibration, &session, &kept)?;
    let bytes = compiled.to_bytes();
    Compiled::from_bytes(&bytes).map_err(|reason| usage(format!("no classifier can be made of this: {reason}")))?;
    sink.write(&bytes, None)?;
    sink.finish()?;
    cache::close(&kept, common);
    note(common, 1, format!("{}: {} bytes", args.output.display(), bytes.len()));
    Ok(outcome)
}

/// Checks that a classifier can hold all names, before anything is learned.
fn check_names(wanted: &Wanted) -> Result<()> {
    let labels = wanted.given.labels.iter().chain(&wanted.rules.background).map(|label| &label.name);
    let mut names = labels.chain(wanted.given.ranks.iter().flat_map(|groups| &groups.names));
    let Some(wrong) = names.find(|name| !is_name(name)) else { return Ok(()) };
    let reason = "has a space at an end, or a control character, which a classifier cannot hold";
    Err(usage(format!("the label `{}` {reason}", labels::shown(wrong))))
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
    let nothing = || Decided::none(labels.embeddings().dim());
    let Decided { decision, background, names } = decision.unwrap_or_else(nothing);
    let given = &wanted.given;
    let count = given.all_answers().len();
    let thresholds = if decision.thresholds.is_empty() { vec![0.0; count] } else { decision.thresholds };
    let about = About {
        format: FORMAT,
        zsic: env!("CARGO_PKG_VERSION").to_owned(),
        bits: BITS_VERSION,
        checkpoint: classifier::belongs(&session.checkpoint, kept.cache())?,
        preprocessing: Preprocessing { decode: "exact".to_owned(), reading: session.checkpoint.reading().to_owned() },
        activation: activation_name(readout.activation).to_owned(),
        labels: given.labels.clone(),
        background: names,
        ranks: given.ranks.clone(),
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
    let Taught::Now { learned, examples, head, .. } = taught else { return None };
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
    ContentHash::of(&bytes).hex()
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
