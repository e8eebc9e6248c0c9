//! Metrics of answers against known truths, with 95 % intervals, on plain slices.
//!
//! Most images have one truth: [`Judged::of`] keeps what the metrics need of one image's scores, and [`single`] measures
//! many. Where images have any number of truths, [`Multi`] takes their place. [`difference`] and [`mcnemar`] compare two runs
//! on the same images.
//!
//! **Failed images.** An image that failed counts as wrong wherever it can: it has no answer, it ranks last for its labels,
//! and it lies at the wrong end of the order of unknown images. ECE, NLL, Brier and confusions need scores and leave it out.
//!
//! **Unknown images.** An image that shows none of the labels has no truth. It counts in AUROC, FPR95 and confusions, and in
//! the precision of the label that it was taken for. A rejected image has no answer, so one that shows a label is wrong.
//!
//! **Labels without images.** They take no part in averages over labels: a recall of nothing is not 0.
//!
//! **Average precision.** It ranks images by their logits, as others do: under softmax, an image's score for one label depends
//! on the other labels, and sigmoids near 1 are alike. Where a background competes, it ranks them by their scores.
//!
//! **Intervals.** Wilson's for proportions. Otherwise percentiles of [`DRAWS`] bootstrap draws of images, which are the same
//! on every machine. A draw has some images twice. Where labels have few images, that raises average precision and lowers
//! F1 averaged over labels, and the interval may lie beside the value.

mod calibration;
mod draws;
mod interval;
mod judged;
mod metric;
mod multi;
mod paired;
mod ranking;
mod single;
mod tally;

pub use calibration::{BINS, Bin, calibration};
pub use draws::DRAWS;
pub use interval::{Estimate, wilson};
pub use judged::{Confusion, Judged, Scored, confusions};
pub use metric::{Measured, Metric};
pub use multi::{BestThreshold, Multi};
pub use paired::{Disagreement, difference, mcnemar};
pub use single::{single, tallies};
pub use tally::Tally;
