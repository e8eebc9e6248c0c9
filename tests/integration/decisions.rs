//! Answers on top of scores: background, thresholds, temperature, groups, in every format and over stops. Scores are
//! recomputed in f64 from the logits that the same run prints without these flags; tolerance 1e-6.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::command::{err, image, lines, model, out, run, zsic};
use crate::common::long_run::{command, limited, noting, pictures};

const LABELS: &str = "fox,bear,owl";
const OTHERS: &str = "a car,a cloud";

/// `zsic classify` of two pictures by a checkpoint.
fn classify(checkpoint: &str, args: &[&str]) -> Command {
    let checkpoint = if checkpoint == "demo" { "demo".to_owned() } else { model(checkpoint) };
    let mut command = zsic(&["classify", "-m", &checkpoint, &image("wide.png"), &image("tall.png")]);
    command.args(args);
    command
}

fn records(checkpoint: &str, args: &[&str]) -> Vec<Value> {
    let output = run(&mut classify(checkpoint, args));
    assert!(output.status.success(), "{}", err(&output));
    lines(&output)
}

/// The number of a label in a record.
fn number(record: &Value, label: &str, key: &str) -> f64 {
    let predictions = record["predictions"].as_array().unwrap();
    predictions.iter().find(|p| p["label"] == label).unwrap()[key].as_f64().unwrap()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} {b}");
}

/// The logits of all labels, those that will be background included.
fn logits(checkpoint: &str) -> Vec<Vec<f64>> {
    let all = format!("{LABELS},{OTHERS}");
    let of = |record: &Value| all.split(',').map(|label| number(record, label, "logit")).collect();
    records(checkpoint, &["-l", &all, "--logits"]).iter().map(of).collect()
}

#[test]
fn the_background_takes_its_share_and_is_never_answered() {
    for (checkpoint, is_sigmoid) in [("quick-gelu", false), ("siglip/gemma", true)] {
        let with = records(checkpoint, &["-l", LABELS, "--background", OTHERS]);
        for (record, logits) in with.iter().zip(logits(checkpoint)) {
            let largest = logits.iter().copied().fold(f64::MIN, f64::max);
            let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
            let (sum, others): (f64, f64) = (powers.iter().sum(), powers[3..].iter().sum());
            close(record["unknown"].as_f64().unwrap(), others / sum);
            for (label, place) in LABELS.split(',').zip(0..) {
                let expected = if is_sigmoid { 1.0 / (1.0 + (-logits[place]).exp()) } else { powers[place] / sum };
                close(number(record, label, "score"), expected);
            }
            let best = (0..3).max_by(|&a, &b| powers[a].total_cmp(&powers[b])).unwrap();
            let answer = (powers[best] >= others).then(|| LABELS.split(',').nth(best).unwrap());
            assert_eq!(record["answers"].as_array().unwrap().first().and_then(Value::as_str), answer);
            let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["image", "answers", "unknown", "predictions"]);
        }
    }
}

#[test]
fn independent_labels_compete_with_the_background_alone() {
    for checkpoint in ["quick-gelu", "siglip/gemma"] {
        let with = records(checkpoint, &["-l", LABELS, "--background", OTHERS, "--independent"]);
        for (record, logits) in with.iter().zip(logits(checkpoint)) {
            let background = (logits[3].exp() + logits[4].exp()).ln();
            for (label, logit) in LABELS.split(',').zip(&logits) {
                let score = 1.0 / (1.0 + (background - logit).exp());
                close(number(record, label, "score"), score);
                let answers = record["answers"].as_array().unwrap();
                assert_eq!(answers.contains(&label.into()), score >= 0.5, "{label} {score}");
            }
        }
    }
}

#[test]
fn a_temperature_changes_scores_and_not_logits() {
    let bare = records("quick-gelu", &["-l", LABELS, "--logits"]);
    let hot = records("quick-gelu", &["-l", LABELS, "--logits", "--temperature", "5"]);
    for (bare, hot) in bare.iter().zip(&hot) {
        let powers: Vec<f64> = LABELS.split(',').map(|label| (number(bare, label, "logit") / 5.0).exp()).collect();
        for (label, power) in LABELS.split(',').zip(&powers) {
            assert_eq!(number(hot, label, "logit"), number(bare, label, "logit"));
            close(number(hot, label, "score"), power / powers.iter().sum::<f64>());
        }
        assert_eq!(hot["answers"][0], hot["predictions"][0]["label"]);
    }
}

