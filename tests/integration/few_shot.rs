//! `--examples`. The rows themselves are tested against SciPy in `src/head/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::common::command::{err, lines, model, out, run, zsic};

pub fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)
}

/// A variation of a picture, as PPM: moved, and in other light.
pub fn variation(name: &str, number: usize) -> Vec<u8> {
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
pub fn folder(at: &Path, labels: &[(&str, &str)], (first, shots): (usize, usize), is_turned: bool) {
    for (label, from) in labels {
        fs::create_dir_all(at.join(label)).unwrap();
        for number in 0..shots {
            let name = if is_turned { 100 - number } else { number };
            fs::write(at.join(label).join(format!("{name:03}.ppm")), variation(from, first + number)).unwrap();
        }
    }
}

/// Labels that say nothing of what their pictures show.
pub const SWAPPED: [(&str, &str); 3] = [("thing", "owl.png"), ("stuff", "fox.png"), ("matter", "bear.png")];

pub fn demo(dir: &Path, args: &[&str]) -> Output {
    let (command, rest) = args.split_first().unwrap();
    run(zsic(&[command, "-m", "demo"]).args(rest).current_dir(dir))
}

pub fn printed(dir: &Path, args: &[&str]) -> String {
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
        err(&output).contains("6 examples of 3 labels")
            && err(&output).contains("left out 1 labelled picture that others"),
        "{}",
        err(&output)
    );
}

/// Rows of one picture add up, so a list gives it several labels, and an example has one.
#[test]
fn a_picture_with_several_labels_is_named() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 1), false);
    let rows = SWAPPED.map(|(label, _)| format!("set/{label}/000.ppm,{label}\n")).concat();
    fs::write(dir.path().join("list.csv"), format!("image,label\n{rows}set/stuff/000.ppm,matter\n")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "list.csv"]);
    let reason = "warning: --examples list.csv: left out 1 picture: an example shows one label, not several or none";
    let first = "; the first is set/stuff/000.ppm: stuff, matter\n";
    assert!(err(&output).contains(&[reason, first].concat()), "{}", err(&output));
    assert!(err(&output).contains("2 examples of 2 labels"), "{}", err(&output));
}

/// A page writes `\xNN` for bytes that are not UTF-8.
#[cfg(unix)]
#[test]
fn a_list_finds_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 1), false);
    let name = std::ffi::OsStr::from_bytes(b"a\\xb\xff\xc3.ppm");
    fs::rename(dir.path().join("set/thing/000.ppm"), dir.path().join("set/thing").join(name)).unwrap();
    let rows = "set/thing/a\\xb\\xFF\\xC3.ppm,thing\nset/stuff/000.ppm,stuff\n";
    fs::write(dir.path().join("list.csv"), format!("image,label\n{rows}")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "list.csv"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("2 examples of 2 labels"), "{}", err(&output));
}

#[test]
fn examples_that_fail_are_told() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 2), false);
    fs::write(dir.path().join("set/thing/torn.jpg"), b"\xff\xd8\xff").unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "set"]);
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 1));
    assert!(err(&output).contains("set/thing/torn.jpg: "), "{}", err(&output));
    assert!(err(&output).contains("warning: --examples set: 1 of 7 images failed"), "{}", err(&output));
    let test = demo(dir.path(), &["test", "demo:owl.png", "--is", "thing", "--not", "stuff", "--examples", "set"]);
    assert_eq!(test.status.code(), Some(3), "a failure could change the answer: {}", err(&test));
    let test = demo(dir.path(), &["test", "demo:owl.png", "--is", "stuff", "--not", "thing", "--examples", "set"]);
    assert_eq!(test.status.code(), Some(3), "and a no as well as a yes: {}", err(&test));
    fs::create_dir(dir.path().join("set/other")).unwrap();
    fs::rename(dir.path().join("set/thing/torn.jpg"), dir.path().join("set/other/torn.jpg")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "set"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("all pictures of the label `other` failed\n"), "{}", err(&output));
    // A list that was moved names files that are not there.
    fs::create_dir(dir.path().join("moved")).unwrap();
    fs::write(dir.path().join("moved/list.csv"), "image,label\nset/thing/000.ppm,thing\n").unwrap();
    let output = demo(dir.path(), &["compile", "-l", "stuff", "--examples", "moved/list.csv", "-o", "a.zsc"]);
    let reason =
        "all pictures of the label `thing` failed; paths in moved/list.csv are relative to its folder, moved\n";
    assert!(output.status.code() == Some(3) && err(&output).contains(reason), "{}", err(&output));
    for (set, reason) in [
        ("nowhere", "--examples nowhere: no such file or folder"),
        ("new", "no labelled picture"),
        ("bare", "--examples bare: there is no image"),
        ("set.tar.gz", "--examples set.tar.gz: is no folder, list or tar; decompress it first"),
    ] {
        fs::write(dir.path().join("set.tar.gz"), b"\x1f\x8b\x08\0\xff").unwrap();
        fs::create_dir_all(dir.path().join("bare")).unwrap();
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
    let told = "warning: 9 of 9 images are among --examples too, so what is measured is better than for others";
    let flattering = demo(dir.path(), &["eval", "set", "--examples", "set"]);
    assert!(err(&flattering).contains(told) && !err(&flattering).contains("some examples"), "{}", err(&flattering));
    let fair = demo(dir.path(), &["eval", "new", "--examples", "set"]);
    assert!(!err(&fair).contains("among --examples"), "{}", err(&fair));
    let scored = demo(dir.path(), &["classify", "set", "--examples", "set"]);
    assert!(err(&scored).contains("some examples are among the inputs"), "{}", err(&scored));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("set", dir.path().join("link")).unwrap();
        let linked = demo(dir.path(), &["eval", "link", "--examples", "set"]);
        assert!(err(&linked).contains(told), "{}", err(&linked));
        let linked = demo(dir.path(), &["classify", "link", "--examples", "set"]);
        assert!(err(&linked).contains("some examples are among the inputs"), "{}", err(&linked));
    }
}

