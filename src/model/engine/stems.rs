//! Images and prompts -> the rows that go through the blocks.

use std::ops::Range;

use rayon::prelude::*;

use super::super::attention_rows::{Prompt, Rows};
use super::super::spec::{ImageStem, Mask};
use super::super::tower::{Patches, TokenEmbeddings};
use super::processor::{Place, Processor, RowTable, STORE};
use super::{Engine, Workspace};
use crate::Result;
use crate::preprocess::{Normalizer, Pixels};

impl<P: Processor> Patches<Engine<P>> {
    /// Puts the rows of images into `space.x` [R, W].
    pub(super) fn rows(
        &self,
        on: &P,
        mask: Mask,
        pixels: &[Pixels],
        normalizer: &Normalizer,
        space: &mut Workspace<P>,
    ) -> Result<Rows> {
        let class = usize::from(self.spec.class);
        let Workspace { patches, x, embedded, .. } = space;
        let batch = Rows::images(mask, pixels.iter().map(|p| self.spec.rows(p)));
        // The image of each row, and which of its rows it is.
        let of_item = |(item, rows): (usize, &Range<usize>)| (0..rows.len()).map(move |at| (item, at));
        let places: Vec<Place> = batch.items.iter().enumerate().flat_map(of_item).collect();
        let patch_of = |&(item, at): &Place| Some((item, at.checked_sub(class)?));
        let of_patches: Vec<Place> = places.iter().filter_map(patch_of).collect();
        on.patches(pixels, &of_patches, normalizer, self.spec.patch, patches)?;
        on.product(patches, &self.kernel, embedded, STORE)?; // [N, W]
        let resized: Vec<Option<Vec<f32>>> = pixels.par_iter().map(|p| self.resized(self.spec.grid(p))).collect();
        on.add_positions(embedded, self.class.as_ref(), &places, (&self.positions, &resized), x)?;
        Ok(batch)
    }
}

impl<P: Processor> TokenEmbeddings<Engine<P>> {
    /// Puts the rows of prompts into `space.x` [R, W].
    pub(super) fn rows(&self, on: &P, mask: Mask, prompts: &[&Prompt], space: &mut Workspace<P>) -> Result<Rows> {
        let mut rows = Rows::prompts(mask, prompts, P::SHARES_ROWS);
        if self.spec.uncounted.is_some() {
            rows.place(|ids| self.spec.positions_of(ids));
        }
        let positions = P::table_rows(&self.positions);
        let width = positions.width;
        let mut x = RowTable { values: vec![0.0; rows.tokens.len() * width], width };
        for (x, &(id, position)) in x.values.chunks_exact_mut(width).zip(&rows.tokens) {
            self.tokens.read(id as usize, x)?;
            x.iter_mut().zip(positions.row(position)).for_each(|(x, position)| *x += position);
        }
        on.put(&x, &mut space.x)?;
        Ok(rows)
    }
}

/// Divides images into groups of about as many rows, and of no more than `most` unless an image has more.
pub(super) fn groups<'a>(spec: &ImageStem, pixels: &'a [Pixels], most: usize) -> Vec<&'a [Pixels]> {
    let rows: Vec<usize> = pixels.iter().map(|p| spec.rows(p)).collect();
    let (total, longest) = (rows.iter().sum::<usize>(), rows.iter().copied().max().unwrap_or(0));
    let count = total.div_ceil(most.max(longest)).max(1);
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
