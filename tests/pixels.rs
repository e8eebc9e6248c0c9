//! Resize and crop against the integers of transformers' image processor, and decoding against Pillow's pixels.
//! The expected files are made by `tools/make_fixtures.py`; nothing here has a tolerance but Lab colours.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::Value;
use zsic::Preprocessor;
use zsic::preprocess::Arithmetic;
use zsic::source::{MAX_PIXELS, decode};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn index(dir: &Path) -> Vec<Value> {
    serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap()
}

fn png(path: &Path) -> RgbImage {
    decode(&fs::read(path).unwrap(), MAX_PIXELS).unwrap()
}

#[test]
fn pixels_equal_the_reference() {
    let dir = fixtures("pixels");
    let mut shapes = std::collections::HashSet::new();
    for case in index(&dir) {
        let source = png(&dir.join(case["source"].as_str().unwrap()));
        shapes.insert(source.dimensions());
        let arithmetic = match case["backend"].as_str().unwrap() {
            "torchvision" => Arithmetic::Torchvision,
            "pil" => Arithmetic::Pillow,
            other => panic!("{other}"),
        };
        let preprocessor = Preprocessor::from_json(case["processor"].clone()).unwrap().with_arithmetic(arithmetic);
        let pixels = preprocessor.run(&source).unwrap();
        let expected = png(&dir.join(case["expected"].as_str().unwrap()));
        assert_eq!((pixels.width() as u32, pixels.height() as u32), expected.dimensions(), "{case}");
        let wrong = pixels.data().iter().zip(expected.as_raw()).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "{wrong} of {} bytes differ: {case}", expected.as_raw().len());
    }
    assert!(shapes.len() >= 60, "only {} shapes", shapes.len());
}

#[test]
fn decoding_equals_pillow() {
    let dir = fixtures("decode");
    let mut failures = Vec::new();
    let mut decoded = 0;
    for case in index(&dir) {
        let file = case["file"].as_str().unwrap();
        let got = decode(&fs::read(dir.join(file)).unwrap(), MAX_PIXELS);
        match (got, case["expected"].as_str()) {
            (Err(e), Some(_)) => failures.push(format!("{file}: {e}")),
            (Ok(_), None) => failures.push(format!("{file}: read, but Pillow says {}", case["error"])),
            (Err(_), None) => {}
            (Ok(image), Some(expected)) => {
                decoded += 1;
                let expected = png(&dir.join(expected));
                if image.dimensions() != expected.dimensions() {
                    failures.push(format!("{file}: {:?}, not {:?}", image.dimensions(), expected.dimensions()));
                    continue;
                }
                let pairs = image.as_raw().iter().zip(expected.as_raw());
                let (wrong, worst) =
                    pairs.fold((0, 0), |(n, w), (a, b)| (n + u32::from(a != b), w.max(a.abs_diff(*b))));
                if wrong > 0 {
                    failures
                        .push(format!("{file}: {wrong} of {} bytes differ, by {worst} at most", image.as_raw().len()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures, {decoded} read:\n{}", failures.len(), failures.join("\n"));
}
