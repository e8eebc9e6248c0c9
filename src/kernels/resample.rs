//! Weighted sums of bytes along one axis of an image, in integers: the two passes of a resize. Every version returns
//! the same bytes.

use super::Isa;

/// Wide weights are cut in two halves of 16 bits here.
const CUT: u32 = 11;
/// Source pixels whose weights lie together. A run of weights is padded with zeros to whole groups.
const GROUP: usize = 8;

/// Integer weights of one axis: for each result, the start of its run of source pixels, and their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// Fractional bits.
    bits: u32,
    runs: Vec<WeightRun>,
    weights: Vec<i32>,
    /// The weights in groups, as one half of 16 bits or as two.
    low: Vec<i16>,
    high: Option<Vec<i16>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WeightRun {
    source: usize,
    first: usize,
    count: usize,
    /// The run's first group.
    group: usize,
}

impl Taps {
    /// Creates runs of weights with `bits` fractional bits. The sum of a run's absolute weights must stay below 2^23.
    pub fn new(bits: u32, weighted: impl IntoIterator<Item = (usize, Vec<i32>)>) -> Self {
        let (mut runs, mut weights, mut padded) = (Vec::new(), Vec::new(), Vec::new());
        for (source, run) in weighted {
            runs.push(WeightRun { source, first: weights.len(), count: run.len(), group: padded.len() / GROUP });
            weights.extend_from_slice(&run);
            padded.extend_from_slice(&run);
            padded.resize(padded.len().next_multiple_of(GROUP), 0);
        }
        let narrow = padded.iter().all(|&weight| i16::try_from(weight).is_ok());
        let half = |of: &dyn Fn(i32) -> i32| padded.iter().map(|&weight| of(weight) as i16).collect::<Vec<i16>>();
        let (low, high) = match narrow {
            true => (half(&|weight| weight), None),
            false => (half(&|weight| weight & ((1 << CUT) - 1)), Some(half(&|weight| weight >> CUT))),
        };
        Self { bits, runs, weights, low, high }
    }

    /// Returns the number of results.
    pub fn results(&self) -> usize {
        self.runs.len()
    }

    /// Returns the source pixels that any run touches.
    pub fn reach(&self) -> std::ops::Range<usize> {
        let low = self.runs.iter().map(|run| run.source).min().unwrap_or(0);
        low..self.end()
    }

    fn end(&self) -> usize {
        self.runs.iter().map(|run| run.source + run.count).max().unwrap_or(0)
    }

    fn of(&self, run: &WeightRun) -> &[i32] {
        &self.weights[run.first..run.first + run.count]
    }
}

/// Resamples each row on its own: rows of `width` RGB pixels become rows of `taps.results()`, appended to `out`.
///
/// # Panics
/// If the source is not whole rows, or the taps reach beyond them.
pub fn horizontal(isa: Isa, source: &[u8], width: usize, taps: &Taps, out: &mut Vec<u8>) {
    assert!(source.len().is_multiple_of(width * 3) && taps.end() <= width, "rows and what the taps reach");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 | Isa::Amx => x86::horizontal(isa >= Isa::Avx512, source, width, taps, out),
        _ => horizontal_plain(source, width, taps, out),
    }
}

/// Computes the plain version.
fn horizontal_plain(source: &[u8], width: usize, taps: &Taps, out: &mut Vec<u8>) {
    for row in source.chunks_exact(width * 3) {
        for run in &taps.runs {
            let mut sum = [1i32 << (taps.bits - 1); 3];
            for (pixel, &weight) in row[run.source * 3..].chunks_exact(3).zip(taps.of(run)) {
                sum[0] += i32::from(pixel[0]) * weight;
                sum[1] += i32::from(pixel[1]) * weight;
                sum[2] += i32::from(pixel[2]) * weight;
            }
            out.extend(sum.map(|s| (s >> taps.bits).clamp(0, 255) as u8));
        }
    }
}

/// Resamples each column on its own: rows of `stride` bytes, beginning with the image's row `first`, become
/// `taps.results()` rows.
///
/// # Panics
/// If the taps reach beyond the rows.
pub fn vertical(isa: Isa, source: &[u8], stride: usize, first: usize, taps: &Taps) -> Vec<u8> {
    let reach = taps.reach();
    assert!(reach.start >= first && (reach.end - first) * stride <= source.len(), "rows that the taps reach");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 | Isa::Amx if stride >= x86::BLOCK => x86::vertical(source, stride, first, taps),
        _ => vertical_plain(source, stride, first, taps),
    }
}

