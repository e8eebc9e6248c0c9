//! Templates: sentences with a place for the label.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The 80 templates of OpenAI's ImageNet prompt ensemble, one a line (openai/CLIP, Prompt_Engineering_for_ImageNet).
pub const OPENAI_80: &str = include_str!("templates/openai-80.txt");

/// The 7 of them that together beat all 80 (the same notebook).
pub const OPENAI_7: &str = include_str!("templates/openai-7.txt");

/// A sentence with `{}` where the label goes, once or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// The prompt for `label`.
    pub fn fill(&self, label: &str) -> String {
        self.0.replace("{}", label)
    }

    /// Templates from text of one a line; blank lines are ignored.
    ///
    /// # Errors
    /// [`Error::Template`] for a line without `{}`.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, Error> {
        let lines = text.trim_start_matches('\u{feff}').lines().filter(|line| !line.trim().is_empty());
        lines.map(str::parse).collect()
    }
}

impl Default for Template {
    /// The default of the transformers pipeline.
    fn default() -> Self {
        Self("This is a photo of {}.".to_owned())
    }
}

impl FromStr for Template {
    type Err = Error;

    fn from_str(template: &str) -> Result<Self, Error> {
        if template.contains("{}") { Ok(Self(template.to_owned())) } else { Err(Error::Template(template.to_owned())) }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_a_label_stay() {
        assert_eq!(Template::default().fill("a {} b"), "This is a photo of a {} b.");
        assert_eq!("{} and {}".parse::<Template>().unwrap().fill("x"), "x and x");
    }

    #[test]
    fn a_template_needs_a_place() {
        assert!(matches!("a photo".parse::<Template>(), Err(Error::Template(t)) if t == "a photo"));
    }

    #[test]
    fn the_named_sets_have_their_sizes() {
        let eighty = Template::parse_lines(OPENAI_80).unwrap();
        let seven = Template::parse_lines(OPENAI_7).unwrap();
        assert_eq!((eighty.len(), seven.len()), (80, 7));
        assert!(seven.iter().all(|t| eighty.contains(t)));
    }
}
