//! Fits rules to pictures whose labels are known: one temperature, one offset of the background, and thresholds. On plain slices.
//!
//! The temperature and the offset make the mean negative log-likelihood least. Under softmax it is that of the label's score, or of
//! the background's share for a picture of none of the labels. Where each label has a score of its own, it is the sum over the
//! labels' scores, and beside a background over its share too. Pictures that are all answered correctly have no best temperature:
//! the lower, the better. Such an optimum at the end of a range is not taken. Thresholds keep a promise about precision or recall
//! at the lower end of Wilson's interval.

use crate::decision::{Decision, NEVER};
use crate::measure::wilson;
use crate::score::{Activation, Scores};

/// The range of the logarithm of temperatures: 0.05 to 20.
const TEMPERATURES: (f64, f64) = (-2.995_732_273_553_991, 2.995_732_273_553_991);
/// The range of offsets that are added to the background's logits, before these are divided by the temperature.
const OFFSETS: (f64, f64) = (-15.0, 15.0);
/// The share of a range at each end where an optimum is none.
const END: f64 = 0.01;
/// Steps of golden section: they narrow a range down to a millionth.
const STEPS: usize = 30;
/// The most rounds in which temperature and offset are fitted in turn, and how little a round moves both when it is the last.
const ROUNDS: usize = 20;
const STILL: f64 = 1e-4;
/// Pictures of none of the labels from which on the background's offset is fitted.
pub const FEWEST_UNKNOWN: usize = 20;
/// Pictures of a label from which on it gets a threshold of its own.
const OWN: usize = 20;
/// The least likelihood that counts, so that one picture is not everything.
const LEAST: f64 = 1e-9;

/// A picture: its logits for labels and background rows [L + B], and the label that it shows, or none of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The model's own logits.
    pub logits: Vec<f32>,
    /// Its label.
    pub truth: Option<usize>,
}

/// What thresholds promise, as a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Promise {
    /// So many of the accepted answers are right.
    Precision(f64),
    /// So many pictures of a label are accepted as such.
    Recall(f64),
}

impl Promise {
    /// Returns the fewest pictures of a label, all answered correctly, that can keep it.
    pub fn fewest(self) -> usize {
        let (Self::Precision(least) | Self::Recall(least)) = self;
        let keeps = |count: usize| wilson(count, count).is_some_and(|share| share.low >= least);
        let mut high = 1;
        while !keeps(high) {
            high *= 2;
        }
        let mut low = high / 2;
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if keeps(middle) { high = middle } else { low = middle }
        }
        high
    }
}

/// Fitted thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// The threshold of each label.
    pub least: Vec<f32>,
    /// Labels whose pictures are too few for a threshold of their own: they share one.
    pub shared: Vec<usize>,
    /// Labels for which no threshold keeps the promise. For precision they are never accepted.
    pub unreachable: Vec<usize>,
}

/// Rules that were fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The rules.
    pub decision: Decision,
    /// The end of the range where the temperature wants to be, so that none is best, and it stays as it was.
    pub keeps_temperature: Option<End>,
    /// Whether no offset is best though one was fitted, so that it stays as it was.
    pub keeps_offset: bool,
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The lower, the better: as where every answer is right.
    Low,
    /// The higher, the better: as where scores say nothing of the labels.
    High,
}

impl End {
    /// Returns the end of the range that an optimum is at, if it is at one.
    fn of(x: f64, (low, high): (f64, f64)) -> Option<Self> {
        let near = END * (high - low);
        if x < low + near { Some(Self::Low) } else { (x > high - near).then_some(Self::High) }
    }
}

/// Returns the mean negative log-likelihood of pictures. Under softmax those of none of the labels count only beside a background.
pub fn loss(decision: &Decision, images: &[Known], activation: Activation) -> f64 {
    let losses: Vec<f64> = images.iter().filter_map(|image| image_loss(decision, image, activation)).collect();
    losses.iter().sum::<f64>().abs() / losses.len().max(1) as f64
}

