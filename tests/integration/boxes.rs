//! `zsic classify --boxes`: regions that MegaDetector or COCO name, and MegaDetector's file with classifications in it.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use zsic::source::{MAX_PIXELS, decode};

use crate::common::command::{err, image, lines, out, run, zsic};
use crate::common::fixtures;

fn picture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)).unwrap()
}

/// The folder whose boxes MegaDetector's package wrote, and its file `md.json`.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("photos/more")).unwrap();
    for (name, animal) in [("owl.png", "owl.png"), ("more/fox.png", "fox.png"), ("empty.png", "bear.png")] {
        fs::write(dir.path().join("photos").join(name), picture(animal)).unwrap();
    }
    fs::copy(fixtures("boxes/megadetector.json"), dir.path().join("md.json")).unwrap();
    dir
}

fn classify(dir: &TempDir, args: &[&str]) -> (i32, Output) {
    let mut command = zsic(&["classify", "photos", "-m", "demo", "-l", "owl,fox,bear", "--boxes"]);
    let output = run(command.args(args).current_dir(dir.path()));
    (output.status.code().unwrap(), output)
}

fn written(dir: &TempDir, name: &str, json: &Value) {
    fs::write(dir.path().join(name), json.to_string()).unwrap();
}

/// A file with these boxes of the owl.
fn of_owl(dir: &TempDir, boxes: &[[f64; 4]]) {
    let found: Vec<Value> = boxes.iter().map(|bbox| json!({"category": "1", "conf": 0.9, "bbox": bbox})).collect();
    written(dir, "own.json", &json!({"images": [{"file": "owl.png", "detections": found}], "info": {}}));
}

#[test]
fn each_box_has_a_record_and_each_image_at_least_one() {
    let dir = folder();
    let (code, output) = classify(&dir, &["md.json", "-k", "1"]);
    assert_eq!(code, 1, "{}", err(&output));
    let records = lines(&output);
    let images: Vec<_> = records.iter().map(|record| record["image"].as_str().unwrap()).collect();
    let expected =
        ["broken", "empty", "missing", "more/fox", "more/fox", "owl"].map(|name| format!("photos/{name}.png"));
    assert_eq!(images, expected);
    assert_eq!(records[0]["error"]["message"], "photos/broken.png: the detector failed: Failure image access");
    assert_eq!(records[1], json!({"image": "photos/empty.png", "predictions": []}));
    assert!(records[2]["error"]["kind"] == "not_found" && records[2]["box"] == json!([0.1, 0.1, 0.5, 0.5]));
    assert_eq!(records[3]["box"], json!([0.05, 0.1, 0.9, 0.85]));
    assert_eq!(records[3]["detection"], json!({"category": "animal", "conf": 0.812}));
    assert_eq!(records[4]["box"], json!([0.6, 0.6, 0.6, 0.6]), "it reaches beyond the edge");
    assert_eq!(records[4]["detection"]["category"], "person");
    let best = |record: &Value| record["predictions"][0]["label"].as_str().unwrap().to_owned();
    assert_eq!([best(&records[3]), best(&records[5])], ["fox", "owl"]);
    assert!(err(&output).contains("2 of 6 records failed"), "{}", err(&output));
    // 0.2 is typical of this detector, and the second box of the owl has 0.12.
    let (_, all) = classify(&dir, &["md.json", "--min-detection", "0.12"]);
    assert_eq!(lines(&all).len(), 7);
    let (code, none) = classify(&dir, &["md.json", "--min-detection", "0.95", "--format", "json"]);
    assert!(err(&none).contains("boxes with a confidence under 0.95 (--min-detection)"), "{}", err(&none));
    assert_eq!(code, 1);
    let none: Vec<Value> = serde_json::from_str(out(&none)).unwrap();
    assert!(none.len() == 5 && none[1..].iter().all(|record| record["predictions"] == json!([])), "{none:?}");
}

