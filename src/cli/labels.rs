//! `--labels`, `--labels-file`, `--label-set`, `--template`, `--template-set` -> labels and their prompts.

mod doubts;
pub mod groups;
pub mod json;
mod names;
mod scripts;
mod templates;

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
pub use doubts::doubt;
pub use names::Places;
pub use scripts::unknown;
use serde::de::IgnoredAny;
pub use templates::templates;
use zsic::text::{LabelSet, canonicalize, lines};
use zsic::{Error, Groups, Label, Template};

use super::args::{Common, DecisionArgs, Inputs, LabelArgs};
use super::fatal::usage;
use super::messages::{say, warn};
use super::{Outcome, available_memory, stdout, text};

/// The most bytes of a label or a prompt: far more than any model reads.
const LONGEST_LABEL: usize = 64 << 10;
/// The most bytes of a text to embed, which `--truncate` may shorten.
pub const LONGEST_TEXT: usize = 1 << 20;

/// The most labels and lines that an error names; others are counted.
const NAMED: usize = 20;

/// What is said of an image that shows none of the labels.
pub const UNKNOWN: &str = "unknown";

/// The labels as given.
pub struct Given {
    pub labels: Vec<Label>,
    pub form: LabelForm,
    /// What the labels add up to, rank by rank.
    pub ranks: Vec<Groups>,
}

impl Given {
    /// Returns the names of what is reported: the groups, or else the labels.
    pub fn answers(&self) -> Vec<&str> {
        match self.ranks.first() {
            Some(groups) => groups.names.iter().map(String::as_str).collect(),
            None => self.labels.iter().map(|label| label.name.as_str()).collect(),
        }
    }

    /// Returns the names of all possible answers: of what is reported, then of later ranks.
    pub fn all_answers(&self) -> Vec<&str> {
        let later = self.ranks.iter().skip(1).flat_map(|groups| &groups.names);
        self.answers().into_iter().chain(later.map(String::as_str)).collect()
    }

    /// Checks that no answer can be taken for none.
    ///
    /// # Errors
    /// A usage error that ends with `advice`.
    pub fn check_unknown(&self, advice: &str) -> Result<()> {
        if !self.all_answers().contains(&UNKNOWN) {
            return Ok(());
        }
        let reason = format!("a label called `{UNKNOWN}` cannot be told from an image of none of the labels");
        Err(usage(format!("{reason}; {advice}")))
    }

    /// Returns whether these templates make all prompts.
    pub fn are_filled(&self, templates: &[Template]) -> bool {
        self.labels.iter().all(|label| Label::new(label.name.as_str(), templates).prompts == label.prompts)
    }
}

/// The form of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelForm {
    /// Between commas, on the command line.
    Flag,
    /// One per line.
    Lines,
    /// As a JSON array.
    Array,
    /// As a JSON object, with prompts.
    Object,
}

/// Returns the labels of the flags, or else those of `otherwise`, each with its prompts; and after them those of `added` that are
/// not among them, and says so.
///
/// # Errors
/// A usage error if there are none, or if some are empty or given twice.
pub fn gather(
    args: &LabelArgs,
    added: &[String],
    templates: &[Template],
    common: &Common,
    otherwise: impl FnOnce() -> Result<Option<Given>>,
) -> Result<Given> {
    let rows = args.groups.iter().map(|path| Ok((&**path, groups::read(path)?))).collect::<Result<Vec<_>>>()?;
    let given = read(&args.labels, args.labels_file.as_deref(), templates, args.canonicalize)?;
    let set = args.label_set.as_deref().and_then(LabelSet::named);
    let mut given = match (given, set, rows.first()) {
        (Some(given), ..) => given,
        (None, Some(set), _) => of_names(set.labels.iter().copied(), None, templates, args.canonicalize)?,
        (None, None, Some((path, rows))) => {
            let names = rows.iter().map(|(label, _)| label.as_str());
            of_names(names, Some(path), templates, args.canonicalize)?
        }
        (None, None, None) => match otherwise()? {
            Some(given) => given,
            None if added.is_empty() => {
                return Err(usage("no labels; use --labels a,b,c, --labels-file FILE or --label-set NAME"));
            }
            None => of_names(added.iter().map(String::as_str), None, templates, args.canonicalize)?,
        },
    };
    let places = Places::new(given.labels.iter().map(|label| label.name.as_str()).zip(0..));
    let new: Vec<&str> = added.iter().map(String::as_str).filter(|name| places.place(name).is_none()).collect();
    if !new.is_empty() {
        say(common, format!("labels added by --examples: {}", shown(&new.join(", "))));
        let new = of_names(new.into_iter(), None, templates, args.canonicalize)?.labels;
        given.labels.extend(new);
    }
    for (path, rows) in rows {
        let members = given.ranks.last().map(|groups| groups.names.iter().map(String::as_str).collect());
        let (groups, warning) = groups::of(&members.unwrap_or_else(|| given.answers()), &rows, path);
        warning.iter().for_each(|warning| warn(common, warning));
        given.ranks.push(groups);
    }
    Ok(given)
}

