//! A file of boxes, as MegaDetector or COCO write it -> images and their boxes. COCO's becomes MegaDetector's.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use zsic::reason::os_reason;

use super::super::fatal::usage;
use super::super::{available_memory, text};
use super::fields::{Fields, list, number};

/// The least confidence, if the file does not say what is typical of its detector.
const TYPICAL: f64 = 0.2;
/// The version of MegaDetector's format that a file gets if it has none.
pub const VERSION: &str = "1.6";
/// The most bytes of a file: ten million boxes have fewer.
const LONGEST: u64 = 2 << 30;
/// The memory that a run takes for a file and its boxes, in sizes of the file; and of COCO's, which is converted.
const COPIES: u64 = 6;
const COPIES_OF_COCO: u64 = 16;
/// What a confidence may be above 1, or below 0, by the rounding of whoever wrote it.
const ROUNDING: f64 = 1e-4;
/// The side of a box that no detector finds, in sides of the image.
const LARGEST: f64 = 1e6;
/// The failure of an image that has neither boxes nor a failure.
pub const NO_LIST: &str = "it has no list of detections";

/// The boxes of some images.
pub struct BoxFile {
    /// The file in MegaDetector's format.
    pub text: String,
    pub images: Vec<BoxedImage>,
    /// The least confidence that is typical of the detector.
    pub typical: f64,
}

/// An image and its boxes.
#[derive(Debug, PartialEq)]
pub struct BoxedImage {
    /// Its path below the folder of images.
    pub file: String,
    pub boxes: Vec<Detection>,
    /// Its width and height, if the file has them.
    pub size: Option<[u32; 2]>,
    /// Why the detector could not read it.
    pub failure: Option<String>,
}

impl BoxedImage {
    /// Returns its path. Files from Windows have backslashes.
    pub fn path(&self, folder: &Path) -> PathBuf {
        let path = folder.join(&self.file);
        if !self.file.contains('\\') || path.exists() { path } else { folder.join(self.file.replace('\\', "/")) }
    }
}

/// A box.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Its left, top, width and height, in shares of the image's.
    pub bounds: [f64; 4],
    pub confidence: f64,
    /// The name of what was detected.
    pub category: String,
}

impl BoxFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A usage error for one that is wrong, with the place; another error without enough memory.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| usage(format!("{}: {why}", text::name(path)));
        let text = read_text(path)?;
        let Some(head) = head(&text).map_err(wrong)? else { return Err(wrong(unknown())) };
        let is_coco = is_coco(&head);
        check_memory(path, text.len() as u64, if is_coco { COPIES_OF_COCO } else { COPIES })?;
        Self::parse(text).map_err(wrong)
    }

    fn parse(text: String) -> Result<Self, String> {
        let is_of_coco = head(&text)?.is_some_and(|head| is_coco(&head));
        let text = if is_of_coco { of_coco(&text)?.to_string() } else { text };
        let head = head(&text)?.ok_or_else(unknown)?;
        let images = head.get("images").and_then(list).ok_or_else(unknown)?;
        let categories: Map<String, Value> = head.value("detection_categories").unwrap_or_default();
        let images = images.into_iter().map(|image| read_image(image, &categories)).collect::<Result<_, _>>()?;
        let info: Fields = head.value("info").unwrap_or_default();
        let detector: Fields = info.value("detector_metadata").unwrap_or_default();
        let typical = detector.get("typical_detection_threshold").and_then(number);
        let typical = typical.filter(|least| (0.0..=1.0).contains(least)).unwrap_or(TYPICAL);
        Ok(Self { images, typical, text })
    }
}

/// Reads all of a text: UTF-8, or another encoding that [`text::read`] knows.
fn read_text(path: &Path) -> Result<String> {
    if text::is_stdin(path) {
        return text::read(path);
    }
    let failed = |why: String| usage(format!("{}: {why}", text::name(path)));
    let cannot = |e| failed(format!("cannot be read: {}", os_reason(&e)));
    let length = fs::metadata(path).map_err(cannot)?.len();
    if length > LONGEST {
        let most = "the most for a file of boxes; split it";
        return Err(failed(format!("has {length} bytes, more than {LONGEST}, {most}")));
    }
    check_memory(path, length, COPIES)?;
    match String::from_utf8(fs::read(path).map_err(cannot)?) {
        Ok(mut text) if !text.contains('\0') => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Ok(text)
        }
        _ => text::read(path),
    }
}

