//! Checkpoints with damage: each gives an error that names the file, and no score that is not finite.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::common::command::{err, image, lines, out, run, zsic};
use crate::common::{checkpoint, copied};
use serde_json::{Value, json};
use zsic::Checkpoint;

const LABELS: &str = "cat,the cat's toy,wine glass";

fn damaged_run(dir: &Path) -> Output {
    run(&mut zsic(&["classify", &image("wide.png"), "-l", LABELS, "-m", &dir.display().to_string()]))
}

#[test]
fn a_damaged_checkpoint_is_named_and_exits_3() {
    let mut tried = 0;
    let siglip = ["siglip/unigram", "siglip/unigram-json", "siglip/gemma"];
    for name in
        ["quick-gelu", "gelu", "odd", "bin", "bin-legacy", "bin-sharded", "sharded", "f16"].into_iter().chain(siglip)
    {
        for entry in fs::read_dir(checkpoint(name)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let unused =
                |f: &str| f.starts_with("expected") || f == "special_tokens_map.json" || f == "tokenizer_config.json";
            // A tokenizer.json wins over the other two, and processor_config.json over preprocessor_config.json.
            let shadowed = match file.as_str() {
                "vocab.json" | "merges.txt" => checkpoint(name).join("tokenizer.json").exists(),
                "preprocessor_config.json" => checkpoint(name).join("processor_config.json").exists(),
                _ => false,
            };
            if unused(&file) || shadowed {
                continue;
            }
            let whole = fs::read(checkpoint(name).join(&file)).unwrap();
            let junk: Vec<u8> = (0..2000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
            let cut = |n: usize| whole[..n].to_vec();
            for (how, content) in [
                ("emptied", Vec::new()),
                ("cut in the middle", cut(whole.len() / 2)),
                ("cut by a byte", cut(whole.len() - 1)),
                ("swapped for junk", junk),
                ("swapped for JSON", b"[1, 2]".to_vec()),
            ] {
                if content.trim_ascii_end() == whole.trim_ascii_end() {
                    continue; // only a line's end is gone
                }
                let (_keep, dir) = copied(name);
                fs::write(dir.join(&file), content).unwrap();
                let output = damaged_run(&dir);
                tried += 1;
                assert_eq!(output.status.code(), Some(3), "{name}/{file} {how}: {}", err(&output));
                assert!(err(&output).contains(&file), "{name}/{file} {how}: {}", err(&output));
                assert_eq!((out(&output), err(&output).lines().count()), ("", 1), "{}", err(&output));
            }
        }
    }
    assert!(tried >= 100, "{tried}");
}

/// Opens a checkpoint that is nothing but this `config.json`, and returns the message without the file's name.
fn refused(config: impl std::fmt::Display) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
    message.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| panic!("{message}")).to_owned()
}

