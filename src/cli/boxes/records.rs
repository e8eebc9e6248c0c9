//! What is written of boxes: records as of whole images with the box in each, or the file itself with classifications in it, for
//! Timelapse and other readers of MegaDetector's format.

use std::collections::HashMap;
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
use super::fields::{Fields, list};
use super::file::{BoxFile, Detection, NO_LIST, Numbered, VERSION, category};

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

    /// Returns its name in the settings of a run.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "boxes in jsonl",
            Self::Json => "boxes in json",
            Self::Megadetector => "megadetector",
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
    /// The most classifications of a box in MegaDetector's format.
    most: usize,
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
        top_k: Option<usize>,
    ) -> Self {
        let (next, begun, found, records, failed) = Default::default();
        let most = top_k.unwrap_or(MOST);
        Self { format, sink, folder, file, names, model, most, next, begun, found, records, failed }
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
        self.count(scored.is_err());
        if self.format == BoxFormat::Megadetector {
            match scored {
                Ok(predictions) => {
                    self.found.push(Classified { image, place, labels: classifications(predictions, self.most) });
                }
                Err(e) => error(e),
            }
            return Ok(());
        }
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
            let failure = boxed.failure.as_ref().map(|failure| {
                let by = if failure == NO_LIST { "" } else { "the detector failed: " };
                ImageError::new(ErrorKind::Read, format!("{name}: {by}{failure}"))
            });
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
    pub fn finish(mut self) -> Result<(u64, u64)> {
        self.pass_to(self.file.images.len())?;
        match self.format {
            BoxFormat::Jsonl => {}
            BoxFormat::Json => self.sink.write(if self.records == 0 { b"[]\n" } else { b"\n]\n" }, None)?,
            BoxFormat::Megadetector => self.write_filled()?,
        }
        let counts = self.counts();
        self.sink.finish()?;
        Ok(counts)
    }

    /// Writes the file with classifications in it, and with what its format demands. All else keeps its text.
    fn write_filled(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.file.text);
        let mut file = Fields::read(&text).unwrap_or_default();
        ["classification_categories", "classification_category_descriptions"].iter().for_each(|old| file.remove(old));
        let mut info: Fields = file.value("info").unwrap_or_default();
        let version = match info.value("format_version") {
            Some(Value::String(version)) => version,
            Some(Value::Number(_)) => info.get("format_version").unwrap_or_default().to_owned(),
            _ => VERSION.to_owned(),
        };
        info.set("format_version", &version.into());
        let now = date(SystemTime::now()).replace('T', " ").replace('Z', "");
        info.set("classifier", &format!("zsic {} {}", env!("CARGO_PKG_VERSION"), self.model).into());
        info.set("classification_completion_time", &now.into());
        let info = info.to_string();
        let listed: Map<String, Value> = file.value("detection_categories").unwrap_or_default();
        let listed: Vec<(Value, Value)> = listed.into_iter().map(|(id, name)| (id.into(), name)).collect();
        let mut categories = Numbered::new(listed.iter().map(|(id, name)| (id, name)));
        // Images come first: what they use decides which categories are listed.
        self.put_text("{\n\"images\": [")?;
        let mut found = std::mem::take(&mut self.found).into_iter().peekable();
        for (at, image) in file.get("images").and_then(list).unwrap_or_default().into_iter().enumerate() {
            let labels = std::iter::from_fn(|| found.next_if(|classified| classified.image == at));
            let labels: HashMap<usize, Vec<(usize, f32)>> = labels.map(|found| (found.place, found.labels)).collect();
            let failure = self.file.images[at].failure.as_deref();
            let filled = filled_image(image, failure, &labels, &mut categories);
            self.put_text(&format!("{}\n{filled}", if at == 0 { "" } else { "," }))?;
        }
        file.remove("images");
        let names = self.names.iter().enumerate().map(|(at, name)| (at.to_string(), Value::from(name.as_str())));
        file.set("detection_categories", &categories.names.into());
        file.set("classification_categories", &Value::Object(names.collect()));
        file.set_text("info", info);
        let rest = file.entries().map(|(name, value)| format!(",\n{}: {value}", Value::from(name)));
        self.put_text(&format!("\n]{}\n}}\n", rest.collect::<String>()))
    }

    fn put_text(&mut self, text: &str) -> Result<()> {
        self.sink.write(text.as_bytes(), None)
    }
}

/// Returns an image with these labels of its boxes, by their places. The detections' categories are added to `categories`.
fn filled_image(
    text: &str,
    failure: Option<&str>,
    labels: &HashMap<usize, Vec<(usize, f32)>>,
    categories: &mut Numbered,
) -> String {
    let Some(mut image) = Fields::read(text) else { return text.to_owned() };
    if let Some(failure) = failure {
        image.set("failure", &failure.into());
        image.set("detections", &Value::Null); // the format has either
        return image.to_string();
    }
    if image.get("failure") == Some("false") {
        image.remove("failure");
    }
    let filled = image.get("detections").and_then(list).map(|all| {
        let filled = |(place, found)| filled_box(found, labels.get(&place).map(Vec::as_slice), categories);
        all.into_iter().enumerate().map(filled).collect::<Vec<_>>().join(",\n  ")
    });
    image.set_text("detections", format!("[{}]", filled.unwrap_or_default()));
    image.to_string()
}

fn filled_box(text: &str, labels: Option<&[(usize, f32)]>, categories: &mut Numbered) -> String {
    let Some(mut found) = Fields::read(text) else { return text.to_owned() };
    found.remove("classifications"); // their numbers are of labels that another run had
    if let Some(kind) = category(&found) {
        found.set("category", &categories.number(&kind.into()).into());
    }
    if let Some(whole) = found.get("conf").filter(|conf| !conf.contains(['.', 'e', 'E'])) {
        let real = format!("{whole}.0"); // a confidence is no integer
        found.set_text("conf", real);
    }
    if let Some(labels) = labels {
        let labels = labels.iter().map(|(label, score)| json!([label.to_string(), short(*score)]));
        found.set("classifications", &labels.collect());
    }
    found.to_string()
}

/// Returns a score as the shortest double that is the same f32.
fn short(score: f32) -> f64 {
    score.to_string().parse().unwrap_or(f64::from(score))
}

/// Returns the `most` best labels and scores of a box, the best first: of those that were accepted, if that was asked for.
fn classifications(predictions: &Predictions, most: usize) -> Vec<(usize, f32)> {
    let ranked = predictions.ranked.iter().map(|prediction| (prediction.index, prediction.score));
    match &predictions.answer {
        Some(answer) => ranked.filter(|(label, _)| answer.places.contains(label)).take(most).collect(),
        None => ranked.take(most).collect(),
    }
}
