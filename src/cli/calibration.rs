//! `--calibrate`: rules fitted to pictures whose labels are known, and what that changed in words.

use std::collections::HashMap;

use anyhow::Result;
use zsic::cache::Scope;
use zsic::calibrate::{self, End, FEWEST_UNKNOWN, Fitted, Known, Promise};
use zsic::compiled::CompiledCalibration;
use zsic::{Activation, Decision};

use super::args::Common;
use super::decisions::Decided;
use super::examples::{Collected, Example, ExampleSource, Taught, bits, counted, each_once, same_picture};
use super::fatal::usage;
use super::labels::{self, UNKNOWN};
use super::messages::{say, warn};
use super::model::ImageTower;
use super::scorer::{Rows, Wanted};
use super::session::Session;

/// The fewest pictures of labels that are fitted to, and the fewest without a note.
const LEAST: usize = 20;
const FEW: usize = 100;

/// Fits the rules of `rows` to pictures whose labels are known, and says what that changed.
///
/// # Errors
/// A usage error if the pictures are too few, or one has two labels, also among the examples.
pub fn run(
    source: &ExampleSource,
    rows: &mut Rows,
    wanted: &Wanted,
    promise: Option<Promise>,
    (session, kept, tower): (&Session, &Scope, &ImageTower),
) -> Result<CompiledCalibration> {
    let common = session.asked.common;
    let labels: Vec<&str> = wanted.given.labels.iter().map(|label| label.name.as_str()).collect();
    let images = known(source, rows, wanted, &labels, (session, kept, tower))?;
    let (dim, activation) = (rows.labels.embeddings().dim(), rows.readout.activation);
    let decided = rows.decision.get_or_insert_with(|| Decided::none(dim));
    let calibration = fit(&mut decided.decision, &images, activation, common);
    if let Some(promise) = promise {
        fit_thresholds(&mut decided.decision, &images, &labels, (activation, promise), common)?;
    }
    Ok(calibration)
}

/// Returns the pictures that are fitted to: each once, and none that is an example.
fn known(
    source: &ExampleSource,
    rows: &mut Rows,
    wanted: &Wanted,
    labels: &[&str],
    (session, kept, tower): (&Session, &Scope, &ImageTower),
) -> Result<Vec<Known>> {
    let common = session.asked.common;
    let others = wanted.rules.background.iter().map(|label| label.name.as_str());
    let all: Vec<&str> = labels.iter().copied().chain([UNKNOWN]).chain(others).collect();
    let Collected { mut found, outcome } = source.collect(&all, labels.len(), session, kept, tower)?;
    rows.outcome = rows.outcome.or(outcome);
    if let Some(Taught::Now { found: examples, .. }) = &rows.taught {
        leave_out(&mut found, examples, &all, labels.len(), common)?;
    }
    let place = |place: usize| place.min(labels.len());
    let distinct = each_once(rows.labels.embeddings().dim(), &found, &all, place, common)?;
    let scorer = rows.scorer();
    let images = distinct
        .of()
        .iter()
        .zip(distinct.rows().rows())
        .map(|(place, row)| Known { logits: scorer.all_logits(row), truth: (*place < labels.len()).then_some(*place) });
    let images: Vec<Known> = images.collect();
    let count = images.iter().filter(|image| image.truth.is_some()).count();
    if count < LEAST {
        let show = if count == 1 { "shows" } else { "show" };
        return Err(usage(format!(
            "--calibrate: {} {show} a label; at least {LEAST} are needed, and {FEW} are better",
            counted(count, "picture")
        )));
    }
    if count < FEW {
        say(common, format!("--calibrate: {count} pictures show a label; {FEW} would be better"));
    }
    Ok(images)
}

/// Leaves out pictures that are examples too, and says how many. `all` are the names of the first `labels` places, then that of
/// none of them, which examples have no place for, then the background's.
///
/// # Errors
/// A usage error that names both if one has another label there.
fn leave_out(
    found: &mut Vec<Example>,
    examples: &[Example],
    all: &[&str],
    labels: usize,
    common: &Common,
) -> Result<()> {
    let known: HashMap<Vec<u32>, &Example> = examples.iter().map(|example| (bits(&example.2), example)).collect();
    let of = |example: &Example| known.get(&bits(&example.2)).copied();
    let has_another = |(one, other): &(&Example, &Example)| one.1.min(labels) != other.1.min(labels);
    if let Some((one, other)) = found.iter().filter_map(|one| Some((one, of(one)?))).find(has_another) {
        let shown = all[other.1 + usize::from(other.1 >= labels)];
        return Err(same_picture((&other.0, shown), (&one.0, all[one.1])));
    }
    let before = found.len();
    found.retain(|example| of(example).is_none());
    if found.len() < before {
        let pictures = counted(before - found.len(), "picture");
        say(common, format!("--calibrate: left out {pictures} that --examples has too"));
    }
    Ok(())
}

