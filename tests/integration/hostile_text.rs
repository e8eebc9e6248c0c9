//! Hostile text on its way to a terminal: names of files, repositories and labels, and what servers say. Every command is
//! run on a terminal with each of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::common::command::{image, model, run, zsic};
use crate::common::fixtures;
use crate::common::terminal::screen;
use crate::image_server::{Answer, Server};
use serde_json::Value;

/// What a stranger may call things, and what of it must not be seen. No slash, so that it can be a file's name.
const HOSTILE: [(&str, &str); 12] = [
    ("x\x1b[2J\x1b[31mred", "\x1b[2J"),
    ("x\x1b]0;title\x07", "\x1b]0"),
    ("x\x1bPq#0;2\x1b\\", "\x1bP"),
    ("x\rover", "\rover"),
    ("x\nforged: line", "\nforged"),
    ("x\x08\x08\x08y", "\x08"),
    ("x\x7fy", "\x7f"),
    ("x\u{9b}31my", "\u{9b}"),
    ("x\u{202e}gpj.exe", "\u{202e}"),
    ("x\u{2066}y\u{2069}", "\u{2066}"),
    ("x\u{2028}y", "\u{2028}"),
    ("x\u{200b}y\u{feff}\u{e0041}", "\u{200b}"),
];
const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A cache of the hub with one repository, whose folder, revision, file and kind are called `text`.
fn hub(dir: &Path, text: &str) {
    let repo = dir.join(format!("models--owner--{text}"));
    let snapshot = repo.join("snapshots").join(COMMIT);
    for folder in [&snapshot, &repo.join("refs"), &repo.join("blobs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repo.join("refs").join(text), COMMIT).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    let config = serde_json::json!({ "model_type": text, "hidden_act": text, "projection_dim": text });
    fs::write(repo.join("blobs").join(text), config.to_string()).unwrap();
    symlink(Path::new("../../blobs").join(text), snapshot.join("config.json")).unwrap();
    fs::write(snapshot.join(text), "x").unwrap();
}

/// The same, with a name that a user can type.
fn typed(dir: &Path, text: &str) {
    hub(dir, text);
    fs::rename(dir.join(format!("models--owner--{text}")), dir.join("models--owner--name")).unwrap();
}

/// Every command that shows a text of somebody else's.
fn commands(dir: &Path, text: &str, server: &Server) -> Vec<Command> {
    let (listed, named) = (dir.join("listed"), dir.join("named"));
    hub(&listed, text);
    typed(&named, text);
    let pictures = dir.join(format!("pictures{text}"));
    fs::create_dir(&pictures).unwrap();
    fs::copy(image("wide.png"), pictures.join(format!("{text}.png"))).unwrap();
    fs::write(pictures.join(format!("{text}.jpg")), "no image").unwrap();
    fs::write(pictures.join(format!("skipped.{text}")), "no image").unwrap();
    let copy = dir.join(format!("model{text}"));
    let fixture = fixtures("checkpoints/quick-gelu");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(fixture).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let (pictures, copy) = (pictures.display().to_string(), copy.display().to_string());
    let kept = dir.join(format!("kept{text}")).display().to_string();
    let cache = |hub: &Path, args: &[&str]| {
        let mut command = zsic(&["models"]);
        command.args(args).arg("--hub-cache").arg(hub);
        command
    };
    let classify = |args: &[&str]| {
        let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "-v"]);
        command.args(["-l", &format!("cat,{text}")]).args(args).env("http_proxy", "").env("HTTP_PROXY", "");
        command
    };
    let url = server.url(&format!("/{}", text.replace(|c: char| c.is_control(), "%1b")));
    let mut commands = vec![
        cache(&listed, &["list"]),
        cache(&listed, &["list", "--format", "json"]),
        cache(&named, &["list"]),
        cache(&named, &["show", "owner/name"]),
        cache(&named, &["show", "owner/name", "--format", "json"]),
        cache(&named, &["verify", "owner/name"]),
        cache(&named, &["show", "owner/name", "--revision", text]),
        cache(&named, &["show", "owner/name", "--revision", "other"]),
        cache(&named, &["show", text]),
        cache(&named, &["pull", text]),
        cache(&named, &["pull", "owner/name", "--offline", "--revision", text]),
        cache(&named, &["rm", "owner/name", "--revision", text]),
        cache(&named, &["rm", "owner/name", "--yes"]),
        zsic(&["models", text]),
        zsic(&["cache", "info", text]),
        zsic(&["completions", text]),
    ];
    for format in ["table", "jsonl", "json", "csv", "pipeline"] {
        commands.push(classify(&[&pictures, "--format", format, "--no-cache"]));
    }
    commands.push(classify(&[&pictures, &url, &format!("no{text}"), "--no-cache", "-vv"]));
    commands.push(classify(&[&pictures, "-o", &format!("{pictures}/{text}/{text}"), "--no-cache"]));
    commands.push(classify(&[&pictures, "--include", &format!("[{text}"), "--no-cache"]));
    commands.push(zsic(&["classify", "-m", &copy, "-l", "cat", &pictures, "--cache-dir", &kept, "-v"]));
    commands.push(zsic(&["cache", "info", "--cache-dir", &kept]));
    commands.push(zsic(&["cache", "info", "--format", "json", "--cache-dir", &kept]));
    commands.push(zsic(&["cache", "clear", "--cache-dir", &kept]));
    commands.push(zsic(&["embed", "-m", &model("quick-gelu"), "--no-cache", &pictures]));
    commands.push(zsic(&["embed", "-m", &model("quick-gelu"), "--no-cache", "--text", text]));
    commands.push(zsic(&["embed", "-m", &format!("./no{text}"), "--text", "x"]));
    commands.push(zsic(&["embed", "-m", text, "--offline", "--text", "x"]));
    commands
}

