//! Caches of embeddings for a test, and the command with one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::command::{err, image, model, out, run, zsic};
use serde_json::Value;
use tempfile::TempDir;
use zsic::cache::{self, Cache, ContentHash};
use zsic::preprocess::Decoding;
use zsic::{Checkpoint, Compute};

pub const LABELS: &str = "cat,the cat's toy,wine glass";

pub fn temporary() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("a/cache");
    (dir, cache)
}

pub fn classify(cache: &Path, args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), &image("wide.png"), "-v"]);
    command.args(args).env("ZSIC_CACHE_DIR", cache);
    command
}

pub fn info(cache: &Path) -> Value {
    let output = run(zsic(&["cache", "info", "--format", "json", "--cache-dir"]).arg(cache));
    assert!(output.status.success(), "{}", err(&output));
    serde_json::from_str(out(&output)).unwrap()
}

pub fn count(cache: &Path, kind: &str) -> u64 {
    let info = info(cache);
    let of_kind = info["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind);
    of_kind.map(|entry| entry["entries"].as_u64().unwrap()).sum()
}

#[track_caller]
pub fn assert_kept(output: &Output, kept: usize, of: usize) {
    assert!(output.status.success(), "{}", err(output));
    assert!(err(output).contains(&format!("\n{kept} of {of} labels were in the cache\n")), "{}", err(output));
    assert!(!err(output).contains("warning"), "{}", err(output));
}

/// An embedding that tells its number.
pub fn embedding(number: u32, dim: usize) -> Vec<f32> {
    (0..dim).map(|i| (number * 31 + i as u32) as f32).collect()
}

pub fn content(number: u32) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

pub fn demo(cache: &Cache) -> (cache::Scope, usize) {
    let checkpoint = Checkpoint::open(model("quick-gelu")).unwrap();
    (cache.scope(&checkpoint, &Compute::default().plan(&checkpoint)).unwrap(), checkpoint.family().facts().embedding)
}

/// That all of `numbers` are kept, and that the file is right.
pub fn assert_right(dir: &Path, numbers: std::ops::Range<u32>) {
    let cache = Cache::open(dir, 256 << 20).unwrap();
    let (scope, dim) = demo(&cache);
    let contents: Vec<_> = numbers.clone().map(content).collect();
    for (number, row) in numbers.zip(scope.images(&contents, Decoding::Exact)) {
        assert_eq!(row, Some(embedding(number, dim)), "{number}");
    }
    cache.flush().unwrap();
    let connection = rusqlite::Connection::open(dir.join("embeddings-1.db")).unwrap();
    let word: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
}
