//! `--template` and `--template-set` -> templates.

use std::path::Path;

use anyhow::Result;
use zsic::text::{OPENAI_7, OPENAI_80, lines};
use zsic::{Error, Template};

use super::super::args::LabelArgs;
use super::super::fatal::usage;
use super::super::text;
use super::{NAMED, shown};

/// Returns the templates of the flags.
///
/// # Errors
/// A usage error that names all bad templates, or a set that cannot be read.
pub fn templates(args: &LabelArgs) -> Result<Vec<Template>> {
    let given = |t: &String| t.parse().map_err(no_template);
    match &args.template_set {
        Some(set) => template_set(set),
        None if args.template.is_empty() => Ok(vec![Template::default()]),
        None => whole(args.template.iter().map(given)).map_err(usage),
    }
}

fn template_set(set: &Path) -> Result<Vec<Template>> {
    let text = match set.to_str() {
        Some("openai-80") => OPENAI_80.to_owned(),
        Some("openai-7") => OPENAI_7.to_owned(),
        _ => text::read(set).map_err(|e| usage(format!("{e}; the named sets are openai-80 and openai-7")))?,
    };
    let lines = lines(&text).filter(|(_, line)| !line.trim().is_empty());
    let templates = whole(lines.map(|(n, line)| line.parse().map_err(|e| format!("line {n}: {}", no_template(e)))));
    let templates = templates.map_err(|e| usage(format!("{}: {e}", text::name(set))))?;
    if templates.is_empty() {
        return Err(usage(format!("{}: has no template", text::name(set))));
    }
    Ok(templates)
}

/// Returns the error of a template, with the beginning of the template.
fn no_template(e: Error) -> String {
    match e {
        Error::Template { template, reason } => format!("the template `{}` {reason}", shown(&template)),
        other => other.to_string(),
    }
}

/// Returns all good values, or the errors of all bad ones.
fn whole<T>(results: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, String> {
    let (mut sound, mut wrong) = (Vec::new(), Vec::new());
    results.for_each(|result| match result {
        Ok(item) => sound.push(item),
        Err(e) => wrong.push(e),
    });
    if wrong.len() > NAMED {
        let more = wrong.split_off(NAMED).len();
        wrong.push(format!("and {more} more"));
    }
    if wrong.is_empty() { Ok(sound) } else { Err(wrong.join("; ")) }
}
