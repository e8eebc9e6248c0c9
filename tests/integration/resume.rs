//! `--resume` and `--retry-failed`: whatever stops a run, the file is in the end that of a run that was not stopped.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::command::{err, model, run, zsic};
use crate::common::long_run::{assert_alone, beside, command, limited, mend, path, pictures, stop_and_go_on, stop_at};

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
        let stopped = stop_and_go_on(words, &folder, &out, expected.len() as u64, stops);
        assert!(stopped > stops / 3, "{name}: stopped {stopped} times only");
        assert!(fs::read(&out).unwrap() == expected, "{name}");
        assert_alone(&out);
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 100);
    for (words, name) in [(&CLASSIFY[..], "x.jsonl"), (&CLASSIFY, "x.csv"), (&["embed"], "x.safetensors")] {
        let out = dir.path().join(name);
        let (expected, status) = whole(words, &folder, &out);
        let stopped = stop_at(40, &expected, words, &folder, &out);
        assert_eq!(stopped.status.code(), Some(3), "{name}: {}", err(&stopped));
        assert!(
            err(&stopped).contains("cannot be written") && err(&stopped).contains("file too large"),
            "{}",
            err(&stopped)
        );
        assert!(beside(&out, "").exists() && !beside(&out, ".made").exists());
        let output = run(command(words, &folder, &out).arg("--resume"));
        assert_eq!(output.status.code(), status, "{}", err(&output));
        assert!(err(&output).contains("continues after") && fs::read(&out).unwrap() == expected, "{name}");
        assert!(err(&output).contains("3 of 100 images failed"), "{}", err(&output));
        assert_alone(&out);
    }
}

/// A partial of most records with what lies beside it, to be damaged.
struct Left {
    out: PathBuf,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Left {
    fn new(words: &[&str], folder: &Path, out: &Path, whole: &[u8]) -> Self {
        stop_at(75, whole, words, folder, out);
        let read = |ending| {
            let path = beside(out, ending);
            (ending, fs::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}")))
        };
        Self { out: out.to_path_buf(), files: ["", ".json", ".journal"].map(read).into() }
    }

    fn put(&self) -> &Vec<u8> {
        self.files.iter().for_each(|(ending, bytes)| fs::write(beside(&self.out, ending), bytes).unwrap());
        &self.files[0].1
    }

    /// Puts all, one of them changed.
    fn put_with(&self, ending: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.put();
        let mut bytes = fs::read(beside(&self.out, ending)).unwrap();
        change(&mut bytes);
        fs::write(beside(&self.out, ending), bytes).unwrap();
    }
}

#[test]
fn what_is_torn_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 30);
    for (words, name) in [(&CLASSIFY[..], "x.jsonl"), (&CLASSIFY, "x.csv"), (&["embed"], "x.safetensors")] {
        let out = dir.path().join(name);
        let (expected, _) = whole(words, &folder, &out);
        let left = Left::new(words, &folder, &out, &expected);
        for (ending, length) in [("", left.files[0].1.len()), (".journal", left.files[2].1.len())] {
            assert!(length > 400, "{name}");
            for cut in [0, 1, 30, length / 2, length - 70, length - 1] {
                left.put_with(ending, |bytes| bytes.truncate(cut));
                let output = run(command(words, &folder, &out).arg("--resume"));
                assert!(fs::read(&out).unwrap() == expected, "{name}{ending} cut at {cut}: {}", err(&output));
                assert_alone(&out);
                fs::remove_file(&out).unwrap();
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_a_record_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 20);
    for (words, name) in [(&CLASSIFY[..], "x.jsonl"), (&CLASSIFY, "x.csv"), (&["embed"], "x.safetensors")] {
        let out = dir.path().join(name);
        let (expected, _) = whole(words, &folder, &out);
        let left = Left::new(words, &folder, &out, &expected);
        for (ending, length) in [("", left.files[0].1.len()), (".journal", left.files[2].1.len())] {
            for at in [60, length / 3, length / 2 + 7] {
                left.put_with(ending, |bytes| bytes[at] ^= 1);
                let output = run(command(words, &folder, &out).arg("--resume"));
                assert!(fs::read(&out).is_ok_and(|is| is == expected), "{name}{ending} {at}: {}", err(&output));
                assert!(
                    err(&output).contains("1 record in it is damaged, and computed again"),
                    "{name}{ending} {at}: {}",
                    err(&output)
                );
                assert_alone(&out);
                fs::remove_file(&out).unwrap();
            }
        }
    }
}

#[test]
fn images_of_one_name_keep_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, shard) = (pictures(dir.path(), 41), dir.path().join("shard.tar"));
    let mut tar = tar::Builder::new(fs::File::create(&shard).unwrap());
    for n in 0..41 {
        let bytes = fs::read(path(&folder, n)).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, "same.ppm", &*bytes).unwrap();
    }
    tar.finish().unwrap();
    for flags in [&["--min-score", "0.3"][..], &["--min-score", "0.9"], &[]] {
        let words = [&CLASSIFY[..], flags].concat();
        let out = dir.path().join("x.csv");
        let (expected, _) = whole(&words, &shard, &out);
        for kib in 1..=4 {
            if kib * 1024 < expected.len() as u32 {
                assert_eq!(limited(kib, &words, &shard, &out).status.code(), Some(3));
                let output = run(command(&words, &shard, &out).arg("--resume"));
                assert!(fs::read(&out).unwrap() == expected, "{flags:?}, {kib} KiB: {}", err(&output));
                fs::remove_file(&out).unwrap();
            }
        }
    }
}

