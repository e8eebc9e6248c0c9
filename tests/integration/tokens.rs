//! Token ids against transformers' tokenizers, string by string.

use std::fs;
use std::path::Path;

use crate::common::{fixtures, json};
use serde_json::Value;
use zsic::checkpoint::Files;
use zsic::checkpoint::Layout;
use zsic::model::family::Family;
use zsic::text::{Clean, Tokenizer, TokenizerClass, TokenizerPlan, canonicalize};

pub fn ids(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_equal_the_reference() {
    let dir = fixtures("tokens");
    let tokenizer = Tokenizer::open(&Files::directory(&dir), &TokenizerPlan::of(TokenizerClass::Clip)).unwrap();
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
    let tokenizer = Tokenizer::open(&Files::directory(dir.path()), &TokenizerPlan::of(TokenizerClass::Clip)).unwrap();
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
        let tokenizer = Tokenizer::open(&Files::directory(&dir), &TokenizerPlan::of(TokenizerClass::Siglip)).unwrap();
        let cases = json(&dir.join("strings.json"));
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 300);
        let is_wrong = |case: &&Value| tokenizer.encode(case["text"].as_str().unwrap()).unwrap() != ids(&case["ids"]);
        let wrong: Vec<_> = cases.iter().filter(is_wrong).collect();
        let first = wrong.first().map(|case| tokenizer.encode(case["text"].as_str().unwrap()).unwrap());
        assert!(wrong.is_empty(), "{name}: {} wrong, {} is {first:?}", wrong.len(), wrong[0]);
    }
}

/// Each variant is a change of settings, with the ids that transformers gives under it.
#[test]
fn siglip_s_settings_are_followed_as_the_reference_does() {
    for variant in json(&fixtures("siglip/tokens/variants.json")).as_array().unwrap() {
        let tokenizer = siglip_variant(variant).unwrap_or_else(|e| panic!("{variant}: {e}"));
        let text = variant["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids(&variant["ids"]), "{variant}");
        assert_eq!(tokenizer.padding().map(u64::from), variant["padding"].as_u64(), "{variant}");
    }
}

#[test]
fn what_is_not_followed_is_refused() {
    let error = |base: &str, settings: Value| {
        siglip_variant(&serde_json::json!({ "base": base, "settings": settings })).unwrap_err().to_string()
    };
    for base in ["unigram", "gemma"] {
        assert!(error(base, serde_json::json!({"truncation_side": "left"})).contains("truncation_side `left`"));
        assert!(error(base, serde_json::json!({"padding_side": "left"})).contains("padding_side `left`"));
    }
    assert!(error("unigram", serde_json::json!({"sp_model_kwargs": {"add_eos": true}})).contains("add_eos"));
    let token = serde_json::json!({"added_tokens_decoder": {"1200": {"content": "foo", "single_word": true}}});
    assert!(error("unigram", token).contains("`foo` is for single words"));
}

/// A tokenizer of the fixtures under other settings.
fn siglip_variant(variant: &Value) -> zsic::Result<Tokenizer> {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures("siglip/tokens").join(variant["base"].as_str().unwrap());
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    for (name, changes) in [("tokenizer_config.json", &variant["settings"]), ("tokenizer.json", &variant["tokenizer"])]
    {
        let path = dir.path().join(name);
        let Some(changes) = changes.as_object().filter(|_| path.exists()) else { continue };
        let mut file = json(&path);
        for removed in variant["removed"].as_array().into_iter().flatten() {
            file.as_object_mut().unwrap().remove(removed.as_str().unwrap());
        }
        file.as_object_mut().unwrap().extend(changes.clone());
        fs::write(path, file.to_string()).unwrap();
    }
    Tokenizer::open(&Files::directory(dir.path()), &TokenizerPlan::of(TokenizerClass::Siglip))
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
        let tokenizer = Tokenizer::open(&Files::directory(dir.path()), &TokenizerPlan::of(TokenizerClass::Clip));
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

/// Each family's tokenizer on many strings.
#[test]
fn every_family_s_ids_equal_the_reference() {
    for name in ["naflex/tokens", "metaclip2/tokens", "chinese_clip/tokens", "altclip/tokens"] {
        let dir = fixtures(name);
        let family = Family::read(&json(&dir.join("config.json")), Layout::Transformers, "").unwrap();
        let tokenizer = family.tokenizer(&Files::directory(&dir)).unwrap();
        let cases = json(&dir.join("strings.json"));
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 300, "{name}");
        let differs = |case: &&Value| tokenizer.encode(case["text"].as_str().unwrap()).unwrap() != ids(&case["ids"]);
        let wrong: Vec<&Value> = cases.iter().filter(differs).collect();
        let shown = wrong.first().map(|case| (case, tokenizer.encode(case["text"].as_str().unwrap()).unwrap()));
        assert!(wrong.is_empty(), "{name}: {} of {} differ: {shown:?}", wrong.len(), cases.len());
    }
}

/// open_clip's tokenizers, cleaning included, on many strings: ids are cut to the context, whose padding is left out.
#[test]
fn open_clip_s_ids_equal_the_reference() {
    for name in ["clipa", "siglip", "siglip2", "biomedclip", "xlm-roberta", "roberta"] {
        let dir = fixtures("open_clip").join(name);
        let config = json(&dir.join("open_clip_config.json"));
        let family = Family::read(&config, Layout::OpenClip, name).unwrap();
        let tokenizer = family.tokenizer(&Files::directory(&dir)).unwrap();
        let length = family.facts().max_tokens;
        let cases = json(&dir.join("strings.json"));
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 300, "{name}");
        let own = |case: &Value| tokenizer.encode_upto(case["text"].as_str().unwrap(), length).unwrap();
        let wrong: Vec<&Value> = cases.iter().filter(|case| own(case) != ids(&case["ids"])).collect();
        let shown = wrong.first().map(|case| (case, own(case)));
        assert!(wrong.is_empty(), "{name}: {} of {} differ: {shown:?}", wrong.len(), cases.len());
    }
}

