//! `--examples`, `zsic compile` and `--classifier`. The rows themselves are tested against SciPy in `src/head/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::common::command::{err, lines, model, out, run, zsic};

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)
}

/// A variation of a picture, as PPM: moved, and in other light.
fn variation(name: &str, number: usize) -> Vec<u8> {
    let image = zsic::source::decode(&fs::read(picture(name)).unwrap(), zsic::source::MAX_PIXELS).unwrap();
    let (width, height, light) = (image.width(), image.height(), number as i32 * 7 - 30);
    let mut ppm = format!("P6 {width} {height} 255\n").into_bytes();
    for y in 0..height {
        for x in 0..width {
            let pixel = image.get_pixel((x + 3 * number as u32) % width, (y + number as u32) % height);
            ppm.extend(pixel.0.map(|value| (i32::from(value) + light).clamp(0, 255) as u8));
        }
    }
    ppm
}

/// A folder with `shots` pictures for each label, from `first` on. Files are named in another order if `is_turned`.
fn folder(at: &Path, labels: &[(&str, &str)], (first, shots): (usize, usize), is_turned: bool) {
    for (label, from) in labels {
        fs::create_dir_all(at.join(label)).unwrap();
        for number in 0..shots {
            let name = if is_turned { 100 - number } else { number };
            fs::write(at.join(label).join(format!("{name:03}.ppm")), variation(from, first + number)).unwrap();
        }
    }
}

/// Labels that say nothing of what their pictures show.
const SWAPPED: [(&str, &str); 3] = [("thing", "owl.png"), ("stuff", "fox.png"), ("matter", "bear.png")];

fn demo(dir: &Path, args: &[&str]) -> Output {
    let (command, rest) = args.split_first().unwrap();
    run(zsic(&[command, "-m", "demo"]).args(rest).current_dir(dir))
}

fn printed(dir: &Path, args: &[&str]) -> String {
    let output = demo(dir, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    out(&output).to_owned()
}

fn best(output: &Output) -> Vec<String> {
    let label = |record: &Value| record["predictions"][0]["label"].as_str().unwrap().to_owned();
    lines(output).iter().map(label).collect()
}

#[test]
fn examples_teach_labels_whose_words_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    folder(&dir.path().join("new"), &SWAPPED, (5, 2), false);
    let learned = demo(dir.path(), &["classify", "new", "--examples", "set"]);
    assert_eq!(learned.status.code(), Some(0), "{}", err(&learned));
    assert_eq!(best(&learned), ["matter", "matter", "stuff", "stuff", "thing", "thing"]);
    let said = err(&learned);
    assert!(said.contains("9 examples of 3 labels: cross-validated accuracy 100.0 % ("), "{said}");
    assert!(said.contains("text alone") && !said.contains("warning"), "{said}");
    let prototype = demo(dir.path(), &["classify", "new", "--examples", "set", "--head", "prototype"]);
    assert!(best(&prototype) == best(&learned) && out(&prototype) != out(&learned));
    // A label without examples keeps its text and takes part, and a folder that is no label adds one.
    let more = demo(dir.path(), &["classify", "new", "-l", "pizza,stuff", "--examples", "set", "--format", "csv"]);
    let labels: BTreeSet<&str> = out(&more).lines().skip(1).map(|row| row.split(',').nth(1).unwrap()).collect();
    assert_eq!(labels, BTreeSet::from(["matter", "pizza", "stuff", "thing"]));
}

#[test]
fn order_names_and_threads_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    for (name, is_turned) in [("one", false), ("other", true)] {
        folder(&dir.path().join(name), &SWAPPED, (0, 4), is_turned);
    }
    let pictures = ["owl.png", "owl.jpg", "fox.png"].map(|name| picture(name).display().to_string());
    let scores = |set: &str, more: &[&str]| {
        let mut args = vec!["classify", "--examples", set, "--logits"];
        args.extend(pictures.iter().map(String::as_str).chain(more.iter().copied()));
        printed(dir.path(), &args)
    };
    let expected = scores("one", &["-j", "1"]);
    assert_eq!(scores("other", &["-j", "4"]), expected);
    assert_eq!(scores("other", &["-j", "2", "--no-cache"]), expected);
    // A list of the same pictures, in an order of its own.
    let mut rows = String::from("image,label\n");
    for (label, _) in SWAPPED {
        (0..4).rev().for_each(|n| rows += &format!("one/{label}/{n:03}.ppm,{label}\n"));
    }
    fs::write(dir.path().join("list.csv"), rows).unwrap();
    let listed = scores("list.csv", &["-l", "matter,stuff,thing"]);
    assert_eq!(listed, scores("one", &["-l", "matter,stuff,thing"]));
    let mut tar = std::process::Command::new("tar");
    tar.args(["cf", "set.tar", "-C", "one", "thing", "stuff", "matter"]).current_dir(dir.path());
    assert!(tar.status().unwrap().success());
    assert_eq!(scores("set.tar", &[]), expected);
}

