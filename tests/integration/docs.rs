//! Every command in README.md and docs/ runs. A block whose lines begin with `$ ` is a session in the repository: what it
//! prints is compared, figures aside. The lines of another block run one by one in a folder of pictures, against a hub on
//! loopback that has the built-in model under any name, and must succeed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::common::command::{cache_dir, err, out};
use crate::fake_hub::FakeHub;

/// What builds, installs or releases zsic, and is not run here.
const BUILDS: [&str; 7] =
    ["apt-get install", "cargo", "pip", "tools/", ".ci/", "sh tests/emulated_gpu", "LD_LIBRARY_PATH=target"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    pages
}

/// The indented blocks of a page.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    let mut is_fenced = false;
    for line in text.lines() {
        is_fenced ^= line.starts_with("```");
        match line.strip_prefix("    ").filter(|_| !is_fenced) {
            Some(code) => blocks.last_mut().unwrap().push(code),
            None if line.is_empty() => {}
            None => blocks.push(Vec::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// Pictures, lists and archives under the names that the pages use.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let owl = root().join("examples/images/owl.jpg");
    for folder in ["photos", "photos/thumbs", "shards"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    let numbered = (0..40).map(|n| format!("photos/{n}.jpg"));
    for name in numbered.chain(["owl.jpg", "photos/thumbs/owl.jpg"].map(str::to_owned)) {
        fs::copy(&owl, dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("labels.txt"), "fox\nbear\nowl\n").unwrap();
    fs::write(dir.path().join("corrections.csv"), "image,label\nphotos/1.jpg,owl\nphotos/2.jpg,fox\n").unwrap();
    let boxes = r#"{"images":[{"file":"0.jpg","detections":[{"category":"1","conf":0.9,"bbox":[0.1,0.1,0.8,0.8]}]}],"info":{}}"#;
    fs::write(dir.path().join("md.json"), boxes).unwrap();
    for (label, picture) in [("owl", "owl.jpg"), ("fox", "fox.png"), ("bear", "bear.png")] {
        for set in ["labelled", "others"] {
            let folder = dir.path().join(set).join(label);
            fs::create_dir_all(&folder).unwrap();
            fs::copy(root().join("examples/images").join(picture), folder.join(picture)).unwrap();
        }
    }
    let make = "tar cf shards/1.tar photos && tar czf photos.tar.gz photos";
    assert!(Command::new("sh").args(["-c", make]).current_dir(dir.path()).status().unwrap().success());
    dir
}

fn run(line: &str, folder: &Path, hub: &FakeHub, home: &Path) -> Output {
    let bin = Path::new(env!("CARGO_BIN_EXE_zsic")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).stdin(Stdio::null()).env("PATH", path);
    command.env("HF_ENDPOINT", hub.url()).env("HF_HOME", home).env("ZSIC_CACHE_DIR", cache_dir());
    command.env("URL", format!("file://{}", root().join("examples/images/owl.jpg").display()));
    command.output().unwrap()
}

/// Each number as 0: the last digits differ between processors.
fn without_figures(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if plain.ends_with('0') => {}
            '0'..='9' => plain.push('0'),
            other => plain.push(other),
        }
    }
    plain
}

/// Whether the tools that a line pipes into are installed.
fn has_tools(line: &str) -> bool {
    let missing = ["jq", "curl"].into_iter().filter(|tool| line.split(' ').any(|word| word == *tool)).find(|tool| {
        !Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap().status.success()
    });
    missing.inspect(|tool| eprintln!("not run, since {tool} is not installed: {line}")).is_none()
}

/// Runs a session, whose commands follow `$ `, and compares what each prints, empty lines aside. A line `...` stands for any further lines.
fn check_session(block: &[&str], hub: &FakeHub) -> usize {
    let home = tempfile::tempdir().unwrap();
    let starts: Vec<usize> = (0..block.len()).filter(|&at| block[at].starts_with("$ ")).collect();
    for (at, start) in starts.iter().enumerate() {
        let expected = &block[start + 1..starts.get(at + 1).copied().unwrap_or(block.len())];
        let output = run(&block[*start][2..], root(), hub, home.path());
        let printed: Vec<&str> = out(&output).lines().filter(|line| !line.is_empty()).collect();
        let (expected, is_whole) = match expected {
            [lines @ .., "..."] => (lines, false),
            lines => (lines, true),
        };
        let count = if is_whole { printed.len() } else { expected.len().min(printed.len()) };
        let plain = |lines: &[&str]| without_figures(&lines.join("\n"));
        assert_eq!(plain(&printed[..count]), plain(expected), "{}\n{}", block[*start], err(&output));
    }
    starts.len()
}

/// Runs the lines of a block, one by one, and adds those that fail to `failures`.
fn check_lines(block: &[&str], hub: &FakeHub, failures: &mut Vec<String>) -> usize {
    let home = tempfile::tempdir().unwrap();
    let lines = block.iter().filter(|line| !BUILDS.iter().any(|build| line.starts_with(build)) && has_tools(line));
    let folder = folder();
    let mut count = 0;
    for line in lines {
        if !folder.path().join("owl.jpg").exists() {
            fs::copy(root().join("examples/images/owl.jpg"), folder.path().join("owl.jpg")).unwrap();
        }
        let output = run(line, folder.path(), hub, home.path());
        if !output.status.success() {
            failures.push(format!("{line}\n{}", err(&output)));
        }
        count += 1;
    }
    count
}

#[test]
fn every_command_runs() {
    let hub = FakeHub::of(&root().join("models/demo"));
    hub.answer_to_any_name();
    let (mut count, mut failures) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks(&text) {
            let is_session = block.iter().any(|line| line.starts_with("$ "));
            count += if is_session { check_session(&block, &hub) } else { check_lines(&block, &hub, &mut failures) };
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 25, "{count} commands were found");
}

#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap();
            let is_local = !target.is_empty() && !target.contains("://");
            assert!(!is_local || page.parent().unwrap().join(target).exists(), "{}: {target}", page.display());
        }
    }
}

#[test]
fn sorting_leaves_pictures_that_fail_where_they_are() {
    let guide = fs::read_to_string(root().join("docs/guide.md")).unwrap();
    let line = guide.lines().find_map(|line| line.strip_prefix("    for f in ")).unwrap();
    if !has_tools(line) {
        return;
    }
    let hub = FakeHub::of(&root().join("models/demo"));
    hub.answer_to_any_name();
    let (dir, home) = (folder(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("broken.jpg"), b"\xff\xd8\xff").unwrap();
    fs::copy(dir.path().join("owl.jpg"), dir.path().join("a b.jpg")).unwrap();
    let output = run(&format!("for f in {line}"), dir.path(), &hub, home.path());
    assert!(output.status.success(), "{}", err(&output));
    let count = |label: &str| fs::read_dir(dir.path().join("sorted").join(label)).map_or(0, Iterator::count);
    assert_eq!((count("cat") + count("dog"), count("null"), count("")), (2, 0, 1));
    assert!(dir.path().join("broken.jpg").exists());
}
