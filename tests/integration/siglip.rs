//! SigLIP from outside: scores that are not shared, prompts that are cut, cleaned prompts, scripts that it does not know,
//! the epsilon of its norms.

use std::fs;
use std::process::Output;

use serde_json::Value;
use zsic::source::{MAX_PIXELS, decode};
use zsic::{Checkpoint, Compute, ImageEncoder, Isa, TextEncoder};

use crate::common::command::{err, image, lines, model, out, run, zsic};
use crate::common::{Expected, copied, fixtures, json, strings, worst};

fn classify(checkpoint: &str, args: &[&str]) -> Output {
    let output = run(zsic(&["classify", &image("wide.png"), "--no-cache", "-m", &model(checkpoint)]).args(args));
    assert!(output.status.success(), "{}", err(&output));
    output
}

fn scores(output: &Output) -> Vec<(String, f64)> {
    let predictions = lines(output)[0]["predictions"].as_array().unwrap().clone();
    let pair = |p: &Value| (p["label"].as_str().unwrap().to_owned(), p["score"].as_f64().unwrap());
    predictions.iter().map(pair).collect()
}

#[test]
fn a_label_s_score_does_not_depend_on_the_others() {
    let all = scores(&classify("siglip/gemma", &["-l", "cat,wine glass,4x4"]));
    for (label, score) in &all {
        let alone = classify("siglip/gemma", &["-l", label]);
        assert_eq!(scores(&alone), [(label.clone(), *score)]);
        assert_eq!(err(&alone), "", "under a sigmoid one label is no mistake");
    }
    let softmax = scores(&classify("siglip/gemma", &["-l", "cat,wine glass,4x4", "--activation", "softmax"]));
    assert!((softmax.iter().map(|(_, score)| score).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!((all.iter().map(|(_, score)| score).sum::<f64>() - 1.0).abs() > 1e-2);
}

#[test]
fn a_prompt_that_is_too_long_is_cut_with_a_warning() {
    let long = "a small black dog in the snow of a very high mountain in the evening";
    let output = classify("siglip/unigram-json", &["-l", &format!("cat,{long}")]);
    let told = format!("a prompt of the label `{}…` is cut after 16 tokens", &long[..60]);
    assert!(err(&output).contains(&told), "{}", err(&output));
    assert_eq!(err(&output).lines().count(), 1);
    let asked = classify("siglip/unigram-json", &["-l", &format!("cat,{long}"), "--truncate"]);
    assert_eq!((err(&asked), scores(&asked)), ("", scores(&output)));
}

#[test]
fn a_warning_of_a_cut_comes_when_embeddings_are_kept_too() {
    let cache = tempfile::tempdir().unwrap();
    let long = "cat ".repeat(30);
    let (image, model) = (image("wide.png"), model("siglip/unigram-json"));
    for _ in 0..2 {
        for args in [&["classify", &image, "-l", &long][..], &["embed", "--text", &long]] {
            let output = run(zsic(args).args(["-m", &model, "--cache-dir"]).arg(cache.path()));
            assert!(err(&output).contains("is cut after 16 tokens"), "{args:?}: {}", err(&output));
        }
    }
}

#[test]
fn cleaned_prompts_are_those_that_were_typed_clean() {
    let clean = classify("siglip/gemma", &["-t", "{}", "-l", "wine glass"]);
    let cleaned = classify("siglip/gemma", &["-t", "{}", "-l", "Wine_GLASS!", "--canonicalize"]);
    let not_cleaned = classify("siglip/gemma", &["-t", "{}", "-l", "Wine_GLASS!"]);
    assert_eq!(scores(&cleaned)[0].1, scores(&clean)[0].1);
    assert_eq!(scores(&cleaned)[0].0, "Wine_GLASS!");
    assert!(scores(&not_cleaned)[0].1 != scores(&clean)[0].1);
}

#[test]
fn cleaning_is_part_of_what_made_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.jsonl");
    let mut args = vec!["classify", "-l", "Cat", "-o", file.to_str().unwrap()];
    let (image, model) = (image("wide.png"), model("siglip/gemma"));
    args.extend([image.as_str(), "-m", &model]);
    assert!(run(&mut zsic(&args)).status.success());
    let output = run(zsic(&args).args(["--resume", "--canonicalize"]));
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("templates") || err(&output).contains("prompts"), "{}", err(&output));
}

