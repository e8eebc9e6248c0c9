//! Ctrl-C: what was finished is whole, and the run says how to go on.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::common::command::{err, image, out, zsic};
use serde_json::Value;

/// A run over a list that stays open.
fn start(args: &[&str]) -> Child {
    let mut command = zsic(&["classify", "-m", "demo", "-l", "cat,dog", "--no-cache", "--files-from", "-"]);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Names a picture in the list.
fn list(child: &Child) {
    writeln!(child.stdin.as_ref().unwrap(), "{}", image("wide.png")).unwrap();
}

/// Stops the run while its list is open.
fn stop(mut child: Child) -> Output {
    let list = child.stdin.take();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    drop(list);
    assert_eq!(output.status.code(), Some(130), "{}", err(&output));
    output
}

/// Waits until a file has something in it.
fn wait_for(file: &Path) {
    while fs::metadata(file).map_or(0, |file| file.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_json_array_is_closed() {
    let mut child = start(&["--format", "json"]);
    list(&child);
    let mut stdout = child.stdout.take().unwrap();
    let mut text = vec![0; 20];
    stdout.read_exact(&mut text).unwrap(); // the record is written
    stop(child);
    stdout.read_to_end(&mut text).unwrap();
    let array: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert_eq!((array.len(), &array[0]["image"]), (1, &image("wide.png").into()));
    assert!(text.ends_with(b"}\n]\n"));
}

#[test]
fn an_array_of_nothing_is_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = zsic(&["classify", "-m", "demo", "-l", "cat,dog", "--no-cache", "--files-from", "-", "-vv"]);
    command.args(["--format", "json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    wait_for(&log);
    assert_eq!(out(&stop(child)), "[]\n");
}

#[test]
fn the_way_to_go_on_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.jsonl");
    let partial = format!("{}.partial", file.display());
    let way = format!("{partial} keeps the records so far; run the same command with --resume to continue\n");
    for (flags, said) in [(&[][..], &*way), (&["-q"], "")] {
        let args = [&["-o", file.to_str().unwrap()], flags].concat();
        let child = start(&args);
        list(&child);
        wait_for(Path::new(&partial));
        assert_eq!(err(&stop(child)), said);
        fs::remove_file(&partial).unwrap();
        ["json", "journal"].iter().for_each(|ending| fs::remove_file(format!("{partial}.{ending}")).unwrap());
    }
    let child = start(&["-o", file.to_str().unwrap()]); // nothing is left of a run without a record
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(err(&stop(child)), "");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
