//! Token ids against transformers' CLIPTokenizer, string by string.

mod common;

use std::fs;

use common::{fixtures, json};
use serde_json::Value;
use zsic::checkpoint::Files;
use zsic::text::ClipTokenizer;

fn ids(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_equal_the_reference() {
    let dir = fixtures("tokens");
    let tokenizer = ClipTokenizer::open(&Files::directory(&dir)).unwrap();
    let strings = json(&dir.join("strings.json"));
    let strings = strings.as_array().unwrap();
    assert!(strings.len() >= 300);
    for case in strings {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{text:?}");
    }
}

#[test]
fn vocabulary_and_merges_alone_give_the_reference_too() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(fixtures("tokens").join(file), dir.path().join(file)).unwrap();
    }
    let tokenizer = ClipTokenizer::open(&Files::directory(dir.path())).unwrap();
    for case in json(&fixtures("tokens").join("strings.json")).as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected = case.get("ids_from_vocab_and_merges").unwrap_or(&case["ids"]);
        assert_eq!(tokenizer.encode(text).unwrap(), ids(expected), "{text:?}");
    }
}

#[test]
fn truncation_keeps_the_end() {
    let tokenizer = ClipTokenizer::open(&Files::directory(fixtures("tokens"))).unwrap();
    let whole = tokenizer.encode(&"owl ".repeat(100)).unwrap();
    let mut cut = whole.clone();
    tokenizer.truncate(&mut cut, 77);
    assert_eq!(cut[..76], whole[..76]);
    assert_eq!((cut.len(), cut.last()), (77, whole.last()));
    let mut short = tokenizer.encode("owl").unwrap();
    let before = short.clone();
    tokenizer.truncate(&mut short, 77);
    assert_eq!(short, before);
}
