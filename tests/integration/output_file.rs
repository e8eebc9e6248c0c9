//! `-o`: what becomes of the file, its partial, and of files that must not be written over.

use std::fs;
use std::io::Write;
#[cfg(unix)] // links, permissions, pipes, signals and limits
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::command::{err, image, lines, model, out, run, zsic};

const LABELS: &str = "cat,the cat's toy,wine glass";

/// `zsic classify` with the quick-gelu checkpoint.
fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "-l", LABELS]);
    command.args(args);
    command
}

/// The same with a checkpoint that is not there.
fn without_model(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", "/nope", "-l", LABELS]);
    command.args(args);
    command
}

fn write_to(path: &Path) -> Output {
    run(classify(&[&image("wide.png"), "-o"]).arg(path))
}

#[test]
fn an_output_file_appears_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.csv");
    let output = run(&mut classify(&[&image("wide.png"), "-o", &path.display().to_string()]));
    assert_eq!((output.status.code(), out(&output)), (Some(0), ""));
    assert!(fs::read_to_string(&path).unwrap().starts_with("image,label,score,error\n"));
    assert!(!dir.path().join("scores.csv.partial").exists());
    if cfg!(unix) {
        let output = run(&mut classify(&[&image("wide.png"), "-o", "/dev/stdout"]));
        assert_eq!(lines(&output).len(), 1);
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_be_there_a_file_behind_it_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let (link, behind) = (dir.path().join("link.CSV"), folder.join("scores.csv"));
    symlink("folder/scores.csv", &link).unwrap();
    for _ in 0..2 {
        let output = write_to(&link);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&behind).unwrap().starts_with("image,label"), "its ending is in capitals");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}

#[cfg(unix)]
#[test]
fn signals_end_the_run_between_lines() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let mut child = classify(&["--files-from", "-", "-o", &path.display().to_string()]);
        let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{}", image("wide.png")).unwrap();
        let partial = dir.path().join("out.jsonl.partial");
        let written = || fs::read_to_string(&partial).is_ok_and(|text| text.ends_with('\n'));
        while !written() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status));
        assert!(written() && !path.exists(), "the partial stays");
    }
}

#[test]
fn what_is_read_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (picture, labels) = (dir.path().join("in.png"), dir.path().join("labels"));
    fs::copy(image("wide.png"), &picture).unwrap();
    fs::write(&labels, "a\nb\n").unwrap();
    let output = run(classify(&[]).arg(&picture).arg("-o").arg(&picture));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("in.png: is an input of this run"), "{}", err(&output));
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), &image("wide.png")]);
    let output = run(command.arg("--labels-file").arg(&labels).arg("-o").arg(&labels));
    assert_eq!((output.status.code(), fs::read(&labels).unwrap()), (Some(2), b"a\nb\n".to_vec()));
    // Nor is any image, wherever its name came from.
    let unnamed = dir.path().join("picture");
    fs::rename(&picture, &unnamed).unwrap();
    let output = run(classify(&[]).arg(dir.path()).arg("-o").arg(&unnamed));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("is an image"), "{}", err(&output));
    assert_eq!(fs::read(&unnamed).unwrap(), fs::read(image("wide.png")).unwrap());
}