#[test]
fn no_text_of_a_strangers_plays_with_the_terminal() {
    for (text, harm) in HOSTILE {
        let said = text.replace(['\n', '\r'], " ");
        let server = Server::start(move |_, _| {
            let page = format!("text/{said}").into_bytes();
            let head = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: ", &page[..], b"\r\n\r\npage"].concat();
            Answer::Raw(head, vec![])
        });
        let dir = tempfile::tempdir().unwrap();
        let commands = commands(dir.path(), text, &server);
        let (count, mut said_something) = (commands.len(), 0);
        for mut command in commands {
            let seen = screen(command.env("TERM", "xterm").env_remove("NO_COLOR"));
            assert!(!seen.contains(harm), "{command:?}: {seen:?}");
            // What colours and bars are made of, and nothing else.
            let plain = strip(&seen);
            let bad = plain.chars().find(|&c| {
                c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{2069}\u{2028}\u{200b}\u{feff}\u{e0041}".contains(c))
            });
            assert_eq!(bad, None, "{command:?}: {seen:?}");
            said_something += usize::from(!seen.is_empty());
        }
        assert!(said_something >= count - 2, "{said_something} of {count}"); // a folder of such a name is not listed
    }
}

/// Takes out what the command's own colours and progress bars consist of.
fn strip(seen: &str) -> String {
    let (mut plain, mut rest) = (String::new(), seen.replace('\r', ""));
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let end = rest[at + 2..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |end| at + 3 + end);
        rest = rest[end..].to_owned();
    }
    plain + &rest
}

#[test]
fn data_for_programs_is_as_it_was() {
    for (text, _) in HOSTILE {
        let dir = tempfile::tempdir().unwrap();
        let picture = dir.path().join(format!("{text}.png"));
        fs::copy(image("wide.png"), &picture).unwrap();
        let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "--no-cache", "-l", "cat,dog"]);
        let output = run(command.arg(&picture));
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(record["image"], picture.to_str().unwrap());
        let name = serde_json::to_string(picture.to_str().unwrap()).unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(&format!("{{\"image\":{name},")), "{text:?}");
        let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "--no-cache", "-l", "cat,dog"]);
        let output = run(command.arg(&picture).args(["--format", "csv"]));
        let csv = String::from_utf8(output.stdout).unwrap();
        assert!(csv.contains(text), "{text:?}: {csv:?}");
    }
}
