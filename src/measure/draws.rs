//! Bootstrap draws: how often each image is in each draw. They are integers from a fixed seed, the same on every machine and
//! with any number of threads, and depend on the number of images alone: two runs on the same images share them.

use std::iter;

use rayon::prelude::*;

/// The bootstrap draws behind an interval.
pub const DRAWS: usize = 1000;

/// Draws that are computed together, each in a lane of its own.
pub(super) const LANES: usize = 64;

/// A count for each lane.
pub(super) type Integers = [u32; LANES];
/// A number for each lane.
pub(super) type Numbers = [f64; LANES];

const SEED: u64 = 0x7a73_6963;
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Steele, Lea and Flood's generator.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, each with the same probability, by Lemire's method.
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

/// Draws as many images as there are, with replacement, and counts each.
fn draw(images: usize, number: usize) -> Vec<u8> {
    let start = SplitMix64(SEED.wrapping_add(GAMMA.wrapping_mul(number as u64))).next();
    let mut generator = SplitMix64(start);
    // A count above 255 has a probability below 1/255!.
    let mut counts = vec![0; images];
    for _ in 0..images {
        counts[generator.below(images as u64) as usize] += 1;
    }
    counts
}

/// One image's counts, on a cache line of their own.
#[derive(Clone)]
#[repr(align(64))]
struct Row([u8; LANES]);

/// How often each image is in each of some draws.
pub(super) struct Counts {
    rows: Vec<Row>,
    /// So many rows add up to 255 at most.
    together: usize,
}

impl Counts {
    /// Returns the images as they are, in every lane, then all draws.
    pub(super) fn all(images: usize) -> impl Iterator<Item = Self> {
        let once = Self { rows: vec![Row([1; LANES]); images], together: 255 };
        iter::once(once).chain((0..DRAWS).step_by(LANES).map(move |start| Self::drawn(images, start)))
    }

    /// Draws the images from the draw `start` on. Lanes after the last draw stay empty.
    fn drawn(images: usize, start: usize) -> Self {
        let numbers = start..DRAWS.min(start + LANES);
        let draws: Vec<Vec<u8>> = numbers.into_par_iter().map(|number| draw(images, number)).collect();
        let mut rows = vec![Row([0; LANES]); images];
        rows.par_iter_mut().with_min_len(4096).enumerate().for_each(|(image, row)| {
            row.0.iter_mut().zip(&draws).for_each(|(count, draw)| *count = draw[image]);
        });
        let most = draws.iter().flatten().max().copied().unwrap_or(1);
        Self { rows, together: usize::from(255 / most) }
    }

    /// Counts the images of a list.
    pub(super) fn sum(&self, images: &[u32]) -> Integers {
        let mut sums = [0; LANES];
        for some in images.chunks(self.together) {
            let mut bytes = [0_u8; LANES];
            for image in some {
                bytes.iter_mut().zip(&self.rows[*image as usize].0).for_each(|(sum, count)| *sum += count);
            }
            sums.iter_mut().zip(bytes).for_each(|(sum, byte)| *sum += u32::from(byte));
        }
        sums
    }

    /// Sums up the values of the images of a list, in its order.
    pub(super) fn dot(&self, images: &[u32], values: &[f64]) -> Numbers {
        let mut sums = [0.0; LANES];
        for (image, value) in images.iter().zip(values) {
            let row = &self.rows[*image as usize].0;
            sums.iter_mut().zip(row).for_each(|(sum, count)| *sum += f64::from(*count) * value);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        let mut generator = SplitMix64(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([(); 3].map(|()| generator.next()), first);
    }

    #[test]
    fn bounded_numbers_are_uniform() {
        let mut generator = SplitMix64(0);
        let mut counts = [0_i32; 7];
        (0..70_000).for_each(|_| counts[generator.below(7) as usize] += 1);
        assert!(counts.iter().all(|count| (count - 10_000).abs() < 400), "{counts:?}");
        // Three quarters of all numbers above 2^63: what is not rejected is above half of them as often as below.
        let bound = (1 << 63) + (1 << 62);
        let above = (0..10_000).filter(|_| generator.below(bound) >= bound / 2).count();
        assert!(above.abs_diff(5000) < 200, "{above}");
    }

    #[test]
    fn each_draw_has_as_many_images() {
        for images in [1, 2, 300] {
            let list: Vec<u32> = (0..images).collect();
            let sums: Vec<u32> = Counts::all(images as usize).flat_map(|counts| counts.sum(&list)).collect();
            assert!(sums[..LANES + DRAWS].iter().all(|sum| *sum == images), "{images}");
            assert!(sums[LANES + DRAWS..].iter().all(|sum| *sum == 0), "{images}");
        }
        assert_eq!(Counts::all(0).count(), 17);
    }

    #[test]
    fn sums_count_each_image_of_a_list() {
        for counts in Counts::all(700).take(3) {
            let list: Vec<u32> = (0..700).rev().chain(0..700).collect();
            let one_by_one = |lane: usize| list.iter().map(|i| u32::from(counts.rows[*i as usize].0[lane])).sum();
            let sums: Vec<u32> = (0..LANES).map(one_by_one).collect();
            assert_eq!(counts.sum(&list)[..], sums);
            assert_eq!(
                counts.dot(&list, &[0.5; 1400])[..],
                sums.iter().map(|sum| f64::from(*sum) / 2.0).collect::<Vec<_>>()
            );
        }
    }
}
