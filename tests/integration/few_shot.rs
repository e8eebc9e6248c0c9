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

/// Temperature, offset and thresholds were fitted together, and with one activation.
#[test]
fn calibrated_rules_stay_together() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("known"), &labels, (0, 11), false);
    printed(dir.path(), &["compile", "-l", "owl,fox", "--calibrate", "known", "-o", "a.zsc"]);
    printed(dir.path(), &["compile", "-l", "owl,fox", "--temperature", "2", "-o", "free.zsc"]);
    let classify = |file: &str, args: &[&str]| {
        demo(dir.path(), &[&["classify", "demo:owl.png", "--classifier", file], args].concat())
    };
    for args in
        [&["--temperature", "3"][..], &["--activation", "sigmoid"], &["--temperature", "3", "--threshold", "0.5"]]
    {
        let output = classify("a.zsc", args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(
            err(&output).contains("were fitted together; compile it again without --calibrate"),
            "{}",
            err(&output)
        );
    }
    for args in [&["--threshold", "0.5"][..], &["--activation", "softmax"]] {
        assert!(classify("a.zsc", args).status.success(), "{args:?}");
    }
    assert!(classify("free.zsc", &["--temperature", "3"]).status.success());
}

/// The same picture cannot teach one label and calibrate another.
#[test]
fn an_example_with_another_label_among_the_known_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("set"), &labels, (0, 2), false);
    folder(&dir.path().join("known"), &labels, (5, 11), false);
    let compile = ["compile", "--examples", "set", "--background", "a car", "--calibrate", "known", "-o", "a.zsc"];
    for other in ["fox", "unknown"] {
        let folder = dir.path().join("known").join(other);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(dir.path().join("set/owl/001.ppm"), folder.join("x.ppm")).unwrap();
        let output = demo(dir.path(), &compile);
        assert_eq!(output.status.code(), Some(2), "{other}: {}", err(&output));
        let both = format!("two labels: set/owl/001.ppm (`owl`) and known/{other}/x.ppm (`{other}`)");
        assert!(err(&output).contains(&both), "{}", err(&output));
        fs::remove_file(folder.join("x.ppm")).unwrap();
    }
    let output = demo(dir.path(), &compile);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    // What the background rejects is told of the rules that are written.
    let at = |text: &str| err(&output).find(text).unwrap_or_else(|| panic!("{text}: {}", err(&output)));
    assert!(at("the background rejects") > at("mean negative log-likelihood"), "{}", err(&output));
}

/// A label that no known picture shows has a threshold of others, and no promise. Few pictures of none weigh no background.
#[test]
fn what_calibration_cannot_know_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("known"), &labels, (0, 11), false);
    folder(&dir.path().join("known"), &[("unknown", "bear.png")], (0, 3), false);
    let args = ["compile", "-l", "owl,fox,cat", "--background", "pizza", "--calibrate", "known", "-o", "a.zsc"];
    let output = demo(dir.path(), &[&args[..], &["--want", "recall=0.4"]].concat());
    let said = err(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("share one threshold: owl, fox\n"), "{said}");
    assert!(said.contains("has no picture of these labels, so --want promises nothing for them: cat\n"), "{said}");
    let few = "--calibrate: 3 pictures of none of the labels cannot say how much the background weighs";
    assert!(said.contains(few) && !said.contains("logit moves"), "{said}");
    // Pictures whose answers are all wrong.
    let wrong = [("owl", "fox.png"), ("fox", "bear.png"), ("bear", "owl.png")];
    folder(&dir.path().join("wrong"), &wrong, (0, 8), false);
    let output = demo(dir.path(), &["compile", "-l", "owl,fox,bear", "--calibrate", "wrong", "-o", "b.zsc"]);
    let said = err(&output);
    assert!(
        said.contains("as the scores say too little about these pictures, so it stays 1; use --examples"),
        "{said}"
    );
}

