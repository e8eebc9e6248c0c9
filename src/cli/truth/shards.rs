//! Truths in tars, as webdataset and clip_benchmark write them: `x.cls` (a number or a name) or `x.npy` (a 1 for each label that
//! is shown) beside `x.jpg`, and `classnames.txt` beside the tars.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zsic::source::{companions, is_tar_name};
use zsic::text::lines;

use super::super::args::Inputs;
use super::super::fatal::usage;
use super::super::inputs::paths;
use super::super::text;
use super::shown::{Shown, absolute};

/// The names of classes, in the order of their numbers.
const CLASS_NAMES: &str = "classnames.txt";
/// The endings of truths. Arrays beside classes are something else, such as embeddings.
const ENDINGS: [&str; 2] = ["cls", ARRAY];
const ARRAY: &str = "npy";

/// The truths of the inputs' tars, by their names without the ending.
pub struct Shards {
    ending: &'static str,
    found: BTreeMap<String, Found>,
}

struct Found {
    shown: Vec<Shown>,
    /// The length of an array.
    elements: Option<usize>,
}

/// The names of numbered classes, and the file that has them.
pub struct ClassNames {
    pub file: PathBuf,
    pub names: Vec<String>,
}

impl ClassNames {
    /// Returns the names as a truth would have them.
    pub fn shown(&self) -> BTreeSet<Shown> {
        self.names.iter().cloned().map(Shown::Name).collect()
    }

    /// Returns the names that several classes have.
    pub fn repeated(&self) -> HashSet<&str> {
        let mut seen = HashSet::new();
        self.names.iter().map(String::as_str).filter(|name| !seen.insert(*name)).collect()
    }
}

impl Shards {
    /// Reads the truths in the inputs' tars, if there are any.
    ///
    /// # Errors
    /// A usage error if a tar cannot be read, or a truth in it is not as it should be.
    pub fn read(inputs: &Inputs) -> Result<Option<Self>> {
        let tars = tars(inputs);
        for ending in ENDINGS {
            let mut found = BTreeMap::new();
            tars.iter().try_for_each(|tar| read_tar(tar, ending, &mut found))?;
            if !found.is_empty() {
                return Ok(Some(Self { ending, found }));
            }
        }
        Ok(None)
    }

    /// Returns what an image shows: the truth with its name up to the last dot, or else up to the first.
    pub fn of(&self, image: &str) -> Option<&[Shown]> {
        keys(image).into_iter().find_map(|key| self.found.get(key)).map(|found| &*found.shown)
    }

    /// Returns the ending of the truths' files.
    pub fn ending(&self) -> &'static str {
        self.ending
    }

    /// Returns all that images show, image by image.
    pub fn all(&self) -> impl Iterator<Item = &Shown> {
        self.found.values().flat_map(|found| &found.shown)
    }

    /// Returns whether an image may show any number of labels.
    pub fn is_multi(&self) -> bool {
        self.ending == ARRAY
    }

    /// Checks that numbers and arrays fit so many classes.
    ///
    /// # Errors
    /// A usage error that names the first truth that does not.
    pub fn check(&self, classes: usize) -> Result<()> {
        for (key, Found { shown, elements }) in &self.found {
            let beyond = shown.iter().find_map(|shown| match shown {
                Shown::Index(index) if *index >= classes => Some(*index),
                _ => None,
            });
            let wrong = match (elements, beyond) {
                (Some(elements), _) if *elements != classes => format!("has {elements} elements"),
                (None, Some(index)) => format!("is class {index}, counted from 0"),
                _ => continue,
            };
            return Err(usage(format!("{key}.{}: {wrong}, but there are {classes} classes", self.ending)));
        }
        Ok(())
    }
}

/// Returns a name up to the last dot of its file name, and up to the first.
fn keys(name: &str) -> [&str; 2] {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    [name[file..].rfind('.'), name[file..].find('.')].map(|dot| dot.map_or(name, |dot| &name[..file + dot]))
}

/// Adds the truths of a tar.
fn read_tar(tar: &Path, ending: &str, found: &mut BTreeMap<String, Found>) -> Result<()> {
    let members = companions(tar, ending).with_context(|| format!("{}: cannot be read", tar.display()))?;
    let mut own = BTreeMap::new();
    for (name, bytes) in members {
        let advice = "if it says nothing of the image, use --truth folders or --truth FILE";
        let truth = match ending {
            ARRAY => array(&bytes).map_err(|reason| format!("{reason}; {advice}")),
            _ => one(&bytes).map(|shown| Found { shown: vec![shown], elements: None }),
        };
        let truth = truth.map_err(|reason| usage(format!("{name}: {reason}")))?;
        if own.insert(keys(name.as_str())[0].to_owned(), truth).is_some() {
            return Err(usage(format!("{name}: is in the tar twice")));
        }
    }
    found.append(&mut own);
    Ok(())
}

