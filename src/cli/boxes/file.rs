//! A file of boxes, as MegaDetector or COCO write it -> images and their boxes. COCO's becomes MegaDetector's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::super::fatal::usage;
use super::super::text;

/// The least confidence, if the file does not say what is typical of its detector.
const TYPICAL: f64 = 0.2;
/// The version of MegaDetector's format that a file from COCO gets.
const VERSION: &str = "1.6";

/// The boxes of some images.
pub struct BoxFile {
    /// The file in MegaDetector's format.
    pub json: Value,
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
    /// A usage error for one that is wrong, with the place.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| usage(format!("{}: {why}", text::name(path)));
        let json: Value = serde_json::from_str(&text::read(path)?).map_err(|e| wrong(format!("is not JSON: {e}")))?;
        Self::parse(json).map_err(wrong)
    }

    fn parse(json: Value) -> Result<Self, String> {
        let json = if json["annotations"].is_array() { of_coco(&json)? } else { json };
        let images = json["images"].as_array().ok_or_else(|| {
            let known = "neither MegaDetector's (an object with `images`) nor COCO's (with `annotations` too)";
            format!("has no boxes in a format that is known: it is {known}")
        })?;
        let images =
            images.iter().map(|image| read_image(image, &json["detection_categories"])).collect::<Result<_, _>>()?;
        let typical = json["info"]["detector_metadata"]["typical_detection_threshold"].as_f64();
        let typical = typical.filter(|least| (0.0..=1.0).contains(least)).unwrap_or(TYPICAL);
        Ok(Self { images, typical, json })
    }
}

fn read_image(image: &Value, categories: &Value) -> Result<BoxedImage, String> {
    let file = image["file"].as_str().filter(|file| !file.is_empty());
    let file = file.ok_or_else(|| format!("an image has no `file`: {image}"))?;
    let failure = image["failure"].as_str().map(str::to_owned);
    let boxes = match &image["detections"] {
        Value::Null => Vec::new(),
        Value::Array(all) => all
            .iter()
            .map(|found| {
                read_box(found, categories).ok_or_else(|| format!("{file}: is not a box of an image: {found}"))
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(format!("{file}: `detections` is not a list")),
    };
    Ok(BoxedImage { file: file.to_owned(), boxes, failure })
}

fn read_box(found: &Value, categories: &Value) -> Option<Detection> {
    let bounds = found["bbox"].as_array().filter(|sides| sides.len() == 4)?;
    let bounds: Vec<f64> = bounds.iter().map(Value::as_f64).collect::<Option<_>>()?;
    let confidence = found["conf"].as_f64().filter(|share| (0.0..=1.0).contains(share))?;
    let category = match &found["category"] {
        Value::String(number) => number.clone(),
        number => number.as_i64()?.to_string(),
    };
    let category = categories[&category].as_str().map_or(category.clone(), str::to_owned);
    let is_sound =
        bounds.iter().all(|side| side.is_finite() && side.abs() < 1e6) && bounds[2] >= 0.0 && bounds[3] >= 0.0;
    is_sound.then(|| Detection { bounds: [bounds[0], bounds[1], bounds[2], bounds[3]], confidence, category })
}

/// Converts COCO's JSON, whose boxes are in pixels.
fn of_coco(coco: &Value) -> Result<Value, String> {
    let list = |name: &str| coco[name].as_array().cloned().unwrap_or_default();
    let mut places = HashMap::new();
    let mut images = Vec::new();
    for image in list("images") {
        let file = image["file_name"].as_str().ok_or_else(|| format!("an image has no `file_name`: {image}"))?;
        places.insert(image["id"].to_string(), images.len());
        images.push((file.to_owned(), image["width"].as_f64(), image["height"].as_f64(), Vec::new()));
    }
    for found in list("annotations") {
        if found["bbox"].is_null() {
            continue; // it says something of the whole image
        }
        let place = places.get(&found["image_id"].to_string());
        let place = place.ok_or_else(|| format!("a box is of an image that is not listed: {found}"))?;
        let (file, width, height, boxes) = &mut images[*place];
        let sizes = width.zip(*height).filter(|(width, height)| *width > 0.0 && *height > 0.0);
        let (width, height) = sizes.ok_or_else(|| format!("{file}: has a box, but no `width` and `height`"))?;
        let sides = found["bbox"].as_array().filter(|sides| sides.len() == 4);
        let sides: Option<Vec<f64>> = sides.and_then(|sides| sides.iter().map(Value::as_f64).collect());
        let sides = sides.ok_or_else(|| format!("{file}: is not a box of an image: {found}"))?;
        let bbox = [sides[0] / width, sides[1] / height, sides[2] / width, sides[3] / height];
        let conf = found["score"].as_f64().unwrap_or(1.0);
        boxes.push(json!({"category": found["category_id"].to_string(), "conf": conf, "bbox": bbox}));
    }
    let categories: Map<String, Value> =
        list("categories").into_iter().map(|kind| (kind["id"].to_string(), kind["name"].clone())).collect();
    let images: Vec<Value> =
        images.into_iter().map(|(file, _, _, boxes)| json!({"file": file, "detections": boxes})).collect();
    Ok(json!({"images": images, "detection_categories": categories, "info": {"format_version": VERSION}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megadetectors_own_file_is_read() {
        let text = include_str!("../../../tests/fixtures/boxes/megadetector.json");
        let file = BoxFile::parse(serde_json::from_str(text).unwrap()).unwrap();
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
        let file = BoxFile::parse(coco.clone()).unwrap();
        let all = |image: usize| {
            file.images[image].boxes.iter().map(|b| (b.bounds, b.confidence, &*b.category)).collect::<Vec<_>>()
        };
        assert_eq!(all(0), [([0.1, 0.1, 0.5, 0.5], 1.0, "deer"), ([0.0, 0.0, 1.0, 1.0], 0.25, "9")]);
        assert!(all(1).is_empty());
        for (path, value) in [("image_id", json!(8)), ("bbox", json!([1, 2, 3])), ("bbox", json!([1, 2, -3, 4]))] {
            let mut wrong = coco.clone();
            wrong["annotations"][0][path] = value;
            assert!(BoxFile::parse(wrong).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_no_file_of_boxes_is_told() {
        let image = |detections: Value| json!({"images": [{"file": "a.jpg", "detections": detections}]});
        let sound = json!({"category": "1", "conf": 0.5, "bbox": [0, 0, 1, 1]});
        assert!(BoxFile::parse(image(json!([sound]))).is_ok());
        for (key, value) in [
            ("conf", json!(1.5)),
            ("bbox", json!([0, 0, 1])),
            ("bbox", json!([0, 0, 1, "x"])),
            ("category", json!(null)),
        ] {
            let mut wrong = sound.clone();
            wrong[key] = value;
            assert!(BoxFile::parse(image(json!([wrong]))).err().unwrap().starts_with("a.jpg: is not a box"), "{key}");
        }
        for wrong in [json!([]), json!({}), json!({"images": [{}]}), image(json!("x"))] {
            assert!(BoxFile::parse(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
