//! Token ids against transformers' tokenizers, string by string.

use std::fs;
use std::path::Path;

use crate::common::{fixtures, json};
use serde_json::Value;
use zsic::checkpoint::Files;
use zsic::text::{Tokenizer, TokenizerClass, canonicalize};

fn ids(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_equal_the_reference() {
    let dir = fixtures("tokens");
    let tokenizer = Tokenizer::open(&Files::directory(&dir), TokenizerClass::Clip).unwrap();
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
    let tokenizer = Tokenizer::open(&Files::directory(dir.path()), TokenizerClass::Clip).unwrap();
    for case in json(&fixtures("tokens").join("strings.json")).as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected = case.get("ids_from_vocab_and_merges").unwrap_or(&case["ids"]);
        assert_eq!(tokenizer.encode(text).unwrap(), ids(expected), "{text:?}");
    }
}

#[test]
fn siglip_s_ids_equal_the_reference() {
    for name in ["unigram", "bytes", "gemma"] {
        let dir = fixtures("siglip/tokens").join(name);
        let tokenizer = Tokenizer::open(&Files::directory(&dir), TokenizerClass::Siglip).unwrap();
        let cases = json(&dir.join("strings.json"));
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 300);
        let is_wrong = |case: &&Value| tokenizer.encode(case["text"].as_str().unwrap()).unwrap() != ids(&case["ids"]);
        let wrong: Vec<_> = cases.iter().filter(is_wrong).collect();
        let first = wrong.first().map(|case| tokenizer.encode(case["text"].as_str().unwrap()).unwrap());
        assert!(wrong.is_empty(), "{name}: {} wrong, {} is {first:?}", wrong.len(), wrong[0]);
    }
}

/// transformers 5.23 leaves `add_eos_token` aside where there is a tokenizer.json: ends come from that file alone.
#[test]
fn gemma_s_ends_are_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures("siglip/tokens/gemma");
    let mut file = json(&from.join("tokenizer.json"));
    for (name, ids) in [("as it is", vec![307, 678, 1]), ("without ends", vec![307, 678])] {
        fs::copy(from.join("tokenizer_config.json"), dir.path().join("tokenizer_config.json")).unwrap();
        fs::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
        let tokenizer = Tokenizer::open(&Files::directory(dir.path()), TokenizerClass::Siglip).unwrap();
        assert_eq!(tokenizer.encode("a cat").unwrap(), ids, "{name}");
        file["post_processor"] = Value::Null;
    }
}

#[test]
fn cleaning_is_that_of_the_training() {
    for case in json(&fixtures("siglip/tokens/canonical.json")).as_array().unwrap() {
        assert_eq!(canonicalize(case["text"].as_str().unwrap()), case["canonical"], "{}", case["text"]);
    }
}

/// Each variant is a change of settings, with the ids that transformers gives under them.
#[test]
fn settings_are_followed_as_the_reference_does() {
    let variants = json(&fixtures("tokenizers/variants.json"));
    let texts = variants["texts"].as_object().unwrap();
    for variant in variants["variants"].as_array().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        write_variant(variant, dir.path());
        let tokenizer = Tokenizer::open(&Files::directory(dir.path()), TokenizerClass::Clip);
        let name = &variant["name"];
        if let Some(message) = variant.get("message") {
            let error = tokenizer.unwrap_err().to_string();
            assert!(error.contains(message.as_str().unwrap()), "{name}: {error}");
            continue;
        }
        let tokenizer = tokenizer.unwrap_or_else(|e| panic!("{name}: {e}"));
        for (text, usual) in texts {
            let expected = variant["ids"].get(text).unwrap_or(usual);
            assert_eq!(tokenizer.encode(text).unwrap(), ids(expected), "{name}: {text:?}");
        }
    }
}

/// Writes the files of a variant.
fn write_variant(variant: &Value, dir: &Path) {
    let vocabulary = fixtures("tokens");
    for (name, content) in variant["files"].as_object().unwrap() {
        fs::write(dir.join(name), content.to_string()).unwrap();
    }
    let Some(changes) = variant.get("changes") else {
        return ["vocab.json", "merges.txt"].iter().for_each(|name| {
            fs::copy(vocabulary.join(name), dir.join(name)).unwrap();
        });
    };
    let mut tokenizer = json(&vocabulary.join("tokenizer.json"));
    for (pointer, value) in changes.as_object().unwrap() {
        let (path, last) = pointer.rsplit_once('/').unwrap();
        match tokenizer.pointer_mut(path).unwrap() {
            Value::Array(list) if last.parse::<usize>().unwrap() == list.len() => list.push(value.clone()),
            Value::Array(list) => list[last.parse::<usize>().unwrap()] = value.clone(),
            object => object[last] = value.clone(),
        }
    }
    fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

#[test]
fn truncation_keeps_the_ends() {
    let tokenizer = Tokenizer::open(&Files::directory(fixtures("tokens")), TokenizerClass::Clip).unwrap();
    let whole = tokenizer.encode(&"owl ".repeat(100)).unwrap();
    let cut = tokenizer.encode_upto(&"owl ".repeat(100), 77).unwrap();
    assert_eq!(cut[..76], whole[..76]);
    assert_eq!((cut.len(), cut.last()), (77, whole.last()));
    assert_eq!(tokenizer.encode_upto("owl", 77).unwrap(), tokenizer.encode("owl").unwrap());
}
