//! The command on a terminal, where standard output and standard error are one screen.

use std::fs;

use crate::common::command::{image, model, zsic};
use crate::common::terminal::screen;
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
