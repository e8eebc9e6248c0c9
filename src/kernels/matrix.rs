//! Activations in memory: rows of f32, or of bf16 two to a word, at a stride that avoids filling one set of the cache.
//! The memory stays when the shape changes.

use rayon::prelude::*;

use super::memory::Memory;

/// The type of a matrix's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE f32.
    F32,
    /// bfloat16.
    Bf16,
    /// f32 as the sum of two bfloat16, to 2^-17, as [`split`] makes it. A row is blocks of [`BLOCK`] high parts and
    /// their [`BLOCK`] low parts.
    Split,
}

/// Values of a block of [`Element::Split`]; rows of bf16 are padded with zeros to as many.
pub const BLOCK: usize = 32;

impl Element {
    /// Returns the 32-bit words of `values` values.
    pub fn words(self, values: usize) -> usize {
        match self {
            Self::F32 => values,
            Self::Bf16 => values.div_ceil(2),
            Self::Split => values.next_multiple_of(BLOCK),
        }
    }

    /// Returns where in a row the halves of value `column` are, counted in bf16. f32 has none.
    fn halves(self, column: usize) -> (usize, Option<usize>) {
        let high = column / BLOCK * 2 * BLOCK + column % BLOCK;
        if self == Self::Split { (high, Some(high + BLOCK)) } else { (column, None) }
    }
}

/// Words of a cache line.
const LINE: usize = 16;

/// Memory aligned to cache lines. It grows, and is freed only when dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Memory,
}

impl Buffer {
    /// Makes room for `words` words. New words are zero; old ones are unspecified.
    pub fn reserve(&mut self, words: usize) {
        if words > self.memory.words().len() {
            self.memory = Memory::default(); // avoids a copy
            self.memory = Memory::zeroed(words);
        }
    }

    /// Returns every word.
    pub fn words(&self) -> &[f32] {
        self.memory.words()
    }

    /// Returns every word.
    pub fn words_mut(&mut self) -> &mut [f32] {
        self.memory.words_mut()
    }
}

/// Rows of values.
#[derive(Debug)]
pub struct Matrix {
    buffer: Buffer,
    element: Element,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl Matrix {
    /// Creates a matrix without rows.
    pub fn new(element: Element) -> Self {
        Self { buffer: Buffer::default(), element, rows: 0, columns: 0, stride: 0 }
    }

    /// Creates a matrix from row-major f32 values.
    pub fn from_values(values: &[f32], columns: usize) -> Self {
        let mut matrix = Self::new(Element::F32);
        matrix.shape(values.len() / columns, columns);
        for (row, values) in values.chunks_exact(columns).enumerate() {
            matrix.row_mut(row).copy_from_slice(values);
        }
        matrix
    }

    /// Changes the shape. The values are unspecified afterwards.
    pub fn shape(&mut self, rows: usize, columns: usize) {
        let lines = self.element.words(columns).div_ceil(LINE);
        self.stride = LINE * (lines + usize::from(lines.is_multiple_of(4)));
        (self.rows, self.columns) = (rows, columns);
        self.buffer.reserve(rows * self.stride);
        if self.element != Element::F32 && !columns.is_multiple_of(BLOCK) {
            // The padding of the last block is multiplied too.
            let last = self.element.words(columns / BLOCK * BLOCK)..self.element.words(columns.next_multiple_of(BLOCK));
            for row in 0..rows {
                self.buffer.words_mut()[row * self.stride..][last.clone()].fill(0.0);
            }
        }
    }

    /// Returns the kind of its values.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of values in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of words from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Returns a row of f32.
    pub fn row(&self, row: usize) -> &[f32] {
        assert!(self.element == Element::F32 && row < self.rows);
        &self.buffer.words()[row * self.stride..][..self.columns]
    }

    /// Returns a row of f32.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(self.element == Element::F32 && row < self.rows);
        &mut self.buffer.words_mut()[row * self.stride..][..self.columns]
    }

    /// Copies some rows of `from`. Both matrices are f32.
    pub fn pick(&mut self, from: &Self, rows: &[usize]) {
        self.shape(rows.len(), from.columns);
        rows.iter().enumerate().for_each(|(to, &row)| self.row_mut(to).copy_from_slice(from.row(row)));
    }

    /// Copies the f32 rows of `from`, rounded to its own kind of values.
    pub fn copy(&mut self, from: &Self) {
        self.shape(from.rows, from.columns);
        let (stride, element, columns) = (self.stride, self.element, self.columns);
        self.words_mut().par_chunks_mut(stride.max(1)).enumerate().for_each(|(row, to)| {
            let values = from.row(row);
            match element {
                Element::F32 => to[..columns].copy_from_slice(values),
                // SAFETY: the row has every column.
                _ => values.iter().enumerate().for_each(|(at, &v)| unsafe { write(to.as_mut_ptr(), element, at, v) }),
            }
        });
    }

    /// Returns the words of all rows, `stride` words each. In f32 the first `columns` of each are its values.
    pub fn words_mut(&mut self) -> &mut [f32] {
        let words = self.rows * self.stride;
        &mut self.buffer.words_mut()[..words]
    }

