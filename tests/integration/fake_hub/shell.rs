//! The command against a hub on loopback, with a cache of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{FakeHub, NAME};
use crate::common::command::{cache_dir, err, out};
use crate::common::fixtures;

pub const WEIGHTS: &str = "model.safetensors";

/// A hub that has a checkpoint of the fixtures, and an empty cache.
pub struct World {
    pub hub: FakeHub,
    pub cache: TempDir,
}

pub fn checkpoint() -> PathBuf {
    fixtures("checkpoints/quick-gelu")
}

/// Its files.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let files = fs::read_dir(checkpoint()).unwrap().map(|entry| file(entry.unwrap()));
    files.filter(|(name, _)| !name.starts_with("expected")).collect()
}

pub fn image() -> String {
    fixtures("checkpoints/images/wide.png").display().to_string()
}

impl World {
    pub fn new() -> Self {
        Self { hub: FakeHub::of(&checkpoint()), cache: tempfile::tempdir().unwrap() }
    }

    /// A hub with this repository.
    pub fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { hub: FakeHub::start(files), cache: tempfile::tempdir().unwrap() }
    }

    pub fn zsic(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zsic"));
        command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("HF_ENDPOINT", self.hub.url()).env("HF_HOME", self.cache.path());
        command.env("ZSIC_CACHE_DIR", cache_dir());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.zsic(args).output().unwrap()
    }

    pub fn classify(&self, args: &[&str]) -> Command {
        let mut command = self.zsic(&["classify", &image(), "-l", "cat,wine glass"]);
        command.args(args);
        command
    }

    pub fn root(&self) -> PathBuf {
        self.cache.path().join("hub/models--org--clip")
    }

    pub fn snapshot(&self) -> PathBuf {
        self.root().join("snapshots").join(self.hub.commit())
    }

    pub fn assert_right(&self) {
        let output = self.run(&["models", "verify", NAME]);
        assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
        assert!(out(&output).lines().count() >= 5 && out(&output).lines().all(|line| line.starts_with("ok ")));
    }
}

/// What the directory itself gives.
pub fn expected() -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zsic"));
    let output = command
        .args(["classify", "--no-cache", &image(), "-l", "cat,wine glass", "-m"])
        .arg(checkpoint())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}