#[test]
fn the_head_of_texts_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &[("owl", "owl.png"), ("fox", "fox.png")], (0, 2), false);
    let owl = picture("owl.jpg").display().to_string();
    let bare = printed(dir.path(), &["classify", &owl, "-l", "fox,owl"]);
    let text = demo(dir.path(), &["classify", &owl, "-l", "fox,owl", "--examples", "set", "--head", "text"]);
    assert_eq!(out(&text), bare);
    assert!(err(&text).contains("4 examples of 2 labels: accuracy of the text alone 100.0 %"), "{}", err(&text));
    // The texts are right already.
    let same = demo(dir.path(), &["classify", &owl, "-l", "fox,owl", "--examples", "set"]);
    assert!(err(&same).contains("warning: the examples do no better than the labels' texts alone"), "{}", err(&same));
}

#[test]
fn one_picture_with_two_labels_is_an_error_that_names_both() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 2), false);
    fs::copy(dir.path().join("set/thing/001.ppm"), dir.path().join("set/stuff/copy.ppm")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "set"]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("the same picture has two labels: set/stuff/copy.ppm (`stuff`) and set/thing/001.ppm (`thing`)"),
        "{said}"
    );
    // Twice with one label, it counts once.
    fs::rename(dir.path().join("set/stuff/copy.ppm"), dir.path().join("set/thing/copy.ppm")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "set", "-v"]);
    assert!(
        err(&output).contains("6 examples of 3 labels") && err(&output).contains("1 examples repeat"),
        "{}",
        err(&output)
    );
}

#[test]
fn examples_that_fail_are_told() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 2), false);
    fs::write(dir.path().join("set/thing/torn.jpg"), b"\xff\xd8\xff").unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "set"]);
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 1));
    assert!(err(&output).contains("set/thing/torn.jpg: "), "{}", err(&output));
    let test = demo(dir.path(), &["test", "demo:owl.png", "--is", "thing", "--not", "stuff", "--examples", "set"]);
    assert_eq!(test.status.code(), Some(3), "a failure could change the answer: {}", err(&test));
    fs::create_dir(dir.path().join("set/other")).unwrap();
    fs::rename(dir.path().join("set/thing/torn.jpg"), dir.path().join("set/other/torn.jpg")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "set"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("all pictures of the label `other` failed"), "{}", err(&output));
    for (set, reason) in [("nowhere", "--examples nowhere: no such file or folder"), ("new", "no labelled picture")] {
        fs::create_dir_all(dir.path().join("new")).unwrap();
        fs::write(dir.path().join("new/x.ppm"), variation("owl.png", 0)).unwrap();
        let output = demo(dir.path(), &["classify", "demo:owl.png", "-l", "a,b", "--examples", set]);
        assert_eq!(output.status.code(), Some(2), "{set}: {}", err(&output));
        assert!(err(&output).contains(reason), "{}", err(&output));
    }
}

#[test]
fn every_command_learns() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    folder(&dir.path().join("new"), &SWAPPED, (6, 2), false);
    let found = printed(dir.path(), &["grep", "new", "--is", "stuff", "--not", "thing,matter", "--examples", "set"]);
    assert_eq!(found, "new/stuff/000.ppm\nnew/stuff/001.ppm\n");
    let test = demo(dir.path(), &["test", "new/thing", "--is", "thing", "--not", "stuff", "--examples", "set"]);
    assert_eq!(test.status.code(), Some(0), "{}", err(&test));
    let top1 = |args: &[&str]| {
        let report: Value = serde_json::from_str(&printed(dir.path(), args)).unwrap();
        report["runs"][0]["metrics"]["top1"]["value"].as_f64().unwrap()
    };
    assert!(top1(&["eval", "new"]) < 0.7 && top1(&["eval", "new", "--examples", "set"]) == 1.0);
    // Classifiers are compared on the same pictures.
    printed(dir.path(), &["compile", "-l", "matter,stuff,thing", "-o", "words.zsc"]);
    printed(dir.path(), &["compile", "--examples", "set", "-o", "taught.zsc"]);
    let vary = ["eval", "new", "--vary", "classifier=words.zsc,taught.zsc"];
    let report: Value = serde_json::from_str(&printed(dir.path(), &vary)).unwrap();
    assert_eq!(report["runs"][1]["metrics"]["top1"]["value"], 1.0);
    assert_eq!((&report["pairs"][0]["only_a"], report["pairs"][0]["only_b"].as_u64() > Some(1)), (&0.into(), true));
    assert_eq!(demo(dir.path(), &[&vary[..], &["-l", "a,b"]].concat()).status.code(), Some(2));
    printed(dir.path(), &["compile", "-l", "thing,stuff,matter", "-o", "words.zsc"]);
    let other = demo(dir.path(), &vary);
    assert!(other.status.code() == Some(2) && err(&other).contains("in another order"), "{}", err(&other));
    let flattering = demo(dir.path(), &["eval", "set", "--examples", "set"]);
    assert!(err(&flattering).contains("some examples are among the inputs"), "{}", err(&flattering));
}

