//! A label and an image's path -> its path in the folder to sort into.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use zsic::system::name::from_vec;

use super::super::fatal::usage;
use super::super::labels::{UNKNOWN, shown};

/// The most bytes of a folder's name on most file systems.
const LONGEST: usize = 255;

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Label,
    Path,
    Name,
}

/// The pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Vec<Part>);

impl Layout {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A usage error for one that is wrong, or leads out of the folder.
    pub fn parse(pattern: &str) -> Result<Self> {
        let wrong = |why: &str| usage(format!("--as `{}`: {why}", shown(pattern)));
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong("a `}` is missing"))?;
            parts.push(Part::Text(text.to_owned()));
            parts.push(match name {
                "label" => Part::Label,
                "path" => Part::Path,
                "name" => Part::Name,
                _ => return Err(wrong("use {label}, {path} and {name}")),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        if !parts.iter().any(|part| matches!(part, Part::Path | Part::Name)) {
            return Err(wrong("without {path} or {name} all images of a label would have one name"));
        }
        let layout = Self(parts);
        match layout.path("l", Path::new("n")) {
            Some(_) if !pattern.ends_with('/') && !pattern.contains('\0') => Ok(layout),
            _ => Err(wrong("use the path of a file inside of the folder")),
        }
    }

    /// Returns the path of an image that is at `below` in its own folder, or None if that leads out of the folder.
    pub fn path(&self, folder: &str, below: &Path) -> Option<PathBuf> {
        let name = below.file_name()?;
        let mut path = Vec::new();
        for part in &self.0 {
            path.extend(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Label => folder.as_bytes(),
                Part::Path => below.as_os_str().as_encoded_bytes(),
                Part::Name => name.as_encoded_bytes(),
            });
        }
        let path = PathBuf::from(from_vec(path));
        let is_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        (is_inside(&path) && is_inside(below)).then_some(path)
    }
}

/// Returns the name of each answer's folder. `unknown` is whether images may be none of them.
///
/// # Errors
/// A usage error if two answers would share a folder, on any file system, or if a name is too long.
pub fn folders(answers: &[&str], unknown: bool) -> Result<Vec<String>> {
    let names: Vec<String> = answers.iter().map(|answer| folder(answer)).collect();
    let mut seen = std::collections::HashMap::new();
    if unknown {
        seen.insert(UNKNOWN.to_owned(), "the images of none of the labels");
    }
    for (answer, name) in answers.iter().zip(&names) {
        if name.len() > LONGEST {
            let reason = format!("has more than {LONGEST} bytes, the most for the name of a folder");
            return Err(usage(format!("the label `{}` {reason}", shown(answer))));
        }
        if let Some(other) = seen.insert(name.to_lowercase(), answer) {
            let both = format!("`{}` and `{}`", shown(other), shown(answer));
            return Err(usage(format!("{both} would share the folder `{}`; rename one of them", shown(name))));
        }
    }
    Ok(names)
}

/// Returns the name of a label's folder: the label, with `_` for what cannot be in a name or would hide the folder.
fn folder(label: &str) -> String {
    let is_odd = |c: char| c.is_control() || c == '/' || cfg!(windows) && r#"<>:"\|?*"#.contains(c);
    let mut name: String = label.chars().map(|c| if is_odd(c) { '_' } else { c }).collect();
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    if cfg!(windows) && name.ends_with(['.', ' ']) {
        name.pop();
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_its_parts() {
        let path = |pattern: &str, below: &str| {
            let path = Layout::parse(pattern).unwrap().path("cat", Path::new(below));
            path.map(|path| path.to_str().unwrap().to_owned())
        };
        assert_eq!(path("{label}/{path}", "a/b.jpg").as_deref(), Some("cat/a/b.jpg"));
        assert_eq!(path("2026/{label}-{name}", "a/b.jpg").as_deref(), Some("2026/cat-b.jpg"));
        assert_eq!(path("{path}", "{label}.jpg").as_deref(), Some("{label}.jpg"), "names are no patterns");
        for out in ["../b.jpg", "/b.jpg", "a/../../b.jpg", "a/..", ""] {
            assert_eq!(path("{label}/{path}", out), None, "{out}");
        }
        for wrong in
            ["", "{label}", "{path", "{size}/{path}", "../{path}", "/{path}", "a/../{name}", "{path}/", "{path}\0"]
        {
            assert!(Layout::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_label_has_a_folder_of_its_own() {
        assert_eq!(
            folders(&["a cat", "a/b", ".x", "..", "caf\u{e9}\n"], true).unwrap(),
            ["a cat", "a_b", "_x", if cfg!(windows) { "__" } else { "_." }, "caf\u{e9}_"]
        );
        assert_eq!(folders(&["unknown"], false).unwrap(), ["unknown"]);
        for shared in [&["a/b", "a_b"][..], &["Cat", "cat"], &["Unknown"], &[&"x".repeat(256)]] {
            assert!(folders(shared, true).is_err(), "{shared:?}");
        }
    }
}
