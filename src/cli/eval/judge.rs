//! One run over the images: each image's scores against its truth.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use zsic::measure::{Judged, Multi};
use zsic::pipeline::Answer;
use zsic::{ImageError, Scorer, Scores};

use super::super::output::page::{Chosen, Margins, Picture};
use super::super::scorer::score_answers;
use super::super::truth::{Shown, Truth};
use super::classes::{Class, Classes};
use super::vary::Variant;

/// What an image shows, in the places of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageTruth {
    /// It shows these, which may be none where images may show any number.
    Labels(Vec<usize>),
    Unknown,
}

/// The images that are counted, the same in every run.
#[derive(Default)]
pub struct Images {
    pub names: Vec<String>,
    pub truths: Vec<ImageTruth>,
    /// Images without a truth, or whose truth is left out.
    pub left_out: u64,
    pub failed: u64,
    /// The rows of a file with truths that were found among the images, those left out by `--map` too.
    pub rows: HashSet<PathBuf>,
    /// Images that are examples too.
    pub taught: usize,
}

/// Where rows come from that are not those of texts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TaughtBy {
    /// The file of a compiled classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<String>,
    /// The examples, and what they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<&'static str>,
    /// The hash of the rows, or of the classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
}

impl TaughtBy {
    /// Returns what is named, with what it is.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, String)> {
        let head = self.head.map(|head| format!(", head {head}")).unwrap_or_default();
        let classifier = self.classifier.iter().map(|name| ("Classifier", name.clone()));
        classifier.chain(self.examples.iter().map(move |name| ("Examples", format!("{name}{head}"))))
    }
}

/// The answers of one run.
pub struct Run {
    pub variant: Variant,
    /// The checkpoint, as `name@commit` or a directory.
    pub model: String,
    pub precision: String,
    pub templates: Vec<String>,
    /// Whether these templates make all prompts.
    pub are_filled: bool,
    pub taught: TaughtBy,
    /// What decides answers besides the scores, in words.
    pub rules: Option<String>,
    pub scorer: Scorer,
    /// The least score of each answer, if any was given.
    pub thresholds: Vec<f32>,
    pub judged: Vec<Judged>,
    /// All scores, where images may show any number of labels.
    pub multi: Option<Multi>,
    /// The pictures of a page, and whether each label competes with the background alone.
    pub pictures: Option<(Chosen, bool)>,
}

impl Images {
    /// Returns the truths of some images, or None for those left out.
    ///
    /// # Errors
    /// A usage error if an image shows something that has no label.
    pub fn truths(
        &mut self,
        answers: &[Answer],
        truth: &Truth,
        classes: &mut Classes,
    ) -> Result<Vec<Option<ImageTruth>>> {
        let truths = answers.iter().map(|answer| {
            let shown = truth.of(&answer.name);
            self.rows.extend(truth.row(&answer.name).map(Path::to_path_buf));
            shown.map_or(Ok(None), |shown| image_truth(&shown, classes))
        });
        let truths = truths.collect::<Result<Vec<_>>>()?;
        for (answer, truth) in answers.iter().zip(&truths) {
            match truth {
                Some(truth) => {
                    self.names.push(answer.name.as_str().to_owned());
                    self.truths.push(truth.clone());
                    self.failed += u64::from(answer.embedding.is_err());
                }
                None => self.left_out += 1,
            }
        }
        Ok(truths)
    }
}

/// Returns what an image shows, if it is counted.
fn image_truth(shown: &[Shown], classes: &mut Classes) -> Result<Option<ImageTruth>> {
    let mut found = shown.iter().map(|shown| classes.of(shown)).collect::<Result<Vec<Class>>>()?;
    found.retain(|class| *class != Class::LeftOut);
    if found.is_empty() && !shown.is_empty() {
        return Ok(None);
    }
    if found.contains(&Class::Unknown) && !found.iter().any(|class| matches!(class, Class::Answer(_))) {
        return Ok(Some(ImageTruth::Unknown));
    }
    let label = |class: Class| if let Class::Answer(label) = class { Some(label) } else { None };
    let mut labels: Vec<usize> = found.into_iter().filter_map(label).collect();
    labels.sort_unstable();
    labels.dedup();
    Ok(Some(ImageTruth::Labels(labels)))
}

impl Run {
    /// Scores some images, and keeps what the metrics need of those that have a truth.
    pub fn judge(&mut self, answers: &[Answer], truths: &[Option<ImageTruth>]) {
        let scored = score_answers(&self.scorer, answers, |scores| scores);
        let counted = answers.iter().zip(scored).zip(truths);
        for ((answer, scores), truth) in counted.filter_map(|(counted, truth)| Some((counted, truth.as_ref()?))) {
            if let Some((chosen, is_independent)) = &mut self.pictures {
                let margins = Margins { thresholds: &self.thresholds, is_independent: *is_independent };
                show(chosen, margins, answer, &scores, truth);
            }
            self.judged.push(judged(&scores, truth));
            if let Some(multi) = &mut self.multi {
                let labels: &[usize] = if let ImageTruth::Labels(labels) = truth { labels } else { &[] };
                multi.push(labels, scores.as_ref().ok());
            }
        }
    }
}

/// Adds an image to those of a page.
fn show(
    chosen: &mut Chosen,
    margins: Margins,
    answer: &Answer,
    scores: &Result<Scores, ImageError>,
    truth: &ImageTruth,
) {
    let truth = if let ImageTruth::Labels(labels) = truth { labels.clone() } else { Vec::new() };
    match scores {
        Ok(scores) => chosen.add(Picture::of(&answer.name, answer.version, scores, margins).with_truth(truth)),
        Err(e) => chosen.add_failure(&answer.name, &e.message),
    }
}

/// Judges an image by one of its labels: of several, the one that is ranked first.
fn judged(scores: &Result<Scores, ImageError>, truth: &ImageTruth) -> Judged {
    let labels: &[usize] = if let ImageTruth::Labels(labels) = truth { labels } else { &[] };
    let Ok(scores) = scores else { return Judged::failed(labels.first().copied()) };
    let best = labels.iter().copied().reduce(|a, b| if scores.scores()[b] > scores.scores()[a] { b } else { a });
    let judged = Judged::of(scores.scores(), best);
    match scores.verdict() {
        None => judged,
        Some(verdict) => {
            let unknown = verdict.unknown.or_else(|| judged.scored.map(|scored| scored.unknown));
            // An answer of a later rank is none of those that are measured.
            let given = verdict.accepted.first().map(|answer| answer.label);
            judged.with_answer(unknown.unwrap_or_default(), given.filter(|answer| *answer < scores.scores().len()))
        }
    }
}