fn image_loss(decision: &Decision, image: &Known, activation: Activation) -> Option<f64> {
    let judged = decision.judge(&image.logits, activation);
    let minus_log = |share: f64| -share.max(LEAST).ln();
    let share = judged.verdict().and_then(|verdict| verdict.unknown).map(f64::from);
    let of = |p: f64, is_true: bool| minus_log(if is_true { p } else { 1.0 - p });
    if decision.independent || activation == Activation::Sigmoid {
        let each = judged.scores().iter().map(|score| f64::from(*score)).enumerate();
        let own: f64 = each.map(|(at, p)| of(p, Some(at) == image.truth)).sum();
        // Independent scores are against the background already. A sigmoid's are not.
        let share = share.filter(|_| !decision.independent);
        return Some(own + share.map_or(0.0, |share| of(share, image.truth.is_none())));
    }
    match image.truth {
        Some(truth) => Some(minus_log(judged.scores()[truth].into())),
        None => share.map(minus_log),
    }
}

/// Returns the same rules with the temperature that fits best and, where there are pictures of labels and enough of none of them
/// beside a background, its offset.
pub fn fit(decision: &Decision, images: &[Known], activation: Activation) -> Fitted {
    let unknown = images.iter().filter(|image| image.truth.is_none()).count();
    let has_offset = (FEWEST_UNKNOWN..images.len()).contains(&unknown) && !decision.background.is_empty();
    let own = decision.temperature.ln();
    // The offset counts before the temperature divides, so that the best of one hardly depends on the other.
    let at = |log: f64, offset: f64| {
        let temperature = if log == own { decision.temperature } else { rounded(log.exp()) };
        let background = decision.background.iter().map(|own| own + offset / temperature).collect();
        Decision { temperature, background, ..decision.clone() }
    };
    let best = |fits_temperature: bool, fits_offset: bool| {
        let (mut log, mut offset) = (own, 0.0);
        for _ in 0..if fits_temperature && fits_offset { ROUNDS } else { 1 } {
            let before = (log, offset);
            if fits_temperature {
                log = golden(TEMPERATURES, |log| loss(&at(log, offset), images, activation));
            }
            if fits_offset {
                offset = rounded(golden(OFFSETS, |offset| loss(&at(log, offset), images, activation)));
            }
            if (log - before.0).abs().max((offset - before.1).abs()) < STILL {
                break;
            }
        }
        (log, offset)
    };
    let (mut log, mut offset) = best(true, has_offset);
    let mut keeps_temperature = End::of(log, TEMPERATURES);
    if keeps_temperature.is_some() {
        (log, offset) = best(false, has_offset);
    }
    let keeps_offset = End::of(offset, OFFSETS).is_some();
    if keeps_offset {
        (log, offset) = best(keeps_temperature.is_none(), false);
        if let Some(end) = End::of(log, TEMPERATURES) {
            (log, keeps_temperature) = (own, keeps_temperature.or(Some(end)));
        }
    }
    Fitted { decision: at(log, offset), keeps_temperature, keeps_offset }
}

/// Rounds to six digits, so that JSON keeps them all.
pub fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// Returns where a function with one minimum is least, by golden section.
fn golden((mut low, mut high): (f64, f64), f: impl Fn(f64) -> f64) -> f64 {
    let share = (5f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - share * (high - low), low + share * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..STEPS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - share * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + share * (high - low);
            at_right = f(right);
        }
    }
    (low + high) / 2.0
}

/// Returns thresholds that keep a promise on these pictures, beside the rules of `decision`, whose own thresholds do not count.
pub fn thresholds(
    decision: &Decision,
    images: &[Known],
    labels: usize,
    activation: Activation,
    promise: Promise,
) -> Thresholds {
    let bare = Decision { thresholds: Vec::new(), ..decision.clone() };
    let judged: Vec<(Scores, Option<usize>)> =
        images.iter().map(|image| (bare.judge(&image.logits, activation), image.truth)).collect();
    let answers = judged.iter().flat_map(|(scores, truth)| {
        let accepted = scores.verdict().into_iter().flat_map(|verdict| &verdict.accepted);
        accepted.map(|answer| Answer {
            label: answer.label,
            score: answer.score,
            is_right: *truth == Some(answer.label),
        })
    });
    let answers: Vec<Answer> = answers.collect();
    let count = |label: usize| images.iter().filter(|image| image.truth == Some(label)).count();
    let (own, shared): (Vec<usize>, Vec<usize>) = (0..labels).partition(|label| count(*label) >= OWN);
    let (mut least, mut unreachable) = (vec![0.0; labels], Vec::new());
    let groups = own.into_iter().map(|label| vec![label]).chain((!shared.is_empty()).then(|| shared.clone()));
    for group in groups {
        let of_group = answers.iter().filter(|answer| group.contains(&answer.label)).copied().collect();
        let images = group.iter().map(|label| count(*label)).sum();
        let found = threshold(of_group, images, promise);
        let otherwise = if matches!(promise, Promise::Precision(_)) { NEVER } else { 0.0 };
        group.iter().for_each(|label| least[*label] = found.unwrap_or(otherwise));
        if found.is_none() {
            unreachable.extend(group);
        }
    }
    unreachable.sort_unstable();
    Thresholds { least, shared, unreachable }
}

