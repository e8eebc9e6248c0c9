//! The built-in checkpoint: real questions about the example pictures, and its figures against transformers'.
//! Tolerances: logits 2e-4, scores 5e-5.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::command::{err, lines, out, run, zsic};
use crate::common::{Expected, fixtures, worst};
use serde_json::Value;
use zsic::source::{MAX_PIXELS, decode};
use zsic::{Checkpoint, Classifier, Compute, ImageEncoder, Label, Labels, Pixels, Template, TextEncoder};

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)
}

/// The best label of each input, by the command.
fn answers(inputs: &[&str], labels: &str) -> Vec<(String, f64)> {
    let output = run(zsic(&["classify", "-m", "demo", "-l", labels]).args(inputs.iter().map(|name| picture(name))));
    assert!(output.status.success(), "{}", err(&output));
    let best = |record: &Value| {
        let best = &record["predictions"][0];
        (best["label"].as_str().unwrap().to_owned(), best["score"].as_f64().unwrap())
    };
    lines(&output).iter().map(best).collect()
}

#[test]
fn each_picture_is_known() {
    let inputs = ["owl.png", "fox.png", "bear.png", "owl.jpg"];
    let found = answers(&inputs, "fox,bear,owl");
    assert_eq!(found.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["owl", "fox", "bear", "owl"]);
    assert!(found.iter().all(|(_, score)| *score > 0.9), "{found:?}");
}

#[test]
fn synonyms_and_sentences_work_too() {
    assert_eq!(answers(&["owl.png"], "a night bird,a car,a pizza")[0].0, "a night bird");
    let ensemble = ["classify", "-m", "demo", "-l", "fox,bear,owl", "--template-set", "openai-80"];
    let output = run(zsic(&ensemble).arg(picture("fox.png")));
    assert_eq!(lines(&output)[0]["predictions"][0]["label"], "fox");
}

#[test]
fn a_mixed_folder_is_sorted() {
    let found: HashMap<String, String> = {
        let output = run(zsic(&["classify", "-m", "demo", "-l", "cat,dog,pizza,car"]).arg(picture("mixed")));
        assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
        let label = |r: &Value| r["predictions"][0]["label"].as_str().unwrap().to_owned();
        lines(&output)
            .iter()
            .map(|r| {
                (Path::new(r["image"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap().to_owned(), label(r))
            })
            .collect()
    };
    let expected = ["cat", "dog", "pizza", "car", "cat", "pizza", "dog", "car", "cat", "dog"].into_iter().enumerate();
    for (n, label) in expected {
        assert_eq!(found[&format!("img_{:02}", n + 1)], label, "picture {}", n + 1);
    }
}

#[test]
fn pictures_and_texts_lie_in_one_space() {
    let embedding = |args: &[&str], picture: Option<PathBuf>| -> Vec<f64> {
        let output = run(zsic(&["embed", "-m", "demo"]).args(args).args(picture));
        lines(&output)[0]["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let owl = embedding(&[], Some(picture("owl.png")));
    let cosine = |text| embedding(&["--text", text], None).iter().zip(&owl).map(|(a, b)| a * b).sum::<f64>();
    assert!(cosine("an owl") > cosine("a bicycle") + 0.1);
}

#[test]
fn logits_and_scores_are_the_reference_s() {
    let expected = Expected::in_dir(&fixtures("demo"));
    let checkpoint = Checkpoint::demo().unwrap();
    let plan = Compute::default().plan(&checkpoint);
    let (images, texts) =
        (ImageEncoder::load(&checkpoint, &plan).unwrap(), TextEncoder::load(&checkpoint, &plan).unwrap());
    let prompts = crate::common::strings(&expected.json["prompts"]);
    for (prompt, ids) in prompts.iter().zip(expected.json["token_ids"].as_array().unwrap()) {
        assert_eq!(serde_json::json!(texts.tokenize(prompt).unwrap()), *ids, "{prompt}");
    }
    let image = |name: &String| decode(&fs::read(picture(name)).unwrap(), MAX_PIXELS).unwrap();
    let pixels: Vec<Pixels> = expected.images().iter().map(|name| images.preprocess(&image(name)).unwrap()).collect();
    let labels: Vec<Label> =
        expected.labels().into_iter().map(|label| Label::new(label, &[Template::default()])).collect();
    let labels = Labels::encode(&texts, &labels, |_, _| {}).unwrap();
    let scores = Classifier::new(images, labels).unwrap().classify(&pixels).unwrap();
    assert!(scores.len() >= 15);
    for ((name, got), expected) in expected.images().iter().zip(scores).zip(expected.rows("logits")) {
        let got = got.unwrap();
        let off = worst(got.logits().iter().map(|&x| x.into()), expected.clone());
        assert!(off < 2e-4, "{name}: logits off by {off}");
        let max = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = expected.iter().map(|x| (x - max).exp()).sum();
        let off = worst(got.scores().iter().map(|&x| x.into()), expected.iter().map(|x| (x - max).exp() / sum));
        assert!(off < 5e-5, "{name}: scores off by {off}");
    }
}

#[test]
fn built_in_pictures_need_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let classify = |inputs: &[&str]| {
        let args = ["classify", "-m", "demo", "-l", "fox,bear,owl"];
        run(zsic(&args).args(inputs).current_dir(dir.path()))
    };
    let names = ["owl.png", "fox.png", "bear.png", "owl.jpg"];
    let words = names.map(|name| format!("demo:{name}"));
    let (built_in, files) = (classify(&words.each_ref().map(String::as_str)), names.map(picture));
    assert_eq!((built_in.status.code(), err(&built_in)), (Some(0), ""));
    let as_files = classify(&files.each_ref().map(|path| path.to_str().unwrap()));
    for ((word, built_in), file) in words.iter().zip(lines(&built_in)).zip(lines(&as_files)) {
        assert_eq!(built_in["image"], **word);
        assert_eq!(built_in["predictions"], file["predictions"]);
    }

    let unknown = classify(&["demo:cat.png"]);
    assert_eq!(unknown.status.code(), Some(1));
    let error = &lines(&unknown)[0]["error"];
    assert_eq!(error["kind"], "not_found");
    assert!(error["message"].as_str().unwrap().starts_with("demo:cat.png: no such built-in picture; there are"));

    fs::copy(picture("fox.png"), dir.path().join("demo:owl.png")).unwrap();
    let of_file = classify(&["./demo:owl.png"]);
    assert_eq!(lines(&of_file)[0]["predictions"][0]["label"], "fox");
    assert_eq!(lines(&classify(&["demo:owl.png"]))[0]["predictions"][0]["label"], "owl");
}

#[test]
fn a_directory_called_demo_is_not_the_built_in() {
    let dir = tempfile::tempdir().unwrap();
    let owl = picture("owl.png").display().to_string();
    let output = run(zsic(&["classify", &owl, "-l", "a,b", "-m", "./demo"]).current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("./demo: is not a directory"), "{}", err(&output));
}

#[test]
fn it_is_described() {
    let output = run(&mut zsic(&["models", "show", "demo"]));
    assert!(out(&output).contains("built in") && out(&output).contains("not photographs"), "{}", out(&output));
    let json = run(&mut zsic(&["models", "show", "demo", "--format", "json"]));
    let json: Value = serde_json::from_str(out(&json)).unwrap();
    assert_eq!(json["name"], "demo");
}