/// Returns the names of classes that lie beside the inputs' tars, or one folder above.
///
/// # Errors
/// A usage error if the file cannot be read, or has an empty line.
pub fn class_names(inputs: &Inputs) -> Result<Option<ClassNames>> {
    let beside = |tar: PathBuf| {
        let folders: Vec<PathBuf> = absolute(&tar).ancestors().skip(1).take(2).map(Path::to_path_buf).collect();
        folders.into_iter().map(|folder| folder.join(CLASS_NAMES))
    };
    let Some(file) = tars(inputs).into_iter().flat_map(beside).find(|file| file.is_file()) else { return Ok(None) };
    let text = text::read(&file)?;
    let names: Vec<String> = lines(text.trim_end()).map(|(_, line)| line.trim().to_owned()).collect();
    if let Some(line) = names.iter().position(String::is_empty) {
        let reason = "is empty, but each line names the class with its number";
        return Err(usage(format!("{}: line {} {reason}", text::name(&file), line + 1)));
    }
    Ok(Some(ClassNames { file, names }))
}

/// Returns the tars among the inputs, and below their folders.
fn tars(inputs: &Inputs) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = paths(inputs);
    left.reverse();
    let mut seen = HashSet::new();
    let is_folder = |path: &PathBuf| path.is_dir() && (inputs.follow || !path.is_symlink());
    while let Some(path) = left.pop() {
        if path.is_dir() {
            if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                continue;
            }
            let is_hidden =
                |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let inside = std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut inside: Vec<PathBuf> =
                inside.filter(|path| !is_hidden(path)).filter(|path| is_folder(path) || is_tar_name(path)).collect();
            inside.sort_by(|a, b| b.cmp(a));
            left.extend(inside);
        } else if is_tar_name(&path) && path.is_file() {
            found.push(path);
        }
    }
    found
}

/// Reads a number, or a name.
fn one(bytes: &[u8]) -> Result<Shown, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text in UTF-8")?.trim();
    if text.is_empty() {
        return Err("is empty; write the number or the name of a class".to_owned());
    }
    Ok(text.parse().map_or_else(|_| Shown::Name(text.to_owned()), Shown::Index))
}

/// Reads a NumPy array with one element for each label: those that are not 0 are shown.
fn array(bytes: &[u8]) -> Result<Found, String> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    let rest = bytes.strip_prefix(MAGIC).ok_or("is not a NumPy array")?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (u32::from_le_bytes([*a, *b, 0, 0]), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return Err("is a NumPy array of another version".to_owned()),
    };
    let (header, data) = rest.split_at_checked(length as usize).ok_or("ends early")?;
    let header = String::from_utf8_lossy(header);
    let value = |begin: &str, end: char| {
        header.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(value, _)| value)
    };
    let kind = value("'descr': ", ',').trim_matches('\'');
    let width = match kind.trim_start_matches(['|', '<', '>', '=']) {
        "b1" | "u1" | "i1" => 1,
        "u2" | "i2" | "f2" => 2,
        "u4" | "i4" | "f4" => 4,
        "u8" | "i8" | "f8" => 8,
        _ => return Err(format!("has elements of the kind `{kind}`, which are not numbers")),
    };
    let shape = value("'shape': (", ')');
    let elements: usize =
        shape.trim_end_matches(',').parse().map_err(|_| format!("has the shape ({shape}), not one dimension"))?;
    if data.len() / width < elements {
        return Err("ends early".to_owned());
    }
    let is_shown = |element: &[u8]| element.iter().any(|&byte| byte != 0);
    let shown = data.chunks(width).take(elements).enumerate().filter(|(_, element)| is_shown(element));
    Ok(Found { shown: shown.map(|(index, _)| Shown::Index(index)).collect(), elements: Some(elements) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_a_dot_of_the_file_name() {
        assert_eq!(keys("a.b/s.tar/d.e/000.x.jpg"), ["a.b/s.tar/d.e/000.x", "a.b/s.tar/d.e/000"]);
        assert_eq!(keys("x"), ["x", "x"]);
    }

    #[test]
    fn truths_are_numbers_names_or_arrays() {
        assert_eq!(one(b"17\n").unwrap(), Shown::Index(17));
        assert_eq!(one(b"red fox").unwrap(), Shown::Name("red fox".to_owned()));
        assert!(one(b" \n").is_err() && one(b"\xff").is_err());
        let file = |kind: &str, shape: &str, data: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
            [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
        };
        let read = |kind: &str, shape: &str, data: &[u8]| array(&file(kind, shape, data)).map(|found| found.shown);
        let ones = Ok(vec![Shown::Index(1), Shown::Index(2)]);
        assert_eq!(read("|u1", "(4,)", &[0, 1, 1, 0]), ones);
        assert_eq!(read("<f4", "(3,)", &[0f32, 1.0, 1.0].map(f32::to_le_bytes).concat()), ones);
        assert_eq!(read(">i8", "(3,)", &[0i64, 1, 1].map(i64::to_be_bytes).concat()), ones);
        let wrong = |kind: &str, shape: &str| read(kind, shape, &[0; 8]).unwrap_err();
        assert_eq!(wrong("<c8", "(1,)"), "has elements of the kind `<c8`, which are not numbers");
        assert_eq!(wrong("|u1", "(2, 4)"), "has the shape (2, 4), not one dimension");
        assert_eq!((wrong("|u1", "(9,)"), wrong("<u2", "(5,)")), ("ends early".to_owned(), "ends early".to_owned()));
        assert_eq!(array(b"\x93NUMPY\x01\x00\xff\xff").err().unwrap(), "ends early");
    }
}