#[test]
fn what_a_later_run_would_read_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    for (name, said) in [
        ("x.png", "x.png: is named like an image"),
        ("x.JPEG", "named like an image"),
        ("x.heic", "named like an image"),
        ("x.tar", "named like a tar"),
    ] {
        for flag in ["-o", "--meta"] {
            let output = run(without_model(&[&image("wide.png"), flag]).arg(dir.path().join(name)));
            assert_eq!(output.status.code(), Some(2), "{name}");
            assert!(err(&output).contains(said), "{}", err(&output));
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// What a run of ours leaves beside a partial, as far as that shows whose it is.
const SETTINGS: &str = r#"{"zsic": "0.1.0", "command": "classify"}"#;

#[cfg(unix)]
#[test]
fn what_the_run_writes_is_not_counted_among_what_it_walks() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::copy(image("wide.png"), folder.join("a.png")).unwrap();
    symlink(&folder, dir.path().join("other")).unwrap();
    let skipped = |out: &str| {
        let mut command = classify(&["-q", "--meta"]);
        command.arg(folder.join("meta.json")).arg(&folder).arg("-o").arg(dir.path().join(out));
        assert_eq!(run(&mut command).status.code(), Some(0));
        crate::common::json(&folder.join("meta.json"))["counts"]["skipped"].as_u64().unwrap()
    };
    for (out, expected) in [("folder/x.jsonl", 0), ("other/x.jsonl", 0), ("folder/x.jsonl", 0), ("x.jsonl", 1)] {
        assert_eq!(skipped(out), expected, "{out}");
    }
    fs::remove_file(folder.join("x.jsonl")).unwrap();
    for (ending, left) in [(".partial", "left\n"), (".partial.json", SETTINGS), (".partial.old", "left\n")] {
        fs::write(folder.join(format!("x.jsonl{ending}")), left).unwrap();
    }
    assert_eq!(skipped("folder/x.jsonl"), 0);
    // Of anything else it is said.
    fs::write(folder.join("x.jsonl.partial.txt"), "mine\n").unwrap();
    assert_eq!(skipped("folder/x.jsonl"), 1);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&mut without_model(&[&image("wide.png"), "-o", "/no/such/folder/x.csv"]));
    assert!(err(&output).contains("error: /no/such/folder: no such folder"), "{}", err(&output));
    let output = write_to(dir.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("names a folder"), "{}", err(&output));
    let output =
        run(zsic(&["embed", "-m", "/nope", &image("wide.png"), "-o", "/no/such/folder/x.safetensors"]).args(["-q"]));
    assert!(err(&output).contains("error: /no/such/folder: no such folder"), "{}", err(&output));
    // What cannot start leaves nothing behind, and what an earlier run left stays.
    let path = dir.path().join("x.csv");
    run(without_model(&[&image("wide.png"), "-o"]).arg(&path));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    for (ending, left) in [("", "of an earlier run\n"), (".json", SETTINGS)] {
        fs::write(dir.path().join(format!("x.csv.partial{ending}")), left).unwrap();
    }
    run(without_model(&[&image("wide.png"), "-o"]).arg(&path));
    assert_eq!(fs::read_to_string(dir.path().join("x.csv.partial")).unwrap(), "of an earlier run\n");
    let output = write_to(&path);
    assert!(err(&output).contains("left by a run that was stopped"), "{}", err(&output));
    assert!(fs::read_to_string(&path).unwrap().starts_with("image,label,score,error\n"));
}

#[test]
fn two_runs_do_not_write_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jsonl");
    let mut first = classify(&["--files-from", "-", "-o"]);
    let mut first = first.arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    let partial = dir.path().join("x.jsonl.partial");
    writeln!(first.stdin.as_ref().unwrap(), "{}", image("wide.png")).unwrap();
    while !fs::read_to_string(&partial).is_ok_and(|text| text.ends_with('\n')) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let output = write_to(&path);
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("another run is writing it"), "{}", err(&output));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_link_and_a_mode_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.jsonl"), dir.path().join("link.jsonl"));
    fs::write(&real, "old\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &link).unwrap();
    assert!(write_to(&link).status.success());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().starts_with("{\"image\""));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_grow_ends_with_a_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jsonl");
    let inputs: Vec<String> = vec![image("wide.png"); 200];
    let command = "ulimit -f 8; exec \"$0\" \"$@\"";
    let mut shell = Command::new("bash");
    shell.env("ZSIC_CACHE_DIR", crate::common::command::cache_dir());
    shell.args(["-c", command, env!("CARGO_BIN_EXE_zsic"), "classify", "-m", &model("quick-gelu"), "-l", LABELS, "-o"]);
    let output = run(shell.arg(&path).args(&inputs).stdin(Stdio::null()));
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(err(&output).contains("x.jsonl.partial: cannot be written"), "{}", err(&output));
    let partial = fs::read_to_string(dir.path().join("x.jsonl.partial")).unwrap();
    assert!(partial.ends_with('\n') && partial.lines().count() > 5 && !path.exists());
    assert!(partial.lines().all(|line| line.ends_with("}]}")));
}