#[test]
fn higher_thresholds_accept_less() {
    let accepted = |least: &str| -> usize {
        let args = ["-l", LABELS, "--background", OTHERS, "--independent", "--threshold", least];
        records("quick-gelu", &args).iter().map(|record| record["answers"].as_array().unwrap().len()).sum()
    };
    let counts: Vec<usize> = ["0", "0.3", "0.6", "0.9", "0.99", "1"].map(accepted).into();
    assert!(counts.is_sorted_by(|a, b| a >= b) && counts[0] > counts[5], "{counts:?}");
}

#[test]
fn scores_of_a_group_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("groups.csv");
    fs::write(&file, "\u{feff}label,group\r\nfox,mammal\r\nbear, mammal\r\nwolf,mammal\r\n").unwrap();
    let file = file.display().to_string();
    let bare = records("quick-gelu", &["-l", LABELS]);
    let output = run(&mut classify("quick-gelu", &["-l", LABELS, "--groups", &file]));
    assert!(err(&output).contains("these are not among the labels: `wolf`"), "{}", err(&output));
    for (bare, grouped) in bare.iter().zip(lines(&output)) {
        assert_eq!(grouped["predictions"].as_array().unwrap().len(), 2);
        close(number(&grouped, "mammal", "score"), number(bare, "fox", "score") + number(bare, "bear", "score"));
        close(number(&grouped, "owl", "score"), number(bare, "owl", "score"));
        assert!(grouped.get("answers").is_none(), "groups alone decide nothing");
    }
    let alone = records("quick-gelu", &["--groups", &file]);
    assert_eq!(alone[0]["predictions"].as_array().unwrap().len(), 1, "fox, bear and wolf are one group");
}

#[test]
fn a_second_rank_answers_where_the_first_is_not_sure() {
    let dir = tempfile::tempdir().unwrap();
    let [species, classes] = ["species.csv", "classes.csv"].map(|name| dir.path().join(name).display().to_string());
    fs::write(&species, "fox,red fox\nbear,brown bear\nowl,owl\n").unwrap();
    fs::write(&classes, "Label,Group\nred fox,mammal\nbrown bear,mammal\nowl,bird\n").unwrap();
    let ranks = ["-l", LABELS, "--groups", &species, "--groups", &classes];
    let sure = records("quick-gelu", &[&ranks[..], &["--threshold", "0"]].concat());
    let record = &records("quick-gelu", &[&ranks[..], &["--threshold", "*=1,mammal=0,bird=0"]].concat())[0];
    let (mammal, owl) = (
        number(&sure[0], "red fox", "score") + number(&sure[0], "brown bear", "score"),
        number(&sure[0], "owl", "score"),
    );
    let (answer, score) = if mammal > owl { ("mammal", mammal) } else { ("bird", owl) };
    assert_eq!(record["answers"], serde_json::json!([answer]));
    assert_eq!(
        (&record["predictions"][0]["label"], record["predictions"].as_array().unwrap().len()),
        (&answer.into(), 4)
    );
    close(number(record, answer, "score"), score);
    let bare = records("quick-gelu", &ranks);
    assert!(bare[0].get("answers").is_none() && bare[0]["predictions"].as_array().unwrap().len() == 3);
    let none = records("quick-gelu", &[&ranks[..], &["--threshold", "1"]].concat());
    assert_eq!(none[0]["answers"], serde_json::json!([]));
}

#[cfg(feature = "demo")]
#[test]
fn the_built_in_list_knows_what_the_labels_are_not() {
    let owl = |labels: &str| {
        let output = run(&mut zsic(&["classify", "demo:owl.png", "-m", "demo", "-l", labels, "--unknown"]));
        assert!(output.status.success(), "{}", err(&output));
        lines(&output).remove(0)
    };
    assert_eq!(owl("fox,owl,bear")["answers"][0], "owl");
    let unknown = owl("fox,bear");
    assert_eq!((&unknown["answers"], unknown["unknown"].as_f64().unwrap() > 0.9), (&Value::Array(Vec::new()), true));
    // `owl` is in the list, and would take the place of the label.
    assert!(owl("owl")["unknown"].as_f64().unwrap() < 0.1);
}

