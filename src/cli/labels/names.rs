//! Finds labels by the names that people give them elsewhere: as folders, or in a file of truths.

use std::collections::HashMap;

/// The places of labels by their names.
pub struct Places<'a> {
    exact: HashMap<&'a str, usize>,
    alike: HashMap<String, usize>,
}

impl<'a> Places<'a> {
    /// Indexes names. Of equal ones the last counts, and of similar ones the first.
    pub fn new(named: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let all: Vec<(&str, usize)> = named.collect();
        Self {
            exact: all.iter().copied().collect(),
            alike: all.iter().rev().map(|(name, at)| (plain(name), *at)).collect(),
        }
    }

    /// Finds a name as it is, or else without regard to case, `_` and `-`.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.exact.get(name).or_else(|| self.alike.get(&plain(name))).copied()
    }
}

fn plain(name: &str) -> String {
    let spaced: String = name.chars().map(|c| if matches!(c, '_' | '-') { ' ' } else { c }).collect();
    spaced.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
