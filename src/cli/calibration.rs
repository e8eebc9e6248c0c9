//! `--calibrate`: rules fitted to pictures whose labels are known, and what that changed in words.

use std::collections::HashSet;

use anyhow::Result;
use zsic::cache::Scope;
use zsic::calibrate::{self, Fitted, Known, Promise};
use zsic::compiled::CompiledCalibration;
use zsic::{Activation, Decision};

use super::args::Common;
use super::decisions::Decided;
use super::examples::{Collected, ExampleSource, Taught, counted, each_once};
use super::fatal::usage;
use super::labels;
use super::messages::{say, warn};
use super::model::ImageTower;
use super::scorer::{Rows, Wanted};
use super::session::Session;

/// What pictures are called that show none of the labels.
const UNKNOWN: &str = "unknown";
/// The fewest pictures of labels that are fitted to, and the fewest without a note.
const LEAST: usize = 20;
const FEW: usize = 100;

/// Fits the rules of `rows` to pictures whose labels are known, and says what that changed.
///
/// # Errors
/// A usage error if the pictures are too few, or one has two labels.
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
        fit_thresholds(&mut decided.decision, &images, &labels, (activation, promise), common);
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
    let unknown = (!labels.contains(&UNKNOWN)).then_some(UNKNOWN);
    let all: Vec<&str> = labels.iter().copied().chain(unknown).chain(others).collect();
    let Collected { mut found, outcome } = source.collect(&all, labels.len(), session, kept, tower)?;
    rows.outcome = rows.outcome.or(outcome);
    if let Some(Taught::Now { examples, .. }) = &rows.taught {
        let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        let examples: HashSet<Vec<u32>> = examples.rows().rows().map(bits).collect();
        let before = found.len();
        found.retain(|(_, _, row)| !examples.contains(&bits(row)));
        let same = before - found.len();
        if same > 0 {
            let pictures = counted(same, "picture");
            say(common, format!("--calibrate: left out {pictures} that --examples has too"));
        }
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
        let pictures = counted(count, "picture");
        return Err(usage(format!(
            "--calibrate: {pictures} of labels are too few to fit to; use {LEAST}, better {FEW}"
        )));
    }
    if count < FEW {
        say(common, format!("--calibrate: {count} pictures of labels are few to fit to; {FEW} would be better"));
    }
    Ok(images)
}

/// Fits the temperature, and beside a background its offset.
fn fit(decision: &mut Decision, images: &[Known], activation: Activation, common: &Common) -> CompiledCalibration {
    let unknown = images.iter().filter(|image| image.truth.is_none()).count();
    let count = images.len() - unknown;
    let Fitted { decision: fitted, keeps_temperature, keeps_offset } = calibrate::fit(decision, images, activation);
    if keeps_temperature {
        let reason = "no temperature fits these pictures best, as where every answer to them is right";
        let temperature = decision.temperature;
        warn(common, format!("--calibrate: {reason}, so it stays {temperature}; add pictures that are harder"));
    }
    if keeps_offset {
        warn(common, "--calibrate: no weight of the background fits these pictures best, so it stays as it was");
    }
    let nll = [&*decision, &fitted].map(|decision| calibrate::loss(decision, images, activation));
    let moved = match (fitted.background.first(), decision.background.first()) {
        (Some(now), Some(before)) if now != before => format!(", the background's logit moves by {:.2}", now - before),
        _ => String::new(),
    };
    say(
        common,
        format!(
            "{} of labels, {unknown} of none: temperature {:.3}{moved}; mean negative log-likelihood {:.3} before, {:.3} after",
            counted(count, "picture"),
            fitted.temperature,
            nll[0],
            nll[1]
        ),
    );
    *decision = fitted;
    CompiledCalibration { images: count, unknown, nll: nll.map(calibrate::rounded), want: None }
}

/// Fits thresholds that keep a promise.
fn fit_thresholds(
    decision: &mut Decision,
    images: &[Known],
    labels: &[&str],
    (activation, promise): (Activation, Promise),
    common: &Common,
) {
    let found = calibrate::thresholds(decision, images, labels.len(), activation, promise);
    let names = |places: &[usize]| labels::shown(&places.iter().map(|at| labels[*at]).collect::<Vec<_>>().join(", "));
    if !found.shared.is_empty() {
        say(common, format!("these labels have few pictures, and share one threshold: {}", names(&found.shared)));
    }
    if !found.unreachable.is_empty() {
        let then = match promise {
            Promise::Precision(_) => "they are never accepted",
            Promise::Recall(_) => "they get no threshold",
        };
        let names = names(&found.unreachable);
        warn(common, format!("no threshold of these labels keeps what --want asks for, so {then}: {names}"));
    }
    decision.thresholds = found.least;
}
