//! The report as csv, one row per run, metric and label; and the answer to each image.

use anyhow::Result;
use csv::WriterBuilder;
use zsic::measure::Judged;

use super::super::labels::UNKNOWN;
use super::judge::{ImageTruth, Images, Run};
use super::report::{Interval, Report};

/// Returns `run,metric,label,value,low,high`. A metric of all labels has no label, and a number without an interval no ends.
pub fn report(report: &Report) -> Result<String> {
    let mut out = WriterBuilder::new().from_writer(Vec::new());
    out.write_record(["run", "metric", "label", "value", "low", "high"])?;
    for (run, of) in report.runs.iter().enumerate() {
        let run = run.to_string();
        let interval = |metric: &str, label: &str, Interval { value, low, high }: Interval| {
            [run.clone(), metric.into(), label.into(), value.to_string(), low.to_string(), high.to_string()]
        };
        let number = |metric: &str, label: &str, value: String| {
            [run.clone(), metric.into(), label.into(), value, String::new(), String::new()]
        };
        for (metric, value) in &of.metrics {
            out.write_record(interval(metric, "", *value))?;
        }
        for label in &of.labels {
            let name = &label.label;
            let rows = [
                Some(number("images", name, label.images.to_string())),
                label.recall.map(|recall| interval("recall", name, recall)),
                label.precision.map(|precision| interval("precision", name, precision)),
                label.f1.map(|f1| number("f1", name, f1.to_string())),
                label.threshold_f1.map(|least| number("threshold_f1", name, least.to_string())),
            ];
            rows.into_iter().flatten().try_for_each(|row| out.write_record(row))?;
        }
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}

/// Returns `image,truth,answer,score,right`, with the number of the run before them if there are several. A failed image has
/// no answer, several labels stand between semicolons, and an image of none of the labels is `unknown`.
pub fn records(images: &Images, runs: &[Run]) -> Result<String> {
    let mut out = WriterBuilder::new().from_writer(Vec::new());
    let with_run = |run: String, row: [String; 5]| (runs.len() > 1).then_some(run).into_iter().chain(row);
    out.write_record(with_run("run".to_owned(), ["image", "truth", "answer", "score", "right"].map(str::to_owned)))?;
    for (number, run) in runs.iter().enumerate() {
        let names = run.scorer.answers();
        for ((image, truth), judged) in images.names.iter().zip(&images.truths).zip(&run.judged) {
            let shown = match truth {
                ImageTruth::Unknown => UNKNOWN.to_owned(),
                ImageTruth::Labels(labels) => labels.iter().map(|&label| &*names[label]).collect::<Vec<_>>().join(";"),
            };
            let (answer, score) = answer(judged, names);
            let right = judged.scored.is_some() && judged.answer() == judged.truth;
            out.write_record(with_run(number.to_string(), [image.clone(), shown, answer, score, right.to_string()]))?;
        }
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}

/// Returns the answer to an image and its score, both empty for a failed one.
fn answer(judged: &Judged, names: &[String]) -> (String, String) {
    let Some(scored) = judged.scored else { return Default::default() };
    let answer = judged.answer().map_or_else(|| UNKNOWN.to_owned(), |answer| names[answer].clone());
    (answer, format!("{:?}", scored.score))
}