/// An answer that is accepted without thresholds.
#[derive(Clone, Copy)]
struct Answer {
    label: usize,
    score: f32,
    is_right: bool,
}

/// Returns the threshold with the most answers that keeps a promise of precision, or with the fewest that keeps one of recall.
fn threshold(mut answers: Vec<Answer>, images: usize, promise: Promise) -> Option<f32> {
    answers.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut accepted, mut right, mut found) = (0, 0, None);
    for same in answers.chunk_by(|a, b| a.score == b.score) {
        accepted += same.len();
        right += same.iter().filter(|answer| answer.is_right).count();
        let low = |all: usize| wilson(right, all).map_or(0.0, |share| share.low);
        match promise {
            Promise::Precision(least) if low(accepted) >= least => found = Some(same[0].score),
            Promise::Recall(least) if low(images) >= least => return Some(same[0].score),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    /// Pictures whose labels are drawn with the probabilities of their logits: `heat` is their true temperature.
    fn drawn(count: usize, heat: f64) -> Vec<Known> {
        let (values, draws) = (noise(3 * count, 5), noise(count, 6));
        let known = |(row, draw): (&[f32], &f32)| {
            let logits: Vec<f32> = row.iter().map(|x| 6.0 * x).collect();
            let powers: Vec<f64> = logits.iter().map(|x| (f64::from(*x) / heat).exp()).collect();
            let mut left = (f64::from(*draw) + 1.0) / 2.0 * powers.iter().sum::<f64>();
            let truth = powers.iter().position(|power| {
                left -= power;
                left < 0.0
            });
            Known { logits, truth }
        };
        values.chunks_exact(3).zip(&draws).map(known).collect()
    }

    #[test]
    fn the_temperature_is_the_one_that_labels_were_drawn_at() {
        for heat in [0.5, 1.0, 3.0] {
            let images = drawn(20_000, heat);
            let fitted = fit(&Decision::default(), &images, Activation::Softmax).decision;
            assert!((fitted.temperature / heat - 1.0).abs() < 0.05, "{} for {heat}", fitted.temperature);
            let at = |temperature| loss(&Decision { temperature, ..Decision::default() }, &images, Activation::Softmax);
            let best = at(fitted.temperature);
            assert!(best <= at(fitted.temperature * 1.05) && best <= at(fitted.temperature / 1.05));
        }
    }

    /// The third column is background, which is right for pictures of none of the labels, and starts with a wrong offset.
    #[test]
    fn the_offset_of_the_background_is_found() {
        let mut images = drawn(20_000, 1.0);
        for image in &mut images {
            image.truth = image.truth.filter(|truth| *truth < 2);
            image.logits[2] -= 2.0;
        }
        let decision = Decision { background: vec![0.5], ..Decision::default() };
        let fitted = fit(&decision, &images, Activation::Softmax).decision;
        assert!((fitted.background[0] - 2.0).abs() < 0.1 && (fitted.temperature - 1.0).abs() < 0.1, "{fitted:?}");
        let known: Vec<Known> = images.iter().filter(|image| image.truth.is_some()).cloned().collect();
        assert_eq!(
            fit(&decision, &known, Activation::Softmax).decision.background,
            [0.5],
            "nothing says what is unknown"
        );
        let unknown: Vec<Known> = images.iter().filter(|image| image.truth.is_none()).cloned().collect();
        assert_eq!(
            fit(&decision, &unknown, Activation::Softmax).decision.background,
            [0.5],
            "nothing says what is known"
        );
    }

    /// SciPy looks for both at once, and here one after the other.
    #[test]
    fn temperature_and_offset_are_scipy_s_optimum() {
        let cases: serde_json::Value =
            serde_json::from_str(include_str!("../tests/fixtures/few_shot/calibration.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let numbers = |value: &serde_json::Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
            let images = case["logits"].as_array().unwrap().iter().zip(case["truths"].as_array().unwrap());
            let images: Vec<Known> = images
                .map(|(logits, truth)| Known {
                    logits: numbers(logits).iter().map(|x| *x as f32).collect(),
                    truth: truth.as_u64().map(|truth| truth as usize),
                })
                .collect();
            let activation = if case["activation"] == "sigmoid" { Activation::Sigmoid } else { Activation::Softmax };
            let decision = Decision {
                background: numbers(&case["background"]),
                independent: case["independent"] == true,
                ..Decision::default()
            };
            let Fitted { decision: fitted, keeps_temperature, keeps_offset } = fit(&decision, &images, activation);
            let best = &case["best"];
            let name = &case["name"];
            assert!(keeps_temperature.is_none() && !keeps_offset, "{name}");
            let apart = fitted.temperature / best["temperature"].as_f64().unwrap() - 1.0;
            assert!(apart.abs() < 1e-3, "{name}: {} for {best}", fitted.temperature);
            for (found, expected) in fitted.background.iter().zip(numbers(&best["background"])) {
                assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{name}: {found} for {expected}");
            }
            let reached = loss(&fitted, &images, activation);
            assert!((reached - best["loss"].as_f64().unwrap()).abs() < 1e-6, "{name}: {reached} for {best}");
        }
    }

    /// Pictures that are all told apart once the offset is right have no best temperature, however wrong it was at first.
    #[test]
    fn a_wrong_offset_hides_no_right_answers() {
        for wrong in [-8.0, 3.0, 8.0] {
            let mut images = drawn(90, 1.0);
            for image in &mut images {
                let best = (0..3).max_by(|a, b| image.logits[*a].total_cmp(&image.logits[*b])).unwrap();
                image.truth = Some(best).filter(|best| *best < 2);
                image.logits[2] += wrong;
            }
            let decision = Decision { background: vec![0.0], ..Decision::default() };
            let Fitted { decision: fitted, keeps_temperature, keeps_offset } =
                fit(&decision, &images, Activation::Softmax);
            assert_eq!((keeps_temperature, keeps_offset, fitted.temperature), (Some(End::Low), false, 1.0), "{wrong}");
            assert!((fitted.background[0] + f64::from(wrong)).abs() < 1.0, "{wrong}: {fitted:?}");
        }
    }

    /// Few pictures of none say little of how often they come.
    #[test]
    fn an_offset_takes_pictures_of_none() {
        let decision = Decision { background: vec![0.5], ..Decision::default() };
        let mut images = drawn(2000, 1.0);
        images.iter_mut().for_each(|image| image.truth = image.truth.filter(|truth| *truth < 2));
        let (unknown, mut known): (Vec<Known>, _) = images.into_iter().partition(|image| image.truth.is_none());
        known.extend_from_slice(&unknown[..FEWEST_UNKNOWN - 1]);
        assert_eq!(fit(&decision, &known, Activation::Softmax).decision.background, [0.5]);
        known.push(unknown[FEWEST_UNKNOWN].clone());
        assert!(fit(&decision, &known, Activation::Softmax).decision.background[0] < 0.0);
    }

    /// Scores that are mostly wrong are best where all labels have the same.
    #[test]
    fn scores_that_say_nothing_are_told_from_right_answers() {
        let mut images = drawn(200, 1.0);
        images.iter_mut().zip(0..).for_each(|(image, at)| image.truth = Some(at % 3));
        let fitted = fit(&Decision::default(), &images, Activation::Softmax);
        assert_eq!((fitted.keeps_temperature, fitted.decision), (Some(End::High), Decision::default()));
    }

    /// Sigmoid scores are the same beside any background, and yet its weight decides what is unknown.
    #[test]
    fn the_offset_is_found_beside_sigmoids() {
        let mut images = drawn(20_000, 1.0);
        for image in &mut images {
            image.truth = image.truth.filter(|truth| *truth < 2);
            image.logits[2] -= 2.0;
        }
        let decision = Decision { background: vec![0.5], ..Decision::default() };
        let fitted = fit(&decision, &images, Activation::Sigmoid);
        let at = |offset: f64| {
            loss(&Decision { background: vec![offset], ..fitted.decision.clone() }, &images, Activation::Sigmoid)
        };
        let offset = fitted.decision.background[0];
        assert!(!fitted.keeps_offset && (offset * fitted.decision.temperature - 2.0).abs() < 0.1, "{fitted:?}");
        assert!(at(offset) < at(offset + 0.2) && at(offset) < at(offset - 0.2), "{fitted:?}");
    }

    /// The lower the temperature, the better it is for right answers: none is best.
    #[test]
    fn right_answers_alone_change_no_temperature() {
        let mut images = drawn(100, 1.0);
        for image in &mut images {
            let best = (0..3).max_by(|a, b| image.logits[*a].total_cmp(&image.logits[*b])).unwrap();
            image.truth = Some(best);
        }
        for own in [1.0, 1.7] {
            let decision = Decision { temperature: own, ..Decision::default() };
            let fitted = fit(&decision, &images, Activation::Softmax);
            assert_eq!((&fitted.decision, fitted.keeps_temperature), (&decision, Some(End::Low)));
            // Beside a background that is told apart without an error, its offset alone is fitted.
            images.iter_mut().for_each(|image| image.truth = image.truth.filter(|truth| *truth < 2));
            let decision = Decision { background: vec![0.0], ..decision };
            let fitted = fit(&decision, &images, Activation::Softmax);
            assert!(
                fitted.keeps_temperature.is_some() && !fitted.keeps_offset && fitted.decision.temperature == own,
                "{fitted:?}"
            );
            images.iter_mut().for_each(|image| image.truth = image.truth.or(Some(2)));
        }
        let sharp = Decision { temperature: 0.05, ..Decision::default() };
        assert_eq!(loss(&sharp, &images[..1], Activation::Softmax).to_string(), "0", "and not -0");
    }

    #[test]
    fn pictures_that_say_nothing_fit_nothing() {
        let mut images = drawn(50, 1.0);
        images.iter_mut().for_each(|image| image.truth = None);
        let fitted = fit(&Decision::default(), &images, Activation::Softmax);
        assert_eq!((fitted.decision, fitted.keeps_temperature), (Decision::default(), Some(End::Low)));
    }

    #[test]
    fn a_promise_takes_so_many_pictures() {
        for (share, fewest) in [(0.05, 1), (0.2, 1), (0.21, 2), (0.8, 16), (0.95, 73), (0.99, 381)] {
            for promise in [Promise::Precision(share), Promise::Recall(share)] {
                assert_eq!(promise.fewest(), fewest, "{promise:?}");
            }
            let low = |count| wilson(count, count).map_or(0.0, |of| of.low);
            assert!(low(fewest) >= share && low(fewest - 1) < share, "{share}");
        }
        assert!(Promise::Precision(1.0 - f64::EPSILON).fewest() > 1 << 50, "it ends");
    }

    #[test]
    fn thresholds_keep_their_promise() {
        let images = drawn(3000, 1.0);
        let bare = Decision::default();
        let fitted = |promise| thresholds(&bare, &images, 3, Activation::Softmax, promise);
        let counted = |least: &[f32], label: usize| {
            let decision = Decision { thresholds: least.to_vec(), ..Decision::default() };
            let answers = images.iter().map(|image| {
                let judged = decision.judge(&image.logits, Activation::Softmax);
                (judged.verdict().unwrap().accepted.first().is_some_and(|best| best.label == label), image.truth)
            });
            let accepted: Vec<_> = answers.filter(|(is_accepted, _)| *is_accepted).collect();
            (accepted.iter().filter(|(_, truth)| *truth == Some(label)).count(), accepted.len())
        };
        let precise = fitted(Promise::Precision(0.95));
        assert!(precise.shared.is_empty() && precise.unreachable.is_empty());
        for label in 0..3 {
            let (right, all) = counted(&precise.least, label);
            assert!(wilson(right, all).unwrap().low >= 0.95 && all > 100, "{right} of {all}");
        }
        let found = fitted(Promise::Recall(0.5));
        for label in 0..3 {
            let images = images.iter().filter(|image| image.truth == Some(label)).count();
            let (right, _) = counted(&found.least, label);
            assert!(wilson(right, images).unwrap().low >= 0.5, "{right} of {images}");
            assert!(wilson(right - 1, images).unwrap().low < 0.5, "no higher threshold does");
        }
        let never = fitted(Promise::Precision(0.9999));
        assert_eq!((never.unreachable, never.least), (vec![0, 1, 2], vec![NEVER; 3]));
        let few = thresholds(&bare, &images[..40], 3, Activation::Softmax, Promise::Recall(0.1));
        assert!(few.shared.len() >= 2 && few.least[few.shared[0]] == few.least[few.shared[1]]);
    }
}
