//! `--resume` and `--retry-failed`: whatever stops a run, the file is in the end that of a run that was not stopped.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::command::{err, model, run, zsic};
use common::long_run::{assert_alone, beside, command, limited, mend, path, pictures, stop_and_go_on};

const CLASSIFY: [&str; 3] = ["classify", "-l", "cat,dog,\"pizza\",car"];
const COUNT: usize = 300;

/// The file that a run without a stop writes, and its exit status.
fn whole(words: &[&str], folder: &Path, out: &Path) -> (Vec<u8>, Option<i32>) {
    let output = run(command(words, folder, out).arg("-q"));
    let bytes = fs::read(out).unwrap_or_else(|_| panic!("{}", err(&output)));
    fs::remove_file(out).unwrap();
    (bytes, output.status.code())
}

#[test]
fn killed_runs_end_as_if_they_had_not_been() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), COUNT);
    let csv = ["classify", "-l", "cat,dog,\"pizza\",car", "--min-score", "0.01", "--logits"];
    for (words, name, stops) in [
        (&CLASSIFY[..], "x.jsonl", 20),
        (&csv, "x.csv", 10),
        (&["embed"], "x.safetensors", 10),
        (&["embed"], "e.jsonl", 5),
    ] {
        let out = dir.path().join(name);
        let (expected, _) = whole(words, &folder, &out);
        let length = if name.ends_with("tensors") { COUNT as u64 * 30 } else { expected.len() as u64 };
        let stopped = stop_and_go_on(words, &[], &folder, &out, length, stops);
        assert!(stopped > stops / 3, "{name}: stopped {stopped} times only");
        assert!(fs::read(&out).unwrap() == expected, "{name}");
        assert_alone(&out);
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 100);
    for (words, name, kib) in [
        (&CLASSIFY[..], "x.jsonl", 8),
        (&CLASSIFY, "x.csv", 5),
        (&["embed"], "x.safetensors", 20),
        (&["embed"], "y.safetensors", 52), // the rows have room, and the file has not
    ] {
        let out = dir.path().join(name);
        let (expected, status) = whole(words, &folder, &out);
        let stopped = limited(kib, words, &folder, &out);
        assert_eq!(stopped.status.code(), Some(3), "{name}: {}", err(&stopped));
        assert!(
            err(&stopped).contains("cannot be written") && err(&stopped).contains("file too large"),
            "{}",
            err(&stopped)
        );
        assert!(fs::read_to_string(beside(&out, "")).unwrap().ends_with('\n') && !beside(&out, ".made").exists());
        let output = run(command(words, &folder, &out).arg("--resume"));
        assert_eq!(output.status.code(), status, "{}", err(&output));
        assert!(err(&output).contains("goes on after") && fs::read(&out).unwrap() == expected, "{name}");
        assert!(err(&output).contains("3 of 100 images failed"), "{}", err(&output));
        assert_alone(&out);
    }
}

#[test]
fn what_is_torn_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 30);
    for name in ["x.jsonl", "x.csv"] {
        let out = dir.path().join(name);
        let (expected, _) = whole(&CLASSIFY, &folder, &out);
        limited(1, &CLASSIFY, &folder, &out);
        let settings = fs::read(beside(&out, ".json")).unwrap();
        for cut in [0, 1, 30, 200, expected.len() / 2, expected.len() - 1, expected.len()] {
            fs::write(beside(&out, ""), &expected[..cut]).unwrap();
            fs::write(beside(&out, ".json"), &settings).unwrap();
            let output = run(command(&CLASSIFY, &folder, &out).arg("--resume"));
            assert!(fs::read(&out).unwrap() == expected, "{name} cut at {cut}: {}", err(&output));
            assert_alone(&out);
            fs::remove_file(&out).unwrap();
        }
    }
}