/// Returns the labels that compete with the others and are never answered.
///
/// # Errors
/// As [`gather`].
pub fn background(args: &DecisionArgs, named: &LabelArgs, templates: &[Template]) -> Result<Vec<Label>> {
    let given = read(&args.background, args.background_file.as_deref(), templates, named.canonicalize)?;
    Ok(given.map(|given| given.labels).unwrap_or_default())
}

/// Returns the labels of lists between commas.
///
/// # Errors
/// As [`gather`].
pub fn of_lists(lists: &[String], templates: &[Template], is_cleaned: bool) -> Result<Given> {
    read(lists, None, templates, is_cleaned)?.ok_or_else(|| usage("no labels"))
}

/// Returns labels with these names, from a file if it is named.
///
/// # Errors
/// As [`gather`].
pub fn of_names<'a>(
    names: impl Iterator<Item = &'a str>,
    file: Option<&Path>,
    templates: &[Template],
    is_cleaned: bool,
) -> Result<Given> {
    let labels = names.map(|name| Label::new(name, templates));
    sound(LabelForm::Lines, (1..).zip(labels).collect(), file, is_cleaned)
}

/// Returns the entries of the built-in background.
pub fn built_in(named: &LabelArgs, templates: &[Template]) -> Vec<Label> {
    let mut labels: Vec<Label> = zsic::text::background().map(|name| Label::new(name, templates)).collect();
    if named.canonicalize {
        clean(&mut labels);
    }
    labels
}

/// Returns labels of a list or a file, if there is either.
fn read(list: &[String], file: Option<&Path>, templates: &[Template], is_cleaned: bool) -> Result<Option<Given>> {
    let (form, written) = match file {
        Some(path) => from_file(path, templates)?,
        None if list.is_empty() => return Ok(None),
        None => {
            let names = list.iter().flat_map(|list| split(list));
            (LabelForm::Flag, (1..).zip(names.map(|name| Label::new(name, templates))).collect())
        }
    };
    sound(form, written, file, is_cleaned).map(Some)
}

/// Returns labels with their lines or places as they are used, if they are sound.
fn sound(form: LabelForm, mut written: Vec<(usize, Label)>, file: Option<&Path>, is_cleaned: bool) -> Result<Given> {
    let file = file.map(|path| format!("{}: ", text::name(path))).unwrap_or_default();
    if written.is_empty() {
        return Err(usage(file + "has no labels; write one per line"));
    }
    if is_cleaned {
        clean(written.iter_mut().map(|(_, label)| label));
    }
    for (_, label) in &written {
        check_length("a label", &label.name, LONGEST_LABEL)?;
        label.prompts.iter().try_for_each(|prompt| check_length("a prompt", prompt, LONGEST_LABEL))?;
    }
    let unit = if form == LabelForm::Flag { "label" } else { "line" };
    check(&written, unit).map_err(|reason| usage(file + &reason))?;
    Ok(Given { labels: written.into_iter().map(|(_, label)| label).collect(), form, ranks: Vec::new() })
}

/// Cleans the prompts of labels.
fn clean<'a>(labels: impl IntoIterator<Item = &'a mut Label>) {
    let prompts = labels.into_iter().flat_map(|label| &mut label.prompts);
    prompts.for_each(|prompt| *prompt = canonicalize(prompt));
}

/// Says that no label has a name, and which one is similar.
pub fn no_such(name: &str, labels: &[&str]) -> String {
    let nearest = similar(name, labels).map(|label| format!("; did you mean `{}`?", shown(label)));
    format!("no label is called `{}`{}", shown(name), nearest.unwrap_or_default())
}

/// Returns the label that is most like a name, if one is.
pub fn similar<'a>(name: &str, labels: &[&'a str]) -> Option<&'a str> {
    const ALIKE: f64 = 0.6;
    let likeness = |label: &str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &label.to_lowercase());
    let alike = labels.iter().map(|label| (likeness(label), *label)).filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, label)| label)
}

/// Prints the names of the label sets.
///
/// # Errors
/// If standard output cannot be written.
pub fn print_sets() -> Result<Outcome> {
    stdout::write((LabelSet::NAMES.join("\n") + "\n").as_bytes())?;
    Ok(Outcome::Complete)
}

