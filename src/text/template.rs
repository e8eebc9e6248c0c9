//! Templates: sentences with a place for the label.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The 80 templates of OpenAI's ImageNet prompt ensemble, one per line (openai/CLIP, Prompt_Engineering_for_ImageNet).
pub const OPENAI_80: &str = include_str!("templates/openai-80.txt");

/// The 7 of them that together beat all 80 (the same notebook).
pub const OPENAI_7: &str = include_str!("templates/openai-7.txt");

/// A sentence with a place for the label, written as Python's `str.format` reads it: `{}` once, or `{0}` any number of
/// times; `{{` and `}}` are plain braces. Python's further formatting (`{!r}`, `{:>10}`) is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    /// The text before, between and after the places.
    texts: Vec<String>,
}

impl Template {
    /// Returns the prompt for `label`.
    pub fn fill(&self, label: &str) -> String {
        self.texts.join(label)
    }

    /// Reads templates from a text with one per line; blank lines are ignored.
    ///
    /// # Errors
    /// [`Error::Template`] for a line that is not a template.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, Error> {
        let lines = super::lines(text.trim_start_matches('\u{feff}'));
        lines.filter(|(_, line)| !line.trim().is_empty()).map(|(_, line)| line.parse()).collect()
    }
}

impl Default for Template {
    /// Returns the default of the transformers pipeline.
    fn default() -> Self {
        let [before, after] = ["This is a photo of ", "."].map(str::to_owned);
        Self { source: format!("{before}{{}}{after}"), texts: vec![before, after] }
    }
}

impl FromStr for Template {
    type Err = Error;

    fn from_str(source: &str) -> Result<Self, Error> {
        let failed = |reason| Error::Template { template: source.to_owned(), reason };
        let texts = texts(source).map_err(failed)?;
        if texts.len() == 1 {
            return Err(failed("has no {} for the label".to_owned()));
        }
        Ok(Self { source: source.to_owned(), texts })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Splits a template at its places.
fn texts(source: &str) -> Result<Vec<String>, String> {
    const SINGLE: &str = "has a brace that stands alone; {} is the place of the label, and {{ or }} a plain brace";
    const SHOWN: usize = 60;
    let mut texts = vec![String::new()];
    let (mut automatic, mut numbered) = (0, 0);
    let mut rest = source;
    while let Some(at) = rest.find(['{', '}']) {
        let last = texts.len() - 1;
        texts[last] += &rest[..at];
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            texts[last] += brace;
            rest = after;
            continue;
        }
        let end = after.find(['{', '}']).filter(|&end| brace == "{" && after[end..].starts_with('}')).ok_or(SINGLE)?;
        match name(&after[..end]) {
            Some("") => automatic += 1,
            Some(number) if number.parse() == Ok(0u64) => numbered += 1,
            _ => {
                let place: String = after[..end].chars().take(SHOWN).collect();
                return Err(format!("has {{{place}}}; the place of the label is {{}} or {{0}}"));
            }
        }
        texts.push(String::new());
        rest = &after[end + 1..];
    }
    if automatic > 1 || (automatic > 0 && numbered > 0) {
        return Err("has {} and another place; write {0} for each place of the label".to_owned());
    }
    let last = texts.len() - 1;
    texts[last] += rest;
    Ok(texts)
}

/// Returns the name in a place such as `0`, `!s` or `0:s`, unless it asks for more than the text as it is.
fn name(place: &str) -> Option<&str> {
    let end = place.find(['!', ':']).unwrap_or(place.len());
    let (name, format) = place.split_at(end);
    let is_plain = ["", "!s", ":", ":s", "!s:", "!s:s"].contains(&format);
    (is_plain && name.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_a_label_stay() {
        assert_eq!(Template::default().fill("a {} b"), "This is a photo of a {} b.");
        assert_eq!("{0} and {0}".parse::<Template>().unwrap().fill("x"), "x and x");
    }

    #[test]
    fn a_template_needs_a_place() {
        let told = |template: &str| template.parse::<Template>().unwrap_err().to_string();
        assert_eq!(told("a photo"), "the template `a photo` has no {} for the label");
        assert!(told("{} and {}").contains("write {0}") && told("{label}").contains("has {label}; the place"));
        assert!(told("a } of {}").contains("stands alone"));
    }

    #[test]
    fn the_named_sets_have_their_sizes() {
        let eighty = Template::parse_lines(OPENAI_80).unwrap();
        let seven = Template::parse_lines(OPENAI_7).unwrap();
        assert_eq!((eighty.len(), seven.len()), (80, 7));
        assert!(seven.iter().all(|t| eighty.contains(t)));
    }
}
