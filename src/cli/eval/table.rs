//! The report for people: one line per run, best first, then what the best run gets wrong.

use super::super::report::{columns, columns_within};
use super::super::terminal::printable;
use super::report::{Interval, Report, RunReport};

/// The most labels and confusions that are listed.
const LISTED: usize = 10;
/// Metrics in their order, and whether they are shares.
pub const METRICS: [(&str, bool); 11] = [
    ("top1", true),
    ("map", true),
    ("top5", true),
    ("mean_recall", true),
    ("macro_f1", true),
    ("micro_f1", true),
    ("ece", true),
    ("nll", false),
    ("brier", false),
    ("auroc", true),
    ("fpr95", true),
];

/// Returns the report in columns, runs within `width` cells.
pub fn table(report: &Report, width: usize) -> String {
    let facts = &report.truth;
    let mut text = format!("{} images, {} failed, {} left out\n\n", facts.images, facts.failed, facts.left_out);
    let mut runs: Vec<(usize, &RunReport)> = report.runs.iter().enumerate().collect();
    runs.sort_by(|a, b| b.1.main().total_cmp(&a.1.main()));
    if let [(_, only)] = runs[..] {
        text += &metrics(only);
    } else {
        text += &overview(report, &runs, width);
    }
    if let Some((_, best)) = runs.first() {
        text += &details(best);
    }
    text
}

/// Returns a line for each metric.
fn metrics(run: &RunReport) -> String {
    let mut rows = vec![["METRIC", "VALUE", "95 % INTERVAL"].map(str::to_owned)];
    let there = METRICS.into_iter().filter_map(|(name, is_share)| Some((name, is_share, run.metrics.get(name)?)));
    rows.extend(there.map(|(name, is_share, Interval { value, low, high })| {
        let number = |x: &f64| number(*x, is_share);
        [name.replace('_', " "), number(value), format!("{} to {}", number(low), number(high))]
    }));
    columns(&rows)
}

/// Returns a line for each run. In all but the first, `=` says that its difference from the first may be chance.
fn overview(report: &Report, runs: &[(usize, &RunReport)], width: usize) -> String {
    let is_there = |(name, _): &(&str, bool)| runs.iter().any(|(_, run)| run.metrics.contains_key(name));
    let there: Vec<(&str, bool)> = METRICS.into_iter().filter(is_there).collect();
    let head = |(name, _): &(&str, bool)| name.to_uppercase().replace('_', " ");
    let mut rows = vec![there.iter().map(head).collect::<Vec<String>>()];
    rows[0].insert(0, "RUN".to_owned());
    for (place, (index, run)) in runs.iter().enumerate() {
        let what: Vec<String> = run.variant.iter().map(|(kind, value)| format!("{kind}={value}")).collect();
        let is_even = place > 0 && is_even(report, runs[0].0, *index);
        let cell = |(at, (name, is_share)): (usize, &(&str, bool))| {
            let even = if at == 0 && is_even { " =" } else { "" };
            run.metrics.get(name).map_or_else(String::new, |metric| number(metric.value, *is_share) + even)
        };
        rows.push([printable(&what.join(" "))].into_iter().chain(there.iter().enumerate().map(cell)).collect());
    }
    columns_within(width, rows, &["BRIER", "NLL", "MACRO F1", "FPR95", "TOP5", "ECE"])
}

/// Returns whether the interval of two runs' difference holds 0.
pub fn is_even(report: &Report, a: usize, b: usize) -> bool {
    let pair = report.pairs.iter().find(|pair| (pair.a, pair.b) == (a.min(b), a.max(b)));
    pair.is_some_and(|pair| pair.low <= 0.0 && pair.high >= 0.0)
}

/// Returns a metric for people.
pub fn number(value: f64, is_share: bool) -> String {
    if is_share { format!("{:.1} %", value * 100.0) } else { format!("{value:.3}") }
}

/// Returns the labels with the lowest recall, the most frequent confusions, and the most confident wrong answers.
fn details(run: &RunReport) -> String {
    let mut text = String::new();
    let share = |metric: &Option<Interval>| metric.map_or_else(String::new, |metric| number(metric.value, true));
    let mut labels: Vec<_> = run.labels.iter().filter(|label| label.recall.is_some()).collect();
    let recall = |metric: &Option<Interval>| metric.map_or(1.0, |metric| metric.value);
    labels.sort_by(|a, b| recall(&a.recall).total_cmp(&recall(&b.recall)));
    let mut rows = vec![["LOWEST RECALL", "RECALL", "PRECISION", "IMAGES"].map(str::to_owned)];
    rows.extend(labels.iter().take(LISTED).map(|label| {
        [printable(&label.label), share(&label.recall), share(&label.precision), label.images.to_string()]
    }));
    text += &format!("\n{}", columns(&rows));
    if !run.confusions.is_empty() {
        let mut rows = vec![["TRUTH", "ANSWER", "IMAGES"].map(str::to_owned)];
        let row =
            |c: &super::report::ConfusionReport| [printable(&c.truth), printable(&c.answer), c.images.to_string()];
        rows.extend(run.confusions.iter().take(LISTED).map(row));
        text += &format!("\n{}", columns(&rows));
    }
    if !run.suspects.is_empty() {
        let mut rows = vec![["WRONG ANSWER, OR WRONG TRUTH", "TRUTH", "ANSWER", "SCORE"].map(str::to_owned)];
        rows.extend(
            run.suspects
                .iter()
                .take(LISTED)
                .map(|s| [printable(&s.image), printable(&s.truth), printable(&s.answer), format!("{:.3}", s.score)]),
        );
        text += &format!("\n{}", columns(&rows));
    }
    text
}
