//! Warnings about labels that look like a mistake: a list read as one label, JSON on the command line, a single label.

use std::path::Path;

use serde_json::Value;
use zsic::Label;

use super::super::args::LabelArgs;
use super::super::text;
use super::{Given, LabelForm, shown};

/// Separators of labels in other programs, but not here.
const SEPARATORS: [char; 9] = [';', '|', '\t', '，', '、', '；', '｜', '،', '؛'];
const LINE_BREAKS: [char; 7] = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
const QUOTES: [char; 2] = ['"', '\''];
const BRACKETS: [(char, char); 3] = [('[', ']'), ('{', '}'), ('(', ')')];
/// Keys under which other programs keep a list of labels.
const LISTS: [&str; 7] = ["labels", "candidate_labels", "classes", "class_names", "categories", "names", "label_names"];

/// Returns a warning for labels that look like a mistake, with what to type instead. `is_softmax`: the labels share a
/// score of 1.
pub fn doubt(given: &Given, args: &LabelArgs, is_softmax: bool) -> Option<String> {
    let doubts = Doubts {
        labels: &given.labels,
        form: given.form,
        file: args.labels_file.as_ref().map(|path| text::name(path) + ": ").unwrap_or_default(),
        alone: is_softmax && given.labels.len() == 1,
    };
    let doubt = doubts.object().or_else(|| doubts.breaks()).or_else(|| doubts.marks());
    let doubt = doubt.or_else(|| doubts.list()).or_else(|| doubts.single())?;
    Some(doubts.file + &doubt)
}

struct Doubts<'a> {
    labels: &'a [Label],
    form: LabelForm,
    file: String,
    /// Warns of a single label, which has nothing to compare with.
    alone: bool,
}

