//! Resize and crop against the integers of transformers' image processor, and decoding against Pillow's pixels.
//! The expected files are made by `tools/make_fixtures.py`; nothing here has a tolerance but Lab colours and lossy files of
//! JPEG XL and JPEG 2000.

use std::fs;
use std::path::Path;

use crate::common::{fixtures, random};
use image::RgbImage;
use serde_json::Value;
use zsic::Preprocessor;
use zsic::preprocess::{Arithmetic, Decoding};
use zsic::source::{MAX_PIXELS, decode};

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
        let preprocessor = Preprocessor::from_json(case["processor"].clone(), zsic::preprocess::ProcessorClass::Clip)
            .unwrap()
            .with_arithmetic(arithmetic);
        let pixels = preprocessor.run(&source).unwrap();
        let expected = png(&dir.join(case["expected"].as_str().unwrap()));
        assert_eq!((pixels.width() as u32, pixels.height() as u32), expected.dimensions(), "{case}");
        let wrong = pixels.data().iter().zip(expected.as_raw()).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "{wrong} of {} bytes differ: {case}", expected.as_raw().len());
    }
    assert!(shapes.len() >= 60, "only {} shapes", shapes.len());
}

/// Damaged files that Pillow reads: what becomes of the damaged part is up to the decoder.
const READ_SOMEHOW: [&str; 1] = ["flipped-bit.jpg"];

/// Files whose bytes may differ by this much: Pillow converts Lab colours through a coarse table.
const TOLERANCES: [(&str, u8); 2] = [("lab.tif", 33), ("lab-soft.tif", 3)];

/// The most bytes, in hundredths, that may differ in files with a tolerance of their own in the index. libjxl dithers
/// while it rounds to 8 bits, and zsic rounds to the nearest: a quarter differs, by 1. OpenJPEG's wavelet adds up in
/// another order: less than a hundredth differs by 1, or by 2 after a conversion from YCbCr.
const DIFFERENT: [(&str, usize); 3] = [("jxl", 26), ("jp2", 1), ("j2k", 1)];

/// How the panics of Rust are told; those of libjpeg are its way to say that a file is damaged.
const PANICS: [&str; 7] =
    ["out of range", "out of bounds", "overflow", "unwrap", "assertion", "divide by zero", "its decoder failed"];

/// What is wrong with one file of the index, if anything.
fn decoding_failure(dir: &Path, case: &Value) -> Option<String> {
    let file = case["file"].as_str().unwrap();
    let got = decode(&fs::read(dir.join(file)).unwrap(), MAX_PIXELS);
    let (image, expected) = match (got, case["expected"].as_str()) {
        (Err(_), None) => return None,
        (Err(e), Some(_)) => return Some(e.to_string()),
        (Ok(_), None) => return Some(format!("read, but Pillow says {}", case["error"])),
        (Ok(image), Some(expected)) => (image, png(&dir.join(expected))),
    };
    if image.dimensions() != expected.dimensions() {
        return Some(format!("{:?}, not {:?}", image.dimensions(), expected.dimensions()));
    }
    let known = TOLERANCES.iter().find(|(name, _)| *name == file).map(|(_, tolerance)| u64::from(*tolerance));
    let tolerance = known.or(case["tolerance"].as_u64()).unwrap_or(0);
    let share = DIFFERENT.iter().find(|(ending, _)| file.ends_with(ending)).map_or(100, |(_, share)| *share);
    let pairs = image.as_raw().iter().zip(expected.as_raw());
    let (wrong, worst) = pairs.fold((0, 0), |(n, w), (a, b)| (n + usize::from(a != b), w.max(a.abs_diff(*b))));
    let is_far = u64::from(worst) > tolerance || wrong * 100 > image.as_raw().len() * share;
    let differs = is_far && !READ_SOMEHOW.contains(&file);
    differs.then(|| format!("{wrong} of {} bytes differ, by {worst} at most", image.as_raw().len()))
}