/// What the command printed for the two pictures.
fn printed(args: &[&str]) -> Output {
    let all = ["-l", LABELS, "--background", OTHERS, "--threshold", "fox=1,*=0"];
    let output = run(classify("quick-gelu", &all).args(args));
    assert!(output.status.success(), "{}", err(&output));
    output
}

#[test]
fn every_format_has_a_place_for_the_answer_or_refuses_it() {
    let output = printed(&["--format", "csv", "--logits"]);
    let rows: Vec<&str> = out(&output).lines().collect();
    assert_eq!((rows[0], rows.len()), ("image,label,score,logit,accepted,error", 7));
    let accepted = rows[1..].iter().filter(|row| row.ends_with(",true,")).count();
    let output = printed(&[]);
    let answers: usize = lines(&output).iter().map(|record| record["answers"].as_array().unwrap().len()).sum();
    assert_eq!(accepted, answers);
    assert!(rows[1..].iter().all(|row| row.ends_with(",true,") || row.ends_with(",false,")));
    let output = run(&mut classify(
        "quick-gelu",
        &["-l", LABELS, "--background", OTHERS, "--format", "table", "--threshold", "1"],
    ));
    assert_eq!(out(&output).matches("  unknown  ").count(), 2, "{}", out(&output));
    let output = run(&mut classify("quick-gelu", &["-l", LABELS, "--unknown", "--format", "pipeline"]));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn wrong_rules_are_usage_errors() {
    for (args, reason) in [
        (&["--background", "owl"][..], "`owl` is both a label and background"),
        (&["--threshold", "wol=0.5"], "no label is called `wol`; did you mean `owl`?"),
        (&["--threshold", "2"], "use a number from 0 to 1, or LABEL=X"),
        (&["--temperature", "0"], "use a number from 0.001 to 1000"),
        (&["--background", "a,,b"], "a label is empty"),
        (&["--background-file", "nothing.txt"], "nothing.txt: cannot be read"),
        (&["--groups", "nothing.csv"], "nothing.csv: cannot be read"),
        (&["--unknown", "--activation", "sigmoid"], "use --independent instead of --activation sigmoid"),
    ] {
        let output = run(classify("quick-gelu", &["-l", LABELS]).args(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(reason), "{args:?}: {}", err(&output));
    }
}

#[cfg(feature = "demo")]
#[test]
fn resumed_and_sharded_runs_have_the_same_bytes() {
    const COUNT: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), COUNT);
    let rules = ["classify", "-l", "fox,owl", "--unknown", "--threshold", "0.6"];
    let [whole, resumed] = ["whole.csv", "resumed.csv"].map(|name| dir.path().join(name));
    let cache = dir.path().join("cache");
    run(&mut command(&rules, &folder, &whole));
    let whole = fs::read(whole).unwrap();
    let again = [&rules[..], &["--resume"]].concat();
    let stopped = limited(1, &rules, &folder, &resumed);
    assert_eq!(stopped.status.code(), Some(3), "{}", err(&stopped));
    let output = run(&mut noting(&again, &folder, &resumed, &cache));
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(fs::read(&resumed).unwrap() == whole);
    for other in [&["--threshold", "0.7"][..], &["--independent"], &["--temperature", "2"], &["--background", "a car"]]
    {
        let words = ["classify", "-l", "fox,owl", "--unknown", "--resume"];
        let output = run(noting(&words, &folder, &resumed, &cache).args(other));
        assert_eq!(output.status.code(), Some(2), "{other:?}");
        assert!(err(&output).contains("decision"), "{}", err(&output));
    }
    let shares = ["1/2", "2/2"].map(|share| {
        let out = dir.path().join("share.csv");
        run(&mut command(&[&rules[..], &["--shard", share]].concat(), &folder, &out));
        fs::read_to_string(out).unwrap()
    });
    let mut rows: Vec<&str> = shares.iter().flat_map(|share| share.lines().skip(1)).collect();
    let mut all: Vec<&str> = std::str::from_utf8(&whole).unwrap().lines().skip(1).collect();
    rows.sort_unstable();
    all.sort_unstable();
    assert_eq!(rows, all);
}
