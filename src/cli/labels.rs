//! `--labels`, `--labels-file`, `--template`, `--template-set` -> labels and their prompts.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use zsic::error::os_reason;
use zsic::text::{OPENAI_7, OPENAI_80};
use zsic::{Error, Label, Template};

use super::args::Labels;
use super::fatal::usage;

/// The labels that the flags name, each with its prompts.
///
/// # Errors
/// A usage error for no label, an empty one, one given twice, or a template without `{}`.
pub fn gather(args: &Labels) -> Result<Vec<Label>> {
    let templates = templates(args)?;
    let labels = match &args.labels_file {
        Some(path) => from_file(path, &templates)?,
        None => args.labels.iter().flat_map(|list| split(list)).map(|name| Label::new(name, &templates)).collect(),
    };
    if labels.is_empty() {
        return Err(usage("no labels; give them with --labels a,b,c or --labels-file FILE"));
    }
    let mut seen = HashSet::new();
    for label in &labels {
        if label.name.trim().is_empty() {
            return Err(usage("a label is empty; look for two commas in a row, or a comma at the end"));
        }
        if !seen.insert(&label.name) {
            return Err(usage(format!("the label `{}` is given twice", label.name)));
        }
    }
    Ok(labels)
}

/// The templates that the flags name.
///
/// # Errors
/// A usage error for one without `{}`, or a set that cannot be read.
pub fn templates(args: &Labels) -> Result<Vec<Template>> {
    let templates = match &args.template_set {
        Some(set) => template_set(set)?,
        None if args.template.is_empty() => vec![Template::default()],
        None => {
            args.template.iter().map(|t| t.parse()).collect::<zsic::Result<_>>().map_err(|e| usage(e.to_string()))?
        }
    };
    Ok(templates)
}

fn template_set(set: &Path) -> Result<Vec<Template>> {
    let text = match set.to_str() {
        Some("openai-80") => OPENAI_80.to_owned(),
        Some("openai-7") => OPENAI_7.to_owned(),
        _ => read_text(set).map_err(|e| usage(format!("{e}; the named sets are openai-80 and openai-7")))?,
    };
    let templates = Template::parse_lines(&text).map_err(|e| usage(format!("{}: {e}", set.display())))?;
    if templates.is_empty() {
        return Err(usage(format!("{}: has no template", set.display())));
    }
    Ok(templates)
}

/// Labels between commas, trimmed; `\,` is a comma inside one.
fn split(list: &str) -> Vec<String> {
    let mut labels = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        let last = labels.len() - 1;
        match c {
            '\\' if chars.peek() == Some(&',') => labels[last].extend(chars.next()),
            ',' => labels.push(String::new()),
            other => labels[last].push(other),
        }
    }
    labels.iter().map(|label| label.trim().to_owned()).collect()
}

fn from_file(path: &Path, templates: &[Template]) -> Result<Vec<Label>> {
    let text = read_text(path)?;
    let failed = |e: String| usage(format!("{}: {e}", path.display()));
    if text.trim_start().starts_with(['[', '{']) {
        check_keys(&text).map_err(failed)?;
        let json = serde_json::from_str(&text).map_err(|e| failed(format!("is not the JSON it begins like: {e}")))?;
        return from_json(json, templates).map_err(failed);
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(|line| Label::new(line, templates)).collect())
}

/// An array of labels, or an object of prompts used as written.
fn from_json(json: Value, templates: &[Template]) -> Result<Vec<Label>, String> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        other => Err(format!("has {other} where a text is expected")),
    };
    match json {
        Value::Array(labels) => labels.into_iter().map(|label| Ok(Label::new(text(label)?, templates))).collect(),
        Value::Object(labels) => labels
            .into_iter()
            .map(|(name, prompts)| {
                let prompts = match prompts {
                    Value::Array(prompts) => prompts.into_iter().map(text).collect::<Result<Vec<_>, _>>()?,
                    prompt => vec![text(prompt)?],
                };
                if prompts.is_empty() {
                    Err(format!("the label `{name}` has no prompt"))
                } else {
                    Ok(Label { name, prompts })
                }
            })
            .collect(),
        other => Err(format!("has {other} where an array or an object is expected")),
    }
}

/// A JSON object's keys in the order of the file; serde_json's own map would keep the last of two.
fn check_keys(text: &str) -> Result<(), String> {
    struct Keys(Option<String>);
    impl<'de> serde::de::Visitor<'de> for Keys {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut seen = HashSet::new();
            while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                if !seen.insert(key.clone()) {
                    self.0.get_or_insert(key);
                }
            }
            Ok(self.0)
        }
    }
    use serde::Deserializer;
    match serde_json::Deserializer::from_str(text).deserialize_map(Keys(None)) {
        Ok(Some(key)) => Err(format!("the label `{key}` is given twice")),
        _ => Ok(()), // an array, or an error that the real parse will tell
    }
}

/// Says of what a prompt or text is too long for the model, and what to do.
pub fn too_long(what: &str, name: &str, e: Error) -> anyhow::Error {
    const SHOWN: usize = 60;
    let Error::PromptTooLong { tokens, limit, .. } = e else { return e.into() };
    let mut shown: String = name.chars().take(SHOWN).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    anyhow::anyhow!(
        "{what} `{shown}` has {tokens} tokens and the model reads at most {limit}; shorten it, or pass --truncate"
    )
}

/// The text of a file that the user wrote, without a byte order mark.
pub fn read_text(path: &Path) -> Result<String> {
    let failed = |e| usage(format!("{}: cannot be read: {}", path.display(), os_reason(&e)));
    let bytes = std::fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| usage(format!("{}: is not UTF-8 text", path.display())))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_split_at_commas() {
        assert_eq!(split("fox, bear ,owl"), ["fox", "bear", "owl"]);
        assert_eq!(split(r"red\, white and blue,x\y"), ["red, white and blue", r"x\y"]);
        assert_eq!(split("a,,b"), ["a", "", "b"]);
    }

    #[test]
    fn json_prompts_are_used_as_written() {
        let json = serde_json::json!({"b": "a bee", "a": ["one {}", "two"]});
        let labels = from_json(json, &[Template::default()]).unwrap();
        assert_eq!(labels[0], Label { name: "b".to_owned(), prompts: vec!["a bee".to_owned()] });
        assert_eq!(labels[1].prompts, ["one {}", "two"]);
        let labels = from_json(serde_json::json!(["x"]), &["{}".parse().unwrap()]).unwrap();
        assert_eq!(labels[0].prompts, ["x"]);
    }

    #[test]
    fn a_key_given_twice_is_told() {
        assert!(check_keys(r#"{"a": "x", "a": "y"}"#).unwrap_err().contains("`a`"));
        assert!(check_keys(r#"{"a": "x", "b": "y"}"#).is_ok() && check_keys("[1]").is_ok());
    }
}
