//! The command on a terminal, where standard output and standard error are one screen.

mod common;

use std::fs::{self, File};
use std::io::Read;

use common::command::{image, model, zsic};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

/// What is on the screen when the command has ended.
fn screen(args: &[&str]) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = ptsname(&master, Vec::new()).unwrap();
    let open = || File::options().read(true).write(true).open(terminal.to_str().unwrap()).unwrap();
    let mut child = zsic(args).stdout(open()).stderr(open()).spawn().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut master, mut bytes, mut some) = (File::from(master), Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = master.read(&mut some) {
            bytes.extend_from_slice(&some[..count]); // until nobody has the terminal open
        }
        String::from_utf8(bytes).unwrap()
    });
    child.wait().unwrap();
    reader.join().unwrap().replace("\r\n", "\n")
}

#[test]
fn nothing_falls_into_a_json_array() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["wide.png", "tall.png"] {
        fs::copy(image(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("note.txt"), "no image").unwrap();
    let (folder, model) = (dir.path().display().to_string(), model("quick-gelu"));
    for (format, label, extra) in [("json", "cat", "missing.png"), ("pipeline", "cat,dog", &image("rotated.jpg"))] {
        let screen = screen(&["classify", &folder, extra, "-m", &model, "-l", label, "--format", format]);
        let (from, to) = (screen.find("[\n").or(screen.find("[[")).unwrap(), screen.rfind(']').unwrap());
        let array: Value = serde_json::from_str(&screen[from..=to]).unwrap_or_else(|e| panic!("{e}: {screen}"));
        assert_eq!(array.as_array().unwrap().len(), 3, "{screen}");
        assert!(screen[to..].contains("\nwarning: skipped 1 file"), "told behind it: {screen}");
        assert_eq!(screen[..from].contains("warning: there is one label"), label == "cat", "told before it: {screen}");
    }
}