/// `--map` translates what examples show too.
#[test]
fn examples_are_renamed_as_truths_are() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("Eule", "owl.png"), ("Fuchs", "fox.png"), ("Rest", "bear.png"), ("Nichts", "bear.png")];
    folder(&dir.path().join("set"), &labels[..3], (0, 3), false);
    folder(&dir.path().join("set"), &labels[3..], (3, 3), false);
    folder(&dir.path().join("new"), &labels[..2], (5, 3), false);
    fs::write(dir.path().join("map.csv"), "Eule,owl\nFuchs,fox\nRest,\nNichts,unknown\n").unwrap();
    for more in [&[][..], &["--examples", "set"], &["-l", "owl,fox,bear", "--examples", "set"]] {
        let output = demo(dir.path(), &[&["eval", "new", "--map", "map.csv"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{more:?}: {}", err(&output));
        let report: Value = serde_json::from_str(out(&output)).unwrap();
        assert_eq!(report["runs"][0]["metrics"]["top1"]["value"], 1.0, "{more:?}");
        let said = err(&output);
        assert!(
            !said.contains("labels added") && (more.is_empty() || said.contains("6 examples of 2 labels")),
            "{said}"
        );
    }
}

/// What examples add to labels that are named is told, and what is asked for and shown by none.
#[test]
fn labels_that_examples_add_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png"), ("bear", "bear.png")];
    folder(&dir.path().join("set"), &labels, (0, 2), false);
    let said = |args: &[&str]| err(&demo(dir.path(), args)).to_owned();
    let told = said(&["classify", "demo:owl.png", "-l", "owl,cat", "--examples", "set"]);
    assert_eq!(told.matches("labels added by --examples: bear, fox\n").count(), 1, "{told}");
    for args in [&["classify", "demo:owl.png"][..], &["classify", "demo:owl.png", "-l", "owl,fox,bear"]] {
        let told = said(&[args, &["--examples", "set"]].concat());
        assert!(!told.contains("labels added"), "{told}");
    }
    let told = said(&["grep", "demo:owl.png", "--is", "owll", "--examples", "set"]);
    assert!(told.contains("warning: no example shows `owll`") && told.contains("labels added"), "{told}");
    for args in [&["--is", "Owl"][..], &["--is", "owl,cat", "-l", "owl,cat"]] {
        let told = said(&[&["grep", "demo:owl.png", "--examples", "set"], args].concat());
        assert!(!told.contains("no example shows"), "{told}");
    }
}

/// Labels that examples bring are the others that an image may show, as in a classifier that is made of them.
#[test]
fn labels_of_examples_are_others_in_a_search() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    folder(&dir.path().join("new"), &SWAPPED, (5, 2), false);
    printed(dir.path(), &["compile", "--examples", "set", "-l", "thing,matter,stuff", "-o", "set.zsc"]);
    let grep = |args: &[&str]| printed(dir.path(), &[&["grep", "new", "--scores", "--is", "thing"], args].concat());
    assert_eq!(grep(&["--examples", "set"]), grep(&["--classifier", "set.zsc"]));
    // With nothing but what is looked for, the built-in list competes.
    fs::rename(dir.path().join("set/thing"), dir.path().join("thing")).unwrap();
    fs::create_dir(dir.path().join("one")).unwrap();
    fs::rename(dir.path().join("thing"), dir.path().join("one/thing")).unwrap();
    let output = demo(dir.path(), &["grep", "new", "--is", "thing", "--examples", "one"]);
    assert!(err(&output).contains("the background rejects"), "{}", err(&output));
}

