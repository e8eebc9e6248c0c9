//! The report as part of a page: metrics, confusions, calibration, and the pictures of the best run, to correct what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::Result;
use zsic::measure::Judged;

use super::super::labels::UNKNOWN;
use super::super::output::page::{self, About, Chosen, Sources, percent, text};
use super::judge::Run;
use super::report::{BinReport, Interval, LabelReport, Report, RunReport};
use super::table::{METRICS, is_even, number};

/// The most labels of a table of confusions; of more, the most frequent confusions are listed.
const TABLE: usize = 16;
/// The most confusions and labels that are listed.
const LISTED: usize = 16;
/// The steps of colour in a table of confusions.
const STEPS: usize = 5;

/// Writes the page of the best run by `put`, which gets it in parts. `chosen` are its pictures.
///
/// # Errors
/// The errors of `put`, and one if the system starts no thread.
pub fn write(
    report: &Report,
    runs: &[Run],
    chosen: Chosen,
    sources: &Sources,
    put: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let best = report.best();
    let (facts, run) = (&report.truth, &runs[best]);
    let left_out = if facts.left_out > 0 { format!(", {} left out", facts.left_out) } else { String::new() };
    let facts = [("Truth", format!("{}{left_out}", facts.kind)), ("Precision", run.precision.clone())];
    let about = About {
        model: run.model.clone(),
        templates: (run.are_filled || run.taught.classifier.is_some()).then(|| run.templates.clone()),
        labels: run.scorer.all_answers(),
        more: run.taught.named().chain(facts).chain(run.rules.clone().map(|rules| ("Rules", rules))).collect(),
    };
    page::write(&about, chosen, &sections(report, best, run), sources, put)
}

/// A truth and an answer; none is an image of none of the labels.
type Pair = (Option<usize>, Option<usize>);

/// Returns everything before the pictures.
fn sections(report: &Report, best: usize, run: &Run) -> String {
    let of_best = &report.runs[best];
    let mut panels = vec![("Metrics", metrics(of_best))];
    if report.runs.len() > 1 {
        panels.insert(0, ("Runs", overview(report, best)));
    }
    if run.multi.is_none() {
        panels.push(("Confusions", confusions(run)));
        panels.push(("Reliability", reliability(&of_best.calibration)));
    }
    panels.push(("Lowest recall", labels(&of_best.labels)));
    let panel = |(name, html): (&str, String)| format!("<section><h2>{name}</h2>\n{html}</section>\n");
    let panels: String = panels.into_iter().map(panel).collect();
    format!("<details class=\"report\" open><summary>Report</summary>\n<div>\n{panels}</div>\n</details>")
}

/// Returns a table within a frame that scrolls.
fn table(label: &str, head: &[&str], rows: impl IntoIterator<Item = String>) -> String {
    let head: String = head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let rows: String = rows.into_iter().map(|row| format!("<tr>{row}</tr>\n")).collect();
    format!(
        "<div class=\"scrolls\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\"><table><thead><tr>{head}</tr></thead><tbody>\n\
         {rows}</tbody></table></div>\n"
    )
}

fn metrics(run: &RunReport) -> String {
    let there = METRICS.into_iter().filter_map(|(name, is_share)| Some((name, is_share, run.metrics.get(name)?)));
    let row = |(name, is_share, Interval { value, low, high }): (&str, bool, &Interval)| {
        let [value, low, high] = [value, low, high].map(|x| number(*x, is_share));
        let name = name.replace('_', " ");
        format!("<th scope=\"row\">{name}</th><td><b>{value}</b></td><td>{low} to {high}</td>")
    };
    table("Metrics", &["", "value", "95 % interval"], there.map(row))
}

/// Returns a line for each run. In all but the best, `=` says that its difference from the best may be chance.
fn overview(report: &Report, best: usize) -> String {
    let is_there = |(name, _): &(&str, bool)| report.runs.iter().any(|run| run.metrics.contains_key(name));
    let there: Vec<(&str, bool)> = METRICS.into_iter().filter(is_there).collect();
    let names: Vec<String> = there.iter().map(|(name, _)| name.replace('_', " ")).collect();
    let head: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    let row = |(index, run): (usize, &RunReport)| {
        let what: Vec<String> = run.variant.iter().map(|(kind, value)| format!("{kind}={value}")).collect();
        let even = if index != best && is_even(report, best, index) { "=" } else { "" };
        let cell = |(at, (name, is_share)): (usize, &(&str, bool))| {
            let even = if at == 0 { format!("<span class=\"even\">{even}</span>") } else { String::new() };
            let value = run.metrics.get(name).map_or_else(String::new, |metric| number(metric.value, *is_share));
            format!("<td>{value}{even}</td>")
        };
        let cells: String = there.iter().enumerate().map(cell).collect();
        let is_best = if index == best { " class=\"best\"" } else { "" };
        let what = text(&what.join(" "));
        format!("<th scope=\"row\"{is_best}><bdi title=\"{what}\">{what}</bdi></th>{cells}")
    };
    let note = "<p>What follows is about the run in bold, which is the best. =&nbsp;marks a difference from it that may be chance.</p>";
    table("Runs", &head, report.runs.iter().enumerate().map(row)) + note
}