#[test]
fn a_script_without_a_token_is_told() {
    let output = classify("siglip/unigram", &["-l", "cat,კატა"]);
    assert!(err(&output).contains("hardly knows the script of `კატა"), "{}", err(&output));
    assert_eq!(err(&classify("siglip/unigram", &["-l", "cat,café"])), "");
}

#[test]
fn the_table_shows_each_label_s_own_bar() {
    let output = classify("siglip/gemma", &["-l", "cat,wine glass", "--format", "table"]);
    let percents =
        out(&output).lines().filter_map(|line| line.trim_end().strip_suffix(" %")?.rsplit(' ').next()?.parse().ok());
    let percents: Vec<f64> = percents.collect();
    let expected: Vec<f64> =
        scores(&classify("siglip/gemma", &["-l", "cat,wine glass"])).iter().map(|(_, s)| s * 100.0).collect();
    assert_eq!(percents.len(), 2);
    assert!(percents.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.006), "{percents:?} {expected:?}");
}

/// Without `model_input_names`, and where it lists a mask, tokenizers of transformers give one, and no row attends to padding.
#[test]
fn padding_is_masked_where_the_tokenizer_s_settings_do_not_say_otherwise() {
    for name in ["siglip/unigram", "naflex/published"] {
        let (family, _) = name.split_once('/').unwrap();
        let prompts = strings(&Expected::of(name).json["prompts"]);
        let masked = json(&fixtures(&format!("{family}/masked.json")));
        for names in [None, Some(serde_json::json!(["input_ids", "attention_mask"]))] {
            let (_keep, dir) = copied(name);
            let mut settings = json(&dir.join("tokenizer_config.json"));
            settings.as_object_mut().unwrap().remove("model_input_names");
            names.into_iter().for_each(|names| settings["model_input_names"] = names);
            fs::write(dir.join("tokenizer_config.json"), settings.to_string()).unwrap();
            let checkpoint = Checkpoint::open(&dir).unwrap();
            for isa in Isa::available() {
                let plan = Compute { isa, ..Compute::default() }.plan(&checkpoint);
                let got = TextEncoder::load(&checkpoint, &plan).unwrap().embed(&prompts).unwrap();
                for (row, expected) in got.rows().zip(masked["text_embeds"].as_array().unwrap()) {
                    let expected = expected.as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
                    let off = worst(row.iter().map(|&x| x.into()), expected);
                    assert!(off < 2e-6, "{name}, {isa:?}: off by {off}");
                }
            }
        }
    }
}

/// Under an epsilon as large as this, a norm that has another one shows.
#[test]
fn every_norm_has_the_config_s_epsilon() {
    let expected = json(&fixtures("siglip/eps.json"));
    let (_keep, dir) = copied("siglip/unigram");
    let mut config = json(&dir.join("config.json"));
    for section in ["text_config", "vision_config"] {
        config[section]["layer_norm_eps"] = expected["layer_norm_eps"].clone();
    }
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let (checkpoint, fixture) = (Checkpoint::open(&dir).unwrap(), Expected::of("siglip/unigram"));
    let image = decode(&fs::read(image(&fixture.images()[0])).unwrap(), MAX_PIXELS).unwrap();
    let prompt = strings(&fixture.json["prompts"])[0].clone();
    for isa in Isa::available() {
        let plan = Compute { isa, ..Compute::default() }.plan(&checkpoint);
        let images = ImageEncoder::load(&checkpoint, &plan).unwrap();
        let texts = TextEncoder::load(&checkpoint, &plan).unwrap();
        let image = images.embed(&[images.preprocess(&image).unwrap()]).unwrap();
        let text = texts.embed(std::slice::from_ref(&prompt)).unwrap();
        for (what, got) in [("image_embeds", image), ("text_embeds", text)] {
            let reference = expected[what].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
            let off = worst(got.row(0).iter().map(|&x| x.into()), reference);
            assert!(off < 2e-6, "{isa:?}: {what} off by {off}");
        }
    }
}
