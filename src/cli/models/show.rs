//! `zsic models show`: describes a checkpoint in the cache, or the built-in one.

use anyhow::Result;
use serde_json::{Map, Value, json};
use zsic::Checkpoint;
use zsic::checkpoint::Files;
use zsic::model::family::ModelFacts;
use zsic::net::hub::CachedFile;

use super::super::Outcome;
use super::super::args::ModelId;
use super::super::fetching::size;
use super::super::known::DEMO;
use super::super::report::{columns, field, print, shown};
use super::{cached, kind};

/// Prints what is known of a checkpoint.
///
/// # Errors
/// If it is not in the cache.
pub fn show(model: &ModelId, json: bool) -> Result<Outcome> {
    if model.name == DEMO { built_in(json) } else { in_cache(model, json) }
}

fn built_in(json: bool) -> Result<Outcome> {
    let checkpoint = Checkpoint::demo()?;
    let files = match checkpoint.files() {
        Files::Embedded { files, .. } => *files,
        Files::Directory(_) => &[],
    };
    let mut text = field("name", format!("{DEMO}, built in")) + &about("clip", &checkpoint);
    text += &field("knows", "drawings: emoji and pictograms of animals, food, things, places and symbols");
    text += &field("made for", "trying out, tests and teaching; not photographs");
    let row = |(name, bytes): &(&str, &[u8])| ["file".to_owned(), (*name).to_owned(), size(bytes.len() as u64)];
    text += &columns(&files.iter().map(row).collect::<Vec<_>>());
    print(json, text.trim_end(), || {
        let file = |(name, bytes): &(&str, &[u8])| json!({ "path": name, "size": bytes.len() });
        let mut record = Map::from_iter([("name".to_owned(), json!(DEMO)), ("built_in".to_owned(), json!(true))]);
        record.extend(facts("clip", Some(&checkpoint)));
        record.insert("files".to_owned(), files.iter().map(file).collect());
        record.into()
    })
}

fn in_cache(model: &ModelId, json: bool) -> Result<Outcome> {
    let (repo, snapshot) = cached(model)?;
    let (checkpoint, kind) = (Checkpoint::open(&snapshot.dir), kind(&snapshot).unwrap_or_default());
    let mut text = field("name", format!("{}@{}", repo.name, snapshot.commit));
    text += &field("refs", snapshot.refs.join(", "));
    text += &field("directory", snapshot.dir.display());
    text += &checkpoint.as_ref().map_or_else(|e| field("unusable", e), |checkpoint| about(&kind, checkpoint));
    let files = snapshot.files.iter().map(|file| {
        let bytes = file.size.map_or_else(|| "missing".to_owned(), size);
        ["file".to_owned(), file.path.clone(), bytes, file.etag.clone().unwrap_or_default()]
    });
    text += &columns(&files.collect::<Vec<_>>());
    print(json, text.trim_end(), || {
        let file = |file: &CachedFile| json!({ "path": file.path, "size": file.size, "etag": file.etag });
        let record = json!({
            "name": repo.name, "commit": snapshot.commit, "refs": snapshot.refs, "dir": shown(&snapshot.dir),
        });
        let mut record = record.as_object().cloned().unwrap_or_default();
        record.extend(facts(&kind, checkpoint.as_ref().ok()));
        record.insert("files".to_owned(), snapshot.files.iter().map(file).collect());
        record.into()
    })
}

/// Returns a line about the kind of model.
fn about(kind: &str, checkpoint: &Checkpoint) -> String {
    let ModelFacts { image_size: pixels, patch_size: patch, max_tokens: tokens, embedding: dim, .. } =
        checkpoint.family().facts();
    let about = format!(
        "{kind}, images of {pixels} pixels in patches of {patch}, prompts of {tokens} tokens, \
         embeddings of {dim} values"
    );
    field("model", about)
}

/// Returns the same facts for scripts.
fn facts(kind: &str, checkpoint: Option<&Checkpoint>) -> [(String, Value); 6] {
    let facts = checkpoint.map(|checkpoint| checkpoint.family().facts());
    [
        ("kind", json!(kind)),
        ("usable", json!(facts.is_some())),
        ("image_size", json!(facts.map(|facts| facts.image_size))),
        ("patch_size", json!(facts.map(|facts| facts.patch_size))),
        ("max_tokens", json!(facts.map(|facts| facts.max_tokens))),
        ("embedding", json!(facts.map(|facts| facts.embedding))),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}
