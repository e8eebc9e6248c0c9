//! How a layout's weights become those that towers ask for: names are replaced, and tensors are divided or viewed
//! differently. Nothing is read or copied.

use super::stored::{Stored, TensorTable};

/// The names that a layout gives its weights.
#[derive(Debug)]
pub struct Recipe {
    /// Ends of names whose tensors differ from what towers ask for, and how to view them.
    pub views: &'static [&'static [(&'static str, View)]],
    /// Lists of parts of names and their replacements, in order. A part that begins with `^` matches only at the
    /// beginning.
    pub names: &'static [&'static [(&'static str, &'static str)]],
}

/// Prefixes that wrapper models put before weight names, and what is read for each (the rules of transformers).
pub const WRAPPERS: &[(&str, &str)] =
    &[("^clip.", ""), ("^text_model.text_model.", "text_model."), ("^vision_model.vision_model.", "vision_model.")];

/// Ends of the names of products of queries, keys and values that are stored as one.
pub const IN_PROJ: &[(&str, View)] = &[
    ("in_proj_weight", View::Parts(&["q_proj.weight", "k_proj.weight", "v_proj.weight"])),
    ("in_proj_bias", View::Parts(&["q_proj.bias", "k_proj.bias", "v_proj.bias"])),
];

/// How a stored tensor is viewed.
#[derive(Debug)]
pub enum View {
    /// As equal parts along the first dimension, with these ends of their names.
    Parts(&'static [&'static str]),
    /// As a matrix whose rows are the columns of the stored one, with this end of its name.
    Transposed(&'static str),
    /// `[1, .., 1, n, w]` as `[n, w]`.
    Matrix,
    /// `[1, .., 1, w]` as `[w]`.
    Vector,
    /// `[w, p * p * 3]`, the channels of a pixel together, as `[w, 3, p, p]`.
    Patches,
}

/// Applies a recipe to a table.
///
/// # Errors
/// One line: two weights that would have the same name.
pub(super) fn apply(recipe: &Recipe, tensors: TensorTable) -> Result<TensorTable, String> {
    let mut known = TensorTable::with_capacity(tensors.len());
    for (name, stored) in tensors {
        for (name, stored) in seen(recipe, name, stored) {
            let name = renamed(recipe, name);
            if known.contains_key(&name) {
                return Err(format!("has two weights `{name}`, one of them under a longer name"));
            }
            known.insert(name, stored);
        }
    }
    Ok(known)
}

fn renamed(recipe: &Recipe, mut name: String) -> String {
    for (part, instead) in recipe.names.iter().copied().flatten() {
        if let Some(beginning) = part.strip_prefix('^') {
            if let Some(rest) = name.strip_prefix(beginning) {
                name = format!("{instead}{rest}");
            }
        } else if name.contains(part) {
            name = name.replacen(part, instead, 1);
        }
    }
    name
}

/// Returns the tensors that a stored one is viewed as. A tensor of another kind of shape stays as it is.
fn seen(recipe: &Recipe, name: String, stored: Stored) -> Vec<(String, Stored)> {
    let Some((end, view)) = recipe.views.iter().copied().flatten().find(|(end, _)| name.ends_with(end)) else {
        return vec![(name, stored)];
    };
    let stem = name[..name.len() - end.len()].to_owned();
    let shape = stored.shape.clone();
    match (view, &shape[..]) {
        (View::Parts(ends), [rows, ..]) if rows % ends.len() == 0 => {
            ends.iter().enumerate().map(|(n, end)| (format!("{stem}{end}"), part(&stored, n, ends.len()))).collect()
        }
        (View::Transposed(end), [rows, columns]) => {
            let strides = strides(&stored);
            let (shape, strides) = (vec![*columns, *rows], Some(vec![strides[1], strides[0]]));
            vec![(format!("{stem}{end}"), Stored { shape, strides, ..stored })]
        }
        (View::Matrix, [ones @ .., rows, columns]) if ones.iter().all(|n| *n == 1) && stored.strides.is_none() => {
            vec![(name, Stored { shape: vec![*rows, *columns], ..stored })]
        }
        (View::Vector, [ones @ .., width]) if ones.iter().all(|n| *n == 1) && stored.strides.is_none() => {
            vec![(name, Stored { shape: vec![*width], ..stored })]
        }
        (View::Patches, &[width, values]) => {
            let side = ((values / 3) as f64).sqrt() as usize;
            if side * side * 3 != values {
                return vec![(name, stored)];
            }
            let [row, value] = strides(&stored)[..] else { return vec![(name, stored)] };
            let strides = Some(vec![row, value, 3 * side * value, 3 * value]);
            vec![(name, Stored { shape: vec![width, 3, side, side], strides, ..stored })]
        }
        _ => vec![(name, stored)],
    }
}

/// Returns the `n`-th of equal parts along the first dimension.
fn part(stored: &Stored, n: usize, parts: usize) -> Stored {
    let mut part = stored.clone();
    part.shape[0] /= parts;
    let step = strides(stored)[0] * part.shape[0];
    part.offset += (n * step * stored.size().unwrap_or(0)) as u64;
    part.span = match &part.strides {
        None => step,
        Some(strides) => {
            1 + part.shape.iter().zip(strides).map(|(n, stride)| n.saturating_sub(1) * stride).sum::<usize>()
        }
    };
    part
}

/// Returns the steps between neighbours along each dimension.
fn strides(stored: &Stored) -> Vec<usize> {
    stored
        .strides
        .clone()
        .unwrap_or_else(|| (0..stored.shape.len()).map(|n| stored.shape[n + 1..].iter().product()).collect())
}
