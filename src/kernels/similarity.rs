//! Cosines of many images and many labels. Products and short sums are f32, the sums of those f64, so the error is
//! below what f32 can express (6e-8), at nearly its speed. The bits are the same on every instruction set: each cosine
//! is one lane's own sum, in index order, with fused products and additions.

use std::hint::black_box;

use super::lanes::Lanes;
use super::{Isa, dispatch};

/// Labels of a panel.
const PANEL: usize = 32;
/// Products summed in f32: few, so that little is rounded away.
const SHORT: usize = 32;
/// The most images that go over a panel together.
const IMAGES: usize = 8;

/// Embeddings of labels [L, D], in panels of adjacent labels: `[L / PANEL][D][PANEL]`.
#[derive(Debug, Clone)]
pub struct Panels {
    values: Vec<f32>,
    labels: usize,
    dim: usize,
}

impl Panels {
    /// Creates panels from row-major embeddings [L, D].
    pub fn new(rows: &[f32], dim: usize) -> Self {
        let labels = rows.len() / dim.max(1);
        let mut values = vec![0f32; labels.div_ceil(PANEL) * dim * PANEL];
        for (label, row) in rows.chunks_exact(dim.max(1)).enumerate() {
            let panel = &mut values[label / PANEL * dim * PANEL..];
            row.iter().enumerate().for_each(|(d, &value)| panel[d * PANEL + label % PANEL] = value);
        }
        Self { values, labels, dim }
    }

    /// Returns the number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Returns the number of values in an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Computes the cosines [B, L] of unit embeddings [B, D] into `out`, replacing its contents, on the calling thread.
    ///
    /// # Panics
    /// If the machine lacks the instruction set, or the images are not whole embeddings of this dimension.
    pub fn cosines(&self, isa: Isa, images: &[f32], out: &mut Vec<f64>) {
        assert!(isa.is_available(), "{isa:?} on a machine that lacks it");
        assert!(images.len().is_multiple_of(self.dim.max(1)), "embeddings of {} values", self.dim);
        out.clear();
        out.resize(images.len() / self.dim.max(1) * self.labels, 0.0);
        if out.is_empty() {
            return;
        }
        let (panels, to) = (self, &mut out[..]);
        dispatch!(isa, plain(self, images, to), fast(panels: &Panels, images: &[f32], to: &mut [f64]));
    }

    /// Calls `block` for each panel and a few images, with the place for their cosines.
    #[inline(always)]
    fn each(&self, images: &[f32], out: &mut [f64], mut block: impl FnMut(&[f32], &[f32], &mut [[f64; PANEL]])) {
        // A panel stays in the cache for all images.
        for (index, panel) in self.values.chunks_exact(self.dim * PANEL).enumerate() {
            let wanted = index * PANEL..((index + 1) * PANEL).min(self.labels);
            for (images, out) in images.chunks(IMAGES * self.dim).zip(out.chunks_mut(IMAGES * self.labels)) {
                let mut sums = [[0f64; PANEL]; IMAGES];
                block(panel, images, &mut sums[..images.len() / self.dim]);
                for (out, sums) in out.chunks_exact_mut(self.labels).zip(&sums) {
                    out[wanted.clone()].copy_from_slice(&sums[..wanted.len()]);
                }
            }
        }
    }
}

fn plain(panels: &Panels, images: &[f32], out: &mut [f64]) {
    panels.each(images, out, |panel, images, sums| {
        for (image, sums) in images.chunks_exact(panels.dim).zip(sums) {
            for (values, labels) in image.chunks(SHORT).zip(panel.chunks(SHORT * PANEL)) {
                let mut short = [0f32; PANEL];
                for (value, labels) in values.iter().zip(labels.chunks_exact(PANEL)) {
                    short.iter_mut().zip(labels).for_each(|(sum, label)| *sum = value.mul_add(*label, *sum));
                }
                sums.iter_mut().zip(short).for_each(|(sum, short)| *sum += f64::from(short));
            }
        }
    });
}

