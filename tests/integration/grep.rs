//! `zsic grep` and `zsic test`: matches, names byte for byte, and what each exit status means.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::common::command::{err, out, run, zsic};

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)
}

/// A folder with an owl, a fox and a bear.
fn animals() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    ["owl.png", "fox.png", "bear.png"]
        .iter()
        .for_each(|name| _ = fs::copy(picture(name), dir.path().join(name)).unwrap());
    dir
}

/// A command in the folder, with the built-in checkpoint.
fn ask(dir: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = zsic(args);
    command.args(["-m", "demo"]).current_dir(dir.path());
    command
}

fn status(dir: &tempfile::TempDir, args: &[&str]) -> (Option<i32>, Output) {
    let output = run(&mut ask(dir, args));
    (output.status.code(), output)
}

#[test]
fn matches_are_printed_in_order() {
    let dir = animals();
    for (args, expected) in [
        (&["--is", "owl"][..], "owl.png\n"),
        (&["--is", "an owl,a fox"], "fox.png\nowl.png\n"),
        (&["--is", "owl", "--not", "fox,bear"], "owl.png\n"),
        (&["--is", "owl", "--not", "fox,bear", "--invert"], "bear.png\nfox.png\n"),
        (&["--is", "owl", "--not", "fox,bear", "--invert", "--limit", "1"], "bear.png\n"),
        (&["--is", "owl", "-l", "owl,fox,bear", "--count"], "1\n"),
        (&["--is", "owl,fox", "-l", "owl,fox,bear", "--min-score", "0.5"], "fox.png\nowl.png\n"),
    ] {
        let (code, output) = status(&dir, &[&["grep", "."], args].concat());
        assert_eq!((code, out(&output).replace("./", "")), (Some(0), expected.to_owned()), "{args:?} {}", err(&output));
    }
    let (_, output) = status(&dir, &["grep", "owl.png", "fox.png", "--is", "owl", "--not", "fox", "--scores"]);
    let (score, name) = out(&output).split_once('\t').unwrap();
    assert!(score.parse::<f32>().unwrap() > 0.9 && name == "owl.png\n", "{}", out(&output));
}

#[test]
fn grep_says_by_its_status_whether_something_matched() {
    let dir = animals();
    assert_eq!(status(&dir, &["grep", "owl.png", "--is", "fox", "--not", "owl"]).0, Some(1));
    assert_eq!(status(&dir, &["grep", "owl.png", "--is", "fox", "--not", "owl", "--count"]).0, Some(1));
    let (code, output) = status(&dir, &["grep", "owl.png", "none.png", "--is", "owl", "--not", "fox"]);
    assert_eq!((code, out(&output)), (Some(1), "owl.png\n"), "an image failed");
    assert!(err(&output).contains("none.png: no such file"));
    for wrong in [
        &["--not", "owl"][..],
        &["--is", "owl", "-l", "fox,bear"],
        &["--is", "owl", "--not", "owl"],
        &["--is", ","],
        &["--is", "owl,owl", "-l", "owl,fox"],
        &["--is", "owl", "--not", "owl", "-l", "owl,fox"],
    ] {
        assert_eq!(status(&dir, &[&["grep", "owl.png"], wrong].concat()).0, Some(2), "{wrong:?}");
    }
    fs::create_dir(dir.path().join("empty")).unwrap();
    assert_eq!(status(&dir, &["grep", "empty", "--is", "owl"]).0, Some(3));
}

#[test]
fn a_test_is_never_yes_because_something_failed() {
    let dir = animals();
    let asked = |inputs: &[&str], more: &[&str]| {
        let args = [&["test"], inputs, &["--is", "owl", "--not", "fox,bear"], more].concat();
        let (code, output) = status(&dir, &args);
        assert_eq!(out(&output), "", "{args:?}");
        code.unwrap()
    };
    fs::write(dir.path().join("torn.png"), &fs::read(picture("owl.png")).unwrap()[..400]).unwrap();
    for (inputs, all, any) in [
        (&["owl.png"][..], 0, 0),
        (&["fox.png"], 1, 1),
        (&["owl.png", "fox.png"], 1, 0),
        (&["torn.png"], 3, 3),
        (&["none.png", "owl.png"], 3, 0),
        (&["owl.png", "none.png"], 3, 0),
        (&["none.png", "fox.png"], 1, 3),
        (&["fox.png", "torn.png"], 1, 3),
    ] {
        assert_eq!((asked(inputs, &[]), asked(inputs, &["--any"])), (all, any), "{inputs:?}");
    }
    assert_eq!(status(&dir, &["test", "owl.png"]).0, Some(2));
    let shares = ["1/2", "2/2"].map(|share| asked(&["owl.png"], &["--shard", share]));
    assert!(shares == [0, 3] || shares == [3, 0], "an empty share is no yes: {shares:?}");
}

#[cfg(unix)]
#[test]
fn names_come_back_byte_for_byte() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let dir = tempfile::tempdir().unwrap();
    let names: [&[u8]; 4] = [b"a\nb.png", b"c\xff\xfed.png", b"e f.png", b"g\\xFF.png"];
    names.iter().for_each(|name| _ = fs::copy(picture("owl.png"), dir.path().join(OsStr::from_bytes(name))).unwrap());
    let found = run(ask(&dir, &["grep", "--is", "owl", "--print0"]).arg(dir.path())).stdout;
    let found: Vec<&[u8]> = found.split(|&byte| byte == 0).collect();
    let prefix = [dir.path().as_os_str().as_bytes(), b"/"].concat();
    let expected: Vec<Vec<u8>> = names.iter().map(|name| [&prefix, *name].concat()).collect();
    assert_eq!(found[..4], expected.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert!(found.len() == 5 && found[4].is_empty());
    let lines = run(ask(&dir, &["grep", "--is", "owl"]).arg(dir.path()));
    assert!(out(&lines).contains("c\\xFF\\xFEd.png\n"), "as records have it");
}

#[test]
fn kept_pictures_load_no_tower() {
    let dir = animals();
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().display().to_string();
    let args = ["grep", ".", "--is", "owl", "--cache-dir", &cache, "-v"];
    let first = status(&dir, &args).1;
    let again = status(&dir, &args).1;
    assert_eq!(first.stdout, again.stdout);
    let kept = |output: &Output| err(output).lines().any(|line| line.contains("1081 of 1081 labels were in the cache"));
    assert!(!kept(&first) && kept(&again), "{}", err(&again));
}
