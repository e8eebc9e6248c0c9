//! How an output was made: everything that decides its records. It is kept beside a partial, to be compared before it is
//! resumed; written by `--meta`; and part of Parquet files. What does not decide them, threads and times, is under `run`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use serde_json::{Map, Value, json};
use zsic::{Checkpoint, Compute, Label, Precision, Template};

use super::super::args::{Classify, Common, Embed, Inputs, Machine};
use super::super::fatal::usage;
use super::super::report::date;
use super::{Earlier, Format, Place, Sink, ending, families};

/// What decides the records of `zsic classify`. A setting that is added to the command is added here.
///
/// # Errors
/// If the checkpoint's files cannot be listed.
pub fn classify(
    args: &Classify,
    format: Format,
    labels: &[Label],
    templates: &[Template],
    checkpoint: &Checkpoint,
    compute: &Compute,
) -> Result<Value> {
    let mut settings = common("classify", format.name(), &args.inputs, checkpoint, compute)?;
    settings.insert("labels".to_owned(), labels.iter().map(|label| label.name.as_str()).collect());
    let filled = |label: &Label| Label::new(label.name.as_str(), templates).prompts == label.prompts;
    if labels.iter().all(filled) {
        settings.insert("templates".to_owned(), templates.iter().map(ToString::to_string).collect());
    } else {
        let prompts = labels.iter().map(|label| (label.name.clone(), label.prompts.clone().into()));
        settings.insert("prompts".to_owned(), Value::Object(prompts.collect()));
    }
    let output = &args.output;
    let min_score: f64 = output.min_score.to_string().parse()?; // 0.1, and not the 0.10000000149 that an f32 is
    let rest = json!({
        "truncate": args.labels.truncate,
        "top_k": output.top_k,
        "min_score": min_score,
        "logits": output.logits,
        "activation": format!("{:?}", output.activation).to_lowercase(),
    });
    settings.extend(object(rest));
    Ok(Value::Object(settings))
}

/// What decides the records of `zsic embed`.
///
/// # Errors
/// If the checkpoint's files cannot be listed.
pub fn embed(args: &Embed, format: &str, checkpoint: &Checkpoint, compute: &Compute) -> Result<Value> {
    let mut settings = common("embed", format, &args.inputs, checkpoint, compute)?;
    settings.insert("truncate".to_owned(), args.truncate.into());
    Ok(Value::Object(settings))
}

