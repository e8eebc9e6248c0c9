//! A folder of pictures in every format, some of them damaged: from disk, from a tar and over HTTP.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::common::command::{err, lines, run, zsic};
use crate::common::fixtures;
use crate::image_server::{Answer, Server};

const FILES: usize = 200;

/// Returns names and bytes: the decode fixtures that Pillow reads, format by format in turns, every tenth of them cut.
fn files() -> Vec<(String, Vec<u8>)> {
    let dir = fixtures("decode");
    let index: Vec<Value> = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
    let mut formats: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in index.iter().filter(|case| !case["expected"].is_null()) {
        let file = case["file"].as_str().unwrap();
        let (_, ending) = file.rsplit_once('.').unwrap();
        formats.entry(ending.to_lowercase()).or_default().push(file.to_owned());
    }
    assert!(formats.len() >= 20, "{:?}", formats.keys());
    let turns = (0..).flat_map(|turn| formats.values().filter_map(move |files| files.get(turn)));
    let named = turns.take(FILES).enumerate().map(|(n, file)| {
        let mut bytes = fs::read(dir.join(file)).unwrap();
        if n % 10 == 9 {
            bytes.truncate(bytes.len().min(40)); // the signature, and too little after it
        }
        (format!("{n:03}-{file}"), bytes)
    });
    named.collect()
}

/// Runs `classify` and checks that every good picture has its scores, in order, and every damaged one its failure.
fn check(what: &str, images: &[String], names: &[(String, Vec<u8>)]) -> Vec<Value> {
    let mut command = zsic(&["classify", "-m", "demo", "-l", "cat,dog"]);
    let output = run(command.args(images));
    let records = lines(&output);
    assert_eq!((records.len(), output.status.code()), (FILES, Some(1)), "{what}: {}", err(&output));
    for (n, (record, (name, _))) in records.iter().zip(names).enumerate() {
        assert!(record["image"].as_str().unwrap().ends_with(name), "{what}: {record} is not {name}");
        assert_eq!(record["error"].is_null(), n % 10 != 9, "{what}: {record}");
    }
    records.into_iter().map(|record| record["predictions"].clone()).collect()
}

#[test]
fn every_format_is_read_in_order_and_damage_is_told() {
    let files = files();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(dir.path().join("images.tar")).unwrap());
    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes).unwrap();
        tar.append_path_with_name(folder.join(name), name).unwrap();
    }
    tar.finish().unwrap();
    let from_folder = check("folder", &[folder.display().to_string()], &files);
    let from_tar = check("tar", &[dir.path().join("images.tar").display().to_string()], &files);
    let served: BTreeMap<String, Vec<u8>> = files.iter().cloned().collect();
    let server = Server::start(move |path, _| Answer::Body(served[path.trim_start_matches('/')].clone()));
    let urls: Vec<String> = files.iter().map(|(name, _)| server.url(&format!("/{name}"))).collect();
    let from_http = check("http", &urls, &files);
    assert!(from_folder == from_tar && from_folder == from_http, "the way in changes the scores");
}