/// # Safety
/// The instruction set.
#[inline(always)]
unsafe fn fast<V: Lanes>(panels: &Panels, images: &[f32], out: &mut [f64]) {
    panels.each(images, out, |panel, images, sums| {
        // SAFETY: the caller's; as many images as sums.
        unsafe {
            // As many sums as fit in registers.
            let at_once = if V::N == 16 { IMAGES } else { IMAGES / 2 };
            for (images, sums) in images.chunks(at_once * panels.dim).zip(sums.chunks_mut(at_once)) {
                match sums.len() {
                    8 => some::<V, 8>(panel, images, sums),
                    4 => some::<V, 4>(panel, images, sums),
                    _ => {
                        let each = images.chunks_exact(panels.dim).zip(sums.chunks_mut(1));
                        each.for_each(|(image, sums)| some::<V, 1>(panel, image, sums));
                    }
                }
            }
        }
    });
}

/// Adds to `sums` the cosines of N images and a panel.
///
/// # Safety
/// The instruction set; `sums` of N.
#[inline(always)]
unsafe fn some<V: Lanes, const N: usize>(panel: &[f32], images: &[f32], sums: &mut [[f64; PANEL]]) {
    let dim = images.len() / N;
    for start in (0..dim).step_by(SHORT) {
        for at in (0..PANEL).step_by(2 * V::N) {
            // SAFETY: the caller's; `d` is below `dim`, and a panel has `PANEL` labels, which two registers divide.
            unsafe {
                let mut short = [[V::splat(0.0); 2]; N];
                for d in start..(start + SHORT).min(dim) {
                    let labels = panel.as_ptr().add(d * PANEL + at);
                    let (left, right) = (V::load(labels), V::load(labels.add(V::N)));
                    for (n, short) in short.iter_mut().enumerate() {
                        let value = V::splat(*images.get_unchecked(n * dim + d));
                        *short = [value.mul_add(left, short[0]), value.mul_add(right, short[1])];
                    }
                }
                // Without this barrier the compiler holds all sums at once, and spills.
                let sums = black_box(sums.as_mut_ptr().cast::<f64>()).add(at);
                for (n, [left, right]) in short.into_iter().enumerate() {
                    left.add_to(sums.add(n * PANEL));
                    right.add_to(sums.add(n * PANEL + V::N));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embeddings::dot;
    use crate::kernels::testing::noise;

    /// Computes one cosine in its own loop.
    fn one(image: &[f32], label: &[f32]) -> f64 {
        let short = |(a, b): (&[f32], &[f32])| f64::from(a.iter().zip(b).fold(0f32, |sum, (a, b)| a.mul_add(*b, sum)));
        image.chunks(SHORT).zip(label.chunks(SHORT)).map(short).fold(0.0, |sum, part| sum + part)
    }

    #[test]
    fn cosines_of_unit_vectors_are_off_by_less_than_f32_can_tell() {
        let mut rows = crate::Embeddings::new(768);
        noise(20 * 768, 3).chunks(768).for_each(|row| rows.push(row));
        let mut cosines = vec![7.0];
        Panels::new(rows.values(), 768).cosines(Isa::best(), rows.values(), &mut cosines);
        assert_eq!(cosines.len(), 20 * 20);
        for (at, cosine) in cosines.iter().enumerate() {
            let exact = dot(rows.row(at / 20), rows.row(at % 20));
            assert!((cosine - exact).abs() < 6e-8, "{cosine} for {exact}");
        }
    }

    #[test]
    fn cosines_are_those_of_a_plain_loop_bit_for_bit() {
        for (labels, dim) in [(1, 1), (3, 17), (32, 64), (33, 50), (100, 512), (0, 8)] {
            let rows = noise(labels * dim, 1);
            let panels = Panels::new(&rows, dim);
            assert_eq!((panels.labels(), panels.dim()), (labels, dim));
            for images in [0, 1, 3, 4, 5, 8, 9, 12, 17] {
                let images = noise(images * dim, 2);
                let each = images.chunks_exact(dim).flat_map(|i| rows.chunks_exact(dim).map(move |l| one(i, l)));
                let expected: Vec<f64> = each.collect();
                for isa in Isa::available() {
                    let mut cosines = Vec::new();
                    panels.cosines(isa, &images, &mut cosines);
                    assert_eq!(cosines, expected, "{isa:?}, {labels} labels of {dim}");
                }
            }
        }
    }
}