fn common(
    command: &str,
    format: &str,
    inputs: &Inputs,
    checkpoint: &Checkpoint,
    compute: &Compute,
) -> Result<Map<String, Value>> {
    let precision = match compute.precision {
        Precision::Auto => "auto",
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::F16 => "f16",
    };
    Ok(object(json!({
        "zsic": env!("CARGO_PKG_VERSION"),
        "bits": zsic::kernels::BITS_VERSION,
        "command": command,
        "format": format,
        "checkpoint": identity(checkpoint)?,
        "device": compute.name(),
        "instructions": compute.plan(checkpoint).instructions(),
        "precision": precision,
        "max_pixels": inputs.max_pixels,
        "max_bytes": inputs.max_bytes,
        "decode": format!("{:?}", inputs.decode).to_lowercase(),
        "include": inputs.include,
        "exclude": inputs.exclude,
        "shard": inputs.shard.to_string(),
    })))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// Which checkpoint it is: a name and a commit for one in the hub's cache, the sizes and times of its files for another.
fn identity(checkpoint: &Checkpoint) -> Result<Value> {
    let root = checkpoint.files().root();
    if !root.is_dir() {
        return Ok(json!({"name": root.display().to_string()})); // built in: of the version that is told too
    }
    if let Some((name, commit)) = in_cache(root) {
        return Ok(json!({"name": name, "commit": commit}));
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if let Ok(file) = std::fs::metadata(&path)
            && file.is_file()
            && ["json", "txt", "model", "safetensors", "bin"].contains(&ending)
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((
                name,
                json!({"bytes": file.len(), "changed": format!("{}.{:09}", file.mtime(), file.mtime_nsec())}),
            ));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let directory = root.canonicalize()?.display().to_string();
    Ok(json!({"directory": directory, "files": files.into_iter().collect::<Map<_, _>>()}))
}

/// The name and commit of a directory `models--owner--name/snapshots/commit`.
fn in_cache(root: &Path) -> Option<(String, String)> {
    let snapshots = root.parent()?;
    let name = snapshots.parent()?.file_name()?.to_str()?.strip_prefix("models--")?.replacen("--", "/", 1);
    let commit = root.file_name()?.to_str()?;
    (snapshots.file_name()? == "snapshots").then(|| (name, commit.to_owned()))
}

/// Where two settings differ first, in words.
pub fn difference(earlier: &Value, now: &Value) -> Option<String> {
    differ("", earlier, now)
}

fn differ(name: &str, earlier: &Value, now: &Value) -> Option<String> {
    const SHOWN: usize = 80;
    if let (Value::Object(a), Value::Object(b)) = (earlier, now) {
        let keys = b.keys().chain(a.keys().filter(|key| !b.contains_key(*key)));
        let inner = |key: &String| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            differ(&name, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
        };
        return keys.filter_map(inner).next();
    }
    let (was, is) = (earlier.to_string(), now.to_string());
    match earlier == now {
        true => None,
        false if was.len() + is.len() > SHOWN => Some(format!("`{name}` is another")),
        false => Some(format!("`{name}` was {was} and is {is}")),
    }
}

/// The file of `--meta`, in the making.
pub struct Meta {
    sink: Option<Sink>,
    date: SystemTime,
    start: Instant,
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Images, or texts, that have a record.
    pub records: u64,
    /// Images that failed.
    pub failed: u64,
    /// Files in folders that were no images.
    pub skipped: u64,
}

impl Counts {
    /// Of a run that wrote `new` records, some of them of failures, after those of an `earlier` one.
    pub fn new(new: (u64, u64), earlier: &Earlier, skipped: u64) -> Self {
        let (records, failed) = earlier.counts();
        Self { records: records + new.0, failed: failed + new.1, skipped }
    }
}

impl Meta {
    /// Opens the file, if one is named. `read` are the files that the run reads, and `output` what it writes.
    ///
    /// # Errors
    /// A usage error if it is one of those; otherwise if it cannot be written.
    pub fn open<'a>(
        file: Option<&Path>,
        output: Option<&Path>,
        read: impl IntoIterator<Item = &'a Path>,
        common: &Common,
    ) -> Result<Self> {
        let (date, start) = (SystemTime::now(), Instant::now());
        let Some(file) = file else { return Ok(Self { sink: None, date, start }) };
        if file == Path::new("-") {
            return Err(usage("--meta takes the name of a file; standard output is for records"));
        }
        let outputs = families(output); // however the two are written
        if families([file]).iter().any(|own| outputs.contains(own)) {
            return Err(usage(format!("{}: is what -o writes; --meta needs another name", file.display())));
        }
        let place = Place::new(Some(file), common);
        if let Some(ending) = place.ending().filter(|ending| ending::names_another(ending, &["json", "txt"])) {
            return Err(ending::refuse(&place.name(), &ending, "the facts of a run", &[".json"]));
        }
        Ok(Self { sink: Some(place.open(read)?), date, start })
    }

    /// Writes it as [`Self::write`] does where it is not there yet: nothing was to be done in this run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_missing(mut self, settings: &Value, counts: Counts, machine: &Machine, threads: usize) -> Result<()> {
        let partial = self.sink.as_mut().and_then(Sink::partial);
        if partial.is_some_and(|partial| partial.target().exists()) {
            return Ok(());
        }
        self.write(settings, counts, machine, threads)
    }

    /// Writes it: what decided the records, what they came to, and the circumstances of the run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(self, settings: &Value, counts: Counts, machine: &Machine, threads: usize) -> Result<()> {
        let Some(mut sink) = self.sink else { return Ok(()) };
        let mut meta = with_counts(settings, counts);
        meta["run"] = json!({
            "started": date(self.date),
            "ended": date(SystemTime::now()),
            "seconds": self.start.elapsed().as_millis() as f64 / 1000.0,
            "threads": threads,
            "batch_size": machine.batch_size,
        });
        sink.write((serde_json::to_string_pretty(&meta)? + "\n").as_bytes(), None)?;
        sink.finish()
    }
}

/// What decided the records, and what they came to: the same for every run that wrote the same.
pub fn with_counts(settings: &Value, counts: Counts) -> Value {
    let mut meta = settings.clone();
    meta["counts"] = json!({"records": counts.records, "failed": counts.failed, "skipped": counts.skipped});
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        let earlier = json!({"a": 1, "b": {"c": "x", "d": 2}, "e": null});
        assert_eq!(difference(&earlier, &earlier), None);
        let told = |now| difference(&earlier, &now).unwrap();
        assert_eq!(told(json!({"a": 1, "b": {"c": "y", "d": 2}})), "`b.c` was \"x\" and is \"y\"");
        assert_eq!(told(json!({"a": 1, "b": {"c": "x"}})), "`b.d` was 2 and is null");
        assert_eq!(told(json!({"a": "l".repeat(99), "b": {"c": "x", "d": 2}})), "`a` is another");
        assert_eq!(difference(&earlier, &json!({"a": 1, "b": {"c": "x", "d": 2}})), None, "null is not set");
    }

    #[test]
    fn a_checkpoint_in_the_cache_has_a_name_and_a_commit() {
        let found = in_cache(Path::new("/c/models--openai--clip-vit-base-patch32/snapshots/abc"));
        assert_eq!(found, Some(("openai/clip-vit-base-patch32".to_owned(), "abc".to_owned())));
        assert_eq!(in_cache(Path::new("/c/models--a--b/other/abc")), None);
    }
}