#[test]
fn a_box_is_scored_as_its_crop_would_be() {
    let dir = folder();
    let owl = decode(&picture("owl.png"), MAX_PIXELS).unwrap();
    let (width, height) = (f64::from(owl.width()), f64::from(owl.height()));
    let bbox = [0.13, 0.21, 0.37, 0.52];
    let pixels = |share: f64, side: f64| (share * side) as u32;
    let [x, y, w, h] =
        [pixels(bbox[0], width), pixels(bbox[1], height), pixels(bbox[2], width), pixels(bbox[3], height)];
    let side = w.max(h);
    let square = image::imageops::crop_imm(&owl, x - (side - w) / 2, y - (side - h) / 2, side, side).to_image();
    let tight = image::imageops::crop_imm(&owl, x, y, w, h).to_image();
    fs::create_dir(dir.path().join("crops")).unwrap();
    for (name, crop) in [("square", square), ("tight", tight), ("whole", owl)] {
        let head = format!("P6 {} {} 255\n", crop.width(), crop.height()).into_bytes();
        fs::write(dir.path().join("crops").join(format!("{name}.ppm")), [head, crop.into_raw()].concat()).unwrap();
    }
    of_owl(&dir, &[bbox, [0.0, 0.0, 1.0, 1.0]]);
    let scores = |name: &str| {
        let mut command = zsic(&["classify", "-m", "demo", "-l", "owl,fox,bear"]);
        lines(&run(command.arg(dir.path().join("crops").join(name))))[0]["predictions"].clone()
    };
    let of_boxes = |shape: &str| {
        let (code, output) = classify(&dir, &["own.json", "--box-crop", shape]);
        assert_eq!(code, 0, "{}", err(&output));
        lines(&output).iter().map(|record| record["predictions"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of_boxes("tight"), [scores("tight.ppm"), scores("whole.ppm")]);
    assert_eq!(of_boxes("square")[0], scores("square.ppm"));
    assert_ne!(scores("square.ppm"), scores("tight.ppm"));
    assert_eq!(of_boxes("tight")[0], scores("tight.ppm"), "from the cache, where a box has a place of its own");
}

#[test]
fn boxes_outside_of_the_image_have_no_scores() {
    let dir = folder();
    of_owl(&dir, &[[1.2, 0.0, 0.3, 0.3], [0.5, 0.5, 0.0, 0.4], [-0.2, -0.3, 0.6, 0.7], [0.9, 0.9, 9.0, 9.0]]);
    for shape in ["square", "tight"] {
        let (code, output) = classify(&dir, &["own.json", "--box-crop", shape]);
        assert_eq!(code, 1);
        let records = lines(&output);
        let message = "photos/owl.png: the box has no pixels in the image";
        assert!(records[..2].iter().all(|record| record["error"]["message"] == message), "{records:?}");
        assert!(records[2..].iter().all(|record| record["predictions"].as_array().unwrap().len() == 3), "{records:?}");
    }
}

#[test]
fn megadetectors_file_comes_back_with_classifications() {
    let dir = folder();
    let (code, output) = classify(&dir, &["md.json", "--format", "megadetector", "-o", "out.json"]);
    assert_eq!(code, 1, "two images failed");
    assert!(
        err(&output).contains("missing.png: no such file") && err(&output).contains("broken.png: the detector failed")
    );
    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(dir.path().join(name)).unwrap()).unwrap() };
    let (before, mut after) = (read("md.json"), read("out.json"));
    let names = after.as_object_mut().unwrap().remove("classification_categories").unwrap();
    assert_eq!(names, json!({"0": "owl", "1": "fox", "2": "bear"}));
    let info = after["info"].as_object_mut().unwrap();
    assert!(info.remove("classifier").unwrap().as_str().unwrap().starts_with("zsic "));
    let time = info.remove("classification_completion_time").unwrap();
    assert_eq!(time.as_str().unwrap().len(), "2026-11-27 20:07:03".len());
    let mut best = Vec::new();
    for image in after["images"].as_array_mut().unwrap() {
        let file = image["file"].as_str().unwrap().to_owned();
        for found in image["detections"].as_array_mut().into_iter().flatten() {
            let labels = found.as_object_mut().unwrap().remove("classifications");
            best.extend(labels.map(|labels| (file.clone(), labels[0][0].as_str().unwrap().to_owned(), labels)));
        }
    }
    assert_eq!(after, before, "nothing else changed");
    let files: Vec<_> = best.iter().map(|(file, label, _)| (file.as_str(), label.as_str())).collect();
    assert_eq!([files[0], files[2]], [("more/fox.png", "1"), ("owl.png", "0")]);
    assert!(files.len() == 3 && best.iter().all(|(_, _, labels)| labels.as_array().unwrap().len() == 3));
    let scores: Vec<f64> = best[2].2.as_array().unwrap().iter().map(|label| label[1].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|two| two[0] >= two[1]) && (scores.iter().sum::<f64>() - 1.0).abs() < 1e-5);
}