/// Computes the plain version.
fn vertical_plain(source: &[u8], stride: usize, first: usize, taps: &Taps) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.results() * stride);
    let mut sums = vec![0i32; stride];
    for run in &taps.runs {
        sums.fill(1 << (taps.bits - 1));
        let rows = source[(run.source - first) * stride..].chunks_exact(stride);
        for (row, &weight) in rows.zip(taps.of(run)) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(byte) * weight;
            }
        }
        out.extend(sums.iter().map(|sum| (sum >> taps.bits).clamp(0, 255) as u8));
    }
    out
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! AVX2, and AVX-512 for the horizontal pass. Two bytes times two weights, summed, is one instruction on weights of
    //! 16 bits; wide weights take two.

    use std::arch::x86_64::*;

    use super::{CUT, GROUP, Taps, WeightRun};

    /// Bytes after a row that a group may read.
    const REACH: usize = 32;
    /// Bytes of a row that the vertical pass takes together.
    pub(super) const BLOCK: usize = 32;
    /// Rows that the horizontal pass takes together.
    const ROWS: usize = 4;

    /// The horizontal pass over four rows.
    type Pass = unsafe fn([*const u8; ROWS], &Taps, [*mut u8; ROWS]);

    /// Returns the fastest pass of this machine. Not every CPU with AVX-512 has the byte permutation and the dot
    /// product.
    fn pass(avx512: bool, wide: bool) -> Pass {
        let best = avx512 && is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512vnni");
        match (best, wide) {
            (true, false) => horizontal_avx512::<false>,
            (true, true) => horizontal_avx512::<true>,
            (false, false) => horizontal_avx2::<false>,
            (false, true) => horizontal_avx2::<true>,
        }
    }

    pub(super) fn horizontal(avx512: bool, source: &[u8], width: usize, taps: &Taps, out: &mut Vec<u8>) {
        let (stride, narrow) = (width * 3, taps.results() * 3);
        if source.is_empty() || narrow == 0 {
            return;
        }
        let rows = source.len() / stride;
        let begin = out.len();
        out.resize(begin + rows * narrow, 0);
        // Groups may read a few bytes after their row, so the last rows are copied to a buffer with room.
        let safe = rows.saturating_sub(REACH.div_ceil(stride));
        let mut last = source[safe * stride..].to_vec();
        last.resize(last.len() + REACH, 0);
        let mut spare = vec![0; narrow]; // receives the results of missing rows
        let pass = pass(avx512, taps.high.is_some());
        for (n, out) in out[begin..].chunks_mut(narrow * ROWS).enumerate() {
            let from = std::array::from_fn(|r| match (n * ROWS + r).min(rows - 1) {
                row if row < safe => source[row * stride..].as_ptr(),
                row => last[(row - safe) * stride..].as_ptr(),
            });
            let mut to = [spare.as_mut_ptr(); ROWS];
            to.iter_mut().zip(out.chunks_exact_mut(narrow)).for_each(|(to, row)| *to = row.as_mut_ptr());
            // SAFETY: the caller of `super::horizontal` has an `Isa` that is available, and checked that the taps end
            // inside of the rows; a run filled up to whole groups is read less than REACH bytes behind them. Each row of
            // `to` has room for all results.
            unsafe { pass(from, taps, to) };
        }
    }

    /// # Safety
    /// AVX-512 (F, BW, VBMI, VNNI); rows that may be read to REACH bytes behind what the taps reach; room for a row of
    /// results at each of `out`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,avx2")]
    unsafe fn horizontal_avx512<const WIDE: bool>(rows: [*const u8; ROWS], taps: &Taps, out: [*mut u8; ROWS]) {
        // Eight pixels -> two in each quarter, as pairs of 16-bit values of one colour: the bytes that are not zero.
        const PRESENT: u64 = 0x0555_0555_0555_0555;
        let mut places = [0u8; 64];
        for (n, place) in places.iter_mut().enumerate() {
            let (quarter, colour, second) = (n / 16, n % 16 / 4 % 3, n / 2 % 2);
            *place = (quarter * 6 + second * 3 + colour) as u8;
        }
        let shift = _mm_cvtsi32_si128(taps.bits as i32);
        let half = _mm512_set1_epi32(1 << (taps.bits - 1));
        let spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        let high = taps.high.as_deref().unwrap_or(&taps.low);
        // SAFETY: every group has its weights; the pixels are the caller's.
        unsafe {
            let places = _mm512_loadu_si512(places.as_ptr().cast());
            let pairs = |weights: &[i16], at: usize| {
                let weights = _mm_loadu_si128(weights.as_ptr().add(at).cast());
                _mm512_permutexvar_epi32(spread, _mm512_castsi128_si512(weights))
            };
            for (i, run) in taps.runs.iter().enumerate() {
                let mut sums = [_mm512_setzero_si512(); ROWS];
                let mut high_sums = [_mm512_setzero_si512(); ROWS];
                for g in 0..run.count.div_ceil(GROUP) {
                    let at = (run.group + g) * GROUP;
                    let weights = pairs(&taps.low, at);
                    let high_weights = if WIDE { pairs(high, at) } else { weights };
                    for r in 0..ROWS {
                        let pixels = _mm256_loadu_si256(rows[r].add((run.source + g * GROUP) * 3).cast());
                        let pixels = _mm512_castsi256_si512(pixels);
                        let pixels = _mm512_maskz_permutexvar_epi8(PRESENT, places, pixels);
                        sums[r] = _mm512_dpwssd_epi32(sums[r], pixels, weights);
                        if WIDE {
                            high_sums[r] = _mm512_dpwssd_epi32(high_sums[r], pixels, high_weights);
                        }
                    }
                }
                if WIDE {
                    for (sum, high) in sums.iter_mut().zip(high_sums) {
                        *sum = _mm512_add_epi32(*sum, _mm512_slli_epi32::<CUT>(high));
                    }
                }
                // The sums of each row's quarters: one row in each quarter.
                let [a, b, c, d] = sums;
                let ab = _mm512_add_epi32(_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xee>(a, b));
                let cd = _mm512_add_epi32(_mm512_shuffle_i64x2::<0x44>(c, d), _mm512_shuffle_i64x2::<0xee>(c, d));
                let sum = _mm512_add_epi32(_mm512_shuffle_i64x2::<0x88>(ab, cd), _mm512_shuffle_i64x2::<0xdd>(ab, cd));
                let sum = _mm512_sra_epi32(_mm512_add_epi32(sum, half), shift);
                let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(sum, _mm512_setzero_si512()));
                store(bytes, out, i, taps.results());
            }
        }
    }

    /// # Safety
    /// As [`horizontal_avx512`], with AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn horizontal_avx2<const WIDE: bool>(rows: [*const u8; ROWS], taps: &Taps, out: [*mut u8; ROWS]) {
        /// Pixels taken together.
        const STEP: usize = 4;
        // Four pixels in each half -> two of them in each, as pairs of 16-bit values of one colour.
        let spread = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
        );
        // Four weights in each half -> the pair for its pixels, once a colour.
        let pairs = _mm256_setr_epi8(
            0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7,
        );
        let shift = _mm_cvtsi32_si128(taps.bits as i32);
        let half = _mm256_set1_epi32(1 << (taps.bits - 1));
        let high = taps.high.as_deref().unwrap_or(&taps.low);
        for (i, run) in taps.runs.iter().enumerate() {
            let mut sums = [_mm256_setzero_si256(); ROWS];
            let mut high_sums = [_mm256_setzero_si256(); ROWS];
            for g in 0..run.count.div_ceil(STEP) {
                let at = run.group * GROUP + g * STEP;
                // SAFETY: every group has its weights; the pixels are the caller's.
                unsafe {
                    let weights = _mm256_shuffle_epi8(four(&taps.low, at), pairs);
                    let high_weights = if WIDE { _mm256_shuffle_epi8(four(high, at), pairs) } else { weights };
                    for r in 0..ROWS {
                        let pixels = _mm_loadu_si128(rows[r].add((run.source + g * STEP) * 3).cast());
                        let pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), spread);
                        sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(pixels, weights));
                        if WIDE {
                            high_sums[r] = _mm256_add_epi32(high_sums[r], _mm256_madd_epi16(pixels, high_weights));
                        }
                    }
                }
            }
            if WIDE {
                for (sum, high) in sums.iter_mut().zip(high_sums) {
                    *sum = _mm256_add_epi32(*sum, _mm256_slli_epi32::<{ CUT as i32 }>(high));
                }
            }
            // The sums of each row's halves: one row in each half.
            let both = |a, b| {
                let sum =
                    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
                _mm256_sra_epi32(_mm256_add_epi32(sum, half), shift)
            };
            let words = _mm256_packs_epi32(both(sums[0], sums[2]), both(sums[1], sums[3])); // 0 1 | 2 3
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            // SAFETY: the caller's.
            unsafe { store(bytes, out, i, taps.results()) };
        }
    }

    /// Writes result `i` of each row, four bytes per row.
    ///
    /// # Safety
    /// SSE4.1. Write `results` in order: each write corrects the fourth byte of the one before.
    #[target_feature(enable = "sse4.1")]
    unsafe fn store(bytes: __m128i, out: [*mut u8; ROWS], i: usize, results: usize) {
        let pixels = [
            _mm_cvtsi128_si32(bytes),
            _mm_extract_epi32::<1>(bytes),
            _mm_extract_epi32::<2>(bytes),
            _mm_extract_epi32::<3>(bytes),
        ];
        for (to, pixel) in out.into_iter().zip(pixels) {
            // SAFETY: three bytes are this result's; the fourth is the next one's, where there is one.
            unsafe {
                let to = to.add(i * 3);
                if i + 1 < results {
                    to.cast::<i32>().write_unaligned(pixel);
                } else {
                    to.cast::<[u8; 3]>().write([pixel as u8, (pixel >> 8) as u8, (pixel >> 16) as u8]);
                }
            }
        }
    }

    /// Loads four weights into each half.
    ///
    /// # Safety
    /// AVX2 and four values at `at`.
    #[target_feature(enable = "avx2")]
    unsafe fn four(weights: &[i16], at: usize) -> __m256i {
        // SAFETY: the caller's.
        _mm256_set1_epi64x(unsafe { weights.as_ptr().add(at).cast::<i64>().read_unaligned() })
    }

    pub(super) fn vertical(source: &[u8], stride: usize, first: usize, taps: &Taps) -> Vec<u8> {
        let mut out = vec![0; taps.results() * stride];
        for (run, out) in taps.runs.iter().zip(out.chunks_exact_mut(stride)) {
            let rows = &source[(run.source - first) * stride..][..run.count * stride];
            // SAFETY: the caller of `super::vertical` has an `Isa` that is available; a row is no shorter than a block.
            unsafe {
                match taps.high {
                    None => vertical_avx2::<false>(rows, taps, run, out),
                    Some(_) => vertical_avx2::<true>(rows, taps, run, out),
                }
            }
        }
        out
    }

    /// # Safety
    /// AVX2; `rows` are those of the run, as long as `out`, which is a block at least.
    #[target_feature(enable = "avx2")]
    unsafe fn vertical_avx2<const WIDE: bool>(rows: &[u8], taps: &Taps, run: &WeightRun, out: &mut [u8]) {
        let stride = out.len();
        let shift = _mm_cvtsi32_si128(taps.bits as i32);
        let half = _mm256_set1_epi32(1 << (taps.bits - 1));
        let high = taps.high.as_deref().unwrap_or(&taps.low);
        let mut column = 0;
        loop {
            let mut sums = [half; 4];
            let mut high_sums = [_mm256_setzero_si256(); 4];
            for k in (0..run.count).step_by(2) {
                let at = run.group * GROUP + k;
                // SAFETY: a block from `column` on is inside of a row; groups have an even number of weights, and a row
                // that is not there has the weight zero.
                unsafe {
                    let upper = _mm256_loadu_si256(rows.as_ptr().add(k * stride + column).cast());
                    let below = (k + 1).min(run.count - 1);
                    let lower = _mm256_loadu_si256(rows.as_ptr().add(below * stride + column).cast());
                    let weights = _mm256_set1_epi32(taps.low.as_ptr().add(at).cast::<i32>().read_unaligned());
                    let high_weights = _mm256_set1_epi32(high.as_ptr().add(at).cast::<i32>().read_unaligned());
                    for (i, pairs) in interleaved(upper, lower).into_iter().enumerate() {
                        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, weights));
                        if WIDE {
                            high_sums[i] = _mm256_add_epi32(high_sums[i], _mm256_madd_epi16(pairs, high_weights));
                        }
                    }
                }
            }
            for (sum, high) in sums.iter_mut().zip(high_sums) {
                if WIDE {
                    *sum = _mm256_add_epi32(*sum, _mm256_slli_epi32::<{ CUT as i32 }>(high));
                }
                *sum = _mm256_sra_epi32(*sum, shift);
            }
            let (left, right) = (_mm256_packs_epi32(sums[0], sums[1]), _mm256_packs_epi32(sums[2], sums[3]));
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(column).cast(), _mm256_packus_epi16(left, right)) };
            if column + BLOCK >= stride {
                return;
            }
            column = (column + BLOCK).min(stride - BLOCK); // the last block overlaps the previous one
        }
    }

    /// Pairs the bytes of two rows as 16-bit values, in the order that packing undoes.
    #[target_feature(enable = "avx2")]
    fn interleaved(upper: __m256i, lower: __m256i) -> [__m256i; 4] {
        let zero = _mm256_setzero_si256();
        let (left, right) = (_mm256_unpacklo_epi8(upper, lower), _mm256_unpackhi_epi8(upper, lower));
        [
            _mm256_unpacklo_epi8(left, zero),
            _mm256_unpackhi_epi8(left, zero),
            _mm256_unpacklo_epi8(right, zero),
            _mm256_unpackhi_epi8(right, zero),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{noise, sets};

    fn bytes(count: usize, seed: u64) -> Vec<u8> {
        // A third of them are 0 or 255, where sums leave the range of a byte.
        noise(count, seed).iter().map(|x| (x * 200.0 + 128.0).clamp(0.0, 255.0) as u8).collect()
    }

    /// Returns runs of `count` weights that sum up to about one, some of them negative.
    fn taps(bits: u32, from: usize, results: usize, count: usize, seed: u64) -> Taps {
        let one = f64::from(1u32 << bits);
        let runs = (0..results).map(|i| {
            let count = (count + i % 3).min(from);
            let source = (from - count) * i / results.max(2).saturating_sub(1).max(1);
            let mut weights: Vec<f64> = noise(count, seed + i as u64).iter().map(|w| f64::from(*w) + 0.4).collect();
            let sum: f64 = weights.iter().map(|w| w.abs()).sum::<f64>() / 1.3;
            weights.iter_mut().for_each(|w| *w *= one / sum);
            (source.min(from - count), weights.iter().map(|w| *w as i32).collect())
        });
        Taps::new(bits, runs.collect::<Vec<_>>())
    }

    #[test]
    fn every_set_gives_the_same_bytes() {
        for isa in sets("resample") {
            for (n, (from, results, count)) in
                [(1, 1, 1), (2, 5, 2), (7, 3, 4), (13, 31, 5), (40, 11, 9), (97, 33, 17), (300, 64, 55), (640, 224, 9)]
                    .into_iter()
                    .enumerate()
            {
                for bits in [13, 14, 22] {
                    let taps = taps(bits, from, results, count, n as u64);
                    for rows in [1, 2, 4, 7, 9] {
                        let source = bytes(from * rows * 3, 9);
                        let (mut got, mut expected) = (vec![7], vec![7]);
                        horizontal(isa, &source, from, &taps, &mut got);
                        horizontal_plain(&source, from, &taps, &mut expected);
                        assert!(got == expected, "{} {from} to {results}, {rows} rows, {bits} bits", isa.name());
                    }
                    for stride in [1, 3, 31, 32, 33, 63, 64, 65, 672] {
                        let source = bytes(from * stride, 5);
                        let expected = vertical_plain(&source, stride, 0, &taps);
                        assert!(vertical(isa, &source, stride, 0, &taps) == expected, "{} {stride}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn both_widths_of_weights_are_tested() {
        assert!(taps(14, 40, 11, 9, 1).high.is_none() && taps(22, 40, 11, 9, 1).high.is_some());
    }

    #[test]
    fn no_rows_give_none() {
        let taps = taps(14, 10, 4, 3, 1);
        let mut out = Vec::new();
        horizontal(Isa::best(), &[], 10, &taps, &mut out);
        assert!(out.is_empty());
    }
}