#[test]
fn an_image_that_was_edited_since_is_scored_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 60);
    let csv = ["classify", "-l", "cat,dog", "-k", "1"];
    for (words, name) in
        [(&CLASSIFY[..], "x.jsonl"), (&csv, "x.csv"), (&["embed"], "e.jsonl"), (&["embed"], "e.safetensors")]
    {
        let out = dir.path().join(name);
        stop_at(60, &whole(words, &folder, &out).0, words, &folder, &out);
        let torn = fs::read(path(&folder, 7)).unwrap();
        mend(&folder, 60); // one is in the partial
        fs::copy(path(&folder, 4), path(&folder, 5)).unwrap();
        let output = run(command(words, &folder, &out).arg("--resume"));
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(err(&output).contains("continues after 5 of its images; records of unchanged"), "{}", err(&output));
        let resumed = fs::read(&out).unwrap();
        assert_alone(&out);
        assert!(resumed == whole(words, &folder, &out).0, "{name}");
        (7..60).step_by(40).for_each(|n| fs::write(path(&folder, n), &torn).unwrap());
    }
}

#[test]
fn images_that_come_and_go_while_a_run_is_stopped_are_taken_as_they_are_then() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 60);
    let out = dir.path().join("x.jsonl");
    stop_at(60, &whole(&CLASSIFY, &folder, &out).0, &CLASSIFY, &folder, &out);
    let partial = fs::read(beside(&out, "")).unwrap();
    fs::copy(path(&folder, 1), folder.join("003a.ppm")).unwrap();
    fs::remove_file(path(&folder, 9)).unwrap();
    let output = run(command(&CLASSIFY, &folder, &out).arg("--resume"));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("1 image of it is no longer among the inputs (the first is `"), "{}", err(&output));
    assert!(err(&output).contains("009.ppm`)") && err(&output).contains("--drop-missing"), "{}", err(&output));
    assert!(fs::read(beside(&out, "")).unwrap() == partial, "nothing is lost");
    // From a list that can be read once only, it shows at the end.
    let list = |flags: &[&str]| {
        let mut child = command(&CLASSIFY, Path::new("--files-from=-"), &out);
        let child = child.arg("--resume").args(flags).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let list: String = names.iter().map(|name| format!("{}\n", name.display())).collect();
        child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = list(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("009.ppm`)") && !out.exists(), "{}", err(&output));
    let output = list(&["--drop-missing"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("left out the record of 1 image"), "{}", err(&output));
    let resumed = fs::read(&out).unwrap();
    assert_alone(&out);
    assert!(resumed == whole(&CLASSIFY, &folder, &out).0);
}

#[test]
fn other_settings_and_other_inputs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 60);
    let out = dir.path().join("x.jsonl");
    stop_at(30, &whole(&CLASSIFY, &folder, &out).0, &CLASSIFY, &folder, &out);
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
    refused(&["embed"], "`command` was");

    let output = run(command(&CLASSIFY, &path(&folder, 0), &out).arg("--resume"));
    assert!(err(&output).contains("images of it are no longer among the inputs"), "{}", err(&output));
    fs::rename(beside(&out, ".journal"), dir.path().join("journal")).unwrap();
    refused(&CLASSIFY, "which says what is in it, is missing");
    fs::rename(dir.path().join("journal"), beside(&out, ".journal")).unwrap();
    fs::rename(beside(&out, ".json"), dir.path().join("settings")).unwrap();
    refused(&CLASSIFY, "was not written by zsic");
    fs::rename(dir.path().join("settings"), beside(&out, ".json")).unwrap();

    let other = |flags: &[&str]| run(zsic(&CLASSIFY).args(flags).arg(&folder).arg("--resume").arg("-o").arg(&out));
    let output = other(&["-m", &model("gelu")]);
    assert!(err(&output).contains("`checkpoint.directory` was null and is"), "{}", err(&output));
    // Threads and batches decide nothing.
    let output = other(&["-m", "demo", "-j", "2", "--batch-size", "5"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
}

#[test]
fn a_signal_before_the_first_record_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, all) = (pictures(dir.path(), 20), |dir: &Path| fs::read_dir(dir).unwrap().count());
    for (name, signal, finished) in [("x.jsonl", "INT", false), ("x.csv", "TERM", false), ("x.jsonl", "INT", true)] {
        let (out, place) = (dir.path().join(name), dir.path());
        if finished {
            run(zsic(&CLASSIFY).args(["-m", "demo", "-o"]).arg(&out).arg(&folder));
        }
        let before = all(place);
        let (list, meta) = (["--files-from", "-", "--meta"], dir.path().join("meta.json"));
        let mut child = zsic(&CLASSIFY);
        child.args(["-m", "demo"]).args(list).arg(&meta).arg("-o").arg(&out).stdin(Stdio::piped());
        if finished {
            child.args(["--resume", "--retry-failed"]);
        }
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        while all(place) < before + 2 {
            std::thread::sleep(std::time::Duration::from_millis(5)); // until the partials are there
        }
        let _list = child.stdin.take(); // while it is open, only the signal ends the run
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
    assert_eq!(output.status.code(), Some(0));
    assert!(!err(&output).contains("x.csv"), "{}", err(&output));
    let written = fs::read(&out).unwrap();
    let output = run(command(&CLASSIFY, &folder, &out).arg("--resume"));
    assert_eq!(output.status.code(), Some(0));
    assert!(err(&output).contains("x.csv: is finished; nothing to do"), "{}", err(&output));
    assert_eq!(fs::read(&out).unwrap(), written);
    assert_alone(&out);
    for (words, name, said) in [
        (&CLASSIFY[..], "x.json", "json cannot be resumed"),
        (&CLASSIFY, "-", "cannot be resumed"),
        (&CLASSIFY, "/dev/null", "is not a regular file"),
    ] {
        let output = run(command(words, &folder, Path::new(name)).arg("--resume"));
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(err(&output).contains(said), "{}", err(&output));
    }
    // Without the flag a partial is written anew, and what was beside it goes.
    for ending in ["", ".journal", ".old", ".old.journal"] {
        fs::write(beside(&out, ending), "left").unwrap();
    }
    fs::write(beside(&out, ".json"), r#"{"zsic": "0.1.0", "command": "classify"}"#).unwrap();
    let output = run(&mut command(&CLASSIFY, &folder, &out));
    assert!(err(&output).contains("left by a run that was stopped; starting over (--resume"), "{}", err(&output));
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
        crate::common::json(&meta)
    };
    let mut first = told(&CLASSIFY, &[]);
    assert_eq!(first["counts"], serde_json::json!({"records": 12, "failed": 1, "skipped": 1}));
    assert_eq!(first["checkpoint"], serde_json::json!({"name": "demo"}));
    assert_eq!(first["labels"], serde_json::json!(["cat", "dog", "\"pizza\"", "car"]));
    assert_eq!(first["templates"], serde_json::json!(["This is a photo of {}."]));
    assert_eq!(first["run"]["threads"], 1);
    // Of a run that was stopped it says the same, but for the circumstances.
    stop_at(50, &whole(&CLASSIFY, &folder, &out).0, &CLASSIFY, &folder, &out);
    assert!(beside(&out, "").exists());
    let mut second = told(&CLASSIFY, &["--resume"]);
    first["run"].take();
    second["run"].take();
    assert_eq!(first, second);
    let output = run(command(&CLASSIFY, &folder, &out).arg("--meta").arg(&out));
    assert!(err(&output).contains("is what -o writes"), "{}", err(&output));
    let out = dir.path().join("x.safetensors");
    assert!(run(command(&["embed"], &folder, &out).arg("--meta").arg(&meta)).status.code() == Some(1));
    assert_eq!(crate::common::json(&meta)["command"], "embed");
}
