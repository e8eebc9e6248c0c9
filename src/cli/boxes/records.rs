//! What is written of boxes: records as of whole images with the box in each, or the file itself with classifications in it, for
//! Timelapse and other readers of MegaDetector's format.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};
use zsic::ImageError;
use zsic::source::ErrorKind;

use super::super::args::FormatArg;
use super::super::fatal::usage;
use super::super::messages::error;
use super::super::output::{Place, Predictions, Sink, boxed_record};
use super::super::report::{date, shown};
use super::file::{BoxFile, Detection};

/// The most classifications of a box in MegaDetector's format, unless `--top-k` says another number.
const MOST: usize = 5;

/// How boxes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxFormat {
    Jsonl,
    Json,
    Megadetector,
}

impl BoxFormat {
    /// Chooses by the flag, or by the name of the file.
    ///
    /// # Errors
    /// A usage error for a format that has no place for a box.
    pub fn resolve(asked: FormatArg, place: &Place) -> Result<Self> {
        let ending = place.ending().filter(|_| place.is_file());
        match (asked, ending.as_deref()) {
            (FormatArg::Megadetector, None | Some("json" | "txt")) => Ok(Self::Megadetector),
            (FormatArg::Json, None | Some("json" | "txt")) | (FormatArg::Auto, Some("json")) => Ok(Self::Json),
            (FormatArg::Jsonl, None | Some("jsonl" | "ndjson" | "txt"))
            | (FormatArg::Auto, None | Some("jsonl" | "ndjson")) => Ok(Self::Jsonl),
            _ => Err(usage(
                "boxes are written as jsonl, json or megadetector; name the format with --format, and -o FILE accordingly",
            )),
        }
    }
}

/// What a record says of its box.
#[derive(Debug, Serialize)]
pub struct ShownBox<'a> {
    /// Left, top, width and height, in shares of the image's.
    #[serde(rename = "box")]
    bounds: [f64; 4],
    detection: ShownDetection<'a>,
}

#[derive(Debug, Serialize)]
struct ShownDetection<'a> {
    category: &'a str,
    conf: f64,
}

/// The labels of a box, for MegaDetector's format.
struct Classified {
    image: usize,
    place: usize,
    labels: Vec<(usize, f32)>,
}

/// Boxes on their way to the output.
pub struct BoxRecords<'a> {
    format: BoxFormat,
    sink: Sink,
    folder: &'a Path,
    file: BoxFile,
    /// The labels.
    names: &'a [String],
    model: String,
    /// The image that comes next, and whether it has a record.
    next: usize,
    begun: bool,
    found: Vec<Classified>,
    records: u64,
    failed: u64,
}

impl<'a> BoxRecords<'a> {
    pub fn new(
        format: BoxFormat,
        sink: Sink,
        folder: &'a Path,
        file: BoxFile,
        names: &'a [String],
        model: String,
    ) -> Self {
        let (next, begun, found, records, failed) = Default::default();
        Self { format, sink, folder, file, names, model, next, begun, found, records, failed }
    }

    /// Returns the number of records, and of failures among them.
    pub fn counts(&self) -> (u64, u64) {
        (self.records, self.failed)
    }

    /// Writes the record of a box, and before it those of images without boxes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, image: usize, place: usize, scored: Result<&Predictions<'a>, &ImageError>) -> Result<()> {
        self.pass_to(image)?;
        self.begun = true;
        let name = shown(&self.file.images[image].path(self.folder));
        match scored {
            Ok(predictions) => self.found.push(Classified { image, place, labels: classifications(predictions) }),
            Err(e) if self.format == BoxFormat::Megadetector => error(e),
            Err(_) => {}
        }
        self.count(scored.is_err());
        if self.format == BoxFormat::Megadetector {
            return Ok(());
        }
        self.found.clear();
        let Detection { bounds, confidence, category } = &self.file.images[image].boxes[place];
        let detection = ShownDetection { category, conf: *confidence };
        let record = boxed_record(&name, Some(&ShownBox { bounds: *bounds, detection }), scored)?;
        self.put(record)
    }

    fn count(&mut self, has_failed: bool) {
        self.records += 1;
        self.failed += u64::from(has_failed);
    }

    fn put(&mut self, record: String) -> Result<()> {
        let text = match self.format {
            BoxFormat::Json => format!("{}{record}", if self.records == 1 { "[\n  " } else { ",\n  " }),
            _ => record + "\n",
        };
        self.sink.write(text.as_bytes(), None)
    }

    /// Writes records of the images before `image` that have none: no box was found, or the detector could not read them.
    fn pass_to(&mut self, image: usize) -> Result<()> {
        while self.next < image {
            let (at, begun) = (self.next, std::mem::take(&mut self.begun));
            self.next += 1;
            if begun {
                continue;
            }
            let boxed = &self.file.images[at];
            let name = shown(&boxed.path(self.folder));
            let failure = boxed
                .failure
                .as_ref()
                .map(|failure| ImageError::new(ErrorKind::Read, format!("{name}: the detector failed: {failure}")));
            self.count(failure.is_some());
            if self.format == BoxFormat::Megadetector {
                failure.iter().for_each(error);
                continue;
            }
            let nothing = Predictions::default();
            let record = boxed_record(&name, None::<&ShownBox>, failure.as_ref().map_or(Ok(&nothing), Err))?;
            self.put(record)?;
        }
        Ok(())
    }

    /// Writes all records so far.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.sink.flush()
    }

    /// Writes the rest, and gives a file its name. Returns the number of records, and of failures among them.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self, top_k: Option<usize>) -> Result<(u64, u64)> {
        self.pass_to(self.file.images.len())?;
        match self.format {
            BoxFormat::Jsonl => {}
            BoxFormat::Json => self.sink.write(if self.records == 0 { b"[]\n" } else { b"\n]\n" }, None)?,
            BoxFormat::Megadetector => {
                let filled = self.filled(top_k.unwrap_or(MOST));
                self.sink.write(format!("{filled:#}\n").as_bytes(), None)?;
            }
        }
        let counts = self.counts();
        self.sink.finish()?;
        Ok(counts)
    }

    /// Returns the file with classifications in it.
    fn filled(&mut self, most: usize) -> Value {
        let mut json = self.file.json.take();
        for Classified { image, place, labels } in &self.found {
            let best = labels.iter().take(most).map(|(label, score)| json!([label.to_string(), short(*score)]));
            json["images"][image]["detections"][place]["classifications"] = best.collect();
        }
        let names = self.names.iter().enumerate().map(|(at, name)| (at.to_string(), Value::from(name.as_str())));
        json["classification_categories"] = Value::Object(names.collect::<Map<_, _>>());
        let now = date(SystemTime::now()).replace('T', " ").replace('Z', "");
        json["info"]["classifier"] = format!("zsic {} {}", env!("CARGO_PKG_VERSION"), self.model).into();
        json["info"]["classification_completion_time"] = now.into();
        json
    }
}

/// Returns a score as the shortest double that is the same f32.
fn short(score: f32) -> f64 {
    score.to_string().parse().unwrap_or(f64::from(score))
}

/// Returns the labels and scores of a box, the best first: those that were accepted, if that was asked for.
fn classifications(predictions: &Predictions) -> Vec<(usize, f32)> {
    let ranked = predictions.ranked.iter().map(|prediction| (prediction.index, prediction.score));
    match &predictions.answer {
        Some(answer) => ranked.filter(|(label, _)| answer.places.contains(label)).collect(),
        None => ranked.collect(),
    }
}