/// Checks that there is memory for a file of so many bytes.
fn check_memory(path: &Path, length: u64, copies: u64) -> Result<()> {
    let (needed, most) = (length.saturating_mul(copies), available_memory::for_texts());
    if needed <= most {
        return Ok(());
    }
    let (name, needed, most) = (text::name(path), needed.div_ceil(1 << 20), most >> 20);
    let advice = "give it more memory, or split the file";
    Err(anyhow!("{name}: its boxes need {needed} MiB of memory, and this run may use {most} MiB; {advice}"))
}

/// Reads the outermost object; None for other JSON.
fn head(text: &str) -> Result<Option<Fields<'_>>, String> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|e| not_json(text, &e))?;
    Ok(Fields::read(whole.get()))
}

/// Says why a text is not JSON. Python writes numbers that are not finite, which JSON does not have.
fn not_json(text: &str, e: &serde_json::Error) -> String {
    let line = text.split('\n').nth(e.line().saturating_sub(1)).unwrap_or_default();
    let rest = line.get(e.column().saturating_sub(1)..).unwrap_or_default();
    match ["NaN", "Infinity"].into_iter().find(|number| rest.starts_with(number)) {
        Some(number) => {
            let place = format!("line {} column {}", e.line(), e.column());
            format!("is not JSON: has {number} at {place}; write null, or leave the field out")
        }
        None => format!("is not JSON: {e}"),
    }
}

fn is_coco(head: &Fields) -> bool {
    head.get("annotations").is_some_and(|text| text.starts_with('['))
}

fn unknown() -> String {
    "is neither MegaDetector's JSON (an object with `images`) nor COCO's (with `annotations` too)".to_owned()
}

fn read_image(text: &str, categories: &Map<String, Value>) -> Result<BoxedImage, String> {
    let image = Fields::read(text).unwrap_or_default();
    let file = image.value("file").filter(|file: &String| !file.is_empty());
    let file = file.ok_or_else(|| format!("an image has no `file`: {}", shortened(text)))?;
    let failure = match image.value("failure").unwrap_or_default() {
        Value::Null | Value::Bool(false) => None,
        Value::String(why) => Some(why),
        other => Some(other.to_string()),
    };
    let side = |name: &str| image.get(name).and_then(number).map(|side| side as u32).filter(|side| *side > 0);
    let size = side("width").zip(side("height")).map(|(width, height)| [width, height]);
    let (failure, boxes) = match image.get("detections") {
        None | Some("null") => (failure.or_else(|| Some(NO_LIST.to_owned())), Vec::new()),
        Some(_) if failure.is_some() => (failure, Vec::new()), // what was found before it failed
        Some(found) => {
            let all = list(found).ok_or_else(|| format!("{file}: `detections` is not a list"))?;
            let read = |found: &str| {
                let wrong = |why: &str| format!("{file}: a box {why}: {}", shortened(found));
                read_box(found, categories).map_err(wrong)
            };
            (None, all.into_iter().map(read).collect::<Result<_, _>>()?)
        }
    };
    Ok(BoxedImage { file, boxes, size, failure })
}

/// Returns so much of a text as a message may have.
fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    if text.chars().nth(MOST).is_none() { text.to_owned() } else { text.chars().take(MOST).chain(['…']).collect() }
}

/// Reads a box, or says what is wrong with it.
fn read_box(text: &str, categories: &Map<String, Value>) -> Result<Detection, &'static str> {
    let found = Fields::read(text).ok_or("is not an object")?;
    let bounds = found.get("bbox").and_then(list).and_then(|sides| sides.into_iter().map(number).collect());
    let bounds: Option<[f64; 4]> = bounds.and_then(|sides: Vec<f64>| sides.try_into().ok());
    let bounds = bounds.ok_or("has no `bbox` of left, top, width and height")?;
    if !bounds.iter().all(|side| side.abs() < LARGEST) || bounds[2].min(bounds[3]) < 0.0 {
        return Err("has a `bbox` with a negative width or height, or beyond all images");
    }
    let confidence = found.get("conf").and_then(number).filter(|share| (-ROUNDING..=1.0 + ROUNDING).contains(share));
    let confidence = confidence.ok_or("has no `conf` from 0 to 1")?.clamp(0.0, 1.0);
    let category = category(&found).ok_or("has no `category`")?;
    let category = name(categories, &category).map_or_else(|| category.clone(), str::to_owned);
    Ok(Detection { bounds, confidence, category })
}

