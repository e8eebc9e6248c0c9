//! Any bytes as a tokenizer.json of CLIP, Gemma, BERT or XLM-RoBERTa, as a vocab.txt, a spiece.model or a
//! sentencepiece.bpe.model, or split in two as vocab.json and merges.txt; then some text through what was accepted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zsic::checkpoint::Files;
use zsic::text::{Tokenizer, TokenizerClass, TokenizerPlan};

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let class = match first % 8 {
        0 => {
            write("tokenizer.json", rest);
            TokenizerClass::Clip
        }
        1 => {
            let half = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
            write("vocab.json", &rest[..half]);
            write("merges.txt", rest.get(half + 1..).unwrap_or_default());
            write("tokenizer_config.json", br#"{"pad_token": "!"}"#);
            TokenizerClass::Clip
        }
        2 => {
            write("spiece.model", rest);
            TokenizerClass::Siglip
        }
        3 => {
            write("tokenizer.json", rest);
            TokenizerClass::Bert
        }
        4 => {
            write("vocab.txt", rest);
            TokenizerClass::Bert
        }
        5 => {
            write("tokenizer.json", rest);
            TokenizerClass::XlmRoberta
        }
        6 => {
            write("sentencepiece.bpe.model", rest);
            TokenizerClass::XlmRoberta
        }
        _ => {
            write("tokenizer.json", rest);
            write("tokenizer_config.json", br#"{"padding_side": "right"}"#);
            TokenizerClass::Gemma
        }
    };
    if let Ok(tokenizer) = Tokenizer::open(&Files::directory(dir.path()), &TokenizerPlan::of(class)) {
        for text in ["", "a photo of a cat.", "Caf\u{e9} \u{1f989} 42 don't <|endoftext|>!", "\0\u{fffd}\n"] {
            if tokenizer.encode(text).is_ok() {
                assert!(tokenizer.encode_upto(text, 5).unwrap().len() <= 5);
            }
        }
    }
});
