//! SigLIP from outside: scores that are not shared, prompts that are cut, cleaned prompts, scripts that it does not know.

use std::process::Output;

use serde_json::Value;

use crate::common::command::{err, image, lines, model, out, run, zsic};

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