/// open_clip's own version of CLIP's tokenizer, over the same vocabulary.
#[test]
fn open_clip_s_own_tokenizer_gives_the_reference_s_ids() {
    let plan = TokenizerPlan {
        class: Some(TokenizerClass::OpenClip),
        clean: Some(Clean::Lower),
        ..TokenizerPlan::of(TokenizerClass::Clip)
    };
    let tokenizer = Tokenizer::open(&Files::directory(fixtures("tokens")), &plan).unwrap();
    let cases = json(&fixtures("open_clip/tokens.json"));
    let cases = cases.as_array().unwrap();
    // Its special tokens have other names there, and nobody types them.
    let typed = |case: &Value| case["text"].as_str().unwrap().to_lowercase().contains("_of_text>");
    let own = |case: &Value| tokenizer.encode_upto(case["text"].as_str().unwrap(), 77).unwrap();
    let wrong: Vec<&Value> = cases.iter().filter(|case| !typed(case) && own(case) != ids(&case["ids"])).collect();
    let shown = wrong.first().map(|case| (case, own(case)));
    assert!(wrong.is_empty() && cases.len() > 1000, "{} of {} differ: {shown:?}", wrong.len(), cases.len());
}

#[test]
fn truncation_keeps_the_ends() {
    let tokenizer =
        Tokenizer::open(&Files::directory(fixtures("tokens")), &TokenizerPlan::of(TokenizerClass::Clip)).unwrap();
    let whole = tokenizer.encode(&"owl ".repeat(100)).unwrap();
    let cut = tokenizer.encode_upto(&"owl ".repeat(100), 77).unwrap();
    assert_eq!(cut[..76], whole[..76]);
    assert_eq!((cut.len(), cut.last()), (77, whole.last()));
    assert_eq!(tokenizer.encode_upto("owl", 77).unwrap(), tokenizer.encode("owl").unwrap());
}
