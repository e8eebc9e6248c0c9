//! Metrics and intervals, against scikit-learn and SciPy on the same scores and the same bootstrap draws.

use crate::common::{fixtures, json};
use serde_json::Value;
use zsic::Scores;
use zsic::measure::{self, BestThreshold, Confusion, DRAWS, Estimate, Judged, Measured, Multi, Tally};

/// Sums in other orders differ by this much at most; all values are of the size of 1.
const TOLERANCE: f64 = 1e-12;

fn table(name: &str) -> Value {
    json(&fixtures("measure").join(name))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn index(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// A label, or none of them.
fn label(value: &Value) -> Option<usize> {
    value.as_u64().map(|label| label as usize)
}

fn is_true(list: &Value, image: usize) -> bool {
    list[image].as_bool().unwrap_or_default()
}

fn scores(case: &Value, image: usize) -> Vec<f32> {
    list(&case["scores"][image]).iter().map(|score| (number(score) / number(&case["unit"])) as f32).collect()
}

fn labels(case: &Value) -> usize {
    list(&case["scores"][0]).len()
}

fn judged(case: &Value) -> Vec<Judged> {
    let truths = list(&case["truth"]).iter().enumerate();
    let judged = truths.map(|(image, truth)| {
        if is_true(&case["failed"], image) {
            return Judged::failed(label(truth));
        }
        let scores = scores(case, image);
        let unknown = case["unknown"][image].as_f64();
        let unknown = unknown.map_or(-scores.iter().copied().fold(0.0, f32::max), |unknown| (unknown / 16.0) as f32);
        let judged = Judged::of(&scores, label(truth));
        let scored = judged.scored.unwrap();
        assert_eq!(judged, judged.with_answer(-scored.score, Some(scored.top)));
        judged.with_answer(unknown, (!is_true(&case["rejected"], image)).then_some(scored.top))
    });
    judged.collect()
}

fn multi(case: &Value) -> (Multi, Vec<f32>) {
    let mut multi = Multi::new(labels(case));
    for (image, truth) in list(&case["truth"]).iter().enumerate() {
        let truths = (0..labels(case)).filter(|label| truth[*label] == 1);
        let scores = Some(scores(case, image)).filter(|_| !is_true(&case["failed"], image));
        multi.push(&truths.collect::<Vec<_>>(), scores.map(|s| Scores::from_parts(s.clone(), s)).as_ref());
    }
    let thresholds = list(&case["thresholds"]).iter();
    (multi, thresholds.map(|threshold| (number(threshold) / number(&case["unit"])) as f32).collect())
}

fn assert_close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= TOLERANCE, "{what}: {ours}, not {theirs}");
}

fn assert_estimate(ours: Estimate, theirs: [&Value; 3], what: &str) {
    for (ours, theirs) in [ours.value, ours.low, ours.high].iter().zip(theirs) {
        assert_close(*ours, number(theirs), what);
    }
}

/// Compares values, intervals and the values in the first draws.
fn assert_measured(ours: &[Measured], case: &Value) {
    let theirs = case["metrics"].as_object().unwrap();
    for measured in ours {
        let what = format!("{}, {}", case["name"], measured.metric.name());
        let theirs = theirs.get(measured.metric.name()).unwrap_or_else(|| panic!("{what} is undefined"));
        let Estimate { value, low, high } = measured.estimate;
        assert_close(value, number(&theirs["value"]), &what);
        for (end, theirs) in [low, high].iter().zip(list(&theirs["interval"])) {
            assert_close(*end, number(theirs), &format!("{what}, interval"));
        }
        assert_eq!(measured.draws.len(), DRAWS);
        for (draw, theirs) in measured.draws.iter().zip(list(&theirs["draws"])) {
            match theirs.as_f64() {
                Some(theirs) => assert_close(*draw, theirs, &format!("{what}, a draw")),
                None => assert!(draw.is_nan(), "{what}: a draw is defined"),
            }
        }
    }
    assert_eq!(ours.len(), theirs.len(), "{}: a metric is missing", case["name"]);
}

#[test]
fn metrics_of_one_truth_are_scikit_learn_s() {
    for case in list(&table("single.json")) {
        assert_measured(&measure::single(&judged(case), labels(case)), case);
    }
}

#[test]
fn metrics_of_any_number_of_truths_are_scikit_learn_s() {
    for case in list(&table("multi.json")) {
        let (multi, thresholds) = multi(case);
        assert_measured(&multi.measure(&thresholds), case);
        for (ours, theirs) in multi.best_thresholds().iter().zip(list(&case["best_thresholds"])) {
            match ours {
                Some(BestThreshold { threshold, f1 }) => {
                    assert_eq!(f64::from(*threshold), number(&theirs[0]), "{}", case["name"]);
                    assert_close(*f1, number(&theirs[1]), "F1");
                }
                None => assert!(theirs.is_null(), "{}", case["name"]),
            }
        }
        // Tallies are what macro F1 is made of.
        let tallies = multi.tallies(&thresholds);
        let f1: Vec<f64> = tallies.iter().filter(|tally| tally.images > 0).filter_map(|tally| tally.f1()).collect();
        assert_close(
            f1.iter().sum::<f64>() / f1.len() as f64,
            number(&case["metrics"]["macro_f1"]["value"]),
            "macro F1",
        );
    }
}

