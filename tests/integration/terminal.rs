//! The command on a terminal, where standard output and standard error are one screen.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::command::{image, model, zsic};
use crate::common::terminal::{Terminal, screen};
use crate::common::tiff;
use serde_json::Value;

#[test]
fn nothing_falls_into_a_json_array() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["wide.png", "tall.png"] {
        fs::copy(image(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("note.txt"), "no image").unwrap();
    let (folder, model) = (dir.path().display().to_string(), model("quick-gelu"));
    for (format, label, extra) in [("json", "cat", "missing.png"), ("pipeline", "cat,dog", &image("rotated.jpg"))] {
        let screen = screen(&mut zsic(&["classify", &folder, extra, "-m", &model, "-l", label, "--format", format]));
        let (from, to) = (screen.find("[\n").or(screen.find("[[")).unwrap(), screen.rfind(']').unwrap());
        let array: Value = serde_json::from_str(&screen[from..=to]).unwrap_or_else(|e| panic!("{e}: {screen}"));
        assert_eq!(array.as_array().unwrap().len(), 3, "{screen}");
        assert!(screen[to..].contains("\nwarning: skipped 1 file"), "told behind it: {screen}");
        assert_eq!(screen[..from].contains("warning: there is one label"), label == "cat", "told before it: {screen}");
    }
}

/// A run over a list that is being written, whose second image brings a warning.
fn over_a_list(dir: &Path, more: &[&str], both: bool, until: &str) -> Terminal {
    let raw = dir.join("small.nef");
    fs::write(&raw, tiff(50, 40, &[(254, 1)])).unwrap();
    let mut command = zsic(&["classify", "-m", "demo", "-l", "cat,dog", "--no-cache", "--files-from", "-"]);
    let terminal = Terminal::start(command.args(more).stdin(Stdio::piped()), both);
    let mut list = terminal.child.stdin.as_ref().unwrap();
    writeln!(list, "{}", image("wide.png")).unwrap();
    terminal.wait_for(until);
    writeln!(list, "{}", raw.display()).unwrap();
    terminal
}

#[test]
fn a_warning_beside_a_progress_bar_has_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x.jsonl").display().to_string();
    let terminal = over_a_list(dir.path(), &["-o", &out], false, "1 images (");
    terminal.wait_for("only a preview");
    terminal.wait_for("2 images (");
    let screen = terminal.end();
    let (before, after) = screen.split_once("warning: ").unwrap();
    assert!(before.ends_with("\r\u{1b}[2K"), "the bar is taken away before: {screen:?}");
    assert!(after.contains("score the photograph\n"), "{screen:?}");
}

#[test]
fn ctrl_c_loses_no_warning_and_leaves_no_bar() {
    let dir = tempfile::tempdir().unwrap();
    let stop = |terminal: &Terminal| {
        assert!(Command::new("kill").args(["-INT", &terminal.child.id().to_string()]).status().unwrap().success());
    };
    let mut terminal = over_a_list(dir.path(), &["--format", "json"], true, "wide.png");
    terminal.wait_for("small.nef");
    let list = terminal.child.stdin.take(); // waiting would end the list, and with it the run
    stop(&terminal);
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
    drop(list);
    let screen = terminal.end();
    assert!(screen.contains("]}\n]\nwarning: ") && screen.contains("only a preview"), "{screen:?}");
    let out = dir.path().join("x.jsonl").display().to_string();
    let mut terminal = over_a_list(dir.path(), &["-o", &out], false, "1 images (");
    terminal.wait_for("2 images (");
    let list = terminal.child.stdin.take();
    stop(&terminal);
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
    drop(list);
    let screen = terminal.end();
    let (_, told) = screen.split_once("2 images (").unwrap();
    let (bar, told) = told.rsplit_once("\r\u{1b}[2K").unwrap();
    assert!(!bar.contains("--resume") && told.starts_with(&format!("{out}.partial keeps the records")), "{screen:?}");
}

#[test]
fn an_error_inside_an_array_has_a_line_of_its_own() {
    let (model, wide) = (model("quick-gelu"), image("wide.png"));
    let words = ["classify", &wide, &wide, "missing.png", "-m", &model, "-l", "cat,dog", "--format", "pipeline"];
    let screen = screen(&mut zsic(&words));
    assert!(screen.contains("}]\nerror: "), "{screen:?}");
}

#[test]
fn a_terminal_of_unknown_width_gets_80_columns() {
    let screen = screen(&mut zsic(&["models", "list", "--known"]));
    assert!(screen.starts_with("NAME ") && screen.lines().next().unwrap().contains("SIZE"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
}
