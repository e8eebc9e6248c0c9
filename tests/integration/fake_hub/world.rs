//! What the tests of the hub start from: a repository, a hub that has it, and an empty cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use zsic::net::hub::{HubError, HubSettings, Snapshot, Verdict, cached, fetch, verify};
use zsic::net::{HttpSettings, Patience};

use super::{FakeHub, NAME, etag};

pub const WEIGHTS: &str = "model.safetensors";
pub const CONFIG: &str = r#"{"model_type":"clip"}"#;

/// A repository whose weights are `size` bytes that mean nothing, with files beside that nobody needs.
pub fn files(size: usize) -> BTreeMap<String, Vec<u8>> {
    let bytes = |n: usize| (0..n).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>();
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    BTreeMap::from([
        named("config.json", CONFIG.into()),
        named("preprocessor_config.json", "{}".into()),
        named("tokenizer.json", bytes(6000)),
        named("tokenizer_config.json", "{\"a\":1}".into()),
        named("vocab.json", "{}".into()),
        named("merges.txt", "#version".into()),
        named(WEIGHTS, bytes(size)),
        named("pytorch_model.bin", bytes(size + 1)),
        named("flax_model.msgpack", bytes(size + 2)),
        named("README.md", "read me".into()),
    ])
}

/// A hub and an empty cache.
pub struct World {
    pub hub: FakeHub,
    pub cache: TempDir,
}

impl World {
    pub fn new(size: usize) -> Self {
        Self { hub: FakeHub::start(files(size)), cache: tempfile::tempdir().unwrap() }
    }

    /// Short waits, and as few tries as show that there are some.
    pub fn settings(&self) -> HubSettings {
        let patience = Patience {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            stall: Duration::from_millis(700),
            attempts: 3,
            pause: Duration::from_millis(5),
            ..Patience::default()
        };
        HubSettings {
            endpoint: self.hub.url(),
            http: HttpSettings { patience, ..HttpSettings::default() },
            ..HubSettings::new(self.cache.path())
        }
    }

    pub fn fetch(&self) -> Result<Snapshot, HubError> {
        fetch(NAME, "main", &self.settings())
    }

    pub fn error(&self) -> String {
        self.fetch().unwrap_err().to_string()
    }

    pub fn root(&self) -> PathBuf {
        self.cache.path().join("models--org--clip")
    }

    pub fn weights(&self) -> Vec<u8> {
        let snapshot = self.root().join("snapshots").join(self.hub.commit()).join(WEIGHTS);
        fs::read(snapshot).unwrap()
    }

    pub fn partial(&self, size: usize) -> PathBuf {
        self.root().join("blobs").join(format!("{}.incomplete", etag(&files(size)[WEIGHTS])))
    }

    /// Everything under its final name in the cache is what the hub has.
    pub fn assert_nothing_wrong(&self) {
        for repo in cached(self.cache.path()).unwrap().into_values().map(Result::unwrap) {
            for snapshot in &repo.snapshots {
                for (file, verdict) in verify(snapshot, |_, _| ()).unwrap() {
                    assert_eq!(verdict, Verdict::Right, "{}", file.path);
                }
            }
        }
        let blobs = fs::read_dir(self.root().join("blobs"));
        for blob in blobs.into_iter().flatten().flatten() {
            let name = blob.file_name().into_string().unwrap();
            assert!(name.ends_with(".incomplete") || etag(&fs::read(blob.path()).unwrap()) == name, "{name}");
        }
    }
}