/// Returns the number of what was detected, which some write without quotes.
pub fn category(found: &Fields) -> Option<String> {
    match found.value("category")? {
        Value::String(number) => Some(number),
        number => number.as_i64().map(|number| number.to_string()),
    }
}

/// Returns the name of a category, if it has one.
fn name<'c>(categories: &'c Map<String, Value>, category: &str) -> Option<&'c str> {
    categories.get(category)?.as_str().filter(|name| !name.trim().is_empty())
}

/// Converts COCO's JSON, whose boxes are in pixels.
fn of_coco(text: &str) -> Result<Value, String> {
    let coco: Value = serde_json::from_str(text).map_err(|e| format!("is not JSON: {e}"))?;
    let list = |name: &str| coco[name].as_array().map_or(&[][..], Vec::as_slice);
    let listed = list("categories").iter().map(|kind| (&kind["id"], &kind["name"]));
    let mut categories = Numbered::new(listed);
    let mut places = HashMap::new();
    let mut images = Vec::new();
    for image in list("images") {
        let file = image["file_name"].as_str().ok_or_else(|| format!("an image has no `file_name`: {image}"))?;
        places.insert(image["id"].to_string(), images.len());
        images.push((json!({"file": file}), [&image["width"], &image["height"]], Vec::new()));
    }
    for found in list("annotations") {
        let is_crowd = found["iscrowd"] == 1 || found["iscrowd"] == true;
        if found["bbox"].is_null() || is_crowd {
            continue; // it says something of the whole image, or of many things together
        }
        let place = places.get(&found["image_id"].to_string());
        let place = place.ok_or_else(|| format!("a box is of an image that is not listed: {found}"))?;
        let (image, sizes, boxes) = &mut images[*place];
        let file = image["file"].as_str().unwrap_or_default();
        let [width, height] = sizes.map(|side| side.as_f64().filter(|side| *side > 0.0));
        let sizes = width.zip(height);
        let (width, height) = sizes.ok_or_else(|| format!("{file}: has a box, but no `width` and `height`"))?;
        let sides = found["bbox"].as_array().filter(|sides| sides.len() == 4);
        let sides: Option<Vec<f64>> = sides.and_then(|sides| sides.iter().map(Value::as_f64).collect());
        let sides = sides.ok_or_else(|| format!("{file}: is not a box of an image: {found}"))?;
        let bbox = [sides[0] / width, sides[1] / height, sides[2] / width, sides[3] / height];
        let conf = match &found["score"] {
            Value::Null => 1.0,
            score => score.as_f64().ok_or_else(|| format!("{file}: `score` is not a number: {found}"))?,
        };
        boxes.push(json!({"category": categories.number(&found["category_id"]), "conf": conf, "bbox": bbox}));
    }
    let images = images.into_iter().map(|(mut image, sizes, boxes)| {
        for (name, side) in ["width", "height"].into_iter().zip(sizes).filter(|(_, side)| !side.is_null()) {
            image[name] = side.clone();
        }
        image["detections"] = boxes.into();
        image
    });
    let images: Vec<Value> = images.collect();
    let info = json!({"format_version": VERSION});
    Ok(json!({"images": images, "detection_categories": categories.names, "info": info}))
}

/// Categories under the whole numbers, in quotes, that MegaDetector's format wants.
pub struct Numbered {
    /// The number of each `id`, as it is written.
    numbers: HashMap<String, String>,
    /// The name of each number.
    pub names: Map<String, Value>,
    /// The next number for what has none.
    next: i64,
}