/// Names that a file cannot hold are refused before anything is learned.
#[test]
fn a_name_that_no_classifier_holds_is_named() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 1), false);
    fs::write(dir.path().join("space.json"), r#"["x ", "y"]"#).unwrap();
    fs::write(dir.path().join("groups.csv"), "\"x\",\"a\tb\"\ny,c\n").unwrap();
    for (args, name) in [
        (&["--labels-file", "space.json"][..], "`x `"),
        (&["-l", "x,y", "--groups", "groups.csv"], "`a"),
        (&["-l", "x,y", "--background", "a\tb"], "`a"),
    ] {
        let output = demo(dir.path(), &[&["compile", "--examples", "set", "-o", "a.zsc"], args].concat());
        let said = err(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        let reason = "has a space at an end, or a control character, which a classifier cannot hold";
        assert!(said.contains(name) && said.contains(reason) && !said.contains("accuracy"), "{said}");
    }
}

/// Reports say what was scored by, and by which rules.
#[test]
fn reports_name_what_taught() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 2), false);
    let compile = ["compile", "--examples", "set", "--background", "a car", "--threshold", "thing=0.25", "-o", "a.zsc"];
    printed(dir.path(), &compile);
    let page = |args: &[&str]| {
        printed(dir.path(), &[args, &["-o", "page.html"]].concat());
        fs::read_to_string(dir.path().join("page.html")).unwrap()
    };
    let by_file = ["--classifier", "a.zsc"];
    let classified = page(&[&["classify", "demo:owl.png"], &by_file[..], &["--temperature", "2"]].concat());
    assert!(classified.contains("<dt>Classifier</dt><dd>a.zsc</dd>"), "{}", &classified[..3000]);
    let rules = "<dt>Rules</dt><dd>temperature 2; 1 label in the background; thresholds thing=0.25</dd>";
    assert!(classified.contains(rules) && !classified.contains("each label has its own"), "{}", &classified[..3000]);
    let examples = "<dt>Examples</dt><dd>set, head anchored</dd>";
    assert!(page(&["classify", "demo:owl.png", "--examples", "set"]).contains(examples));
    assert!(page(&["eval", "set", "--examples", "set"]).contains(examples));
    let evaluated = page(&[&["eval", "set"], &by_file[..]].concat());
    let rules = "<dt>Rules</dt><dd>1 label in the background; thresholds thing=0.25</dd>";
    assert!(evaluated.contains(rules), "{}", &evaluated[..3000]);
    assert!(evaluated.contains("<dt>Classifier</dt><dd>a.zsc</dd>") && !evaluated.contains("each label has its own"));
    let meta = ["--temperature", "2", "--meta", "meta.json", "-o", "a.jsonl"];
    printed(dir.path(), &[&["classify", "demo:owl.png"], &by_file[..], &meta].concat());
    let meta: Value = serde_json::from_str(&fs::read_to_string(dir.path().join("meta.json")).unwrap()).unwrap();
    let expected = serde_json::json!({
        "background": {"a car": []}, "built_in": false, "threshold": ["thing=0.25"], "independent": false, "temperature": 2.0,
    });
    assert_eq!(meta["decision"], expected);
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
        ("demo", "tiny.zsc", "; name that one with --model, or compile the labels again"),
        (&tiny, "demo.zsc", "was made with the checkpoint demo ("),
        (&tiny, "demo.zsc", "; leave --model out, or compile the labels again"),
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
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "--head", "text"],
        &["compile", "-l", "a,b", "-o", "x.json"],
        &["compile", "-l", "a,b", "-o", "x"],
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
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("known"), &labels, (0, 11), false);
    folder(&dir.path().join("known"), &[("unknown", "bear.png")], (0, 22), false);
    let compile = ["compile", "-l", "owl,fox", "--background", "a car", "--calibrate", "known", "-o", "a.zsc"];
    let output = demo(dir.path(), &[&compile[..], &["--want", "recall=0.4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = err(&output);
    assert!(
        said.contains("22 pictures of the labels, 22 of none of them: temperature ")
            && said.contains("the background's logit moves"),
        "{said}"
    );
    assert!(
        said.contains("22 pictures show a label; 100 would be better")
            && said.contains("share one threshold: owl, fox"),
        "{said}"
    );
    let bears = run(zsic(&["classify", "known/unknown", "known/owl", "--classifier", "a.zsc"]).current_dir(dir.path()));
    let records = lines(&bears);
    let rejected = records[..22].iter().filter(|record| record["answers"].as_array().unwrap().is_empty()).count();
    let accepted = records[22..].iter().filter(|record| record["answers"][0] == "owl").count();
    assert!(rejected >= 15 && accepted >= 8, "{rejected} {accepted}");
    // What no threshold keeps is never accepted.
    folder(&dir.path().join("uneven"), &labels[..1], (0, 22), false);
    folder(&dir.path().join("uneven"), &labels[1..], (0, 3), false);
    let compile = ["compile", "-l", "owl,fox", "--calibrate", "uneven", "-o"];
    let output = demo(dir.path(), &[&compile[..], &["a.zsc", "--want", "precision=0.5"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("they are never accepted: fox\n"), "{}", err(&output));
    let none = run(zsic(&["classify", "known/fox", "--classifier", "a.zsc"]).current_dir(dir.path()));
    assert!(lines(&none).iter().all(|record| record["answers"] == serde_json::json!([])));
    run(zsic(&["classify", "known/fox", "--classifier", "a.zsc", "-o", "n.html"]).current_dir(dir.path()));
    assert!(fs::read_to_string(dir.path().join("n.html")).unwrap().contains("fox=never"));
    folder(&dir.path().join("wrong"), &[("owl", "fox.png"), ("fox", "owl.png")], (0, 22), false);
    let wrong = ["compile", "-l", "owl,fox", "--calibrate", "wrong", "-o", "never.zsc", "--want", "precision=0.5"];
    let output = demo(dir.path(), &wrong);
    assert!(output.status.code() == Some(2) && err(&output).contains("too many answers are wrong"), "{}", err(&output));
    for (promise, least) in [
        ("precision=0.95", "precision 0.95 takes at least 73 answers of a label, all right"),
        ("recall=0.99", "recall 0.99 takes at least 381 pictures of a label, all right"),
    ] {
        let output = demo(dir.path(), &[&compile[..], &["never.zsc", "--want", promise]].concat());
        assert_eq!(output.status.code(), Some(2), "{promise}: {}", err(&output));
        assert!(err(&output).contains(least), "{}", err(&output));
        assert!(["never.zsc", "never.zsc.partial"].iter().all(|name| !dir.path().join(name).exists()));
    }
    // Pictures that taught do not calibrate.
    folder(&dir.path().join("taught"), &labels, (0, 11), false);
    let same = ["compile", "--examples", "taught", "--calibrate", "taught", "-o", "b.zsc"];
    let output = demo(dir.path(), &same);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("left out 22 pictures that --examples has too")
            && err(&output).contains("0 pictures show a label; at least 20 are needed"),
        "{}",
        err(&output)
    );
}

/// What right answers alone say of the temperature is nothing, and what pictures of nothing say is nothing.
#[test]
fn calibration_refuses_what_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("right"), &[("owl", "owl.png"), ("fox", "fox.png")], (0, 11), false);
    let output = demo(dir.path(), &["compile", "-l", "owl,fox", "--calibrate", "right", "-o", "a.zsc"]);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: --calibrate: a lower temperature is always better, as where every answer is right"),
        "{said}"
    );
    assert!(said.contains("temperature 1.000") && !said.contains("-0.000"), "{said}");
    let calibrate = |set: &str, more: &[&str]| {
        let args = [&["compile", "-l", "owl,fox", "--calibrate", set, "-o", "b.zsc"], more].concat();
        let output = demo(dir.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{set}: {}", err(&output));
        err(&output).to_owned()
    };
    folder(&dir.path().join("none"), &[("unknown", "bear.png")], (0, 11), false);
    for more in [&[][..], &["--background", "a car"]] {
        assert!(calibrate("none", more).contains("--calibrate: 0 pictures show a label; at least 20 are needed"));
    }
    for copy in 0..30 {
        fs::create_dir_all(dir.path().join("copies/owl")).unwrap();
        fs::write(dir.path().join(format!("copies/owl/{copy}.ppm")), variation("owl.png", 0)).unwrap();
    }
    assert!(calibrate("copies", &[]).contains("1 picture shows a label; at least 20 are needed, and 100 are better"));
    folder(&dir.path().join("both"), &[("owl", "owl.png"), ("fox", "owl.png")], (0, 11), false);
    assert!(calibrate("both", &[]).contains("the same picture has two labels: "));
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

#[test]
fn a_classifier_s_rules_are_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = ["owl.png", "fox.png", "bear.png"].map(|name| picture(name).display().to_string());
    let rules = ["-l", "fox,owl", "--background", "a car", "--independent"];
    printed(dir.path(), &[&["compile", "-o", "two.zsc"], &rules[..]].concat());
    let grep = |flags: &[&str]| {
        let args = [&["grep", "--scores", "--is", "fox,owl"], flags].concat();
        printed(dir.path(), &args.into_iter().chain(pictures.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    assert_eq!(grep(&["--classifier", "two.zsc"]), grep(&rules), "scores of independent labels do not add up");
    // A classifier that can only say yes is no answer.
    printed(dir.path(), &["compile", "-l", "owl", "-o", "one.zsc"]);
    for command in ["grep", "test"] {
        let output = demo(dir.path(), &[command, &pictures[1], "--is", "owl", "--classifier", "one.zsc"]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains("one.zsc: --is names all its labels"), "{}", err(&output));
    }
    let output = demo(dir.path(), &["grep", &pictures[1], "--is", "wolf", "--classifier", "two.zsc"]);
    assert!(
        output.status.code() == Some(2) && err(&output).contains("two.zsc has no label `wolf`; it has fox, owl\n"),
        "{}",
        err(&output)
    );
    printed(dir.path(), &["compile", "-l", "owl", "--unknown", "-o", "one.zsc"]);
    let output = demo(dir.path(), &["grep", &pictures[0], &pictures[1], "--is", "owl", "--classifier", "one.zsc"]);
    assert_eq!(out(&output).trim_end(), pictures[0]);
    // An evaluation names it, and cannot vary what it has fixed.
    folder(&dir.path().join("set"), &[("owl", "owl.png"), ("fox", "fox.png")], (0, 2), false);
    printed(dir.path(), &["compile", "-l", "fox,owl", "-o", "plain.zsc"]);
    let report: Value =
        serde_json::from_str(&printed(dir.path(), &["eval", "set", "--classifier", "plain.zsc"])).unwrap();
    assert_eq!(report["runs"][0]["classifier"], "plain.zsc");
    let report: Value = serde_json::from_str(&printed(dir.path(), &["eval", "set", "--examples", "set"])).unwrap();
    assert_eq!((&report["runs"][0]["examples"], &report["runs"][0]["head"]), (&"set".into(), &"anchored".into()));
    let output = demo(dir.path(), &["eval", "set", "--classifier", "plain.zsc", "--vary", "template=a {},b {}"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--vary template changes no score of --classifier"), "{}", err(&output));
    let output = demo(dir.path(), &["eval", "set", "--classifier", "plain.zsc", "--vary", "classifier=two.zsc"]);
    assert!(err(&output).contains("give --classifier or --vary classifier, not both"), "{}", err(&output));
}

#[test]
fn a_classifier_chooses_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    printed(dir.path(), &["compile", "-l", "fox,owl", "-o", "demo.zsc"]);
    let classify = |file: &str, more: &[&str]| {
        let args = [&["classify", "demo:owl.png", "--classifier", file], more].concat();
        zsic(&args)
            .current_dir(dir.path())
            .env("ZSIC_MODEL", model("gelu"))
            .env("ZSIC_REVISION", "old")
            .output()
            .unwrap()
    };
    let output = classify("demo.zsc", &["-v"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("demo.zsc: 2 labels of demo: fox, owl"), "{}", err(&output));
    assert!(
        err(&output).contains("demo.zsc: names its own checkpoint, so ZSIC_MODEL does not count"),
        "{}",
        err(&output)
    );
    let output = classify("demo.zsc", &["--revision", "main"]);
    assert!(
        output.status.code() == Some(2) && err(&output).contains("use --revision with --model"),
        "{}",
        err(&output)
    );
    // A file leads to no path, whatever it says, and a folder called demo is not the built-in checkpoint.
    let read = zsic::compiled::Compiled::open(&dir.path().join("demo.zsc")).unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (name, commit) in [("/etc", commit), ("..", commit), ("a/b", "main"), ("clip", commit), ("here/now", commit)] {
        let mut other = read.clone();
        let of = &mut other.about.checkpoint;
        (of.name, of.commit, of.built_in) = (name.to_owned(), Some(commit.to_owned()), false);
        fs::write(dir.path().join("other.zsc"), other.to_bytes()).unwrap();
        fs::create_dir_all(dir.path().join("here/now")).unwrap();
        let output = classify("other.zsc", &["--offline"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", err(&output));
        assert!(err(&output).contains("name that folder with --model"), "{}", err(&output));
        let is_beside = name == "here/now";
        assert_eq!(err(&output).contains("of the hub, and a folder here has that name"), is_beside, "{}", err(&output));
    }
    fs::create_dir(dir.path().join("demo")).unwrap();
    for entry in fs::read_dir(model("quick-gelu")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join("demo").join(path.file_name().unwrap())).unwrap();
    }
    let made = run(zsic(&["compile", "-m", "./demo", "-l", "fox,owl", "-o", "folder.zsc"]).current_dir(dir.path()));
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let output = classify("folder.zsc", &[]);
    assert!(err(&output).contains("in a folder `demo`; name that folder with --model"), "{}", err(&output));
    // Other settings of the same checkpoint are told.
    let output = run(zsic(&["compile", "-m", "./demo", "--image-size", "48", "-l", "fox,owl", "-o", "big.zsc"])
        .current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let output =
        run(zsic(&["classify", "-m", "./demo", "demo:owl.png", "--classifier", "big.zsc"]).current_dir(dir.path()));
    assert!(
        err(&output).contains(
            "big.zsc: made with image size 48; this run uses the checkpoint's own settings; give --image-size"
        ),
        "{}",
        err(&output)
    );
    let args = ["classify", "-m", "./demo", "demo:owl.png", "--classifier", "big.zsc", "--image-size", "48"];
    assert_eq!(run(zsic(&args).current_dir(dir.path())).status.code(), Some(0));
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