#[test]
fn failed_images_are_computed_again_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 100);
    let csv = ["classify", "-l", "cat,dog", "-k", "1"];
    let retry = ["--resume", "--retry-failed"];
    for (words, name, kib) in [(&CLASSIFY[..], "x.jsonl", 12), (&csv, "x.csv", 2), (&["embed"], "e.jsonl", 100)] {
        let out = dir.path().join(name);
        let (broken, _) = whole(words, &folder, &out);
        limited(kib, words, &folder, &out);
        let (partial, settings) = (fs::read(beside(&out, "")).unwrap(), fs::read(beside(&out, ".json")).unwrap());
        fs::remove_file(beside(&out, "")).unwrap();
        let torn: Vec<_> = (7..100).step_by(40).map(|n| (n, fs::read(path(&folder, n)).unwrap())).collect();
        mend(&folder, 100);
        let (expected, _) = whole(words, &folder, &out);
        assert!(expected != broken && broken.len() > partial.len());

        // From a finished file.
        fs::write(&out, &broken).unwrap();
        let output = run(command(words, &folder, &out).args(retry));
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(fs::read(&out).unwrap() == expected, "{name}");
        assert_alone(&out);
        let output = run(command(words, &folder, &out).args(retry));
        assert!(err(&output).contains("no image of it failed; nothing to do"), "{}", err(&output));
        // From a finished file, and stopped on the way.
        fs::write(&out, &broken).unwrap();
        stop_and_go_on(words, &retry[1..], &folder, &out, expected.len() as u64, 6);
        assert!(fs::read(&out).unwrap() == expected, "{name} stopped");
        assert_alone(&out);
        // From a partial; without the flag, what failed stays.
        for (flags, failed) in [(&retry[..], false), (&retry[..1], true)] {
            fs::remove_file(&out).unwrap();
            fs::write(beside(&out, ""), &partial).unwrap();
            fs::write(beside(&out, ".json"), &settings).unwrap();
            let output = run(command(words, &folder, &out).args(flags));
            assert_eq!(output.status.code(), Some(i32::from(failed)), "{}", err(&output));
            assert_eq!(fs::read(&out).unwrap() == expected, !failed, "{name}");
            assert_alone(&out);
        }
        torn.iter().for_each(|(n, bytes)| fs::write(path(&folder, *n), bytes).unwrap());
    }
}

#[test]
fn a_finished_file_of_other_settings_is_not_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 20);
    let out = dir.path().join("x.jsonl");
    let retry = ["--resume", "--retry-failed"];
    let (before, _) = whole(&CLASSIFY, &folder, &out);
    fs::write(&out, &before).unwrap();
    mend(&folder, 20);
    let output = run(command(&["classify", "-l", "cat,dog"], &folder, &out).args(retry));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("made with other settings"), "{}", err(&output));
    assert!(fs::read(&out).unwrap() == before);
    assert_alone(&out);
    // Nor is one of other inputs; those in the list that come first are computed, and taken back.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let output = run(command(&CLASSIFY, &other, &out).arg(path(&folder, 0)).args(retry));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("record 2 is of"), "{}", err(&output));
    assert!(fs::read(&out).unwrap() == before);
    assert_alone(&out);
    let output = run(command(&CLASSIFY, &folder, &out).args(retry));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = dir.path().join("notes.csv");
    fs::write(&text, "my,own\n1,2\n").unwrap();
    let output = run(command(&CLASSIFY, &folder, &text).args(retry));
    assert_eq!((output.status.code(), fs::read(&text).unwrap()), (Some(2), b"my,own\n1,2\n".to_vec()));
    assert!(err(&output).contains("has no records like those"), "{}", err(&output));
}