impl Numbered {
    /// Numbers ids, each with its name.
    pub fn new<'v>(listed: impl Iterator<Item = (&'v Value, &'v Value)> + Clone) -> Self {
        let largest = listed.clone().filter_map(|(id, _)| whole(id)).max().unwrap_or(0);
        let mut all = Self { numbers: HashMap::new(), names: Map::new(), next: largest.clamp(0, 1 << 52) + 1 };
        for (id, name) in listed {
            let number = all.number(id);
            if let Some(name) = name.as_str().filter(|name| !name.trim().is_empty()) {
                all.names[&number] = name.into();
            }
        }
        all
    }

    /// Returns the number of a category, which is named by its `id` if it was not listed.
    pub fn number(&mut self, id: &Value) -> String {
        let shown = match id {
            Value::String(id) => id.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if let Some(number) = self.numbers.get(&shown) {
            return number.clone();
        }
        let mut number = whole(id).map(|number| number.to_string());
        if number.as_ref().is_none_or(|number| self.names.contains_key(number)) {
            while self.names.contains_key(&self.next.to_string()) {
                self.next += 1;
            }
            number = Some(self.next.to_string());
        }
        let number = number.unwrap_or_default();
        let name = if shown.trim().is_empty() { "unknown" } else { &shown };
        self.names.insert(number.clone(), name.into());
        self.numbers.insert(shown, number.clone());
        number
    }
}