#[test]
fn decoding_equals_pillow() {
    let dir = fixtures("decode");
    let cases = index(&dir);
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["file"].as_str()?, decoding_failure(&dir, case)?)))
        .collect();
    assert!(cases.len() >= 690, "only {} files", cases.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A JPEG file of a picture with some structure.
fn jpeg(width: usize, height: usize) -> Vec<u8> {
    let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    compress.set_size(width, height);
    compress.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
    compress.set_fastest_defaults();
    let mut compress = compress.start_compress(Vec::new()).unwrap();
    let pixel = |n: usize| [(n % width / 9) as u8, (n / width * 3) as u8, (n % width / 40 * 20) as u8];
    let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    compress.write_scanlines(&pixels).unwrap();
    compress.finish().unwrap()
}

/// Decoded and preprocessed in one go: what decoding and then preprocessing give, errors included.
#[test]
fn rows_taken_as_they_come_change_nothing() {
    let dir = fixtures("decode");
    let preprocessor = Preprocessor::from_json(
        serde_json::json!({"size": 20, "crop_size": 24}),
        zsic::preprocess::ProcessorClass::Clip,
    )
    .unwrap();
    let mut files: Vec<(String, Vec<u8>)> =
        vec![("wide".to_owned(), jpeg(20_000, 19)), ("tall".to_owned(), jpeg(3, 9000))];
    for case in index(&dir) {
        let file = case["file"].as_str().unwrap();
        files.push((file.to_owned(), fs::read(dir.join(file)).unwrap()));
    }
    for (name, bytes) in files {
        let apart = decode(&bytes, MAX_PIXELS).map(|image| preprocessor.run(&image).unwrap());
        assert!(preprocessor.decode(&bytes, MAX_PIXELS, Decoding::Exact) == apart, "{name}");
    }
}

#[test]
fn fast_decoding_is_for_large_jpeg_files_and_nearly_exact() {
    let preprocessor = Preprocessor::from_json(serde_json::json!({}), zsic::preprocess::ProcessorClass::Clip).unwrap();
    let both = |preprocessor: &Preprocessor, bytes: &[u8]| {
        [Decoding::Exact, Decoding::Fast].map(|how| preprocessor.decode(bytes, MAX_PIXELS, how).unwrap())
    };
    let [exact, fast] = both(&preprocessor, &jpeg(1200, 900)); // a half of it is twice 224 and more
    assert_eq!((fast.width(), fast.height()), (224, 224));
    let off: u64 = exact.data().iter().zip(fast.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(0 < off && off < 2 * exact.data().len() as u64, "{off}");
    let [exact, fast] = both(&preprocessor, &jpeg(1200, 894)); // a half would be 447
    assert!(exact == fast);
    let mut pnm = b"P6 1200 900 255\n".to_vec();
    pnm.extend((0..1200 * 900 * 3).map(|n| (n / 5000) as u8));
    let [exact, fast] = both(&preprocessor, &pnm);
    assert!(exact == fast);
    let unresized =
        Preprocessor::from_json(serde_json::json!({"do_resize": false}), zsic::preprocess::ProcessorClass::Clip)
            .unwrap();
    let [exact, fast] = both(&unresized, &jpeg(1200, 900));
    assert!(exact == fast);
}

/// Every file of the fixtures, cut and with bytes changed: whatever comes of it, it is an image or an error, small
/// and soon.
#[test]
fn damage_never_panics() {
    const PIXELS: u64 = 1_000_000;
    let mut random = random(1);
    let dir = fixtures("decode");
    let mut wrong = Vec::new();
    for case in index(&dir) {
        let file = case["file"].as_str().unwrap();
        let whole = fs::read(dir.join(file)).unwrap();
        let is_slow = ["avif", "heic", "jxl", "jp2", "j2k"].iter().any(|ending| file.ends_with(ending));
        for turn in 0..if is_slow { 40 } else { 300 } {
            let mut bytes = whole.clone();
            if turn % 4 == 0 {
                bytes.truncate(random(whole.len()));
            }
            // Headers are short: half of the changes are made there.
            for _ in 0..random(4) {
                let reach = if random(2) == 0 { 64.min(bytes.len()) } else { bytes.len() };
                let at = random(reach);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
                }
            }
            match decode(&bytes, PIXELS) {
                Ok(image) if u64::from(image.width()) * u64::from(image.height()) > PIXELS => {
                    wrong.push(file.to_owned())
                }
                Err(e) if PANICS.iter().any(|panic| e.message.contains(panic)) => wrong.push(format!("{file}: {e}")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
}
