//! The cache of embeddings under kills, and used by several processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::caches::{LABELS, assert_right, classify, content, count, demo, embedding, info, temporary};
use crate::common::command::{err, out, run, zsic};
use serde_json::Value;
use zsic::cache::{self, Cache, EntryKind};
use zsic::preprocess::Decoding;

/// The directory and the first number of a process that fills the cache.
const FILLER: &str = "ZSIC_TEST_FILLER";

/// Run as a process of its own by the tests below: puts embeddings from a number on, and prints how many are kept.
#[test]
fn filler() {
    let Ok(what) = std::env::var(FILLER) else { return };
    let (dir, first) = what.rsplit_once(' ').unwrap();
    let cache = Cache::open(Path::new(dir), 256 << 20).unwrap();
    let (scope, dim) = demo(&cache);
    let first: u32 = first.parse().unwrap();
    for number in first..first + 5000 {
        scope.put_image(&content(number), Decoding::Exact, &embedding(number, dim));
        if number % 16 == 15 {
            cache.flush().unwrap();
            println!("\nkept {}", number + 1);
        }
    }
}

fn fill(dir: &Path, first: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cache_crowds::filler", "--nocapture"]).env(FILLER, format!("{} {first}", dir.display()));
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Up to which number the process said that it kept.
fn kept(child: &mut Child) -> Option<u32> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| line.unwrap().strip_prefix("kept ").map(|number| number.parse().unwrap())).last()
}

#[test]
fn nothing_that_was_kept_is_lost_in_twenty_kills() {
    let (_dir, path) = temporary();
    let (mut first, mut round) = (0, 0u64);
    // On a slow machine, until a round gets far enough.
    while round < 20 || first == 0 && round < 60 {
        let mut child = fill(&path, first);
        thread::sleep(Duration::from_millis(20 + round * 7919 % 150 + 50 * round.saturating_sub(19)));
        child.kill().unwrap();
        first = kept(&mut child).unwrap_or(first);
        child.wait().unwrap();
        assert_right(&path, 0..first);
        round += 1;
    }
    assert!(first > 0, "no round got far enough");
}

#[test]
fn four_processes_at_once_lose_nothing() {
    let (_dir, path) = temporary();
    let mut children: Vec<Child> = (0..4).map(|i| fill(&path, i * 5000)).collect();
    for child in &mut children {
        kept(child);
        assert!(child.wait().unwrap().success());
    }
    for i in 0..4 {
        assert_right(&path, i * 5000..i * 5000 + 4992);
    }

    let (_dir, path) = temporary();
    let commands: Vec<_> = (0..4)
        .map(|_| classify(&path, &["-l", LABELS]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<Output> = commands.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &outputs {
        assert!(output.status.success() && !err(output).contains("warning"), "{}", err(output));
        assert_eq!(output.stdout, outputs[0].stdout);
    }
    assert_eq!(count(&path, "label"), 3);
}

#[test]
fn it_can_be_cleared_while_in_use() {
    let (_dir, path) = temporary();
    let cache = Cache::open(&path, 64 << 20).unwrap();
    let (scope, dim) = demo(&cache);
    let put = |number| scope.put_image(&content(number), Decoding::Exact, &embedding(number, dim));
    (0..2000).for_each(put);
    cache.flush().unwrap();
    assert!(scope.image(&content(0), Decoding::Exact).is_some());
    let size = info(&path)["bytes"].as_u64().unwrap();
    let output = run(zsic(&["cache", "clear", "--format", "json", "--cache-dir"]).arg(&path));
    let freed = serde_json::from_str::<Value>(out(&output)).unwrap()["freed"].as_u64().unwrap();
    assert!(freed > size / 2 && info(&path)["bytes"].as_u64().unwrap() == size - freed, "{freed} of {size}");
    assert_eq!(scope.image(&content(0), Decoding::Exact), None);
    put(1);
    cache.flush().unwrap();
    assert!(scope.image(&content(1), Decoding::Exact).is_some());
    assert_eq!(
        cache::info(&path).unwrap().groups.iter().map(|g| (g.kind, g.entries)).collect::<Vec<_>>(),
        [(EntryKind::Image, 1)]
    );
}
