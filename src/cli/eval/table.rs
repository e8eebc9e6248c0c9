//! The report for people: one line per run, best first, then what the best run gets wrong.

use super::super::report::columns;
use super::super::terminal::printable;
use super::report::{Interval, Report, RunReport};

/// The most labels and confusions that are listed.
const LISTED: usize = 10;
/// Metrics in their order, and whether they are shares.
const METRICS: [(&str, bool); 11] = [
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

/// Returns the report in columns.
pub fn table(report: &Report) -> String {
    let facts = &report.truth;
    let mut text = format!("{} images, {} failed, {} left out\n\n", facts.images, facts.failed, facts.left_out);
    let mut runs: Vec<(usize, &RunReport)> = report.runs.iter().enumerate().collect();
    let main = |run: &RunReport| run.metrics.get("top1").or(run.metrics.get("map")).map_or(0.0, |metric| metric.value);
    runs.sort_by(|a, b| main(b.1).total_cmp(&main(a.1)));
    text += &overview(report, &runs);
    if let Some((_, best)) = runs.first() {
        text += &details(best);
    }
    text
}

/// Returns a line for each run. In all but the first, `=` says that its difference from the first may be chance.
fn overview(report: &Report, runs: &[(usize, &RunReport)]) -> String {
    let there: Vec<(&str, bool)> =
        METRICS.into_iter().filter(|(name, _)| runs.iter().any(|(_, run)| run.metrics.contains_key(name))).collect();
    let mut rows = vec![Vec::new()];
    if runs.len() > 1 {
        rows[0].push("RUN".to_owned());
    }
    rows[0].extend(there.iter().map(|(name, _)| name.to_uppercase().replace('_', " ")));
    for (place, (index, run)) in runs.iter().enumerate() {
        let mut row = Vec::new();
        if runs.len() > 1 {
            let what: Vec<String> = run.variant.iter().map(|(kind, value)| format!("{kind}={value}")).collect();
            row.push(printable(&what.join(" ")));
        }
        let is_even = place > 0 && is_even(report, runs[0].0, *index);
        let cell = |(at, (name, is_share)): (usize, &(&str, bool))| {
            let even = if at == 0 && is_even { " =" } else { "" };
            run.metrics.get(name).map_or_else(String::new, |metric| number(*metric, *is_share) + even)
        };
        row.extend(there.iter().enumerate().map(cell));
        rows.push(row);
    }
    columns(&rows)
}

/// Returns whether the interval of two runs' difference holds 0.
fn is_even(report: &Report, a: usize, b: usize) -> bool {
    let pair = report.pairs.iter().find(|pair| (pair.a, pair.b) == (a.min(b), a.max(b)));
    pair.is_some_and(|pair| pair.low <= 0.0 && pair.high >= 0.0)
}

fn number(Interval { value, low, high }: Interval, is_share: bool) -> String {
    if is_share {
        return format!("{:.1} % ({:.1}-{:.1})", value * 100.0, low * 100.0, high * 100.0);
    }
    format!("{value:.3} ({low:.3}-{high:.3})")
}

/// Returns the labels with the lowest recall, the most frequent confusions, and the most confident wrong answers.
fn details(run: &RunReport) -> String {
    let mut text = String::new();
    let share =
        |metric: &Option<Interval>| metric.map_or_else(String::new, |metric| format!("{:.1} %", metric.value * 100.0));
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
        let mut rows = vec![["WRONG, OR ITS TRUTH IS", "TRUTH", "ANSWER", "SCORE"].map(str::to_owned)];
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
