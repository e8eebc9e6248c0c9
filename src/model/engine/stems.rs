//! Images and prompts -> the rows that go through the blocks.

use std::ops::Range;

use rayon::prelude::*;

use super::super::attention_rows::{Prompt, Rows};
use super::super::spec::{ImageStem, Mask};
use super::super::tower::{Patches, TokenEmbeddings};
use super::{Engine, ROWS, Workspace};
use crate::Result;
use crate::kernels::product::Then;
use crate::kernels::{ActivationFn, product};
use crate::preprocess::{Normalizer, Pixels};

impl Patches<Engine> {
    /// Puts the rows of images into `space.x` [R, W].
    pub(super) fn rows(&self, mask: Mask, pixels: &[Pixels], normalizer: &Normalizer, space: &mut Workspace) -> Rows {
        let (width, class) = (self.positions.width, usize::from(self.spec.class));
        let Workspace { patches, x, wide, .. } = space;
        let batch = Rows::images(mask, pixels.iter().map(|p| self.spec.rows(p)));
        // The image of each row, and which of its rows it is.
        let of_item = |(item, rows): (usize, &Range<usize>)| (0..rows.len()).map(move |at| (item, at));
        let places: Vec<(usize, usize)> = batch.items.iter().enumerate().flat_map(of_item).collect();
        let of_patches: Vec<(usize, usize)> = places.iter().copied().filter(|(_, at)| *at >= class).collect();
        patches.shape(of_patches.len(), self.kernel.input());
        let stride = patches.stride();
        patches.words_mut().par_chunks_mut(stride).zip(&of_patches).for_each(|(out, &(item, at))| {
            let out = &mut out[..self.kernel.input()];
            normalizer.patch(&pixels[item], self.spec.patch, at - class, out);
        });
        product(patches, &self.kernel, wide, Then::Store(ActivationFn::None)); // [N, W]
        let positions: Vec<Option<Vec<f32>>> = pixels.par_iter().map(|p| self.resized(self.spec.grid(p))).collect();
        x.shape(places.len(), width);
        let stride = x.stride();
        x.words_mut().par_chunks_mut(stride).enumerate().for_each(|(row, out)| {
            let (item, at) = places[row];
            let value = match &self.class {
                Some(class) if at == 0 => class.row(0),
                _ => wide.row(row - class * (item + 1)),
            };
            let position =
                positions[item].as_ref().map_or_else(|| self.positions.row(at), |p| &p[at * width..][..width]);
            sum(value, position, out);
        });
        batch
    }
}

impl TokenEmbeddings<Engine> {
    /// Puts the rows of prompts into `space.x` [R, W].
    pub(super) fn rows(&self, mask: Mask, prompts: &[&Prompt], space: &mut Workspace) -> Result<Rows> {
        let mut rows = Rows::prompts(mask, prompts);
        if self.spec.uncounted.is_some() {
            rows.place(|ids| self.spec.positions_of(ids));
        }
        space.x.shape(rows.tokens.len(), self.positions.width);
        for (row, &(id, position)) in rows.tokens.iter().enumerate() {
            let x = space.x.row_mut(row);
            self.tokens.read(id as usize, x)?;
            x.iter_mut().zip(self.positions.row(position)).for_each(|(x, position)| *x += position);
        }
        Ok(rows)
    }
}

/// Divides images into groups of about as many rows, and of no more than `ROWS` unless an image has more.
pub(super) fn groups<'a>(spec: &ImageStem, pixels: &'a [Pixels]) -> Vec<&'a [Pixels]> {
    let rows: Vec<usize> = pixels.iter().map(|p| spec.rows(p)).collect();
    let (total, longest) = (rows.iter().sum::<usize>(), rows.iter().copied().max().unwrap_or(0));
    let count = total.div_ceil(ROWS.max(longest)).max(1);
    let (mut groups, mut first, mut before) = (Vec::with_capacity(count), 0, 0);
    for (index, rows) in rows.iter().enumerate() {
        let group = |rows: usize| (rows * count).div_ceil(total.max(1));
        if index > first && group(before + rows) > group(before) {
            groups.push(&pixels[first..index]);
            first = index;
        }
        before += rows;
    }
    groups.push(&pixels[first..]);
    groups
}

fn sum(a: &[f32], b: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a + b);
}
