//! The settings of an output: everything that determines its records. They lie beside a partial and in the note of a
//! finished file, and are compared before either is continued. `--meta` and Parquet files have them too.

mod identity;
mod rules;

use anyhow::Result;
use identity::Identity;
use rules::Rules;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zsic::{Checkpoint, Decision, Label, Plan, Template};

use super::super::args::{
    ActivationArg, CachePlace, Caching, Classify, DecodeArg, Embed, Hub, Inputs, LabelArgs, LongRun, Machine, Output,
};
use super::super::labels::Given;

/// The settings that decide records. The order of the fields is that of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeWith {
    zsic: String,
    bits: u32,
    command: String,
    format: String,
    checkpoint: Identity,
    /// Overrides of how its files are read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reading: String,
    device: String,
    instructions: Option<String>,
    precision: String,
    max_pixels: u64,
    max_bytes: Option<u64>,
    decode: DecodeArg,
    include: Vec<String>,
    exclude: Vec<String>,
    shard: String,
    #[serde(flatten)]
    task: Task,
}

/// What a command does with images. Unknown keys come from another version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Task {
    Classify {
        labels: Vec<String>,
        /// Set if these make all prompts.
        #[serde(skip_serializing_if = "Option::is_none")]
        templates: Option<Vec<String>>,
        /// Set if labels have prompts of their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        prompts: Option<Map<String, Value>>,
        truncate: bool,
        top_k: Option<usize>,
        min_score: f64,
        logits: bool,
        activation: ActivationArg,
        /// What turns scores into answers, if anything does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Box<Rules>>,
        /// A hash of what examples taught, or of a compiled classifier. Messages say this name.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "examples_or_classifier")]
        learned: Option<Box<str>>,
        /// The group of each label, rank by rank.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<Vec<String>>,
    },
    Embed {
        truncate: bool,
    },
}

/// What images are scored against.
pub struct Against<'a> {
    pub given: &'a Given,
    pub background: &'a [Label],
    pub built_in: &'a [Label],
    pub templates: &'a [Template],
    /// The rules of a compiled classifier with those that the flags change, and the names of what competes, if there are any.
    pub compiled: Option<(&'a Decision, &'a [String])>,
    /// A hash of what examples taught, or of a compiled classifier.
    pub learned: Option<String>,
}

impl MadeWith {
    /// Returns what determines the records of `zsic classify`. The arguments are destructured field by field, so that a
    /// new one does not compile until someone decides whether it belongs here.
    ///
    /// # Errors
    /// If the checkpoint's files cannot be listed.
    pub fn classify(
        args: &Classify,
        format: &str,
        against: Against,
        checkpoint: &Checkpoint,
        plan: &Plan,
    ) -> Result<Self> {
        let Against { given, background, built_in, templates, compiled, learned } = against;
        let Classify { inputs, labels: named, decisions, machine, output, boxes: _ } = args; // boxes are never continued
        let Given { labels, form: _, ranks } = given;
        let Output { format: _, output: _, top_k, min_score, logits, activation, long_run } = output;
        let are_filled = given.are_filled(templates);
        let prompts = |labels: &[Label]| labels.iter().map(|l| (l.name.clone(), l.prompts.clone().into())).collect();
        let task = Task::Classify {
            labels: labels.iter().map(|label| label.name.clone()).collect(),
            templates: are_filled.then(|| templates.iter().map(ToString::to_string).collect()),
            prompts: (!are_filled).then(|| prompts(labels)),
            truncate: truncates(named),
            top_k: *top_k,
            min_score: min_score.to_string().parse()?, // 0.1 instead of 0.10000000149, the value of the f32
            logits: *logits,
            activation: *activation,
            decision: match compiled {
                Some((rules, names)) => Some(Box::new(Rules::of_classifier(rules, names, &given.all_answers()))),
                None => Rules::of(decisions, prompts(background), built_in).map(Box::new),
            },
            learned: learned.map(String::into_boxed_str),
            groups: ranks.iter().map(|groups| groups.of.iter().map(|&at| groups.names[at].clone()).collect()).collect(),
        };
        Self::of(task, format, inputs, machine, long_run, checkpoint, plan)
    }

    /// Returns what determines the records of `zsic embed`.
    ///
    /// # Errors
    /// If the checkpoint's files cannot be listed.
    pub fn embed(args: &Embed, format: &str, checkpoint: &Checkpoint, plan: &Plan) -> Result<Self> {
        let Embed { inputs, text: _, texts_file: _, truncate, machine, output: _, long_run } = args;
        Self::of(Task::Embed { truncate: *truncate }, format, inputs, machine, long_run, checkpoint, plan)
    }

    fn of(
        task: Task,
        format: &str,
        inputs: &Inputs,
        machine: &Machine,
        long_run: &LongRun,
        checkpoint: &Checkpoint,
        plan: &Plan,
    ) -> Result<Self> {
        let Inputs {
            max_pixels,
            max_bytes,
            decode,
            include,
            exclude,
            shard,
            inputs: _,
            files_from: _,
            null: _,
            follow: _,
            allow_private_redirects: _,
        } = inputs;
        Ok(Self {
            zsic: env!("CARGO_PKG_VERSION").to_owned(),
            bits: zsic::kernels::BITS_VERSION,
            command: if matches!(task, Task::Embed { .. }) { "embed" } else { "classify" }.to_owned(),
            format: format.to_owned(),
            checkpoint: Identity::of(checkpoint)?,
            reading: checkpoint.reading().to_owned(),
            device: plan.device.name(),
            instructions: plan.instructions().map(str::to_owned),
            precision: precision(machine, long_run),
            max_pixels: *max_pixels,
            max_bytes: *max_bytes,
            decode: *decode,
            include: include.clone(),
            exclude: exclude.clone(),
            shard: shard.to_string(),
            task,
        })
    }

