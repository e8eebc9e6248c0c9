//! Activations in memory: rows of f32, or of bf16 two to a word, at a distance that does not fill one set of the cache.
//! The memory is kept when the shape changes. No arithmetic is here.

use super::memory::Memory;

/// What the values of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE f32.
    F32,
    /// bfloat16.
    Bf16,
}

impl Element {
    /// 32-bit words that hold `values` values.
    pub fn words(self, values: usize) -> usize {
        match self {
            Self::F32 => values,
            Self::Bf16 => values.div_ceil(2),
        }
    }
}

/// Words of a cache line.
const LINE: usize = 16;

/// Memory aligned to cache lines; it grows and is never given back before it is dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Memory,
}

impl Buffer {
    /// Makes room for `words` words. What is new is zero; what was there is unspecified.
    pub fn reserve(&mut self, words: usize) {
        if words > self.memory.words().len() {
            self.memory = Memory::default(); // nothing to be copied
            self.memory = Memory::zeroed(words);
        }
    }

    /// Every word.
    pub fn words(&self) -> &[f32] {
        self.memory.words()
    }

    /// Every word.
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
    /// No rows yet.
    pub fn new(element: Element) -> Self {
        Self { buffer: Buffer::default(), element, rows: 0, columns: 0, stride: 0 }
    }

    /// From row-major values, in f32.
    pub fn from_values(values: &[f32], columns: usize) -> Self {
        let mut matrix = Self::new(Element::F32);
        matrix.shape(values.len() / columns, columns);
        for (row, values) in values.chunks_exact(columns).enumerate() {
            matrix.row_mut(row).copy_from_slice(values);
        }
        matrix
    }

    /// Takes another shape. The values are unspecified afterwards.
    pub fn shape(&mut self, rows: usize, columns: usize) {
        let lines = self.element.words(columns).div_ceil(LINE);
        self.stride = LINE * (lines + usize::from(lines.is_multiple_of(4)));
        (self.rows, self.columns) = (rows, columns);
        self.buffer.reserve(rows * self.stride);
        if self.element == Element::Bf16 && columns % 2 == 1 {
            // The other half of the last word is multiplied too.
            for row in 0..rows {
                self.buffer.words_mut()[row * self.stride + columns / 2] = 0.0;
            }
        }
    }

    /// What the values are.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Words from a row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// A row of f32.
    pub fn row(&self, row: usize) -> &[f32] {
        assert!(self.element == Element::F32 && row < self.rows);
        &self.buffer.words()[row * self.stride..][..self.columns]
    }

    /// A row of f32.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(self.element == Element::F32 && row < self.rows);
        &mut self.buffer.words_mut()[row * self.stride..][..self.columns]
    }

    /// Takes some rows of `from`, which are f32 in both.
    pub fn pick(&mut self, from: &Self, rows: &[usize]) {
        self.shape(rows.len(), from.columns);
        rows.iter().enumerate().for_each(|(to, &row)| self.row_mut(to).copy_from_slice(from.row(row)));
    }

    /// The words of all rows, `stride` words each; of f32 the first `columns` of each are its values.
    pub fn words_mut(&mut self) -> &mut [f32] {
        let words = self.rows * self.stride;
        &mut self.buffer.words_mut()[..words]
    }

    /// The first word of the first row.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.buffer.words().as_ptr()
    }

    /// The first word of the first row.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.buffer.words_mut().as_mut_ptr()
    }

    /// A copy of all values as f32, row-major.
    pub fn to_values(&self) -> Vec<f32> {
        let words = self.buffer.words();
        let value = |row: usize, column: usize| match self.element {
            Element::F32 => words[row * self.stride + column],
            Element::Bf16 => {
                let word = words[row * self.stride + column / 2].to_bits();
                f32::from_bits(if column.is_multiple_of(2) { word << 16 } else { word & 0xffff_0000 })
            }
        };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }
}

/// Writes `value` as the `column`-th of a row that starts at `row`.
///
/// # Safety
/// The row has that column.
pub(crate) unsafe fn write(row: *mut f32, element: Element, column: usize, value: f32) {
    // SAFETY: the caller's.
    unsafe {
        match element {
            Element::F32 => *row.add(column) = value,
            Element::Bf16 => *row.cast::<u16>().add(column) = bf16_bits(value),
        }
    }
}

/// The nearest bf16, ties to even.
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
    fn a_matrix_keeps_its_rows_apart() {
        let values: Vec<f32> = (0..3 * 64).map(|i| i as f32).collect();
        let matrix = Matrix::from_values(&values, 64);
        let mut picked = Matrix::new(Element::F32);
        picked.pick(&matrix, &[2, 0]);
        assert_eq!(picked.to_values(), [&values[128..], &values[..64]].concat());
        assert_eq!((matrix.stride(), matrix.to_values()), (80, values));
    }
}
