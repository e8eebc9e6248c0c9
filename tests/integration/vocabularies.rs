//! CLIP vocabularies that do not agree with their merges, against transformers, and merges that are cut.

use std::fs;
use std::path::Path;

use crate::common::{fixtures, json};
use crate::tokens::ids;
use serde_json::Value;
use zsic::checkpoint::Files;
use zsic::text::{Tokenizer, TokenizerClass, TokenizerPlan};

/// Each variant is a vocabulary that does not agree with its merges, with the ids that transformers gives.
#[test]
fn vocabularies_that_do_not_agree_with_their_merges_give_the_reference() {
    for variant in json(&fixtures("vocabularies/variants.json")).as_array().unwrap() {
        for is_whole in [false, true].into_iter().filter(|way| variant.get("whole").is_none_or(|only| only == way)) {
            let dir = tempfile::tempdir().unwrap();
            write_vocabulary(variant, is_whole, dir.path());
            let tokenizer = Tokenizer::open(&Files::directory(dir.path()), &TokenizerPlan::of(TokenizerClass::Clip));
            let name = format!("{}, whole: {is_whole}", variant["name"]);
            match (tokenizer, variant.get("message").and_then(Value::as_str)) {
                (Ok(tokenizer), None) => compare_vocabulary(&name, variant, is_whole, &tokenizer),
                (Err(error), Some(message)) => assert!(error.to_string().contains(message), "{name}: {error}"),
                (tokenizer, _) => panic!("{name}: {tokenizer:?}"),
            }
        }
    }
}

/// Compares the ids that a variant changes, and all others with the usual ones.
fn compare_vocabulary(name: &str, variant: &Value, is_whole: bool, tokenizer: &Tokenizer) {
    let changed = variant.get("ids_whole").filter(|_| is_whole).unwrap_or(&variant["ids"]).as_object().unwrap();
    for (text, expected) in changed {
        assert_eq!(tokenizer.encode(text).unwrap(), ids(expected), "{name}: {text:?}");
    }
    let strings = json(&fixtures("tokens/strings.json"));
    let has_usual = variant.get("merges").is_none();
    for case in strings.as_array().unwrap().iter().filter(|case| has_usual && !changed.contains_key(text_of(case))) {
        let usual = case.get("ids_from_vocab_and_merges").filter(|_| !is_whole).unwrap_or(&case["ids"]);
        assert_eq!(tokenizer.encode(text_of(case)).unwrap(), ids(usual), "{name}: {}", case["text"]);
    }
}

fn text_of(case: &Value) -> &str {
    case["text"].as_str().unwrap()
}

/// Writes the vocabulary and the merges of a variant, in one file or in two, and the files beside them.
fn write_vocabulary(variant: &Value, is_whole: bool, dir: &Path) {
    let mut tokenizer = json(&fixtures("tokens/tokenizer.json"));
    let model = &mut tokenizer["model"];
    for key in ["vocab", "merges"].iter().filter(|_| variant.get("merges").is_some()) {
        model[key] = variant[key].clone();
    }
    let vocab = model["vocab"].as_object_mut().unwrap();
    vocab.extend(variant["vocab"].as_object().cloned().unwrap_or_default());
    vocab.retain(|_, id| !id.is_null());
    let merges = model["merges"].as_array_mut().unwrap();
    if let Some([from, to, step]) = variant.get("dropped").map(|slice| [0, 1, 2].map(|n| slice[n].as_u64().unwrap())) {
        let mut place = 0..;
        merges.retain(|_| place.next().is_some_and(|n| n < from || n >= to || (n - from) % step != 0));
    }
    merges.extend(variant["added"].as_array().cloned().unwrap_or_default());
    let lines: Vec<&str> = ["#version: 0.2"].into_iter().chain(merges.iter().filter_map(Value::as_str)).collect();
    if is_whole {
        fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    } else {
        fs::write(dir.join("merges.txt"), lines.join("\n") + "\n").unwrap();
        fs::write(dir.join("vocab.json"), model["vocab"].to_string()).unwrap();
    }
    for (name, content) in variant.get("files").and_then(Value::as_object).into_iter().flatten() {
        fs::write(dir.join(name), content.to_string()).unwrap();
    }
}

/// Wherever the merges are cut, the error names their file.
#[test]
fn cut_merges_are_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixtures("tokens/vocab.json"), dir.path().join("vocab.json")).unwrap();
    let path = dir.path().join("merges.txt");
    let whole = fs::read(fixtures("tokens/merges.txt")).unwrap();
    for length in (0..whole.len() - 1).step_by(13).chain([whole.len() - 2]) {
        fs::write(&path, &whole[..length]).unwrap();
        let opened = Tokenizer::open(&Files::directory(dir.path()), &TokenizerPlan::of(TokenizerClass::Clip));
        let error = opened.unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())), "{length}: {error}");
    }
}