    /// Returns the name of the format.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Describes the first difference from an earlier run's settings, which are JSON because versions differ in theirs.
    pub fn difference(&self, earlier: &Value) -> Result<Option<String>> {
        if Self::deserialize(earlier).is_ok_and(|earlier| earlier == *self) {
            return Ok(None);
        }
        Ok(differ("", earlier, &serde_json::to_value(self)?))
    }

    /// Returns whether JSON has the parts that the settings of every version have.
    pub fn is_one(json: &Value) -> bool {
        ["zsic", "command"].iter().all(|key| json[key].is_string())
    }
}

/// Returns whether long prompts are cut. The other flags lead to the labels and templates, which are kept; prompts that were
/// cleaned are no longer those of the templates.
fn truncates(named: &LabelArgs) -> bool {
    let LabelArgs {
        labels: _,
        labels_file: _,
        label_set: _,
        groups: _,
        template: _,
        template_set: _,
        examples: _,
        truncate,
        canonicalize: _,
    } = named;
    *truncate
}

/// Returns the precision, the only one of these flags that determines records by itself. The checkpoint and the plan
/// cover `model`, `hub` and `device`.
fn precision(machine: &Machine, long_run: &LongRun) -> String {
    let LongRun { resume: _, retry_failed: _, drop_missing: _, meta: _ } = long_run;
    // The checkpoint's overrides have the first three.
    let Machine { model: _, image_size: _, max_patches: _, hub, caching, device: _, precision, threads: _, .. } =
        machine;
    let Machine { batch_size: _, max_wait: _, stats: _, .. } = machine;
    let Hub { revision: _, layout: _, offline: _, hub_cache: _, user_agent: _ } = hub;
    let Caching { place: CachePlace { cache_dir: _ }, no_cache: _, cache_size: _ } = caching;
    precision.name().to_owned()
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

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json, to_value};

    use super::*;

    /// The settings that the previous version wrote: for labels in templates, labels with their own prompts, and texts.
    const WRITTEN: [&str; 3] = [
        r#"{"zsic":"0.1.0","bits":1,"command":"classify","format":"jsonl","checkpoint":{"name":"demo"},"device":"cpu","instructions":"avx2","precision":"auto","max_pixels":179000000,"max_bytes":null,"decode":"exact","include":[],"exclude":["x*"],"shard":"1/1","labels":["cat"],"templates":["a {}"],"truncate":false,"top_k":null,"min_score":0.0,"logits":false,"activation":"auto"}"#,
        r#"{"zsic":"0.1.0","bits":1,"command":"classify","format":"csv","checkpoint":{"name":"owner/tiny","commit":"aa"},"device":"cuda:0","instructions":null,"precision":"f32","max_pixels":1,"max_bytes":18446744073709551615,"decode":"fast","include":["*.jpg"],"exclude":[],"shard":"2/3","labels":["b","a"],"prompts":{"b":["x","y"],"a":["z"]},"truncate":true,"top_k":2,"min_score":1e-7,"logits":true,"activation":"sigmoid"}"#,
        r#"{"zsic":"0.1.0","bits":1,"command":"embed","format":"safetensors","checkpoint":{"directory":"/m","files":{"config.json":{"bytes":7,"changed":"1.000000002"}}},"device":"cpu","instructions":"avx2","precision":"bf16","max_pixels":9,"max_bytes":5,"decode":"exact","include":[],"exclude":[],"shard":"1/1","truncate":false}"#,
    ];

    #[test]
    fn what_the_version_before_wrote_is_read_and_written_alike() {
        for text in WRITTEN {
            let read: MadeWith = from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
            let json = to_value(&read).unwrap();
            assert!(MadeWith::is_one(&json) && read.difference(&json).unwrap().is_none());
        }
    }

    #[test]
    fn a_difference_has_the_name_of_the_setting() {
        for text in WRITTEN {
            let (now, json): (MadeWith, Value) = (from_str(text).unwrap(), from_str(text).unwrap());
            for key in json.as_object().unwrap().keys() {
                let mut earlier = json.clone();
                earlier[key] = json!("another");
                let what = now.difference(&earlier).unwrap().unwrap();
                assert!(what.starts_with(&format!("`{key}` ")), "{what}");
                earlier[key] = Value::Null;
                assert_eq!(now.difference(&earlier).unwrap().is_none(), json[key].is_null(), "{key}");
            }
        }
    }

    #[test]
    fn a_setting_of_another_version_is_a_difference() {
        let now: MadeWith = from_str(WRITTEN[2]).unwrap();
        let with = |change: fn(&mut Value)| {
            let mut earlier = to_value(&now).unwrap();
            change(&mut earlier);
            now.difference(&earlier).unwrap()
        };
        assert_eq!(with(|json| json["new"] = json!(1)).unwrap(), "`new` was 1 and is null");
        assert_eq!(with(|json| json["top_k"] = json!(1)).unwrap(), "`top_k` was 1 and is null");
        assert_eq!(with(|json| json["new"] = Value::Null), None, "null is not set");
        assert_eq!(with(|json| _ = json.as_object_mut().unwrap().remove("bits")).unwrap(), "`bits` was null and is 1");
        let what = with(|json| json["checkpoint"]["files"]["config.json"]["new"] = json!(1)).unwrap();
        assert_eq!(what, "`checkpoint.files.config.json.new` was 1 and is null");
        let what = with(|json| json["checkpoint"]["directory"] = json!("l".repeat(99))).unwrap();
        assert_eq!(what, "`checkpoint.directory` is another");
    }
}