#[test]
fn a_damaged_config_is_told_by_key_and_value() {
    let size = "expected a whole number from 1 to 16777216";
    let acts = "expected quick_gelu, gelu, gelu_new, gelu_pytorch_tanh or relu";
    let long = json!("wide ".repeat(20));
    let of_both = [
        ("text_config", "hidden_size", json!("768"), format!(r#""768"; {size}"#)),
        ("vision_config", "hidden_size", json!(0), format!("0; {size}")),
        ("vision_config", "hidden_size", json!(-768), format!("-768; {size}")),
        ("vision_config", "hidden_size", json!(768.5), format!("768.5; {size}")),
        ("vision_config", "hidden_size", json!(null), format!("null; {size}")),
        ("vision_config", "intermediate_size", json!(1u64 << 60), format!("1152921504606846976; {size}")),
        ("text_config", "num_hidden_layers", json!(1e30), format!("1e+30; {size}")),
        ("text_config", "num_hidden_layers", json!([12]), format!("a list; {size}")),
        ("text_config", "num_attention_heads", json!(0), format!("0; {size}")),
        ("text_config", "num_attention_heads", json!(5), "5; expected a divisor of hidden_size, 24".to_owned()),
        ("text_config", "vocab_size", json!(true), format!("true; {size}")),
        ("text_config", "max_position_embeddings", json!({}), format!("an object; {size}")),
        ("text_config", "hidden_act", json!("swish"), format!(r#""swish"; {acts}"#)),
        ("vision_config", "hidden_act", long, format!("a long text; {acts}")),
        ("vision_config", "layer_norm_eps", json!(-1e-5), "-0.00001; expected a number from 0 to 1".to_owned()),
        ("vision_config", "layer_norm_eps", json!("1e-5"), r#""1e-5"; expected a number from 0 to 1"#.to_owned()),
        ("vision_config", "num_channels", json!(4), "4; expected 3".to_owned()),
        ("vision_config", "image_size", json!([224, 224]), format!("a list; {size}")),
        ("vision_config", "image_size", json!(16777217), format!("16777217; {size}")),
        ("vision_config", "patch_size", json!(225), "225; expected no more than image_size, 32".to_owned()),
    ];
    let of_clip = [
        ("", "projection_dim", json!(0), format!("0; {size}")),
        ("text_config", "eos_token_id", json!(-1), "-1; expected a token's id".to_owned()),
        ("text_config", "eos_token_id", json!("</s>"), r#""</s>"; expected a token's id"#.to_owned()),
    ];
    let of_siglip = [
        ("text_config", "projection_size", json!(0), format!("0; {size}")),
        ("text_config", "projection_size", json!(7), "7; expected 24, the hidden_size of vision_config".to_owned()),
    ];
    let of = |name, cases: &[(&'static str, &'static str, Value, String)]| {
        let config = crate::common::json(&checkpoint(name).join("config.json"));
        for (section, key, value, expected) in cases {
            let mut config = config.clone();
            let section_of = if section.is_empty() { &mut config } else { &mut config[section] };
            section_of[key] = value.clone();
            let path = if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
            assert_eq!(refused(config), format!("{path} is {expected}"), "{name}");
        }
    };
    of("quick-gelu", &[&of_both[..], &of_clip].concat());
    of("siglip/unigram", &[&of_both[..], &of_siglip].concat());
}

#[test]
fn a_damaged_config_is_told_as_a_whole() {
    for (config, expected) in [
        (r#"{"model_type": "clip""#, "is cut off: its JSON ends too early, in line 1"),
        ("{]", "is not valid JSON: key must be a string at line 1 column 2"),
        (
            "[]",
            "has no model_type; zsic reads `clip`, `siglip`, `siglip2`, `metaclip_2`, `chinese_clip`, \
                             `altclip`, `clipseg`",
        ),
        (
            r#"{"model_type": 5}"#,
            "model_type `5` is not supported; zsic reads `clip`, `siglip`, `siglip2`, `metaclip_2`, `chinese_clip`, \
                             `altclip`, `clipseg`",
        ),
        (r#"{"model_type": "clip", "text_config": []}"#, "text_config is a list; expected an object"),
        (r#"{"model_type": "clip", "text_config_dict": 7}"#, "text_config_dict is 7; expected an object"),
        (
            r#"{"model_type": "clip", "vision_config": {"hidden_size": 100}}"#,
            "vision_config.num_attention_heads is 12 by default; expected a divisor of hidden_size, 100",
        ),
        (
            r#"{"model_type": "siglip", "vision_config": {"vision_use_head": false}}"#,
            "vision_config.vision_use_head is false; expected true: without the head there are no image embeddings",
        ),
        (
            r#"{"model_type": "siglip", "vision_config": {"hidden_size": 1536}}"#,
            "text_config.projection_size is 768 by default; expected 1536, the hidden_size of vision_config",
        ),
    ] {
        assert_eq!(refused(config), expected, "{config}");
    }
}

#[test]
fn a_missing_weight_is_named() {
    let (_keep, dir) = copied("quick-gelu");
    let config = fs::read_to_string(dir.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["vision_config"]["num_hidden_layers"] = 3.into();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let output = damaged_run(&dir);
    assert!(err(&output).contains("no weight `vision_model.encoder.layers.2.layer_norm1.weight`"), "{}", err(&output));
    config["vision_config"]["num_hidden_layers"] = 2.into();
    config["vision_config"]["intermediate_size"] = 7.into();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let output = damaged_run(&dir);
    assert!(err(&output).contains("has shape") && err(&output).contains("mlp.fc1.weight"), "{}", err(&output));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn flipped_weights_never_panic_nor_give_what_is_not_finite() {
    let (_keep, dir) = copied("quick-gelu");
    let whole = fs::read(dir.join("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut state = 7u64;
    for round in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..=round {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = header + (state >> 33) as usize % (bytes.len() - header);
            bytes[at | 3] ^= 0x7f; // the exponent
        }
        fs::write(dir.join("model.safetensors"), bytes).unwrap();
        let output = damaged_run(&dir);
        assert!(!err(&output).contains("panicked") && !err(&output).contains("a bug"), "{}", err(&output));
        match output.status.code() {
            Some(0) => {
                for p in lines(&output)[0]["predictions"].as_array().unwrap() {
                    assert!(p["score"].as_f64().is_some_and(f64::is_finite), "{p}");
                }
            }
            Some(1) => assert_eq!(lines(&output)[0]["error"]["kind"], "internal"),
            Some(3) => assert!(err(&output).contains("not finite"), "{}", err(&output)),
            other => panic!("{other:?}: {}", err(&output)),
        }
    }
}

/// Those from before PyTorch 1.6, cut and with a byte changed.
#[test]
fn damaged_legacy_weights_never_panic() {
    let (_keep, dir) = copied("bin-legacy");
    let path = dir.join("pytorch_model.bin");
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Checkpoint::open(&dir).unwrap_err().to_string();
        assert!(error.contains("pytorch_model.bin: "), "{length}: {error}");
    }
    let mut failed = 0;
    for at in (0..whole.len()).step_by(13) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        failed += usize::from(Checkpoint::open(&dir).is_err());
    }
    assert!(failed > 500, "{failed}");
}

/// transformers takes `clip.` off a weight's name; two weights of one name are told.
#[test]
fn two_weights_of_one_name_are_told() {
    let (_keep, dir) = copied("as-written");
    let path = dir.join("model.safetensors");
    let file = fs::read(&path).unwrap();
    let (length, rest) = file.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let end = data.len();
    header.insert("logit_scale".into(), json!({"dtype": "F16", "shape": [], "data_offsets": [end, end + 2]}));
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&length, &*header, data, &[0, 0]].concat()).unwrap();
    let output = damaged_run(&dir);
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("model.safetensors: has two weights `logit_scale`"), "{}", err(&output));
}

/// The crate that runs a `tokenizer.json` as written panics on these.
#[test]
fn a_post_processor_that_does_not_fit_is_told() {
    let (_keep, dir) = copied("as-written");
    let path = dir.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let missing = json!({"SpecialToken": {"id": "<none>", "type_id": 0}});
    for piece in [missing, json!({"Sequence": {"id": "B", "type_id": 0}})] {
        tokenizer["post_processor"] =
            json!({"type": "TemplateProcessing", "single": [piece], "pair": [], "special_tokens": {}});
        fs::write(&path, tokenizer.to_string()).unwrap();
        let output = damaged_run(&dir);
        assert_eq!(output.status.code(), Some(3), "{}", err(&output));
        let told = err(&output).contains("tokenizer.json") && err(&output).contains("its parts do not fit each other");
        assert!(told, "{piece}: {}", err(&output));
    }
}

#[test]
fn scores_that_are_not_finite_are_failures_of_the_run() {
    let (_keep, dir) = copied("quick-gelu");
    let path = dir.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let at = 8 + length + header["logit_scale"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[at..at + 4].copy_from_slice(&100f32.to_le_bytes()); // exp(100) is no f32
    fs::write(&path, bytes).unwrap();
    let to_file = tempfile::tempdir().unwrap();
    for flags in [&[][..], &["-o"]] {
        let mut command = zsic(&["classify", &image("wide.png"), &image("tall.png"), "-l", LABELS, "--stats", "-m"]);
        command.arg(&dir).args(flags);
        if !flags.is_empty() {
            command.arg(to_file.path().join("x.jsonl"));
        }
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert!(err(&output).contains("2 of 2 images failed"), "{}", err(&output));
        assert!(err(&output).contains("2 failed\n"), "{}", err(&output));
    }
}
