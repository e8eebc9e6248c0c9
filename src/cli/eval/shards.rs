//! Truths in tars, as webdataset and clip_benchmark write them: `x.cls` (a number or a name) or `x.npy` (a 1 for each label that
//! is shown) beside `x.jpg`, and `classnames.txt` beside the tars.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use zsic::source::{companions, is_tar_name};
use zsic::text::lines;

use super::super::args::Inputs;
use super::super::text;
use super::shown::Shown;

/// The names of classes, in the order of their numbers.
const CLASS_NAMES: &str = "classnames.txt";

/// Returns a member's name up to the first dot of its file name.
pub fn key(name: &str) -> &str {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    name[file..].find('.').map_or(name, |dot| &name[..file + dot])
}

/// Returns what images in the inputs' tars show, by their [`key`].
///
/// # Errors
/// If a tar cannot be read, or a truth in it is not as it should be.
pub fn read(inputs: &Inputs) -> Result<HashMap<String, Vec<Shown>>> {
    let mut shown = HashMap::new();
    for tar in tars(inputs) {
        let found = companions(&tar, &["cls", "npy"]);
        for (name, bytes) in found.with_context(|| format!("{}: cannot be read", tar.display()))? {
            let of = if name.as_str().ends_with(".npy") { several(&bytes) } else { one(&bytes) };
            let of = of.with_context(|| format!("{name}: is not a truth"))?;
            shown.insert(key(name.as_str()).to_owned(), of);
        }
    }
    Ok(shown)
}

/// Returns the names of classes that lie beside the inputs' tars, or one folder above.
///
/// # Errors
/// If the file cannot be read.
pub fn class_names(inputs: &Inputs) -> Result<Option<Vec<String>>> {
    let beside =
        |tar: PathBuf| tar.ancestors().skip(1).take(2).map(|folder| folder.join(CLASS_NAMES)).collect::<Vec<_>>();
    let Some(file) = tars(inputs).into_iter().flat_map(beside).find(|file| file.is_file()) else { return Ok(None) };
    let text = text::read(&file)?;
    Ok(Some(lines(&text).map(|(_, line)| line.trim()).filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

/// Returns the tars among the inputs, and below their folders.
fn tars(inputs: &Inputs) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = inputs.inputs.iter().rev().map(PathBuf::from).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let is_hidden =
                |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let inside = std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut inside: Vec<PathBuf> =
                inside.filter(|path| !is_hidden(path)).filter(|path| path.is_dir() || is_tar_name(path)).collect();
            inside.sort_by(|a, b| b.cmp(a));
            left.extend(inside);
        } else if path.extension() == Some(OsStr::new("tar")) && path.is_file() {
            found.push(path);
        }
    }
    found
}

/// Reads a number, or a name.
fn one(bytes: &[u8]) -> Result<Vec<Shown>> {
    let text = std::str::from_utf8(bytes)?.trim();
    if text.is_empty() {
        bail!("it is empty");
    }
    Ok(vec![text.parse().map_or_else(|_| Shown::Name(text.to_owned()), Shown::Index)])
}

/// Reads a NumPy array with one element for each label: those that are not 0 are shown.
fn several(bytes: &[u8]) -> Result<Vec<Shown>> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    let rest = bytes.strip_prefix(MAGIC).context("it is not a NumPy array")?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (u32::from_le_bytes([*a, *b, 0, 0]), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => bail!("it has another version"),
    };
    let (header, data) = rest.split_at_checked(length as usize).context("it ends early")?;
    let header = String::from_utf8_lossy(header);
    let kind = header.split("'descr': '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
    let width = match kind {
        "|b1" | "|u1" | "|i1" => 1,
        "<i2" | "<u2" | "<f2" => 2,
        "<i4" | "<u4" | "<f4" => 4,
        "<i8" | "<u8" | "<f8" => 8,
        other => bail!("it has elements of the kind `{other}`"),
    };
    if header.contains(", ")
        && header
            .split("'shape': (")
            .nth(1)
            .is_some_and(|shape| shape.split(')').next().is_some_and(|shape| shape.trim_end_matches(',').contains(',')))
    {
        bail!("it has more than one dimension");
    }
    let is_shown = |element: &[u8]| element.iter().any(|&byte| byte != 0);
    let elements = data.chunks(width).enumerate().filter(|(_, element)| is_shown(element));
    Ok(elements.map(|(index, _)| Shown::Index(index)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot() {
        assert_eq!(key("a.b/s.tar/d.e/000.x.jpg"), "a.b/s.tar/d.e/000");
        assert_eq!(key("x"), "x");
    }

    #[test]
    fn truths_are_numbers_names_or_arrays() {
        assert_eq!(one(b"17\n").unwrap(), [Shown::Index(17)]);
        assert_eq!(one(b"red fox").unwrap(), [Shown::Name("red fox".to_owned())]);
        assert!(one(b" \n").is_err() && one(b"\xff").is_err());
        let array = |kind: &str, shape: &str, data: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
            [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
        };
        let ones = [Shown::Index(1), Shown::Index(2)];
        assert_eq!(several(&array("|u1", "(4,)", &[0, 1, 1, 0])).unwrap(), ones);
        let floats: Vec<u8> = [0f32, 1.0, 1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(several(&array("<f4", "(3,)", &floats)).unwrap(), ones);
        assert!(several(&array("<c8", "(3,)", &floats)).is_err() && several(&array("|u1", "(2, 2)", &[0; 4])).is_err());
        assert!(several(b"\x93NUMPY\x01\x00\xff\xff").is_err());
    }
}