#[test]
fn a_list_of_species_answers_as_far_as_it_is_sure() {
    let dir = folder();
    fs::write(dir.path().join("species.csv"), "label,group\nowl,owl\nfox,fox\nbear,bear\n").unwrap();
    fs::write(dir.path().join("classes.csv"), "label,group\nowl,bird\nfox,mammal\nbear,mammal\n").unwrap();
    let groups = ["md.json", "--groups", "species.csv", "--groups", "classes.csv", "--format", "megadetector"];
    let best = |thresholds: &str| {
        let (_, output) = classify(&dir, &[&groups[..], &["--threshold", thresholds]].concat());
        let json: Value = serde_json::from_str(out(&output)).unwrap();
        let labels = &json["images"][3]["detections"][0]["classifications"];
        let name =
            |label: &Value| json["classification_categories"][label[0].as_str().unwrap()].as_str().unwrap().to_owned();
        labels.as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(best("0.5"), ["fox"]);
    assert_eq!(best("fox=1,bear=1,owl=1,mammal=0.5"), ["mammal"]);
    assert!(best("1").is_empty());
}

#[test]
fn cocos_boxes_are_in_pixels() {
    let dir = folder();
    let owl = decode(&picture("owl.png"), MAX_PIXELS).unwrap();
    let (width, height) = (owl.width(), owl.height());
    let coco = json!({
        "images": [{"id": 1, "file_name": "owl.png", "width": width, "height": height}],
        "annotations": [{"image_id": 1, "bbox": [0, 0, width, height], "category_id": 4}],
        "categories": [{"id": 4, "name": "bird"}],
    });
    written(&dir, "coco.json", &coco);
    of_owl(&dir, &[[0.0, 0.0, 1.0, 1.0]]);
    let [coco, own] = ["coco.json", "own.json"].map(|file| lines(&classify(&dir, &[file]).1)[0].clone());
    assert_eq!(coco["predictions"], own["predictions"]);
    assert_eq!(
        (&coco["box"], &coco["detection"]),
        (&json!([0.0, 0.0, 1.0, 1.0]), &json!({"category": "bird", "conf": 1.0}))
    );
    let mut turned = json!({"file": "more/fox.png", "width": 40, "height": 30, "detections": []});
    turned["detections"] = json!([{"category": "1", "conf": 0.9, "bbox": [0, 0, 1, 1]}]);
    for (width, code) in [(json!(40), 1), (json!(40.0), 1), (json!(20), 0)] {
        let narrow = "P6 30 40 255\n".bytes().chain([99; 3 * 30 * 40]).collect::<Vec<u8>>();
        fs::write(dir.path().join("photos/more/fox.png"), narrow).unwrap();
        turned["width"] = width;
        written(&dir, "own.json", &json!({"images": [turned]}));
        let (status, output) = classify(&dir, &["own.json"]);
        assert_eq!(status, code, "{}", out(&output));
        assert_eq!(
            out(&output).contains("the box is of an image of 40x30 pixels, and upright it has 30x40"),
            code == 1
        );
    }
    let (_, output) = classify(&dir, &["coco.json", "--format", "megadetector"]);
    let json: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((&json["detection_categories"]["4"], &json["info"]["format_version"]), (&json!("bird"), &json!("1.6")));
}

#[test]
fn wrong_usage_is_told() {
    let dir = folder();
    written(&dir, "wrong.json", &json!({"images": [{"file": "a.jpg", "detections": [{"conf": 2}]}]}));
    fs::write(dir.path().join("nan.json"), "{\"images\": [\n {\"file\": NaN}]}").unwrap();
    written(&dir, "list.json", &json!([]));
    fs::File::create(dir.path().join("large.json")).unwrap().set_len((2 << 30) + 1).unwrap();
    for (args, told) in [
        (&["md.json", "--format", "csv"][..], "boxes are written as jsonl, json or megadetector"),
        (&["md.json", "-o", "x.csv"], "boxes are written as"),
        (&["md.json", "-o", "x.jsonl", "--resume"], "--resume is for whole images, not for --boxes"),
        (&["md.json", "--meta", "m.json"], "--meta is for whole images"),
        (&["md.json", "--logits", "--format", "megadetector"], "has no place for logits"),
        (&["md.json", "--shard", "1/2"], "--shard is for whole images"),
        (&["md.json", "--include", "*.png"], "--include is for whole images"),
        (&["md.json", "--exclude", "*.png"], "--exclude is for whole images"),
        (&["md.json", "--follow"], "--follow is for whole images"),
        (&["md.json", "--decode", "fast"], "--decode fast is for whole images"),
        (&["list.json"], "list.json: is neither MegaDetector's JSON (an object with `images`) nor COCO's"),
        (&["large.json"], "large.json: has 2147483649 bytes, more than 2147483648, the most for a file of boxes"),
        (&["md.json", "photos"], "name one folder"),
        (&["nan.json"], "nan.json: is not JSON: has NaN at line 2 column 11; write null, or leave the field out"),
        (&["none.json"], "none.json: cannot be read: no such file"),
        (&["wrong.json"], "wrong.json: a.jpg: a box has no `bbox` of left, top, width and height: {\"conf\":2}"),
        (&["photos/owl.png"], "photos/owl.png:"),
        (&["md.json", "--min-detection", "2"], "use a number from 0 to 1"),
    ] {
        let (code, output) = classify(&dir, args);
        assert_eq!(code, 2, "{args:?} {}", err(&output));
        assert!(err(&output).contains(told), "{args:?} {}", err(&output));
    }
    let mut command = zsic(&["classify", "photos", "-m", "demo", "-l", "owl,fox", "--format", "megadetector"]);
    let output = run(command.current_dir(dir.path()));
    assert!(output.status.code() == Some(2) && err(&output).contains("name that"), "{}", err(&output));
}

/// The file that a run over `json` writes in MegaDetector's format, as text.
fn filled(dir: &TempDir, json: &str, args: &[&str]) -> String {
    fs::write(dir.path().join("own.json"), json).unwrap();
    let (_, output) = classify(dir, &[&["own.json", "--format", "megadetector"], args].concat());
    out(&output).to_owned()
}

#[test]
fn a_run_over_no_image_is_an_error() {
    let dir = folder();
    for json in [json!({"images": []}), json!({"images": [], "annotations": []})] {
        written(&dir, "own.json", &json);
        let (code, output) = classify(&dir, &["own.json", "-o", "x.json"]);
        assert_eq!((code, err(&output)), (3, "error: no image in own.json\n"));
        assert!(!dir.path().join("x.json").exists());
    }
}

#[test]
fn classifications_of_an_earlier_run_are_left_out() {
    let dir = folder();
    let found =
        |conf: f64| json!({"category": "1", "conf": conf, "bbox": [0, 0, 1, 1], "classifications": [["7", 0.9]]});
    let json = json!({
        "images": [
            {"file": "owl.png", "detections": [found(0.9), found(0.1)]},
            {"file": "empty.png", "detections": [found(0.1)]},
        ],
        "classification_categories": {"7": "wolf"},
        "classification_category_descriptions": {"7": "canis lupus"},
    });
    let after: Value = serde_json::from_str(&filled(&dir, &json.to_string(), &["-k", "1"])).unwrap();
    let boxes = |image: usize| &after["images"][image]["detections"];
    assert_eq!(boxes(0)[0]["classifications"][0][0], "0");
    assert_eq!(boxes(0)[0]["classifications"].as_array().unwrap().len(), 1);
    assert!(boxes(0)[1].get("classifications").is_none() && boxes(1)[0].get("classifications").is_none());
    assert_eq!(after["classification_categories"], json!({"0": "owl", "1": "fox", "2": "bear"}));
    assert!(after.get("classification_category_descriptions").is_none());
}

#[test]
fn the_text_of_numbers_comes_back() {
    let dir = folder();
    let found = r#"{"category": "1", "conf": 0.50, "bbox": [0.10000000000000000555, 1e-05, 0.30000000000000004, 0.5000], "id": 123456789012345678901234567890}"#;
    let image = format!(r#"{{"file": "owl.png", "time": 1.7976931348623157E+308, "detections": [{found}]}}"#);
    let text = format!(r#"{{"info": {{"version": 1.20}}, "images": [{image}], "more": [0.92363418843515381, -0.0]}}"#);
    let after = filled(&dir, &text, &["-k", "1"]);
    let kept = found.strip_suffix('}').unwrap();
    for part in
        [kept, r#""time": 1.7976931348623157E+308"#, r#""version": 1.20"#, r#""more": [0.92363418843515381, -0.0]"#]
    {
        assert!(after.contains(part), "{part}: {after}");
    }
}

#[test]
fn a_file_gets_what_megadetectors_format_demands() {
    let dir = folder();
    let found = |category: Value| json!({"category": category, "conf": 1, "bbox": [0, 0, 1, 1]});
    let mut json = json!({
        "images": [
            {"file": "owl.png", "detections": [found(json!(2)), found(json!("1")), found(json!("3"))]},
            {"file": "empty.png"},
        ],
        "detection_categories": {"1": "animal", "3": null},
    });
    for info in [json!("x"), json!([]), Value::Null] {
        json["info"] = info;
        let text = filled(&dir, &json.to_string(), &[]);
        let after: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(after["info"]["format_version"], "1.6");
        assert_eq!(after["detection_categories"], json!({"1": "animal", "3": "3", "2": "2"}));
        assert_eq!(after["images"][0]["detections"][0]["category"], "2");
        assert_eq!(text.matches("\"conf\": 1.0").count(), 3, "{text}");
        assert_eq!(after["images"][1]["detections"], Value::Null);
        assert_eq!(after["images"][1]["failure"], "it has no list of detections");
    }
    let coco = json!({
        "images": [{"id": "a", "file_name": "owl.png", "width": 10, "height": 10}],
        "annotations": [
            {"image_id": "a", "bbox": [0, 0, 10, 10]},
            {"image_id": "a", "bbox": [0, 0, 10, 10], "category_id": "bird"},
            {"image_id": "a", "bbox": [0, 0, 10, 10], "category_id": "4"},
        ],
    });
    let after: Value = serde_json::from_str(&filled(&dir, &coco.to_string(), &[])).unwrap();
    assert_eq!(after["detection_categories"], json!({"1": "unknown", "2": "bird", "4": "4"}));
    let kinds: Vec<_> = after["images"][0]["detections"].as_array().unwrap().iter().map(|b| &b["category"]).collect();
    assert_eq!(kinds, ["1", "2", "4"]);
}

#[test]
fn a_file_gets_what_megadetectors_tools_accept() {
    let dir = folder();
    let found = |category: &str| json!({"category": category, "conf": 0.9, "bbox": [0, 0, 1, 1]});
    let own = |failure: Value, version: Value| {
        let image = json!({"file": "owl.png", "failure": failure, "detections": [found("animal"), found("1")]});
        let categories = json!({"animal": "beast"});
        json!({"images": [image], "detection_categories": categories, "info": {"format_version": version}}).to_string()
    };
    let read = |json: &str| -> Value { serde_json::from_str(&filled(&dir, json, &[])).unwrap() };
    // An image has either a failure, which is a text, or detections.
    for (failure, text) in [(json!(true), "true"), (json!(0), "0"), (json!("torn"), "torn")] {
        let after = read(&own(failure, json!("1.6")));
        assert_eq!(after["images"][0], json!({"file": "owl.png", "failure": text, "detections": null}));
    }
    let after = read(&own(json!(false), json!(1.5)));
    assert!(after["images"][0].get("failure").is_none(), "{after}");
    assert_eq!(after["info"]["format_version"], "1.5");
    assert_eq!(read(&own(Value::Null, Value::Null))["info"]["format_version"], "1.6");
    let text =
        r#"{"images": [{"file": "owl.png", "detections": [{"category": "1", "conf": -0, "bbox": [0, 0, 1, 1]}]}]}"#;
    assert!(filled(&dir, text, &[]).contains(r#""conf": -0.0"#), "a confidence is no integer");
    // Numbers of categories are whole.
    assert_eq!(after["detection_categories"], json!({"1": "beast", "2": "1"}));
    let found = after["images"][0]["detections"].as_array().unwrap();
    assert_eq!([&found[0]["category"], &found[1]["category"]], ["1", "2"]);
    assert!(found.iter().all(|found| found["classifications"].is_array()));
}

#[test]
fn messages_say_what_happened() {
    let dir = folder();
    written(&dir, "own.json", &json!({"images": [{"file": "owl.png", "failure": false}]}));
    let (code, output) = classify(&dir, &["own.json", "--stats"]);
    assert_eq!(code, 1);
    assert_eq!(lines(&output)[0]["error"]["message"], "photos/owl.png: it has no list of detections");
    of_owl(&dir, &[[0.0, 0.0, 1.0, 1.0], [5.0, 0.0, 1.0, 1.0]]);
    let (_, output) = classify(&dir, &["own.json", "--stats"]);
    assert!(err(&output).contains("2 boxes in ") && err(&output).contains(" 1 failed"), "{}", err(&output));
    let mut command = zsic(&["classify", "none", "-m", "demo", "-l", "owl,fox", "--boxes", "own.json"]);
    let output = run(command.current_dir(dir.path()));
    assert!(err(&output).contains("none: no such folder"), "{}", err(&output));
}

#[test]
fn a_box_that_would_take_for_ever_is_a_failure() {
    let dir = folder();
    of_owl(&dir, &[[0.0, 0.0, 1000.0, 0.5], [0.0, 0.0, 10.0, 0.5], [0.0, 0.0, 1.0, 1.0]]);
    let wide = fs::read(image("wide.png")).unwrap(); // the crop of a square image would be the image itself
    fs::write(dir.path().join("photos/owl.png"), &wide).unwrap();
    let wide = decode(&wide, MAX_PIXELS).unwrap();
    let most = wide.width().max(wide.height()).pow(2).to_string();
    let (code, output) = classify(&dir, &["own.json", "--max-pixels", &most]);
    assert_eq!(code, 1);
    let records = lines(&output);
    let message = |at: usize| records[at]["error"]["message"].as_str().unwrap();
    assert_eq!(message(0), "photos/owl.png: the box is more than 10 times as wide or as high as the image");
    let refused = format!("pixels, more than the {most} allowed (--max-pixels)");
    assert!(message(1).ends_with(&refused), "{}", message(1));
    assert_eq!(records[1]["error"]["kind"], "too_large");
    assert_eq!(records[2]["predictions"].as_array().unwrap().len(), 3);
}

#[cfg(unix)]
#[test]
fn a_run_that_was_stopped_is_started_over() {
    let dir = folder();
    of_owl(&dir, &vec![[0.0, 0.0, 1.0, 1.0]; 50_000]);
    let args =
        ["classify", "photos", "-m", "demo", "-l", "owl,fox", "--no-cache", "--boxes", "own.json", "-o", "x.jsonl"];
    let mut child = zsic(&args).current_dir(dir.path()).spawn().unwrap();
    let partial = dir.path().join("x.jsonl.partial");
    while fs::metadata(&partial).map_or(0, |file| file.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    of_owl(&dir, &[[0.0, 0.0, 1.0, 1.0]]);
    let output = run(zsic(&args).current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("left by a run that was stopped; starting over"), "{}", err(&output));
    assert_eq!(fs::read_to_string(dir.path().join("x.jsonl")).unwrap().lines().count(), 1);
    assert!(!partial.exists());
}