#[test]
fn each_label_and_each_confusion_is_counted() {
    for case in list(&table("single.json")) {
        let images = judged(case);
        let tallies = measure::tallies(&images, labels(case));
        for (tally, theirs) in tallies.iter().zip(list(&case["tallies"])) {
            let [images, answers, right] = [0, 1, 2].map(|n| index(&theirs["counts"][n]));
            assert_eq!(*tally, Tally { images, answers, right }, "{}", case["name"]);
            for (n, ours) in [tally.recall(), tally.precision()].into_iter().enumerate() {
                let (value, interval) = (&theirs["values"][n], &theirs["intervals"][n]);
                match ours {
                    Some(ours) => assert_estimate(ours, [value, &interval[0], &interval[1]], "a label"),
                    None => assert!(value.is_null() && interval.is_null()),
                }
            }
            assert_eq!(tally.f1().is_some(), theirs["values"][2].is_f64());
            tally.f1().inspect(|f1| assert_close(*f1, number(&theirs["values"][2]), "F1"));
        }
        let theirs = list(&case["confusions"]).iter();
        let theirs = theirs.map(|t| Confusion { truth: label(&t[0]), answer: label(&t[1]), images: index(&t[2]) });
        assert_eq!(measure::confusions(&images), theirs.collect::<Vec<_>>(), "{}", case["name"]);
    }
}

fn assert_bins(images: &[Judged], theirs: &Value) {
    let bins = measure::calibration(images);
    assert_eq!(bins.len(), measure::BINS);
    assert!(bins[0].from == 0.0 && bins[14].to == 1.0 && bins.windows(2).all(|two| two[0].to == two[1].from));
    let filled = bins.iter().enumerate().filter(|(_, bin)| bin.images > 0);
    let filled: Vec<_> = filled.map(|(n, bin)| (n, bin.images, bin.confidence.unwrap(), bin.right.unwrap())).collect();
    assert_eq!(filled.len(), list(theirs).len());
    for ((number_, images, confidence, right), theirs) in filled.into_iter().zip(list(theirs)) {
        assert_eq!((number_, images), (index(&theirs[0]), index(&theirs[1])));
        assert_close(confidence, number(&theirs[2]), "mean confidence");
        assert_close(right, number(&theirs[3]), "share right");
    }
}

#[test]
fn bins_of_calibration_are_scikit_learn_s() {
    for case in list(&table("single.json")) {
        assert_bins(&judged(case), &case["bins"]);
    }
    let edges = &table("shared.json")["bins"];
    let images = list(&edges["scores"]).iter().zip(list(&edges["right"])).map(|(score, right)| {
        // The first label is on top, with no other score above 0.
        Judged::of(&[number(score) as f32, 0.0], Some(usize::from(!right.as_bool().unwrap())))
    });
    assert_bins(&images.collect::<Vec<_>>(), &edges["bins"]);
}

#[test]
fn wilson_is_scipy_s() {
    for case in list(&table("shared.json")["wilson"]) {
        let [right, images] = [&case[0], &case[1]].map(index);
        let share = Value::from(right as f64 / images as f64);
        assert_estimate(measure::wilson(right, images).unwrap(), [&share, &case[2], &case[3]], "Wilson");
    }
    assert_eq!(measure::wilson(0, 0), None);
}

#[test]
fn mcnemar_is_scipy_s() {
    for case in list(&table("shared.json")["mcnemar"]) {
        let [only_a, only_b] = [&case[0], &case[1]].map(index);
        let pairs = [((true, false), only_a), ((false, true), only_b), ((true, true), 5), ((false, false), 3)];
        let pairs = pairs.into_iter().flat_map(|(pair, images)| vec![pair; images]);
        let ours = measure::mcnemar(pairs);
        assert_eq!((ours.only_a, ours.only_b), (only_a, only_b));
        let theirs = number(&case[2]);
        // Relative, since p may be small.
        assert!((ours.p - theirs).abs() <= 1e-9 * theirs, "{case}: {}", ours.p);
    }
}

#[test]
fn runs_are_compared_draw_by_draw() {
    for pair in list(&table("shared.json")["pairs"]) {
        let [a, b] = [&pair["a"], &pair["b"]].map(judged);
        let [measured_a, measured_b] = [&a, &b].map(|images| measure::single(images, 6));
        assert_eq!(measured_a.len(), pair["differences"].as_object().unwrap().len());
        for (a, b) in measured_a.iter().zip(&measured_b) {
            let theirs = &pair["differences"][a.metric.name()];
            let ours = measure::difference(a, b).unwrap();
            assert_estimate(ours, [&theirs[0], &theirs[1], &theirs[2]], a.metric.name());
        }
        let ours = measure::mcnemar(a.iter().zip(&b).map(|(a, b)| (a.is_right(), b.is_right())));
        assert_eq!([ours.only_a, ours.only_b], [0, 1].map(|n| index(&pair["mcnemar"][n])));
        assert_close(ours.p, number(&pair["mcnemar"][2]), "p");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (single, multi) = (table("single.json"), table("multi.json"));
    let all = || {
        let single = list(&single).iter().flat_map(|case| measure::single(&judged(case), labels(case)));
        let multi = list(&multi).iter().map(self::multi);
        let multi: Vec<_> = multi.flat_map(|(multi, thresholds)| multi.measure(&thresholds)).collect();
        let draws = single.chain(multi).flat_map(|measured| measured.draws);
        draws.map(f64::to_bits).collect::<Vec<_>>()
    };
    let [one, three] = [1, 3].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(all));
    assert!(one == three);
}

#[test]
fn nothing_measured_of_nothing() {
    assert!(measure::single(&[], 3).is_empty() && measure::confusions(&[]).is_empty());
    assert!(Multi::new(2).measure(&[0.5, 0.5]).is_empty());
    assert_eq!(Multi::new(2).best_thresholds(), [None; 2]);
}