/// The word of a page for an image of none of the labels is no label, in a folder, a list or a tar.
#[test]
fn pictures_of_unknown_are_examples_of_no_label() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png"), ("unknown", "bear.png")];
    folder(&dir.path().join("set"), &labels, (0, 2), false);
    let rows = labels.map(|(label, _)| format!("set/{label}/000.ppm,{label}\nset/{label}/001.ppm,{label}\n")).concat();
    fs::write(dir.path().join("list.csv"), format!("image,label\n{rows}")).unwrap();
    let words = ["cf", "set.tar", "-C", "set", "owl", "fox", "unknown"];
    assert!(std::process::Command::new("tar").args(words).current_dir(dir.path()).status().unwrap().success());
    let classify = ["classify", "demo:bear.png", "--examples"];
    for args in [
        &["set"][..],
        &["list.csv"],
        &["set.tar"],
        &["list.csv", "-l", "owl,fox"],
        &["set", "--unknown"],
        &["list.csv", "-l", "owl,fox", "--threshold", "0.5"],
    ] {
        let output = demo(dir.path(), &[&classify[..], args].concat());
        let said = err(&output);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        let told =
            format!("--examples {}: left out 2 pictures of `unknown`, which means none of the labels\n", args[0]);
        assert!(said.contains(&told) && said.contains("4 examples of 2 labels"), "{args:?}: {said}");
        assert!(!said.contains("labels added") && !out(&output).contains("label\":\"unknown"), "{}", out(&output));
    }
    printed(dir.path(), &["compile", "--examples", "list.csv", "-o", "a.zsc"]);
    let known = demo(dir.path(), &["classify", "demo:bear.png", "--classifier", "a.zsc"]);
    assert_eq!(lines(&known)[0]["predictions"].as_array().unwrap().len(), 2);
    // A label of the flags is one.
    for args in [
        &["classify", "demo:bear.png", "-l", "owl,fox,unknown"][..],
        &["grep", "demo:bear.png", "--is", "unknown", "--not", "owl,fox"],
    ] {
        let output = demo(dir.path(), &[args, &["--examples", "list.csv"]].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        assert!(err(&output).contains("6 examples of 3 labels") && !err(&output).contains("left out"), "{args:?}");
    }
}

/// An answer `unknown` could be taken for none.
#[test]
fn a_label_called_unknown_is_refused_beside_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png"), ("unknown", "bear.png")];
    folder(&dir.path().join("set"), &labels, (0, 2), false);
    for args in [
        &["classify", "demo:owl.png", "-l", "owl,unknown", "--examples", "set", "--unknown"][..],
        &["compile", "-l", "owl,unknown", "--examples", "set", "--background", "a car", "-o", "a.zsc"],
        &["compile", "-l", "owl,unknown", "--calibrate", "set", "-o", "a.zsc"],
    ] {
        let output = demo(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        let reason = "a label called `unknown` cannot be told from an image of none of the labels; ";
        assert!(err(&output).contains(reason), "{args:?}: {}", err(&output));
    }
    // It may compete.
    let args = ["classify", "demo:bear.png", "--examples", "set", "--background", "unknown"];
    assert_eq!(lines(&demo(dir.path(), &args))[0]["answers"], serde_json::json!([]));
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
    assert!(err(&output).contains("`examples_or_classifier` is another"), "{}", err(&output));
}