/// Checks that every label is present and unique. Places are counted in `unit`s.
fn check(written: &[(usize, Label)], unit: &str) -> Result<(), String> {
    let empty = written.iter().filter(|(_, label)| label.name.trim().is_empty()).map(|(place, _)| *place);
    let empty: Vec<usize> = empty.collect();
    let advice = if unit == "label" { "look for two commas in a row, or a comma at the end" } else { "remove it" };
    let empty = (!empty.is_empty()).then(|| format!("a label is empty ({}); {advice}", listed(unit, &empty)));
    let mut places = HashMap::<&str, Vec<usize>>::new();
    written.iter().for_each(|(place, label)| places.entry(&label.name).or_default().push(*place));
    let mut doubled: Vec<_> = places.into_iter().filter(|(_, places)| places.len() > 1).collect();
    doubled.sort_by(|a, b| a.1.cmp(&b.1));
    let more = if doubled.len() > NAMED { format!(", and {} more", doubled.len() - NAMED) } else { String::new() };
    let named =
        doubled.iter().take(NAMED).map(|(name, places)| format!("`{}` ({})", shown(name), listed(unit, places)));
    let named = named.collect::<Vec<_>>().join(", ");
    let doubled = (!named.is_empty()).then(|| {
        format!("labels given more than once: {named}{more}; keep one of each, or add a word to distinguish them")
    });
    let wrong: Vec<String> = empty.into_iter().chain(doubled).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Formats places as `lines 1, 3 and 8`.
fn listed(unit: &str, places: &[usize]) -> String {
    let more = places.len() > NAMED;
    let mut places: Vec<String> = places.iter().take(NAMED).map(usize::to_string).collect();
    places.dedup();
    if more {
        places.push("more".to_owned());
    }
    match places.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{unit}s {} and {last}", rest.join(", ")),
        _ => format!("{unit} {}", places.concat()),
    }
}

/// Checks that standard input is used only once.
///
/// # Errors
/// A usage error if labels or templates come from it, and something else too.
pub fn check_stdin<'a>(lists: impl IntoIterator<Item = &'a Path>, inputs: &Inputs) -> Result<()> {
    let of = |files: &mut dyn Iterator<Item = &Path>| files.filter(|path| text::is_stdin(path)).count();
    let own = of(&mut lists.into_iter());
    if own > 0 && own + of(&mut inputs.files()) > 1 {
        return Err(usage("`-` is given twice, but standard input can be read only once"));
    }
    Ok(())
}

/// Splits labels at commas and trims them; `\,` is a comma inside one.
pub fn split(list: &str) -> Vec<String> {
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

/// Returns the labels of a file, with their lines.
fn from_file(path: &Path, templates: &[Template]) -> Result<(LabelForm, Vec<(usize, Label)>)> {
    let text = text::read(path)?;
    let is_json = is_json(&text);
    check_memory(path, &text, is_json, templates)?;
    if is_json {
        return json::parse(&text, templates).map_err(|e| usage(format!("{}: {e}", text::name(path))));
    }
    let lines = lines(&text).map(|(n, line)| (n, line.trim())).filter(|(_, line)| !line.is_empty());
    Ok((LabelForm::Lines, lines.map(|(n, line)| (n, Label::new(line, templates))).collect()))
}

/// Checks that there is memory for the labels in a text: names, prompts, and their index.
fn check_memory(path: &Path, text: &str, is_json: bool, templates: &[Template]) -> Result<()> {
    const OF_LABEL: usize = 200;
    const OF_PROMPT: usize = 64;
    let count =
        if is_json { text.matches('"').count() / 2 } else { lines(text).filter(|(_, line)| !line.is_empty()).count() };
    let around: usize = templates.iter().map(|template| template.to_string().len() + OF_PROMPT).sum();
    let bytes = text.len() * (3 + templates.len()) + count * (OF_LABEL + around);
    available_memory::check(count, if is_json { "labels and prompts" } else { "labels" }, bytes as u64)
        .map_err(|e| anyhow::anyhow!("{}: {e}", text::name(path)))
}

/// Returns whether a file is meant as JSON. A line of a list may begin with a bracket too, like `[red] car`.
fn is_json(text: &str) -> bool {
    let mut signs = text.chars().filter(|c| !c.is_whitespace());
    let begins = matches!(signs.next(), Some('[' | '{'));
    begins && (matches!(signs.next(), None | Some('"' | '\'')) || serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Refuses a text that is longer than any model reads, before it takes memory.
///
/// # Errors
/// A usage error that begins with `what`, the kind of text.
pub fn check_length(what: &str, text: &str, most: usize) -> Result<()> {
    if text.len() <= most {
        return Ok(());
    }
    Err(usage(format!("{what} has {} bytes, and at most {most} are allowed: `{}`", text.len(), shown(text))))
}

/// Converts the error of a prompt or text that is too long for the model, and says what to do.
pub fn too_long(what: &str, name: &str, e: Error) -> anyhow::Error {
    let Error::PromptTooLong { tokens, limit, .. } = e else { return e.into() };
    anyhow::anyhow!(
        "{what} `{}` has {tokens} tokens and the model reads at most {limit}; shorten it, or pass --truncate",
        shown(name)
    )
}

/// Returns the beginning of a label or text.
pub fn shown(name: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = name.chars().take(SHOWN).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
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
}