/// A folder that is named like a background label teaches that, and adds no label.
#[test]
fn a_background_label_learns() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    folder(&dir.path().join("new"), &SWAPPED, (6, 1), false);
    let args = ["classify", "new", "-l", "thing,stuff", "--background", "matter", "--examples", "set"];
    let output = demo(dir.path(), &args);
    let records = lines(&output);
    assert_eq!(
        (&records[0]["answers"], records[0]["predictions"].as_array().unwrap().len()),
        (&serde_json::json!([]), 2)
    );
    assert!(records[0]["unknown"].as_f64().unwrap() > 0.9, "{}", records[0]);
    assert_eq!((&records[1]["answers"][0], &records[2]["answers"][0]), (&"stuff".into(), &"thing".into()));
}

#[test]
fn other_examples_make_another_output() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    let args = ["classify", "set/thing", "--examples", "set", "-o", "scores.jsonl", "--resume"];
    printed(dir.path(), &args);
    printed(dir.path(), &args);
    fs::remove_file(dir.path().join("set/stuff/002.ppm")).unwrap();
    let output = demo(dir.path(), &args);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("`learned`"), "{}", err(&output));
}

/// A compiled classifier gives the bits of the flags that it was compiled from, and the same flags the same file.
#[test]
fn a_classifier_scores_as_its_flags_do() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    fs::write(dir.path().join("groups.csv"), "fox,beast\nbear,beast\n").unwrap();
    let pictures = ["owl.png", "owl.jpg", "fox.png", "bear.png"].map(|name| picture(name).display().to_string());
    let classify = |flags: &[&str]| {
        let args = [&["classify", "--logits"], flags].concat();
        printed(dir.path(), &args.into_iter().chain(pictures.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    for (number, flags) in [
        &["-l", "fox,bear,owl"][..],
        &["-l", "fox,bear,owl", "--template-set", "openai-7", "--activation", "sigmoid"],
        &["-l", "fox,bear,owl", "--unknown", "--threshold", "fox=0.5,*=0.1", "--temperature", "1.7"],
        &["-l", "fox,owl", "--background", "a car,a bear", "--independent"],
        &["-l", "fox,bear,owl", "--groups", "groups.csv"],
        &["--examples", "set"],
        &["-l", "thing,owl", "--examples", "set", "--background", "matter", "--head", "prototype"],
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("{number}.zsc");
        printed(dir.path(), &[&["compile", "-o", &file], flags].concat());
        assert_eq!(classify(&["--classifier", &file]), classify(flags), "{flags:?}");
        let again = format!("{number}-again.zsc");
        printed(dir.path(), &[&["compile", "-o", &again, "-j", "1", "--no-cache"], flags].concat());
        assert!(fs::read(dir.path().join(&file)).unwrap() == fs::read(dir.path().join(&again)).unwrap(), "{flags:?}");
    }
    let bytes = fs::read(dir.path().join("5.zsc")).unwrap();
    let about = String::from_utf8_lossy(&bytes);
    assert!(!about.contains(&dir.path().display().to_string()) && about.contains("cross_validation"));
    // Without a flag, the model is the file's own. Thresholds may be changed.
    let output =
        run(zsic(&["classify", "--classifier", "0.zsc", &pictures[0], "--threshold", "1"]).current_dir(dir.path()));
    assert_eq!(
        (output.status.code(), &lines(&output)[0]["answers"]),
        (Some(0), &serde_json::json!([])),
        "{}",
        err(&output)
    );
}

#[test]
fn a_classifier_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    printed(dir.path(), &["compile", "-l", "fox,owl", "-o", "demo.zsc"]);
    let tiny = model("quick-gelu");
    let made = run(zsic(&["compile", "-m", &tiny, "-l", "fox,owl", "-o", "tiny.zsc"]).current_dir(dir.path()));
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let whole = fs::read(dir.path().join("demo.zsc")).unwrap();
    fs::write(dir.path().join("cut.zsc"), &whole[..whole.len() - 9]).unwrap();
    fs::write(dir.path().join("empty.zsc"), b"").unwrap();
    let newer = String::from_utf8_lossy(&whole).find(r#"\"format\":1"#).unwrap() + 11;
    let mut other = whole.clone();
    other[newer] = b'7';
    fs::write(dir.path().join("newer.zsc"), other).unwrap();
    let mut header = (u64::MAX / 2).to_le_bytes().to_vec();
    header.extend(b"{}");
    fs::write(dir.path().join("header.zsc"), header).unwrap();
    for (model, file, reason) in [
        ("demo", "tiny.zsc", "was made with the checkpoint quick-gelu ("),
        (&tiny, "demo.zsc", "was made with the checkpoint demo ("),
        ("demo", "cut.zsc", "is cut off"),
        ("demo", "empty.zsc", "cut off"),
        ("demo", "header.zsc", "header too large"),
        ("demo", "newer.zsc", "was made by a newer zsic: its format is 7, and this version reads 1"),
        ("demo", "nothing.zsc", "cannot be read: "),
    ] {
        let args = ["classify", "-m", model, "demo:owl.png", "--classifier", file];
        let output = run(zsic(&args).current_dir(dir.path()));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{file}: {}", err(&output));
        let said = err(&output);
        assert!(said.contains(&format!("{file}: ")) && said.contains(reason), "{file}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    }
    let output = run(zsic(&["classify", "demo:owl.png", "--classifier", "tiny.zsc"]).current_dir(dir.path()));
    assert!(err(&output).contains("name that folder with --model"), "{}", err(&output));
    for args in [
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "-l", "a,b"][..],
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "--examples", "set"],
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "--unknown"],
        &["classify", "demo:owl.png", "-l", "a,b", "--head", "text"],
        &["compile", "--classifier", "demo.zsc", "-o", "x.zsc"],
        &["compile", "-l", "a,b", "-o", "x.json"],
        &["compile", "-l", "a,b", "-o", "x.zsc", "--want", "precision=0.9"],
        &["compile", "-l", "a,b", "-o", "x.zsc", "--calibrate", ".", "--want", "f1=0.9"],
    ] {
        let output = demo(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
    }
    assert!(!dir.path().join("x.zsc").exists());
}

#[test]
fn calibration_fits_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png"), ("unknown", "bear.png")];
    folder(&dir.path().join("known"), &labels, (0, 9), false);
    let compile = ["compile", "-l", "owl,fox", "--background", "a car", "--calibrate", "known", "-o", "a.zsc"];
    let output = demo(dir.path(), &[&compile[..], &["--want", "recall=0.4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = err(&output);
    assert!(
        said.contains("18 pictures of labels, 9 of none: temperature ")
            && said.contains("the background's logit moves"),
        "{said}"
    );
    assert!(said.contains("27 pictures are few to fit to") && said.contains("share one threshold: owl, fox"), "{said}");
    let bears = run(zsic(&["classify", "known/unknown", "known/owl", "--classifier", "a.zsc"]).current_dir(dir.path()));
    let records = lines(&bears);
    let rejected = records[..9].iter().filter(|record| record["answers"].as_array().unwrap().is_empty()).count();
    let accepted = records[9..].iter().filter(|record| record["answers"][0] == "owl").count();
    assert!(rejected >= 8 && accepted >= 7, "{rejected} {accepted}");
    // What no threshold keeps is never accepted.
    let output = demo(dir.path(), &[&compile[..], &["--want", "precision=0.99"]].concat());
    assert!(err(&output).contains("they are never accepted: owl, fox"), "{}", err(&output));
    let none = run(zsic(&["classify", "known/owl", "--classifier", "a.zsc"]).current_dir(dir.path()));
    assert!(lines(&none).iter().all(|record| record["answers"] == serde_json::json!([])));
    // Pictures that taught do not calibrate.
    let same = ["compile", "--examples", "known", "--calibrate", "known", "-o", "b.zsc"];
    let output = demo(dir.path(), &same);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("27 pictures of --calibrate are examples too") && err(&output).contains("too few"),
        "{}",
        err(&output)
    );
}