/// Fits the temperature, and beside a background its offset.
fn fit(decision: &mut Decision, images: &[Known], activation: Activation, common: &Common) -> CompiledCalibration {
    let unknown = images.iter().filter(|image| image.truth.is_none()).count();
    let count = images.len() - unknown;
    let fitted = calibrate::fit(decision, images, activation);
    if (1..FEWEST_UNKNOWN).contains(&unknown) && !decision.background.is_empty() {
        let pictures = counted(unknown, "picture");
        let reason = format!("{pictures} of none of the labels cannot say how much the background weighs");
        say(common, format!("--calibrate: {reason}, so that stays as it was; use at least {FEWEST_UNKNOWN}"));
    }
    tell_kept(&fitted, decision.temperature, common);
    let fitted = fitted.decision;
    let nll = [&*decision, &fitted].map(|decision| calibrate::loss(decision, images, activation));
    let moved = match (fitted.background.first(), decision.background.first()) {
        (Some(now), Some(before)) if now != before => {
            format!(", the background's logit moves by {:.2}", (now - before) * fitted.temperature)
        }
        _ => String::new(),
    };
    say(
        common,
        format!(
            "{} of the labels, {unknown} of none of them: temperature {:.3}{moved}; mean negative log-likelihood {:.3} before, \
             {:.3} after",
            counted(count, "picture"),
            fitted.temperature,
            nll[0],
            nll[1]
        ),
    );
    *decision = fitted;
    CompiledCalibration { images: count, unknown, nll: nll.map(calibrate::rounded), want: None }
}

/// Warns of what stays as it was because no value of it is best.
fn tell_kept(fitted: &Fitted, temperature: f64, common: &Common) {
    if let Some(end) = fitted.keeps_temperature {
        let (reason, advice) = match end {
            End::Low => {
                ("a lower temperature is always better, as where every answer is right", "add pictures that are harder")
            }
            End::High => (
                "a higher temperature is always better, as the scores say too little about these pictures",
                "use --examples or other prompts",
            ),
        };
        warn(common, format!("--calibrate: {reason}, so it stays {temperature}; {advice}"));
    }
    if fitted.keeps_offset {
        warn(common, "--calibrate: no weight of the background fits these pictures best, so it stays as it was");
    }
}

/// Fits thresholds that keep a promise.
///
/// # Errors
/// A usage error if no label's threshold does: the classifier would say nothing, or promise nothing.
fn fit_thresholds(
    decision: &mut Decision,
    images: &[Known],
    labels: &[&str],
    (activation, promise): (Activation, Promise),
    common: &Common,
) -> Result<()> {
    let found = calibrate::thresholds(decision, images, labels.len(), activation, promise);
    if found.unreachable.len() == labels.len() {
        let least = promise.fewest();
        let takes = match promise {
            Promise::Precision(share) => format!("precision {share} takes at least {least} answers of a label"),
            Promise::Recall(share) => format!("recall {share} takes at least {least} pictures of a label"),
        };
        let of = |label: &usize| images.iter().filter(|image| image.truth == Some(*label)).count();
        let why = if (0..labels.len()).any(|label| of(&label) >= least) {
            "too many answers are wrong; promise less, or use --examples or other prompts".to_owned()
        } else {
            format!("{takes}, all right; add pictures to --calibrate, or promise less")
        };
        return Err(usage(format!("--want: no threshold of any label keeps it: {why}")));
    }
    let names = |places: &[usize]| labels::shown(&places.iter().map(|at| labels[*at]).collect::<Vec<_>>().join(", "));
    let has_picture = |label: &usize| images.iter().any(|image| image.truth == Some(*label));
    let (few, none): (Vec<usize>, Vec<usize>) = found.shared.iter().partition(|label| has_picture(label));
    if !few.is_empty() {
        say(common, format!("these labels have few pictures, and share one threshold: {}", names(&few)));
    }
    if !none.is_empty() {
        let reason = "--calibrate has no picture of these labels, so --want promises nothing for them";
        warn(common, format!("{reason}: {}", names(&none)));
    }
    if !found.unreachable.is_empty() {
        let then = match promise {
            Promise::Precision(_) => "they are never accepted",
            Promise::Recall(_) => "they get no threshold",
        };
        let names = names(&found.unreachable);
        warn(common, format!("for these labels no threshold keeps the promise of --want, so {then}: {names}"));
    }
    decision.thresholds = found.least;
    Ok(())
}
