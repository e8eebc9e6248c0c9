//! `zsic eval`: truths in every form, names that must match, comparisons, demands. The metrics themselves are tested against
//! scikit-learn in `measure.rs`; here they are counted by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::command::{err, out, run, zsic};

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)
}

/// Folders of two owls, a fox that is called a bear, and a bear.
pub fn labelled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("owl.png", "owl/1.png"),
        ("owl.jpg", "owl/2.jpg"),
        ("fox.png", "bear/3.png"),
        ("bear.png", "bear/4.png"),
        ("fox.png", "fox/5.png"),
    ] {
        let to = dir.path().join("set").join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(picture(from), to).unwrap();
    }
    dir
}

fn evaluate(dir: &Path, args: &[&str]) -> Output {
    run(zsic(&["eval", "-m", "demo"]).args(args).current_dir(dir))
}

fn report(dir: &Path, args: &[&str]) -> Value {
    let output = evaluate(dir, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    serde_json::from_str(out(&output)).unwrap()
}

/// A number of a run.
fn metric(report: &Value, name: &str) -> f64 {
    report["runs"][0]["metrics"][name]["value"].as_f64().unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn folders_are_truths_and_labels() {
    let dir = labelled();
    let report = report(dir.path(), &["set"]);
    assert_eq!(report["truth"], serde_json::json!({"kind": "folders", "images": 5, "failed": 0, "left_out": 0}));
    assert_eq!(metric(&report, "top1"), 0.8);
    assert!((metric(&report, "mean_recall") - 2.5 / 3.0).abs() < 1e-12);
    let run = &report["runs"][0];
    let labels: Vec<&str> = run["labels"].as_array().unwrap().iter().map(|l| l["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["bear", "fox", "owl"]);
    assert_eq!(run["labels"][0]["recall"]["value"], 0.5);
    assert_eq!(run["labels"][1]["precision"]["value"], 0.5);
    assert_eq!(run["confusions"], serde_json::json!([{"truth": "bear", "answer": "fox", "images": 1}]));
    assert_eq!(run["suspects"][0]["image"], "set/bear/3.png");
    let bins = run["calibration"].as_array().unwrap();
    assert_eq!(bins.iter().map(|bin| bin["images"].as_u64().unwrap()).sum::<u64>(), 5);
}

#[test]
fn a_file_says_what_images_show() {
    let dir = labelled();
    let rows = [("1", "owl/1.png", "Owl"), ("2", "bear/3.png", "FOX"), ("3", "./bear/../bear/4.png", "bear")];
    let csv: String = rows.iter().map(|(n, image, label)| format!("{n},{image},{label}\n")).collect();
    let json: String =
        rows.iter().map(|(_, image, label)| format!("{{\"path\":\"{image}\",\"labels\":[\"{label}\"]}}\n")).collect();
    for (name, text) in [
        ("set/truth.csv", format!("n,image,label\n{csv}")),
        ("set/truth.tsv", format!("n,image,label\n{csv}").replace(',', "\t")),
        ("set/truth.jsonl", json),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
        let report = report(dir.path(), &["set", "--truth", name, "-l", "owl,fox,bear"]);
        assert_eq!(
            (metric(&report, "top1"), &report["truth"]["images"], &report["truth"]["left_out"]),
            (1.0, &3.into(), &2.into()),
            "{name}"
        );
    }
}

#[test]
fn several_labels_an_image_are_measured_by_average_precision() {
    let dir = labelled();
    fs::write(dir.path().join("t.csv"), "image,labels\nset/owl/1.png,owl;bear\nset/fox/5.png,fox\nset/bear/4.png,\n")
        .unwrap();
    let report = report(dir.path(), &["set", "--truth", "t.csv", "-l", "owl,fox,bear", "--independent"]);
    assert_eq!(report["truth"]["images"], 3);
    let metrics: Vec<&String> = report["runs"][0]["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(metrics, ["macro_f1", "map", "micro_f1"]);
    let several = evaluate(dir.path(), &["set", "--truth", "t.csv", "-l", "owl,fox,bear"]);
    let told = "1 image shows several labels (set/owl/1.png: owl, bear), so map and micro_f1 are measured, not top1\n";
    assert!(err(&several).contains(told), "{}", err(&several));
    fs::write(dir.path().join("none.csv"), "image,labels\nset/fox/5.png,fox\nset/bear/4.png,\nset/bear/3.png,\n")
        .unwrap();
    let none = evaluate(dir.path(), &["set", "--truth", "none.csv", "-l", "owl,fox,bear"]);
    assert!(err(&none).contains("2 images show no label (set/bear/3.png), so map "), "{}", err(&none));
    fs::write(dir.path().join("each.csv"), "image,label\nset/fox/5.png,fox\nset/owl/1.png,owl\n").unwrap();
    let each = evaluate(dir.path(), &["set", "--truth", "each.csv"]);
    assert!(!err(&each).contains("not top1"), "{}", err(&each));
    // By their scores for `bear` the three pictures rank bear, fox, owl, and only the owl is said to show one.
    assert!((metric(&report, "map") - (1.0 + 1.0 + 1.0 / 3.0) / 3.0).abs() < 1e-12, "{}", metric(&report, "map"));
}

#[test]
fn names_are_mapped_left_out_or_unknown() {
    let dir = labelled();
    fs::write(dir.path().join("map.csv"), "owl,an owl\nbear,\nfox,unknown\n").unwrap();
    let args = ["set", "--map", "map.csv", "-l", "an owl,a car", "--unknown", "--records", "r.csv"];
    let report = report(dir.path(), &args);
    assert_eq!((&report["truth"]["images"], &report["truth"]["left_out"]), (&3.into(), &2.into()));
    assert_eq!((metric(&report, "top1"), metric(&report, "auroc"), metric(&report, "fpr95")), (1.0, 1.0, 0.0));
    let records = fs::read_to_string(dir.path().join("r.csv")).unwrap();
    let rows: Vec<Vec<&str>> = records.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows[0], ["image", "truth", "answer", "score", "right"]);
    assert_eq!((rows[1][1], rows[1][2], rows[1][4]), ("unknown", "unknown", "true"));
    assert_eq!((rows[2][1], rows[2][2], rows[2][4]), ("an owl", "an owl", "true"));
    let lost = evaluate(dir.path(), &["set", "-l", "owl,foxes,bear"]);
    assert_eq!(lost.status.code(), Some(2));
    assert!(err(&lost).contains("names that are no labels: `fox` (like `foxes`?)"), "{}", err(&lost));
    assert!(!err(&lost).contains("unknown,unknown"), "{}", err(&lost));
    fs::rename(dir.path().join("set/fox"), dir.path().join("set/unknown")).unwrap();
    let lost = evaluate(dir.path(), &["set", "-l", "owl,bear"]);
    let advice = "; for images of none of the labels, --map with the row unknown,unknown\n";
    assert!(err(&lost).contains(advice), "{}", err(&lost));
}

#[test]
fn runs_are_compared_in_pairs() {
    let dir = labelled();
    let report = report(dir.path(), &["set", "--vary", "template={},a {}", "--vary", "precision=auto,f32"]);
    let runs = report["runs"].as_array().unwrap();
    let what: Vec<(&str, &str)> =
        runs.iter().map(|run| (run["precision"].as_str().unwrap(), run["templates"][0].as_str().unwrap())).collect();
    assert_eq!(what, [("auto", "{}"), ("auto", "a {}"), ("f32", "{}"), ("f32", "a {}")]);
    assert_eq!(report["pairs"].as_array().unwrap().len(), 6);
    let pair = &report["pairs"][1];
    assert_eq!((&pair["a"], &pair["b"], &pair["metric"]), (&0.into(), &2.into(), &"top1".into()));
    assert_eq!((&pair["difference"], &pair["p"], &pair["only_a"]), (&0.0.into(), &1.0.into(), &0.into()));
    let table = evaluate(dir.path(), &["set", "--vary", "template={},a {}", "--format", "table"]);
    assert!(out(&table).contains("template=a {}") && out(&table).contains(" ="), "{}", out(&table));
}

#[test]
fn labels_may_come_from_standard_input() {
    use std::io::Write;
    let dir = labelled();
    let mut command = zsic(&["eval", "-m", "demo", "set", "--labels-file", "-", "--vary", "template={},a {}"]);
    command.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"owl\nfox\nbear\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((metric(&report, "top1"), report["runs"].as_array().unwrap().len()), (0.8, 2));
}

#[test]
fn a_set_from_standard_input_serves_every_machine() {
    use std::io::Write;
    let dir = labelled();
    let mut command = zsic(&["eval", "-m", "demo", "set", "--template-set", "-", "--vary", "precision=auto,f32"]);
    command.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a {}\n{}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(report["runs"][1]["templates"], serde_json::json!(["a {}", "{}"]));
    let twice = evaluate(dir.path(), &["set", "--labels-file", "-", "--vary", "template-set=-"]);
    assert!(err(&twice).contains("`-` is given twice"), "{}", err(&twice));
}

#[test]
fn folders_in_tars_are_truths_once_the_labels_are_named() {
    let dir = labelled();
    let words = ["cf", "t.tar", "-C", "set", "owl", "bear", "fox"];
    assert!(Command::new("tar").args(words).current_dir(dir.path()).status().unwrap().success());
    assert_eq!(metric(&report(dir.path(), &["t.tar", "-l", "owl,bear,fox"]), "top1"), 0.8);
    let without = evaluate(dir.path(), &["t.tar"]);
    assert_eq!(without.status.code(), Some(2));
    assert!(err(&without).contains("name the labels with -l"), "{}", err(&without));
    let another = evaluate(dir.path(), &["t.tar", "-l", "owl,bear"]);
    assert_eq!(another.status.code(), Some(2));
    assert!(err(&another).contains("names that are no labels: `fox`"), "{}", err(&another));
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_no_way_out() {
    let dir = labelled();
    for name in ["x", "y"] {
        std::os::unix::fs::symlink(".", dir.path().join("set").join(name)).unwrap();
    }
    std::os::unix::fs::symlink("/", dir.path().join("set/root")).unwrap();
    assert_eq!(metric(&report(dir.path(), &["set"]), "top1"), 0.8);
}

#[test]
fn what_the_truth_has_too_much_is_told() {
    let dir = labelled();
    fs::write(dir.path().join("t.csv"), "image,label\nset/owl/1.png,owl\nset/fox/5.png,fox\nnone.png,owl\n").unwrap();
    fs::write(dir.path().join("map.csv"), "owl,fox\nwol,owl\n").unwrap();
    let output = evaluate(dir.path(), &["set", "--truth", "t.csv", "--map", "map.csv", "-l", "owl,fox"]);
    assert!(err(&output).contains("1 image of the truth is not among the inputs: none.png\n"), "{}", err(&output));
    let output = evaluate(dir.path(), &["set/owl", "--truth", "t.csv", "-l", "owl,fox"]);
    let told = "2 images of the truth are not among the inputs, such as none.png\n";
    assert!(err(&output).contains(told), "{}", err(&output));
    // The same image twice among the inputs hides no other.
    let output = evaluate(dir.path(), &["set/owl/1.png", "set/owl/1.png", "set/fox", "--truth", "t.csv"]);
    assert!(err(&output).contains("1 image of the truth is not among the inputs: none.png\n"), "{}", err(&output));
    let output = evaluate(dir.path(), &["set", "--truth", "t.csv", "--map", "map.csv", "-l", "owl,fox"]);
    assert!(err(&output).contains("--map: the truth does not have `wol`"), "{}", err(&output));
}

#[test]
fn what_is_measured_is_the_answer_that_classify_gives() {
    let dir = labelled();
    let rules = ["-l", "owl,fox,bear", "--independent", "--background", "a car", "--temperature", "10"];
    let rules = [&rules[..], &["--threshold", "owl=1,*=0.01"]].concat();
    let output = evaluate(dir.path(), &[&["set", "--records", "r.csv"], &rules[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let mut classify = zsic(&["classify", "-m", "demo", "set"]);
    let answers = run(classify.args(rules).current_dir(dir.path()));
    let records = fs::read_to_string(dir.path().join("r.csv")).unwrap();
    let mut second = 0;
    for (row, record) in records.lines().skip(1).zip(crate::common::command::lines(&answers)) {
        let answer = record["answers"][0].as_str().unwrap_or("unknown");
        assert_eq!(row.split(',').nth(2), Some(answer), "{row}");
        second += u32::from(record["predictions"][0]["label"] == "owl" && answer != "owl");
    }
    assert!(second > 0, "an owl is never sure enough, and what comes second is the answer: {records}");
}

#[test]
fn a_demand_that_is_not_met_ends_with_one() {
    let dir = labelled();
    let ask = |demand| evaluate(dir.path(), &["set", "--fail-under", demand]);
    assert_eq!(ask("top1=0.8").status.code(), Some(0));
    let output = ask("top1.low=0.8");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("top1.low is 0.3755, under 0.8"), "{}", err(&output));
    for wrong in ["top1", "ece=0.1", "map=0.1"] {
        assert_eq!(ask(wrong).status.code(), Some(2), "{wrong}");
        assert!(!err(&ask(wrong)).contains("needs more than"), "{wrong}");
    }
    let said = err(&ask("top5=0.1")).to_owned();
    assert!(
        said.contains("--fail-under: top5 is not measured here (it needs more than 5 labels); metrics: "),
        "{said}"
    );
}

#[test]
fn a_failed_image_counts_as_wrong_and_is_told() {
    let dir = labelled();
    fs::write(dir.path().join("set/fox/torn.png"), &fs::read(picture("fox.png")).unwrap()[..300]).unwrap();
    let output = evaluate(dir.path(), &["set", "--records", "r.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("set/fox/torn.png") && err(&output).contains("1 of 6 images failed"),
        "{}",
        err(&output)
    );
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((&report["truth"]["failed"], metric(&report, "top1")), (&1.into(), 4.0 / 6.0));
    assert!(fs::read_to_string(dir.path().join("r.csv")).unwrap().contains("set/fox/torn.png,fox,,,false"));
}

#[test]
fn every_form_of_the_report_has_its_ending() {
    let dir = labelled();
    for (name, start) in [
        ("r.json", "{\n"),
        ("r.jsonl", "{\"model\""),
        ("r.csv", "run,metric,label,value,low,high\n0,"),
        ("r.txt", "5 images"),
    ] {
        let output = evaluate(dir.path(), &["set", "-o", name]);
        assert_eq!((output.status.code(), out(&output)), (Some(0), ""), "{}", err(&output));
        assert!(fs::read_to_string(dir.path().join(name)).unwrap().starts_with(start), "{name}");
    }
    let output = evaluate(dir.path(), &["set", "-o", "r.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("r.yaml: reports are not written as yaml; name a .json"), "{}", err(&output));
    assert!(fs::read_to_string(dir.path().join("r.txt")).unwrap().contains("\nWRONG ANSWER, OR WRONG TRUTH  "));
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let dir = labelled();
    fs::create_dir(dir.path().join("one")).unwrap();
    fs::copy(picture("owl.png"), dir.path().join("one/x.png")).unwrap();
    fs::create_dir(dir.path().join("single")).unwrap();
    fs::create_dir(dir.path().join("moved")).unwrap();
    fs::write(dir.path().join("moved/t.csv"), "image,label\nset/owl/1.png,owl\nset/bear/3.png,bear\n").unwrap();
    let not_there = "no image has a known label: paths in moved/t.csv are relative to its folder, moved, and none of them is an \
                     input, such as moved/set/bear/3.png\n";
    fs::write(dir.path().join("twice.csv"), "owl,fox\nowl,bear\n").unwrap();
    fs::write(dir.path().join("un.csv"), "owl,unknown\n").unwrap();
    fs::rename(dir.path().join("set/fox"), dir.path().join("single/fox")).unwrap();
    for (args, code, reason) in [
        (&["one", "-l", "owl,fox"][..], 2, "no image has a known label; --truth FILE names them"),
        (&["set", "--truth", "moved/t.csv"], 2, not_there),
        (&["one"], 2, "no image has a known label"),
        (&["single"], 2, "`fox` is the only label"),
        (&[], 2, "no input"),
        (&["nosuch"], 2, "nosuch: no such file"),
        (&["set", "--include", "["], 2, "is not a glob"),
        (&["set", "--unknown", "--map", "un.csv", "-l", "unknown,bear"], 2, "a label called `unknown`"),
        (&["set", "--map", "twice.csv"], 2, "`owl` is there twice"),
        (&["set", "-o", "r.csv", "--records", "r.csv"], 2, "the same file"),
        (&["set", "--vary", "template={}", "--vary", "template-set=openai-7"], 2, "give one of them"),
        (&["set", "--vary", "model=demo,./none"], 3, "none"),
        (&["set", "--vary", "model=demo", "--vary", "model=demo"], 2, "is given twice"),
        (&["set", "--vary", "size=1,2"], 2, "write one of model, precision, template, template-set"),
        (&["set", "--truth", "none.csv"], 2, "none.csv: cannot be read"),
        (&["set", "--truth", "cls"], 2, "no tar among the inputs"),
    ] {
        let output = evaluate(dir.path(), args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(reason), "{args:?}: {}", err(&output));
    }
}

#[test]
fn truths_lie_beside_images_in_tars() {
    let dir = labelled();
    let mut tar = tar::Builder::new(fs::File::create(dir.path().join("0.tar")).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for (key, image, class) in [("0", "owl.png", "1"), ("1", "fox.png", "0\n"), ("2", "bear.png", "owl")] {
        add(&format!("{key}.cls"), class.as_bytes());
        add(&format!("{key}.png"), &fs::read(picture(image)).unwrap());
    }
    drop(tar);
    let report = report(dir.path(), &["0.tar", "-l", "fox,owl"]);
    assert_eq!((&report["truth"]["kind"], metric(&report, "top1")), (&"cls".into(), 2.0 / 3.0));
    fs::write(dir.path().join("classnames.txt"), "fox\nowl\n").unwrap();
    assert_eq!(metric(&self::report(dir.path(), &["0.tar"]), "top1"), 2.0 / 3.0);
    // The fox is of none of the labels: it neither competes nor counts among the known ones.
    fs::write(dir.path().join("map.csv"), "fox,unknown\nowl,an owl\n").unwrap();
    let mapped = evaluate(dir.path(), &["0.tar", "--map", "map.csv", "--background", "a car"]);
    assert_eq!(mapped.status.code(), Some(0), "{}", err(&mapped));
    assert!(!err(&mapped).contains("the truth does not have"), "{}", err(&mapped));
    let mapped: Value = serde_json::from_str(out(&mapped)).unwrap();
    let labels: Vec<&str> =
        mapped["runs"][0]["labels"].as_array().unwrap().iter().map(|label| label["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["an owl"]);
    let reordered = evaluate(dir.path(), &["0.tar", "-l", "bear,owl,fox"]);
    let reordered: Value = serde_json::from_str(out(&reordered)).unwrap();
    assert_eq!(metric(&reordered, "top1"), 2.0 / 3.0, "numbers are those of classnames.txt");
}
