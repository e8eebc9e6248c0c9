//! Repositories that people use, as their lists of files and their settings describe them: which files are fetched and what they
//! are, or why nothing runs, before any weights come. Weights and vocabularies are those of the fixtures, or empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use zsic::Checkpoint;

use crate::common::command::{err, out};
use crate::common::{fixtures, json as read, strings};
use crate::fake_hub::NAME;
use crate::fake_hub::shell::{self, World};

/// What a file holds that no fixture has.
fn filler(name: &str) -> Vec<u8> {
    match name {
        _ if name.ends_with(".index.json") => {
            let shard = |n| format!("pytorch_model-0000{n}-of-00002.bin");
            let shards = json!({"logit_scale": shard(1), "text_projection.weight": shard(2)});
            json!({"metadata": {}, "weight_map": shards}).to_string().into()
        }
        _ if name.ends_with(".safetensors") => b"\x02\0\0\0\0\0\0\0{}".to_vec(),
        _ if name.ends_with(".bin") => {
            let whole = fs::read(fixtures("checkpoints/bin-legacy/pytorch_model.bin")).unwrap();
            [&whole, name.as_bytes()].concat() // each is another file
        }
        _ => name.into(),
    }
}

fn is_weights(name: &str) -> bool {
    [".safetensors", ".bin", ".pt"].iter().any(|ending| name.ends_with(ending))
}

/// The files of a repository.
fn files(row: &Value) -> BTreeMap<String, Vec<u8>> {
    let folders = strings(&row["from"]);
    let found = |name: &str| {
        let folders = folders.iter().filter(|_| !is_weights(name));
        folders.into_iter().find_map(|folder| fs::read(fixtures(folder).join(name)).ok())
    };
    let names = strings(&row["files"]);
    let mut files: BTreeMap<_, _> =
        names.into_iter().map(|name| (name.clone(), found(&name).unwrap_or_else(|| filler(&name)))).collect();
    files.extend(
        row["settings"].as_object().unwrap().iter().map(|(name, json)| (name.clone(), json.to_string().into())),
    );
    files
}

/// Fetches a repository, and returns what is wrong about it.
fn wrong(row: &Value) -> Option<String> {
    let name = row["name"].as_str().unwrap().split(' ').next().unwrap();
    let world = World::of(files(row));
    world.hub.answer_to_any_name();
    let pulled = world.run(&["models", "pull", name]);
    let seen = world.hub.seen();
    let fetched: BTreeSet<String> = seen
        .iter()
        .filter(|seen| seen.method == "GET")
        .filter_map(|seen| Some(seen.path.split_once("/resolve/")?.1.split_once('/')?.1.to_owned()))
        .collect();
    if let Some(reason) = row["refused"].as_str() {
        let told = err(&pulled).lines().last().unwrap_or_default();
        let weights: Vec<_> = fetched.iter().filter(|file| is_weights(file)).collect();
        let is_right = pulled.status.code() == Some(3) && told.starts_with("error: ") && told.contains(reason);
        return (!is_right || !weights.is_empty()).then(|| format!("{name}: fetched {weights:?}: {told}"));
    }
    if !pulled.status.success() {
        return Some(format!("{name}: {}", err(&pulled)));
    }
    let expected: BTreeSet<String> = strings(&row["fetched"]).into_iter().collect();
    if fetched != expected {
        return Some(format!("{name}: fetched {fetched:?} where {expected:?} are needed"));
    }
    let shown = world.run(&["models", "show", "--format", "json", name]);
    let shown: Value = serde_json::from_str(out(&shown)).unwrap();
    let keys = ["kind", "image_size", "patch_size", "max_tokens", "embedding"];
    let different: Vec<_> = keys
        .iter()
        .filter(|key| row.get(key).is_some_and(|value| *value != shown[key]))
        .map(|key| (key, &shown[key]))
        .collect();
    if !different.is_empty() {
        return Some(format!("{name}: {different:?}"));
    }
    let pixels = row.get("pixels")?;
    let size = Checkpoint::open(shown["dir"].as_str().unwrap()).unwrap().preprocessor().output_size();
    (json!(size) != *pixels).then(|| format!("{name}: pixels of {size:?}"))
}

#[test]
fn each_is_fetched_as_it_should_be_or_refused_before_its_weights_come() {
    let rows = read(&fixtures("repositories.json"));
    let rows = rows.as_array().unwrap();
    assert!(rows.len() > 100);
    let wrong: Vec<String> = rows.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn an_image_processor_that_does_not_run_is_named_before_weights_come() {
    let flat = |settings: Value| ("preprocessor_config.json", settings);
    let nested = |settings: Value| ("processor_config.json", json!({ "image_processor": settings }));
    let other = "image processor `BlipImageProcessor` is not supported";
    for ((file, settings), reason) in [
        (flat(json!({"image_processor_type": "BlipImageProcessor"})), other),
        (nested(json!({"image_processor_type": "BlipImageProcessor"})), other),
        (flat(json!({"resample": 77})), "resample"),
        (flat(json!([])), "is not a JSON object"),
    ] {
        let mut files = shell::files();
        files.insert(file.to_owned(), settings.to_string().into());
        let world = World::of(files);
        let pulled = world.run(&["models", "pull", NAME]);
        let told = err(&pulled).lines().last().unwrap_or_default();
        assert_eq!(pulled.status.code(), Some(3), "{told}");
        assert!(told.contains(&format!("cannot be used: its {file}: ")) && told.contains(reason), "{told}");
        assert!(world.hub.gets(shell::WEIGHTS).is_empty(), "{told}");
    }
}

/// Python writes NaN, and some editors a byte order mark.
#[test]
fn settings_of_a_repository_may_be_python_s() {
    let mut files = shell::files();
    let config = String::from_utf8(files["config.json"].clone()).unwrap();
    let config = format!("\u{feff}{{\"initializer_factor\": NaN,{}", config.trim_start().strip_prefix('{').unwrap());
    files.insert("config.json".to_owned(), config.into());
    let world = World::of(files);
    let pulled = world.run(&["models", "pull", NAME]);
    assert!(pulled.status.success(), "{}", err(&pulled));
    assert!(out(&world.run(&["models", "show", NAME])).contains("images of 32 pixels"));
}