#[test]
fn other_settings_and_other_inputs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 60);
    let out = dir.path().join("x.jsonl");
    limited(4, &CLASSIFY, &folder, &out);
    let partial = fs::read(beside(&out, "")).unwrap();
    let refused = |words: &[&str], said: &str| {
        let output = run(command(words, &folder, &out).arg("--resume"));
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(err(&output).contains(said), "{}", err(&output));
        assert!(fs::read(beside(&out, "")).unwrap() == partial, "nothing is lost");
    };
    let with = |extra: &[&'static str]| [&CLASSIFY[..], extra].concat();
    refused(
        &["classify", "-l", "cat,dog"],
        "`labels` was [\"cat\",\"dog\",\"\\\"pizza\\\"\",\"car\"] and is [\"cat\",\"dog\"]",
    );
    refused(&with(&["-t", "{}"]), "`templates` was");
    refused(&with(&["-k", "1"]), "`top_k` was null and is 1");
    refused(&with(&["--min-score", "0.1"]), "`min_score` was 0.0 and is 0.1");
    refused(&with(&["--logits"]), "`logits` was false and is true");
    refused(&with(&["--activation", "sigmoid"]), "`activation` was \"auto\" and is \"sigmoid\"");
    refused(&with(&["--precision", "f32"]), "`precision` was \"auto\" and is \"f32\"");
    refused(&with(&["--max-pixels", "9"]), "`max_pixels` was 179000000 and is 9");
    refused(&with(&["--format", "csv"]), "`format` was \"jsonl\" and is \"csv\"");
    refused(&["embed"], "`command` was");

    fs::rename(path(&folder, 3), folder.join("003a.ppm")).unwrap();
    refused(&CLASSIFY, "003.ppm`, and the inputs have `");
    fs::rename(folder.join("003a.ppm"), path(&folder, 3)).unwrap();
    let output = run(command(&CLASSIFY, &path(&folder, 0), &out).arg("--resume"));
    assert!(err(&output).contains("record 2 is of `") && err(&output).contains("end before it"), "{}", err(&output));
    fs::rename(beside(&out, ".json"), dir.path().join("settings")).unwrap();
    refused(&CLASSIFY, "that says how it was made");
    fs::rename(dir.path().join("settings"), beside(&out, ".json")).unwrap();

    let other = |flags: &[&str]| run(zsic(&CLASSIFY).args(flags).arg(&folder).arg("--resume").arg("-o").arg(&out));
    let output = other(&["-m", &model("gelu")]);
    assert!(err(&output).contains("`checkpoint.directory` was null and is"), "{}", err(&output));
    // Threads and batches decide nothing.
    let output = other(&["-m", "demo", "-j", "2", "--batch-size", "5"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
}

#[test]
fn a_partial_comes_back_where_its_retry_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 100);
    let out = dir.path().join("x.jsonl");
    limited(12, &CLASSIFY, &folder, &out);
    let partial = fs::read(beside(&out, "")).unwrap();
    mend(&folder, 100);
    fs::rename(path(&folder, 12), folder.join("012a.ppm")).unwrap(); // behind one that failed
    let output = run(command(&CLASSIFY, &folder, &out).args(["--resume", "--retry-failed"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("record 13 is of"), "{}", err(&output));
    assert!(fs::read(beside(&out, "")).unwrap() == partial && !beside(&out, ".old").exists());
    fs::rename(folder.join("012a.ppm"), path(&folder, 12)).unwrap();
    let output = run(command(&CLASSIFY, &folder, &out).args(["--resume", "--retry-failed"]));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_alone(&out);
}

#[test]
fn a_signal_before_the_first_record_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, all) = (pictures(dir.path(), 20), |dir: &Path| fs::read_dir(dir).unwrap().count());
    for (name, signal, finished) in [("x.jsonl", "INT", false), ("x.csv", "TERM", false), ("x.jsonl", "INT", true)] {
        let (out, place) = (dir.path().join(name), dir.path());
        if finished {
            run(&mut command(&CLASSIFY, &folder, &out));
        }
        let before = all(place);
        let (list, meta) = (["--files-from", "-", "--meta"], dir.path().join("meta.json"));
        let mut child = zsic(&CLASSIFY);
        child.args(["-m", "demo"]).args(list).arg(&meta).arg("-o").arg(&out).stdin(Stdio::piped());
        if finished {
            child.args(["--resume", "--retry-failed"]);
        }
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        while all(place) < before + if finished { 4 } else { 2 } {
            std::thread::sleep(std::time::Duration::from_millis(5)); // until the partials are there
        }
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(child.wait().unwrap().code().is_some_and(|code| code > 128));
        assert_eq!(all(place), before, "{name}");
    }
}

