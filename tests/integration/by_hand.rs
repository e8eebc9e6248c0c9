//! The example that follows the second half of the guide, against the pipeline of transformers: with labels in the
//! pipeline's template both give the same scores.

#[path = "../../examples/by_hand.rs"]
#[allow(dead_code)] // its main
mod example;

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::common::command::{image, model};
use crate::common::{Expected, fixtures};

#[test]
fn scores_are_the_pipeline_s_and_labels_are_sentences() {
    for name in ["quick-gelu", "odd"] {
        let expected = Expected::of(name);
        let checkpoint = example::open(&model(name)).unwrap();
        for picture in expected.images() {
            let python = expected.json["pipeline"][&picture].as_array().unwrap();
            let python: HashMap<String, f64> = python
                .iter()
                .map(|p| {
                    (format!("This is a photo of {}.", p["label"].as_str().unwrap()), p["score"].as_f64().unwrap())
                })
                .collect();
            let result = example::classify(&checkpoint, image(&picture).as_ref(), &expected.labels()).unwrap();
            assert_eq!(result.len(), python.len());
            assert!(result.is_sorted_by(|a, b| a.0 >= b.0));
            for (score, label) in result {
                let off = (f64::from(score) - python[&label]).abs();
                assert!(off < 5e-5, "{name}, {picture}, {label}: {off}");
            }
        }
    }
}

#[test]
fn a_name_on_the_hub_is_found_in_the_cache() {
    if let Some(name) = std::env::var_os("BY_HAND_TEST") {
        example::open(name.to_str().unwrap()).unwrap();
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("models--owner--tiny");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let snapshot = repo.join("snapshots").join(commit);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), commit).unwrap();
    for file in fs::read_dir(fixtures("checkpoints/quick-gelu")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), snapshot.join(file.file_name())).unwrap();
    }
    // The cache is found by the environment, which a test of several threads leaves alone.
    let again = std::env::current_exe().unwrap();
    let mut again = Command::new(again);
    again.args(["by_hand::a_name_on_the_hub_is_found_in_the_cache", "--exact"]);
    let output = again.env("BY_HAND_TEST", "owner/tiny").env("HF_HUB_CACHE", cache.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}