/// Returns a whole number, in quotes or not.
fn whole(id: &Value) -> Option<i64> {
    id.as_i64().or_else(|| id.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &Value) -> Result<BoxFile, String> {
        BoxFile::parse(json.to_string())
    }

    #[test]
    fn megadetectors_own_file_is_read() {
        let text = include_str!("../../../tests/fixtures/boxes/megadetector.json");
        let file = BoxFile::parse(text.to_owned()).unwrap();
        let names: Vec<&str> = file.images.iter().map(|image| &*image.file).collect();
        assert_eq!(names, ["broken.png", "empty.png", "missing.png", "more/fox.png", "owl.png"]);
        assert_eq!(file.images[0].failure.as_deref(), Some("Failure image access"));
        assert!(file.images[1].boxes.is_empty() && file.images[1].failure.is_none());
        let fox = &file.images[3].boxes;
        assert_eq!(
            fox[0],
            Detection { bounds: [0.05, 0.1, 0.9, 0.85], confidence: 0.812, category: "animal".to_owned() }
        );
        assert_eq!((fox[1].category.as_str(), file.typical), ("person", 0.2));
    }

    #[test]
    fn cocos_pixels_become_shares() {
        let coco = json!({
            "images": [{"id": 7, "file_name": "a.jpg", "width": 200, "height": 100}, {"id": "x", "file_name": "b.jpg"}],
            "annotations": [
                {"image_id": 7, "bbox": [20, 10, 100, 50], "category_id": 3},
                {"image_id": 7, "bbox": [0, 0, 200, 100], "category_id": 9, "score": 0.25},
                {"image_id": "x", "category_id": 0},
            ],
            "categories": [{"id": 3, "name": "deer"}],
        });
        let file = parse(&coco).unwrap();
        let all = |image: usize| {
            file.images[image].boxes.iter().map(|b| (b.bounds, b.confidence, &*b.category)).collect::<Vec<_>>()
        };
        assert_eq!(all(0), [([0.1, 0.1, 0.5, 0.5], 1.0, "deer"), ([0.0, 0.0, 1.0, 1.0], 0.25, "9")]);
        assert!(all(1).is_empty());
        for (path, value) in [
            ("image_id", json!(8)),
            ("bbox", json!([1, 2, 3])),
            ("bbox", json!([1, 2, -3, 4])),
            ("score", json!("0.1")),
        ] {
            let mut wrong = coco.clone();
            wrong["annotations"][0][path] = value;
            assert!(parse(&wrong).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_no_file_of_boxes_is_told() {
        let image = |detections: Value| json!({"images": [{"file": "a.jpg", "detections": detections}]});
        let sound = json!({"category": "1", "conf": 0.5, "bbox": [0, 0, 1, 1]});
        assert!(parse(&image(json!([sound]))).is_ok());
        for (key, value) in [
            ("conf", json!(1.5)),
            ("conf", json!("0.5")),
            ("bbox", json!([0, 0, 1])),
            ("bbox", json!([0, 0, 1, "x"])),
            ("bbox", json!([0, 0, -1, 1])),
            ("category", json!(null)),
        ] {
            let mut wrong = sound.clone();
            wrong[key] = value;
            let why = parse(&image(json!([wrong]))).err().unwrap();
            assert!(why.starts_with("a.jpg: a box has ") && why.contains(&format!("`{key}`")), "{why}");
        }
        let mut rounded = sound;
        rounded["conf"] = json!(1.000_000_1);
        assert_eq!(parse(&image(json!([rounded]))).unwrap().images[0].boxes[0].confidence, 1.0);
        for wrong in [json!([]), json!({}), json!({"images": [{}]}), image(json!("x"))] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cocos_categories_become_those_of_megadetector() {
        let boxes = |id: Value| json!({"image_id": 1, "bbox": [0, 0, 1, 1], "category_id": id});
        let mut coco = json!({
            "images": [{"id": 1, "file_name": "a.jpg", "width": 2, "height": 2}],
            "annotations": [boxes(json!(3)), boxes(json!("deer")), boxes(json!(8)), boxes(json!("7")), {
                "image_id": 1, "bbox": [0, 0, 1, 1],
            }, {"image_id": 1, "bbox": [0, 0, 1, 1], "category_id": 3, "iscrowd": 1}],
            "categories": [{"id": 3, "name": "fox"}, {"id": 4}, {"id": "deer", "name": "Deer"}],
        });
        let file = parse(&coco).unwrap();
        let names = |file: &BoxFile| file.images[0].boxes.iter().map(|b| b.category.clone()).collect::<Vec<_>>();
        assert_eq!(names(&file), ["fox", "Deer", "8", "7", "unknown"]);
        let json: Value = serde_json::from_str(&file.text).unwrap();
        let all = json!({"3": "fox", "4": "4", "5": "Deer", "8": "8", "7": "7", "6": "unknown"});
        assert_eq!(json["detection_categories"], all);
        let taken = json!({"images": coco["images"], "annotations": [boxes(json!(1))], "categories": [{"id": "deer"}]});
        assert_eq!(names(&parse(&taken).unwrap()), ["1"], "the number of a deer is another one");
        coco.as_object_mut().unwrap().remove("categories");
        assert_eq!(names(&parse(&coco).unwrap()), ["3", "deer", "8", "7", "unknown"]);
    }

    #[test]
    fn an_image_without_a_list_is_a_failure() {
        let found = json!([{"category": "1", "conf": 0.5, "bbox": [0, 0, 1, 1]}]);
        let file = parse(&json!({"images": [
            {"file": "a"}, {"file": "b", "failure": true}, {"file": "c", "detections": []},
            {"file": "d", "failure": "torn", "detections": found},
        ]}));
        let read: Vec<_> = file.unwrap().images.into_iter().map(|image| (image.failure, image.boxes.len())).collect();
        let failure = |why: &str| (Some(why.to_owned()), 0);
        assert_eq!(read, [failure(NO_LIST), failure("true"), (None, 0), failure("torn")]);
    }

    #[test]
    fn boxes_keep_all_digits() {
        let shares: Vec<f64> =
            (1..400u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64).collect();
        for all in shares.chunks_exact(5) {
            let [conf, x, y, w, h] = all else { unreachable!() };
            let found = format!(r#"{{"category": 1, "conf": {conf}, "bbox": [{x}, {y}, {w}, {h}]}}"#);
            let file = BoxFile::parse(format!(r#"{{"images": [{{"file": "a", "detections": [{found}]}}]}}"#)).unwrap();
            let read = &file.images[0].boxes[0];
            assert_eq!((read.confidence, read.bounds), (*conf, [*x, *y, *w, *h]));
        }
    }

    #[test]
    fn a_file_needs_memory() {
        let path = Path::new("md.json");
        assert!(check_memory(path, 1 << 20, COPIES).is_ok());
        let why = check_memory(path, 1 << 50, COPIES).unwrap_err().to_string();
        assert!(why.starts_with("md.json: its boxes need 6442450944 MiB of memory, and this run may use "), "{why}");
    }
}