/// Counts the images of each truth with each answer. Failed ones are left out.
fn counts(judged: &[Judged]) -> BTreeMap<Pair, usize> {
    let mut counts = BTreeMap::new();
    for judged in judged.iter().filter(|judged| judged.scored.is_some()) {
        *counts.entry((judged.truth, judged.answer())).or_default() += 1;
    }
    counts
}

/// Returns a table of truths and answers, or a list if there are many labels. Each number is a button that filters the pictures.
fn confusions(run: &Run) -> String {
    let names = run.scorer.answers();
    let counts = counts(&run.judged);
    let name = |label: Option<usize>| label.map_or_else(|| UNKNOWN.to_owned(), |label| text(&names[label]));
    let number = |label: Option<usize>| label.map_or_else(|| "-1".to_owned(), |label| label.to_string());
    let button = |(truth, answer): Pair, count: usize| {
        let what = format!("{count} of truth {} answered {}", name(truth), name(answer));
        let (truth, answer) = (number(truth), number(answer));
        format!(
            "<button type=\"button\" data-truth=\"{truth}\" data-answer=\"{answer}\" aria-label=\"{what}\">{count}</button>"
        )
    };
    let place = |label: &Option<usize>| label.map_or(usize::MAX, |label| label);
    let sides = |side: fn(&Pair) -> Option<usize>| {
        let mut all: Vec<Option<usize>> = counts.keys().map(side).collect::<BTreeSet<_>>().into_iter().collect();
        all.sort_by_key(place);
        all
    };
    let (truths, answers) = (sides(|pair| pair.0), sides(|pair| pair.1));
    if truths.len().max(answers.len()) > TABLE {
        let mut wrong: Vec<_> = counts.iter().filter(|((truth, answer), _)| truth != answer).collect();
        wrong.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let row = |(pair, count): &(&Pair, &usize)| {
            let (truth, answer) = (name(pair.0), name(pair.1));
            format!("<td><bdi>{truth}</bdi></td><td><bdi>{answer}</bdi></td><td>{}</td>", button(**pair, **count))
        };
        return table("Confusions", &["truth", "answer", "images"], wrong.iter().take(LISTED).map(row));
    }
    let mut html = String::from(
        "<div class=\"scrolls\" role=\"region\" aria-label=\"Confusions\" tabindex=\"0\"><table class=\"matrix\"><thead><tr>\
         <th scope=\"col\">truth \\ answer</th>",
    );
    for answer in &answers {
        let _ = write!(html, "<th scope=\"col\"><bdi title=\"{0}\">{0}</bdi></th>", name(*answer));
    }
    html += "</tr></thead><tbody>\n";
    for truth in &truths {
        let all: usize = answers.iter().filter_map(|answer| counts.get(&(*truth, *answer))).sum();
        let _ = write!(html, "<tr><th scope=\"row\"><bdi title=\"{0}\">{0}</bdi></th>", name(*truth));
        for answer in &answers {
            let Some(&count) = counts.get(&(*truth, *answer)) else {
                html += "<td></td>";
                continue;
            };
            let step = (count * STEPS).div_ceil(all);
            let kind = if truth == answer { "right" } else { "wrong" };
            let _ = write!(html, "<td class=\"{kind} s{step}\">{}</td>", button((*truth, *answer), count));
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div>\n<p>A number shows its pictures on this page. The stronger its colour, the larger its share of the row.</p>"
}

/// Returns a bar for each bin of scores: the share that is right, and a line at the mean score.
fn reliability(bins: &[BinReport]) -> String {
    let row = |bin: &BinReport| {
        let (confidence, right) = (bin.confidence?, bin.right?);
        let (width, line) = (right * 100.0, (confidence * 100.0).clamp(0.5, 99.5));
        Some(format!(
            "<th scope=\"row\">{:.0} to {:.0} %</th><td><svg class=\"bin\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" \
             aria-hidden=\"true\"><rect width=\"{width:.1}\" height=\"10\"/><path d=\"M{line:.1} 0V10\"/></svg></td>\
             <td>{}</td><td><b>{}</b></td><td>{}</td>",
            bin.from * 100.0,
            bin.to * 100.0,
            percent(confidence),
            percent(right),
            bin.images
        ))
    };
    let rows: Vec<String> = bins.iter().rev().filter_map(row).collect();
    table("Reliability", &["score", "", "mean score", "right", "images"], rows)
        + "<p>The bar is the share that is right, the line the mean score. Well calibrated scores have both at one place.</p>"
}

fn labels(labels: &[LabelReport]) -> String {
    let recall = |label: &LabelReport| label.recall.map_or(1.0, |recall| recall.value);
    let mut all: Vec<&LabelReport> = labels.iter().filter(|label| label.recall.is_some()).collect();
    all.sort_by(|a, b| recall(a).total_cmp(&recall(b)));
    let share = |metric: Option<Interval>| metric.map_or_else(String::new, |metric| number(metric.value, true));
    let row = |label: &&LabelReport| {
        let (recall, precision) = (share(label.recall), share(label.precision));
        let name = text(&label.label);
        format!(
            "<th scope=\"row\"><bdi title=\"{name}\">{name}</bdi></th><td>{recall}</td><td>{precision}</td><td>{}</td>",
            label.images
        )
    };
    table("Lowest recall", &["", "recall", "precision", "images"], all.iter().take(LISTED).map(row))
}