    /// Returns the first word of the first row.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.buffer.words().as_ptr()
    }

    /// Returns the first word of the first row.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.buffer.words_mut().as_mut_ptr()
    }

    /// Returns a copy of all values as f32, row-major.
    pub fn to_values(&self) -> Vec<f32> {
        let value = |row: usize, column: usize| {
            let row = &self.buffer.words()[row * self.stride..][..self.stride];
            match (self.element, self.element.halves(column)) {
                (Element::F32, _) => row[column],
                (_, (high, low)) => half(row, high) + low.map_or(0.0, |low| half(row, low)),
            }
        };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }
}

/// Returns bf16 number `at` of a row.
pub(crate) fn half(row: &[f32], at: usize) -> f32 {
    let word = row[at / 2].to_bits();
    f32::from_bits(if at.is_multiple_of(2) { word << 16 } else { word & 0xffff_0000 })
}

/// Writes `value` to a column of the row that starts at `row`.
///
/// # Safety
/// The row has that column.
pub(crate) unsafe fn write(row: *mut f32, element: Element, column: usize, value: f32) {
    // SAFETY: the caller's.
    unsafe {
        match element {
            Element::F32 => *row.add(column) = value,
            Element::Bf16 => *row.cast::<u16>().add(column) = bf16_bits(value),
            Element::Split => {
                let (high, low) = split_at(row, column);
                (*high, *low) = split(value);
            }
        }
    }
}

/// Returns where the parts of a column are in a row of [`Element::Split`].
///
/// # Safety
/// The row has that column.
pub(crate) unsafe fn split_at(row: *mut f32, column: usize) -> (*mut u16, *mut u16) {
    // SAFETY: the caller's; a block is whole.
    unsafe {
        let high = row.cast::<u16>().add(Element::Split.halves(column).0);
        (high, high.add(BLOCK))
    }
}

/// Returns the nearest bf16, and the nearest bf16 to the rest. The high part of a finite value is finite: a part that
/// would round to infinity is truncated instead. The low part of infinity and NaN is zero, so that their products are
/// not finite either.
pub fn split(value: f32) -> (u16, u16) {
    let high = match bf16_bits(value) {
        high if high & 0x7fff == 0x7f80 && value.is_finite() => (value.to_bits() >> 16) as u16,
        high => high,
    };
    let rest = value - f32::from_bits(u32::from(high) << 16);
    (high, if value.is_finite() { bf16_bits(rest) } else { 0 })
}

/// Returns the nearest bf16, ties to even.
pub fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return 0x7fc0;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_even() {
        let round = |bits: u32| bf16_bits(f32::from_bits(bits));
        assert_eq!((round(0x3f80_8000), round(0x3f81_8000), round(0x3f80_8001)), (0x3f80, 0x3f82, 0x3f81));
        assert_eq!((bf16_bits(f32::NAN), bf16_bits(f32::INFINITY), bf16_bits(f32::MAX)), (0x7fc0, 0x7f80, 0x7f80));
    }

    #[test]
    fn the_parts_of_a_value_are_finite_where_it_is() {
        let value = |half: u16| f32::from_bits(u32::from(half) << 16);
        for x in [0.0, -0.0, 1.0, -1.1, 1e-30, 3.3e38, f32::MAX, f32::MIN, std::f32::consts::PI] {
            let (high, low) = split(x);
            let sum = f64::from(value(high)) + f64::from(value(low));
            assert!((sum - f64::from(x)).abs() <= f64::from(x).abs() * 2f64.powi(-17), "{x}");
            assert!(value(low).abs() <= value(high).abs() * 2f32.powi(-7), "{x}");
        }
        assert_eq!(split(f32::NEG_INFINITY), (0xff80, 0));
        assert_eq!(split(f32::NAN), (0x7fc0, 0));
    }

    #[test]
    fn split_values_come_back_and_padding_is_zero() {
        let mut matrix = Matrix::new(Element::Split);
        matrix.shape(3, 64);
        matrix.words_mut().fill(f32::NAN);
        matrix.shape(3, 33);
        let values: Vec<f32> = (0..3 * 33).map(|i| i as f32 + 0.5).collect();
        for (at, &value) in values.iter().enumerate() {
            let stride = matrix.stride();
            // SAFETY: the row has 33 columns.
            unsafe { write(matrix.as_mut_ptr().add(at / 33 * stride), Element::Split, at % 33, value) };
        }
        assert_eq!(matrix.to_values(), values);
        let (row, stride) = (Element::Split.words(33), matrix.stride());
        assert!((0..3).all(|r| matrix.words_mut()[r * stride..][..row].iter().all(|word| !word.is_nan())));
    }

    #[test]
    fn a_matrix_keeps_its_rows_apart() {
        let values: Vec<f32> = (0..3 * 64).map(|i| i as f32).collect();
        let matrix = Matrix::from_values(&values, 64);
        let mut picked = Matrix::new(Element::F32);
        picked.pick(&matrix, &[2, 0]);
        assert_eq!(picked.to_values(), [&values[128..], &values[..64]].concat());
        assert_eq!((matrix.stride(), matrix.to_values()), (80, values));
    }
}