impl Doubts<'_> {
    /// Warns of an object that holds a list of labels, their numbers, or empty prompts.
    fn object(&self) -> Option<String> {
        if self.form != LabelForm::Object {
            return None;
        }
        let is_empty = |label: &&Label| label.prompts.iter().any(|prompt| prompt.trim().is_empty());
        if let Some(Label { name, .. }) = self.labels.iter().find(is_empty) {
            let array = array(self.labels.iter().map(|label| &label.name));
            return Some(self.one(
                &format!("the label `{}` has an empty prompt", shown(name)),
                &format!("write one, or for labels without prompts write {array}"),
            ));
        }
        let is_list = |label: &&Label| label.prompts.len() > 1 && (self.alone || LISTS.contains(&&*label.name));
        if let Some(Label { name, prompts }) = self.labels.iter().find(is_list) {
            let (count, array) = (prompts.len(), array(prompts.iter()));
            let name = shown(name);
            return Some(self.one(
                &format!("`{name}` is read as one label with {count} prompts"),
                &format!("to use {count} labels, write {array}"),
            ));
        }
        let is_number = |label: &Label| label.name.parse::<u64>().is_ok() && label.prompts.len() == 1;
        let name = &self.labels[0].name;
        self.labels.iter().all(is_number).then(|| {
            let array = array(self.labels.iter().map(|label| &label.prompts[0]));
            self.one(
                &format!("the numbers are read as the labels, `{name}` first, and the names as their prompts"),
                &format!("write {array}"),
            )
        })
    }

    fn breaks(&self) -> Option<String> {
        let name = self.find(|name| name.contains(LINE_BREAKS) || name.contains("\\n"))?;
        let advice = match self.form {
            LabelForm::Flag => "separate labels by commas, or use --labels-file FILE with one per line",
            _ => self.separate(),
        };
        Some(self.one(&format!("the label `{name}` contains line breaks and is read as one label"), advice))
    }

    /// Warns of list marks in YAML or Markdown, or numbers, in front of all labels. A first line that ends with a colon
    /// may be a title.
    fn marks(&self) -> Option<String> {
        let names = self.labels.iter().map(|label| label.name.as_str());
        let names: Vec<&str> = match self.form {
            LabelForm::Array | LabelForm::Object => return None,
            LabelForm::Flag => names.collect(),
            LabelForm::Lines => {
                let is_title = |(at, name): &(usize, &str)| *at == 0 && self.labels.len() > 1 && name.ends_with(':');
                names.enumerate().skip_while(is_title).map(|(_, name)| name).collect()
            }
        };
        let first: u32 = names[0].split(['.', ')']).next()?.parse().unwrap_or_default();
        let bare = |(name, number): (&&str, u64)| {
            let counted = name.strip_prefix(&number.to_string()).and_then(|rest| rest.strip_prefix(['.', ')']));
            let rest = counted.or_else(|| name.strip_prefix(['-', '*', '+', '•']))?;
            rest.starts_with([' ', '\t']).then(|| rest.trim().to_owned())
        };
        let bare: Vec<String> = names.iter().zip(first.into()..).map(bare).collect::<Option<_>>()?;
        let (name, bare) = (shown(names[0]), shown(&bare[0]));
        let advice = format!("remove it from each: write `{bare}`");
        Some(self.one(&format!("`{name}` begins with the mark of a list, which the model reads too"), &advice))
    }

    /// Warns of several labels read as one. Several strings in JSON count as separate labels, whatever they contain.
    fn list(&self) -> Option<String> {
        if matches!(self.form, LabelForm::Array | LabelForm::Object) && !self.alone {
            return None;
        }
        self.brackets().or_else(|| self.quotes()).or_else(|| self.separated())
    }

    /// Warns of JSON, or a list as a program prints it.
    fn brackets(&self) -> Option<String> {
        let any = |is: &dyn Fn(&str) -> bool| self.labels.iter().any(|label| is(&label.name));
        let is_list = |(open, close): (char, char)| {
            let begins = any(&|name| name.starts_with(open) && !name.contains(close));
            let ends = any(&|name| name.ends_with(close) && !name.contains(open));
            let whole = any(&|name| name.starts_with(open) && name.ends_with(close) && name.contains(','));
            let quoted = any(&|name| name.strip_prefix(open).is_some_and(|rest| rest.trim_start().starts_with(QUOTES)));
            (begins && ends) || whole || quoted
        };
        if !BRACKETS.into_iter().any(is_list) {
            return None;
        }
        let advice = match self.form {
            LabelForm::Flag => self.typed(),
            _ => self.separate().to_owned(),
        };
        let name = shown(&self.labels[0].name);
        Some(self.one(&format!("the labels look like JSON and are read as they stand, `{name}` first"), &advice))
    }

    fn quotes(&self) -> Option<String> {
        let name = self.find(|name| {
            let name = name.trim_end_matches(',');
            name.len() > 2 && QUOTES.iter().any(|quote| name.starts_with(*quote) && name.ends_with(*quote))
        })?;
        let advice = if self.form == LabelForm::Flag { self.typed() } else { "remove them".to_owned() };
        Some(self.one(&format!("the label `{name}` has quotation marks, which the model reads too"), &advice))
    }

    /// Warns of labels separated by something else than a comma; in a file, by a comma.
    fn separated(&self) -> Option<String> {
        let is_glued = |name: &str| {
            let mut after = name.match_indices(',').map(|(at, _)| &name[at + 1..]);
            after.any(|rest| !rest.starts_with(|c: char| c == ' ' || c.is_ascii_digit()))
        };
        let has_commas =
            |name: &str| self.form != LabelForm::Flag && (is_glued(name) || self.alone && name.contains(','));
        let name = self.find(|name| name.contains(SEPARATORS) || has_commas(name))?;
        let advice = if self.form == LabelForm::Flag { self.typed() } else { self.separate().to_owned() };
        Some(self.one(&format!("`{name}` looks like a list and is read as one label"), &advice))
    }

    fn single(&self) -> Option<String> {
        let name = &self.labels[0].name;
        let advice = if self.form == LabelForm::Flag && Path::new(name).is_file() {
            format!("--labels-file {name} reads the labels in that file")
        } else {
            "add labels to compare with, as in -l cat,dog".to_owned()
        };
        self.alone.then(|| format!("there is one label, `{}`, and its score is always 1; {advice}", shown(name)))
    }

    /// Returns the first label among `those`, for a message.
    fn find(&self, those: impl Fn(&str) -> bool) -> Option<String> {
        self.labels.iter().find(|label| those(&label.name)).map(|label| shown(&label.name))
    }

    /// Returns a warning that says what is wrong and what to do.
    fn one(&self, what: &str, advice: &str) -> String {
        let alone = if self.alone { ", and the score of one label is always 1" } else { "" };
        format!("{what}{alone}; {advice}")
    }

    /// Returns how to separate labels in a file.
    fn separate(&self) -> &'static str {
        if self.form == LabelForm::Lines { "write one label per line" } else { "write each label as its own string" }
    }

    /// Returns the strings of a typed JSON array, or of the one array in an object.
    fn strings(&self) -> Option<Vec<String>> {
        let typed = self.labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>().join(",");
        let array = match serde_json::from_str(&typed).ok()? {
            Value::Object(object) if object.len() == 1 => object.into_iter().next()?.1,
            other => other,
        };
        array.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Returns the labels as they should be typed.
    fn typed(&self) -> String {
        const LONGEST: usize = 60;
        let is_sign = |c: char| QUOTES.contains(&c) || BRACKETS.iter().any(|(open, close)| c == *open || c == *close);
        let names = self.labels.iter().flat_map(|label| label.name.split(SEPARATORS)).flat_map(|name| name.split(','));
        let names = names.map(|name| name.trim().trim_matches(is_sign).trim()).filter(|n| !n.is_empty());
        let names: Vec<String> = self.strings().unwrap_or_else(|| names.map(str::to_owned).collect());
        let is_clean = |name: &String| !name.contains(is_sign) && !name.contains(',');
        match shlex::try_quote(&names.join(",")) {
            Ok(list) if list.len() <= LONGEST && names.iter().all(is_clean) && !names.is_empty() => {
                format!("type -l {list}")
            }
            _ => "separate labels by commas: -l cat,dog".to_owned(),
        }
    }
}

/// Returns the beginning of a JSON array.
pub fn array<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 3;
    let rest = if names.len() > SHOWN { ", …" } else { "" };
    let names: Vec<String> = names.take(SHOWN).map(|name| serde_json::Value::from(shown(name)).to_string()).collect();
    format!("[{}{rest}]", names.join(", "))
}
