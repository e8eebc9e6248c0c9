//! `--fail-under METRIC=X` and `METRIC.low=X`.

use anyhow::Result;
use zsic::measure::Metric;

use super::super::fatal::usage;
use super::super::labels;
use super::report::Report;

/// All metrics that can be too low.
const METRICS: [Metric; 7] =
    [Metric::Top1, Metric::Top5, Metric::MeanRecall, Metric::MacroF1, Metric::Map, Metric::MicroF1, Metric::Auroc];

/// The least value of a metric.
#[derive(Debug, PartialEq)]
pub struct Demand {
    metric: &'static str,
    is_low: bool,
    least: f64,
}

impl Demand {
    /// Parses what the flag says.
    ///
    /// # Errors
    /// A usage error for another metric, or a number that is not from 0 to 1.
    pub fn parse(text: &str) -> Result<Self> {
        let names = METRICS.map(Metric::name).join(", ");
        let wrong = || {
            usage(format!(
                "--fail-under `{}`: write METRIC=X or METRIC.low=X with X from 0 to 1; metrics that are better when high: {names}",
                labels::shown(text)
            ))
        };
        let (name, least) = text.split_once('=').ok_or_else(wrong)?;
        let (name, is_low) = name.trim().strip_suffix(".low").map_or((name.trim(), false), |name| (name, true));
        let metric = METRICS.into_iter().find(|metric| metric.name() == name).ok_or_else(wrong)?.name();
        let least = least.trim().parse().ok().filter(|least| (0.0..=1.0).contains(least)).ok_or_else(wrong)?;
        Ok(Self { metric, is_low, least })
    }

    /// Returns what is not met, by the first run that does not meet it.
    ///
    /// # Errors
    /// A usage error if the metric was not measured.
    pub fn unmet(&self, report: &Report) -> Result<Option<String>> {
        for (index, run) in report.runs.iter().enumerate() {
            let Some(interval) = run.metrics.get(self.metric) else {
                let there: Vec<&str> = run.metrics.keys().copied().collect();
                let lacks_labels = self.metric == Metric::Top5.name() && there.contains(&Metric::Top1.name());
                let reason = if lacks_labels { " (it needs more than 5 labels)" } else { "" };
                return Err(usage(format!(
                    "--fail-under: {} is not measured here{reason}; metrics: {}",
                    self.metric,
                    there.join(", ")
                )));
            };
            let (value, what) = if self.is_low { (interval.low, ".low") } else { (interval.value, "") };
            if value < self.least {
                let which = if report.runs.len() > 1 { format!(" in run {index}") } else { String::new() };
                return Ok(Some(format!("{}{what} is {value:.4}{which}, under {}", self.metric, self.least)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_name_a_metric_that_can_be_too_low() {
        let demand = |metric, is_low, least| Demand { metric, is_low, least };
        assert_eq!(Demand::parse("top1=0.8").unwrap(), demand("top1", false, 0.8));
        assert_eq!(Demand::parse("macro_f1.low = 1").unwrap(), demand("macro_f1", true, 1.0));
        for wrong in ["top1", "ece=0.1", "top1=80", "top1.high=0.5", "top1=", "top1=nan"] {
            assert!(Demand::parse(wrong).is_err(), "{wrong}");
        }
    }
}
