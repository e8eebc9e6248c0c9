//! Checkpoints that transformers pools at the padding: a label's score depends on the labels beside it. The scores
//! themselves are held against transformers' in `parity.rs`.

use std::path::Path;

use crate::common::command::{err, image, lines, model, run, zsic};
use serde_json::Value;

/// The logit of the label `cat` beside others.
fn logit(checkpoint: &str, labels: &str, cache: &Path) -> Value {
    let args = ["classify", "-m", &model(checkpoint), &image("wide.png"), "--logits", "-l", labels, "--cache-dir"];
    let output = run(zsic(&args).arg(cache));
    assert!(output.status.success(), "{}", err(&output));
    let predictions = lines(&output)[0]["predictions"].as_array().unwrap().clone();
    predictions.iter().find(|prediction| prediction["label"] == "cat").unwrap()["logit"].clone()
}

/// The embedding of the text `cat` beside another.
fn embedding(checkpoint: &str, other: &str, cache: &Path) -> Value {
    let args = ["embed", "-m", &model(checkpoint), "--text", "cat", "--text", other, "--cache-dir"];
    let output = run(zsic(&args).arg(cache));
    assert!(output.status.success(), "{}", err(&output));
    lines(&output)[0]["embedding"].clone()
}

#[test]
fn what_depends_on_other_labels_is_not_kept() {
    let caches = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = caches.each_ref().map(|dir| dir.path());
    for checkpoint in ["padded", "without-ends"] {
        let beside_longer = logit(checkpoint, "cat,a small black dog in the snow", one);
        let longest = logit(checkpoint, "cat,dog", one);
        assert_ne!(beside_longer, longest, "{checkpoint}");
        assert_eq!(longest, logit(checkpoint, "cat,dog", other), "{checkpoint}");
        assert_eq!(beside_longer, logit(checkpoint, "cat,a small black dog in the snow", other), "{checkpoint}");
        let beside_longer = embedding(checkpoint, "a small black dog in the snow", one);
        assert_ne!(beside_longer, embedding(checkpoint, "dog", one), "{checkpoint}");
    }
}

#[test]
fn others_have_one_logit_in_any_company() {
    let cache = tempfile::tempdir().unwrap();
    for checkpoint in ["quick-gelu", "gelu", "as-written"] {
        let beside_longer = logit(checkpoint, "cat,a small black dog in the snow", cache.path());
        assert_eq!(beside_longer, logit(checkpoint, "cat,dog", cache.path()), "{checkpoint}");
    }
}
