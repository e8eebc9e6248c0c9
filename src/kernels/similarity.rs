//! Cosines of many images and many labels, summed in f64 in index order: the bits are those of a plain loop on every
//! instruction set, since each cosine is one lane's own sum and nothing is fused.

use super::Isa;

/// Labels of a panel: as many sums as registers hold for [`IMAGES`] images.
const PANEL: usize = 32;
/// Images that go over a panel together.
const IMAGES: usize = 4;

/// Embeddings of labels [L, D], a panel of labels side by side: `[L / PANEL][D][PANEL]`.
#[derive(Debug, Clone)]
pub struct Panels {
    values: Vec<f32>,
    labels: usize,
    dim: usize,
}

impl Panels {
    /// From row-major embeddings [L, D].
    pub fn new(rows: &[f32], dim: usize) -> Self {
        let labels = rows.len() / dim.max(1);
        let mut values = vec![0f32; labels.div_ceil(PANEL) * dim * PANEL];
        for (label, row) in rows.chunks_exact(dim.max(1)).enumerate() {
            let panel = &mut values[label / PANEL * dim * PANEL..];
            row.iter().enumerate().for_each(|(d, &value)| panel[d * PANEL + label % PANEL] = value);
        }
        Self { values, labels, dim }
    }

    /// How many labels there are.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Cosines [B, L] of unit embeddings [B, D], on the calling thread.
    ///
    /// # Panics
    /// If the machine lacks the instruction set.
    pub fn cosines(&self, isa: Isa, images: &[f32]) -> Vec<f64> {
        assert!(isa.is_available(), "{isa:?} on a machine that lacks it");
        let mut out = vec![0f64; images.len() / self.dim.max(1) * self.labels];
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: the machine has the instructions, as asserted; whatever is above AVX-512 includes it.
            match isa {
                Isa::Plain => self.fill(images, &mut out),
                Isa::Avx2 => unsafe { self.fill_avx2(images, &mut out) },
                _ => unsafe { self.fill_avx512(images, &mut out) },
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.fill(images, &mut out);
        out
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
    fn fill_avx512(&self, images: &[f32], out: &mut [f64]) {
        self.fill(images, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn fill_avx2(&self, images: &[f32], out: &mut [f64]) {
        self.fill(images, out);
    }

    /// Inlined into functions with other instructions, it is compiled to those.
    #[inline(always)]
    fn fill(&self, images: &[f32], out: &mut [f64]) {
        if self.labels == 0 || self.dim == 0 {
            return;
        }
        let blocks = images.chunks(IMAGES * self.dim).zip(out.chunks_mut(IMAGES * self.labels));
        for (images, out) in blocks {
            for (index, panel) in self.values.chunks_exact(self.dim * PANEL).enumerate() {
                let mut sums = [[0f64; PANEL]; IMAGES];
                if images.len() == IMAGES * self.dim {
                    self.sum::<IMAGES>(panel, images, &mut sums);
                } else {
                    for (image, sums) in images.chunks_exact(self.dim).zip(&mut sums) {
                        self.sum::<1>(panel, image, std::array::from_mut(sums));
                    }
                }
                let wanted = index * PANEL..((index + 1) * PANEL).min(self.labels);
                for (out, sums) in out.chunks_exact_mut(self.labels).zip(&sums) {
                    out[wanted.clone()].copy_from_slice(&sums[..wanted.len()]);
                }
            }
        }
    }

    #[inline(always)]
    fn sum<const N: usize>(&self, panel: &[f32], images: &[f32], out: &mut [[f64; PANEL]; N]) {
        let mut sums = [[0f64; PANEL]; N];
        let rows: [&[f32]; N] = std::array::from_fn(|n| &images[n * self.dim..][..self.dim]);
        for (d, labels) in panel.as_chunks::<PANEL>().0.iter().enumerate() {
            let labels = labels.map(f64::from);
            for n in 0..N {
                let value = f64::from(rows[n][d]);
                for lane in 0..PANEL {
                    sums[n][lane] += value * labels[lane];
                }
            }
        }
        *out = sums;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embeddings::dot;
    use crate::kernels::testing::noise;

    #[test]
    fn cosines_are_those_of_a_plain_loop_bit_for_bit() {
        for (labels, dim) in [(1, 1), (3, 17), (32, 64), (33, 50), (100, 512), (0, 8)] {
            let rows = noise(labels * dim, 1);
            let panels = Panels::new(&rows, dim);
            assert_eq!((panels.labels(), panels.dim()), (labels, dim));
            for images in [0, 1, 3, 4, 5, 9] {
                let images = noise(images * dim, 2);
                let each = images.chunks_exact(dim).flat_map(|i| rows.chunks_exact(dim).map(move |l| dot(i, l)));
                let expected: Vec<f64> = each.collect();
                for isa in Isa::available() {
                    assert_eq!(panels.cosines(isa, &images), expected, "{isa:?}, {labels} labels of {dim}");
                }
            }
        }
    }
}
