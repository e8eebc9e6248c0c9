//! Any bytes as a tokenizer.json, or split in two as vocab.json and merges.txt; then some text through what was accepted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zsic::checkpoint::Files;
use zsic::text::{Tokenizer, TokenizerClass};

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    if first & 1 == 0 {
        write("tokenizer.json", rest);
    } else {
        let half = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        write("vocab.json", &rest[..half]);
        write("merges.txt", rest.get(half + 1..).unwrap_or_default());
        write("tokenizer_config.json", br#"{"pad_token": "!"}"#);
    }
    if let Ok(tokenizer) = Tokenizer::open(&Files::directory(dir.path()), TokenizerClass::Clip) {
        for text in ["", "a photo of a cat.", "Caf\u{e9} \u{1f989} 42 don't <|endoftext|>!", "\0\u{fffd}\n"] {
            if tokenizer.encode(text).is_ok() {
                assert!(tokenizer.encode_upto(text, 5).unwrap().len() <= 5);
            }
        }
    }
});