/// Every name that a run may open beside its output.
#[cfg(unix)]
const BESIDE: [&str; 9] =
    ["", ".json", ".json.new", ".journal", ".old", ".old.new", ".old.journal", ".old.journal.new", ".made"];

#[cfg(unix)]
#[test]
fn nothing_is_written_through_links_and_pipes_that_were_planted() {
    for plant in ["link", "dangling", "pipe", "hard link"] {
        for ending in BESIDE {
            for name in ["x.jsonl", "x.safetensors"] {
                let dir = tempfile::tempdir().unwrap();
                let (out, victim) = (dir.path().join(name), dir.path().join("victim"));
                let planted = dir.path().join(format!("{name}.partial{ending}"));
                if plant != "dangling" {
                    fs::write(&victim, "dear\n").unwrap();
                }
                match plant {
                    "pipe" => assert!(Command::new("mkfifo").arg(&planted).status().unwrap().success()),
                    "hard link" => fs::hard_link(&victim, &planted).unwrap(),
                    _ => symlink(&victim, &planted).unwrap(),
                }
                let words = if name.ends_with("tensors") { &["embed"][..] } else { &["classify", "-l", LABELS] };
                let mut command = Command::new("timeout");
                command.args(["60", env!("CARGO_BIN_EXE_zsic")]).args(words).args(["-m", &model("quick-gelu")]);
                command.args(["--no-cache", &image("wide.png"), "-o"]).arg(&out);
                let output = run(command.stdin(Stdio::null()));
                let told = err(&output).contains(planted.to_str().unwrap());
                match output.status.code() {
                    Some(2) => assert!(told && !out.exists(), "{planted:?}: {}", err(&output)),
                    // What is replaced before it is written need not be refused.
                    Some(0) => assert!(ending.ends_with(".new") || ending == ".made", "{planted:?}, a {plant}"),
                    status => panic!("{planted:?}, a {plant}: {status:?} {}", err(&output)),
                }
                assert_eq!(fs::read_to_string(&victim).ok().as_deref(), (plant != "dangling").then_some("dear\n"));
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn what_a_stranger_left_beside_the_output_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jsonl");
    for ending in ["", ".json", ".journal", ".old", ".old.journal", ".made"] {
        let strange = dir.path().join(format!("x.jsonl.partial{ending}"));
        fs::write(&strange, "my notes\n").unwrap();
        for flags in [&[][..], &["--resume"]] {
            let output = run(classify(&[&image("wide.png"), "-o"]).arg(&path).args(flags));
            assert_eq!(output.status.code(), Some(2));
            let expected = format!("{}: was not written by zsic", strange.display());
            assert!(err(&output).contains(&expected), "{}", err(&output));
            assert_eq!(fs::read_to_string(&strange).unwrap(), "my notes\n");
        }
        fs::remove_file(&strange).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    // Settings that are not ours say nothing of the partial beside them.
    let [partial, settings] = ["x.jsonl.partial", "x.jsonl.partial.json"].map(|name| dir.path().join(name));
    fs::write(&partial, "mine\n").unwrap();
    fs::write(&settings, "{\"name\": \"my notes\"}").unwrap();
    let output = write_to(&path);
    assert!(
        output.status.code() == Some(2) && err(&output).contains(&format!("{}: was not written", settings.display()))
    );
    assert_eq!(fs::read_to_string(&partial).unwrap(), "mine\n");
    fs::remove_file(&settings).unwrap();
    // One that is empty is nobody's loss, and is not taken over: it may be another user's.
    fs::write(&partial, "").unwrap();
    let before = fs::metadata(&partial).unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(write_to(&path).status.code(), Some(0));
    let after = fs::metadata(&path).unwrap();
    assert!(before.ino() != after.ino() || after.mode() & 0o777 != 0o666);
}

#[test]
fn a_partial_that_is_ours_is_told_whatever_the_format() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.json", "x.txt", "x.jsonl"] {
        let path = dir.path().join(name);
        let partial = dir.path().join(format!("{name}.partial"));
        let mut child = classify(&["--files-from", "-", "-o", &path.display().to_string()]);
        let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.as_ref().unwrap(), "{}", image("wide.png")).unwrap();
        while fs::metadata(&partial).map_or(0, |partial| partial.len()) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let output = write_to(&path);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(err(&output).contains("left by a run that was stopped; starting over"), "{}", err(&output));
        assert!(!partial.exists());
    }
}

#[test]
fn an_ending_that_promises_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run_to = |words: &[&str], flag: &str, name: &str| {
        let output = run(zsic(words).args(["-q", "-m", "/nope", &image("wide.png"), flag]).arg(dir.path().join(name)));
        (output.status.code(), err(&output).to_owned())
    };
    let classify = ["classify", "-l", "a,b"];
    let unknown = "s.csv.gz s.json.gz s.jsonl.zst s.csv.bak s.yaml s.md s.npy s.tsv s.xlsx s.JSONL.GZ s.csvx s.b\u{fc}";
    let known =
        if cfg!(feature = "parquet") { ".csv, .parquet, .html or .txt file" } else { ".csv, .html or .txt file" };
    for name in unknown.split(' ') {
        let (status, said) = run_to(&classify, "-o", name);
        assert!(status == Some(2) && said.contains(&format!(".jsonl, .json, {known}")), "{name}: {said}");
        let (status, said) = run_to(&["embed"], "-o", name);
        assert!(status == Some(2) && said.contains(".jsonl or .safetensors file"), "{name}: {said}");
    }
    for (format, name) in [
        ("csv", "s.json"),
        ("csv", "s.tsv"),
        ("csv", "s.csv.gz"),
        ("jsonl", "s.json"),
        ("json", "s.jsonl"),
        ("pipeline", "s.csv"),
        ("table", "s.md"),
    ] {
        let (status, said) = run_to(&[&classify[..], &["--format", format]].concat(), "-o", name);
        assert!(status == Some(2) && said.contains(&format!("{format} scores are not written as")), "{name}: {said}");
    }
    for (words, flag, name) in
        [(&classify[..], "-o", "s.csv/"), (&["embed"], "-o", "s.safetensors/"), (&classify, "--meta", "m.json/")]
    {
        let (status, said) = run_to(words, flag, name);
        assert!(status == Some(2) && said.contains("/: names a folder; give the name of a file"), "{name}: {said}");
    }
    for name in ["m.yaml", "m.json.gz", "m.csv"] {
        let (status, said) = run_to(&classify, "--meta", name);
        assert!(status == Some(2) && said.contains("name a .json file"), "{name}: {said}");
    }
    // These promise nothing else: the run gets as far as its model.
    for (format, name) in [
        ("auto", "s.ndjson"),
        ("auto", "scores"),
        ("auto", "S.CSV"),
        ("csv", "s.csv.bak"),
        ("csv", "s.txt"),
        ("jsonl", "s.out"),
        ("pipeline", "s.json"),
    ] {
        let (status, said) = run_to(&[&classify[..], &["--format", format]].concat(), "-o", name);
        assert!(status == Some(3) && said.contains("/nope"), "{name}: {said}");
    }
}

#[test]
fn a_dash_is_standard_output() {
    let output = run(&mut classify(&[&image("wide.png"), "-o", "-"]));
    assert_eq!(lines(&output).len(), 1, "{}", out(&output));
}