/// The built-in list has `owl`, `fox` and `bear`: they are what these labels show.
#[test]
fn the_built_in_background_makes_way_for_what_examples_show() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    folder(&dir.path().join("new"), &SWAPPED, (5, 3), false);
    let output = demo(dir.path(), &["classify", "new", "--examples", "set", "--unknown", "-v"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let records = lines(&output);
    for (at, label) in ["matter", "stuff", "thing"].into_iter().enumerate() {
        let accepted = records[3 * at..][..3].iter().filter(|record| record["answers"][0] == label).count();
        assert_eq!(accepted, 3, "{label}: {}", out(&output));
    }
    let said = err(&output);
    assert!(said.contains("the background rejects 0 of 9 examples"), "{said}");
    let shown = said.split("shown by examples and left out: ").nth(1).unwrap().lines().next().unwrap();
    assert!(["owl", "fox", "bear"].iter().all(|name| shown.split(", ").any(|shown| shown == *name)), "{shown}");
    let found = printed(dir.path(), &["grep", "new", "--is", "thing", "--examples", "set"]);
    assert_eq!(found.lines().count(), 3, "{found}");
    // Pictures of other things are still rejected.
    let others = picture("mixed").display().to_string();
    let output = demo(dir.path(), &["classify", &others, "--examples", "set", "--unknown"]);
    let rejected = lines(&output).iter().filter(|record| record["answers"].as_array().unwrap().is_empty()).count();
    assert!(rejected >= 8, "{rejected} of 10: {}", out(&output));
    // The head that ignores examples leaves nothing out for them.
    let args = ["classify", &others, "-l", "thing,stuff,matter", "--unknown"];
    let text = demo(dir.path(), &[&args[..], &["--examples", "set", "--head", "text"]].concat());
    assert!(
        out(&text) == printed(dir.path(), &args) && err(&text).contains("9 of 9 examples; name what else"),
        "{}",
        err(&text)
    );
}

/// Numbers of classes count the labels, not what competes with them.
#[test]
fn a_class_number_beyond_the_labels_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for (number, (_, from)) in SWAPPED.iter().enumerate() {
        fs::write(dir.path().join(format!("{number}.ppm")), variation(from, 0)).unwrap();
        fs::write(dir.path().join(format!("{number}.cls")), number.to_string()).unwrap();
    }
    let mut tar = std::process::Command::new("tar");
    tar.args(["cf", "set.tar", "0.ppm", "0.cls", "1.ppm", "1.cls", "2.ppm", "2.cls"]).current_dir(dir.path());
    assert!(tar.status().unwrap().success());
    let args = ["classify", "demo:owl.png", "--examples", "set.tar"];
    let output = demo(dir.path(), &[&args[..], &["-l", "thing,stuff", "--background", "matter"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("is class 2, counted from 0, of 2 labels"), "{}", err(&output));
    let output = demo(dir.path(), &[&args[..], &["-l", "thing,stuff,matter"]].concat());
    assert_eq!(best(&output), ["thing"]);
    assert!(!err(&output).contains("skipped"), "what names the classes was read: {}", err(&output));
    let output = demo(dir.path(), &["eval", "set.tar", "-l", "thing,stuff,matter"]);
    assert!(output.status.success() && !err(&output).contains("skipped"), "{}", err(&output));
    let output = demo(dir.path(), &args);
    assert!(err(&output).contains("--examples set.tar: names no label; "), "{}", err(&output));
}

#[test]
fn a_list_may_be_called_folders() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 1), false);
    let rows = SWAPPED.map(|(label, _)| format!("set/{label}/000.ppm,{label}\n")).concat();
    fs::write(dir.path().join("folders"), format!("image,label\n{rows}")).unwrap();
    let output = demo(dir.path(), &["classify", "demo:owl.png", "--examples", "folders"]);
    assert_eq!(best(&output), ["thing"], "{}", err(&output));
}

#[test]
fn prototypes_are_refused_beside_sigmoids() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 1), false);
    let tiny = model("siglip/unigram");
    let args = ["classify", "-m", &tiny, "demo:owl.png", "--examples", "set", "--head", "prototype"];
    let output = run(zsic(&args).current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("--head prototype does not work with sigmoid scores"), "{}", err(&output));
    let output =
        run(zsic(&[&args[..6], &["--activation", "softmax", "--head", "prototype"]].concat()).current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    // Nor by way of a file.
    let made =
        ["compile", "-m", &tiny, "--examples", "set", "--head", "prototype", "--activation", "softmax", "-o", "a.zsc"];
    assert!(run(zsic(&made).current_dir(dir.path())).status.success());
    let classify = ["classify", "-m", &tiny, "demo:owl.png", "--classifier", "a.zsc"];
    assert!(run(zsic(&classify).current_dir(dir.path())).status.success());
    let output = run(zsic(&[&classify[..], &["--activation", "sigmoid"]].concat()).current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("a.zsc: its head, prototype, does not work with sigmoid scores"), "{}", err(&output));
}

#[test]
fn pictures_that_are_left_out_add_no_label() {
    let dir = tempfile::tempdir().unwrap();
    let list: String = [("owl", "owl"), ("fox", "fox"), ("bear", "bear;nocturnal")]
        .map(|(animal, labels)| format!("{},{labels}\n", picture(&format!("{animal}.png")).display()))
        .concat();
    fs::write(dir.path().join("l.csv"), format!("image,labels\n{list}")).unwrap();
    let owl = picture("owl.png").display().to_string();
    let output = demo(dir.path(), &["classify", &owl, "--examples", "l.csv"]);
    let labels: BTreeSet<_> =
        lines(&output)[0]["predictions"].as_array().unwrap().iter().map(|p| p["label"].to_string()).collect();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["\"fox\"", "\"owl\""], "{}", err(&output));
}
