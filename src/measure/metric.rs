//! What is measured, and a metric's value with its interval and draws.

use crate::measure::draws::{DRAWS, LANES, Numbers};
use crate::measure::interval::{self, Estimate};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// The share of images whose answer is their truth.
    Top1,
    /// The share of images whose truth is among the best five labels. With five labels or fewer it is not measured.
    Top5,
    /// Recall, averaged over labels.
    MeanRecall,
    /// F1, averaged over labels.
    MacroF1,
    /// Expected calibration error: how far the top score is from the share that is right, in equal bins of the top score.
    Ece,
    /// The mean of `-ln` of the truth's score. A score under 2^-52 counts as 2^-52, as in scikit-learn's `log_loss`.
    Nll,
    /// The sum of squared differences between an image's scores and its truth (1 or 0), averaged over images: 0 to 2, with
    /// two labels too. scikit-learn's `brier_score_loss` calls it `scale_by_half=False`.
    Brier,
    /// The probability that an unknown image looks more unknown than an image of a label; equals count half.
    Auroc,
    /// The share of unknown images that would be accepted with at least 95 % of the images of labels. As in papers, accepting
    /// is positive: the cut is the lowest that accepts so many images of labels, with all images at the cut.
    Fpr95,
    /// Average precision, averaged over labels.
    Map,
    /// F1 of all labels' answers together.
    MicroF1,
}

impl Metric {
    /// Returns the name that people write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top1 => "top1",
            Self::Top5 => "top5",
            Self::MeanRecall => "mean_recall",
            Self::MacroF1 => "macro_f1",
            Self::Ece => "ece",
            Self::Nll => "nll",
            Self::Brier => "brier",
            Self::Auroc => "auroc",
            Self::Fpr95 => "fpr95",
            Self::Map => "map",
            Self::MicroF1 => "micro_f1",
        }
    }

    /// Returns whether lower is better.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Ece | Self::Nll | Self::Brier | Self::Fpr95)
    }
}

/// A metric of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was measured.
    pub metric: Metric,
    /// Its value and interval.
    pub estimate: Estimate,
    /// The images that it was measured on, failed ones too.
    pub images: usize,
    /// Its value in each bootstrap draw: NaN where it is undefined.
    pub draws: Vec<f64>,
}

impl Measured {
    /// Collects metrics from the images as they are and from all draws. Undefined metrics are left out.
    pub(super) fn all<const M: usize>(
        metrics: [Metric; M],
        images: usize,
        mut lanes: impl Iterator<Item = [Numbers; M]>,
    ) -> Vec<Self> {
        let values = lanes.next().map_or([f64::NAN; M], |once| once.map(|lanes| lanes[0]));
        let mut draws = [(); M].map(|()| Vec::with_capacity(DRAWS + LANES));
        for lanes in lanes {
            draws.iter_mut().zip(lanes).for_each(|(draws, lanes)| draws.extend(lanes));
        }
        let measured = metrics.into_iter().zip(values).zip(draws).map(|((metric, value), mut draws)| {
            draws.truncate(DRAWS);
            let defined = Some(value).filter(|value| !value.is_nan());
            let estimate = interval::bootstrapped(defined?, draws.iter().copied())?;
            Some(Self { metric, estimate, images, draws })
        });
        measured.flatten().collect()
    }
}