#[test]
fn where_there_is_nothing_to_resume() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 4);
    let out = dir.path().join("x.csv");
    let output = run(command(&CLASSIFY, &folder, &out).arg("--resume"));
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
    let written = fs::read(&out).unwrap();
    let output = run(command(&CLASSIFY, &folder, &out).arg("--resume"));
    assert_eq!(output.status.code(), Some(0));
    assert!(err(&output).contains("x.csv: is finished; nothing to do"), "{}", err(&output));
    assert_eq!(fs::read(&out).unwrap(), written);
    assert_alone(&out);
    for (words, name, said) in [
        (&CLASSIFY[..], "x.json", "a json cannot be resumed"),
        (&CLASSIFY, "-", "cannot be resumed"),
        (&CLASSIFY, "/dev/null", "is no file"),
    ] {
        let output = run(command(words, &folder, Path::new(name)).arg("--resume"));
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(err(&output).contains(said), "{}", err(&output));
    }
    // Without the flag a partial is written anew, and what was beside it goes.
    fs::write(beside(&out, ""), "left").unwrap();
    fs::write(beside(&out, ".old"), "left").unwrap();
    let output = run(&mut command(&CLASSIFY, &folder, &out));
    assert!(err(&output).contains("left by a run that was stopped; written anew, where --resume"), "{}", err(&output));
    assert_alone(&out);
}

#[test]
fn how_it_was_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 12);
    fs::write(folder.join("notes.txt"), "no image").unwrap();
    let (out, meta) = (dir.path().join("x.csv"), dir.path().join("meta.json"));
    let told = |words: &[&str], flags: &[&str]| {
        let output = run(command(words, &folder, &out).arg("--meta").arg(&meta).args(flags));
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert_alone(&out);
        common::json(&meta)
    };
    let mut first = told(&CLASSIFY, &[]);
    assert_eq!(first["counts"], serde_json::json!({"records": 12, "failed": 1, "skipped": 1}));
    assert_eq!(first["checkpoint"], serde_json::json!({"name": "demo"}));
    assert_eq!(first["labels"], serde_json::json!(["cat", "dog", "\"pizza\"", "car"]));
    assert_eq!(first["templates"], serde_json::json!(["This is a photo of {}."]));
    assert_eq!(first["run"]["threads"], 1);
    // Of a run that was stopped it says the same, but for the circumstances.
    fs::remove_file(&out).unwrap();
    limited(1, &CLASSIFY, &folder, &out);
    assert!(beside(&out, "").exists());
    let mut second = told(&CLASSIFY, &["--resume"]);
    first["run"].take();
    second["run"].take();
    assert_eq!(first, second);
    let output = run(command(&CLASSIFY, &folder, &out).arg("--meta").arg(&out));
    assert!(err(&output).contains("is what -o writes"), "{}", err(&output));
    // Of a finished file it is not known.
    let finished = |said| {
        let output = run(command(&CLASSIFY, &folder, &out).arg("--resume").arg("--meta").arg(&meta));
        assert_eq!((output.status.code(), err(&output).contains("meta.json: is not written")), (Some(0), said));
    };
    let written = fs::read(&meta).unwrap();
    finished(false);
    assert_eq!(fs::read(&meta).unwrap(), written);
    fs::remove_file(&meta).unwrap();
    finished(true);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the folder and the file");
    let out = dir.path().join("x.safetensors");
    assert!(run(command(&["embed"], &folder, &out).arg("--meta").arg(&meta)).status.code() == Some(1));
    assert_eq!(common::json(&meta)["command"], "embed");
}
