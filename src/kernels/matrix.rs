//! Activations in memory: rows of f32, or of bf16 two to a word, at a stride that avoids filling one set of the cache;
//! or bf16 in tiles, as AMX reads them. The memory stays when the shape changes.

use super::Shared;
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
/// Rows that lie together in a matrix of tiles.
pub(crate) const GROUP: usize = 32;

impl Element {
    /// Returns the 32-bit words of `values` values.
    pub fn words(self, values: usize) -> usize {
        match self {
            Self::F32 => values,
            Self::Bf16 => values.div_ceil(2),
            Self::Split => values.next_multiple_of(BLOCK),
        }
    }

    /// Returns the bf16 parts of a value.
    pub(crate) fn parts(self) -> usize {
        if self == Self::Split { 2 } else { 1 }
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
    tiled: bool,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl Matrix {
    /// Creates a matrix without rows.
    pub fn new(element: Element) -> Self {
        Self { buffer: Buffer::default(), element, tiled: false, rows: 0, columns: 0, stride: 0 }
    }

    /// Creates a matrix of bf16 or split values without rows. A group of [`GROUP`] rows is one piece of memory: for
    /// each block of [`BLOCK`] columns a line of each row, so that 16 lines are a tile; of split values, the lines of
    /// the high parts, then those of the low ones. The last group has room for all its rows.
    pub fn tiled(element: Element) -> Self {
        assert!(element != Element::F32);
        Self { tiled: true, ..Self::new(element) }
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
        let blocks = columns.div_ceil(BLOCK);
        self.stride = if self.tiled {
            LINE * self.element.parts() * blocks
        } else {
            let lines = self.element.words(columns).div_ceil(LINE);
            LINE * (lines + usize::from(lines.is_multiple_of(4)))
        };
        (self.rows, self.columns) = (rows, columns);
        self.buffer.reserve(self.words());
        if self.element != Element::F32 && !columns.is_multiple_of(BLOCK) {
            // The padding of the last block is multiplied too.
            let places = self.places_mut();
            for line in (0..rows).flat_map(|row| places.row(row).lines((blocks - 1) * BLOCK)) {
                // SAFETY: a line of the row's last block.
                unsafe { line.cast::<[f32; LINE]>().write([0.0; LINE]) };
            }
        }
    }

    /// Returns the words of all rows.
    fn words(&self) -> usize {
        let rows = if self.tiled { self.rows.next_multiple_of(GROUP) } else { self.rows };
        rows * self.stride
    }

    /// Returns where its values are, to be read.
    pub(crate) fn places(&self) -> Places {
        self.places_from(self.buffer.words().as_ptr().cast_mut())
    }

    /// Returns where its values are.
    pub(crate) fn places_mut(&mut self) -> Places {
        let start = self.buffer.words_mut().as_mut_ptr();
        self.places_from(start)
    }

    fn places_from(&self, start: *mut f32) -> Places {
        Places { start: Shared(start), element: self.element, tiled: self.tiled, stride: self.stride }
    }

    /// Returns the kind of its values.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Returns whether it is in tiles.
    pub(crate) fn is_tiled(&self) -> bool {
        self.tiled
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of values in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of words from one row to the next; in tiles, those of a row, wherever they are.
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

    /// Returns the words of all rows, `stride` words each. In f32 the first `columns` of each are its values.
    pub fn words_mut(&mut self) -> &mut [f32] {
        let words = self.words();
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
        let places = self.places();
        // SAFETY: the matrix has the row and the column.
        let value = |row: usize, column: usize| unsafe { read(places.row(row), column) };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }
}

/// Where the values of a matrix are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    start: Shared<f32>,
    element: Element,
    tiled: bool,
    stride: usize,
}

impl Places {
    /// Returns the number of words from one row to the next, if it is not in tiles.
    pub(crate) fn stride(self) -> usize {
        self.stride
    }

    /// Returns where a row is. The matrix need not have it.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> Row {
        let parts = self.element.parts();
        // Words to the row, to its next block, and from a block's high parts to the low ones.
        let (to, block, low) = if self.tiled {
            (row / GROUP * GROUP * self.stride + row % GROUP * LINE, GROUP * LINE * parts, GROUP * LINE)
        } else {
            (row * self.stride, LINE * parts, LINE)
        };
        Row { start: self.start.get().wrapping_add(to), element: self.element, block, low }
    }
}

/// Where the values of a row are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    start: *mut f32,
    pub(crate) element: Element,
    block: usize,
    low: usize,
}

impl Row {
    /// Returns a row of one piece.
    pub(crate) fn new(start: *mut f32, element: Element) -> Self {
        Self { start, element, block: LINE * element.parts(), low: LINE }
    }

    /// Returns where f32 number `column` is.
    #[inline(always)]
    pub(crate) fn single(self, column: usize) -> *mut f32 {
        self.start.wrapping_add(column)
    }

    /// Returns where the bf16 of a column are: the value or its high part, and its low part if it has one.
    #[inline(always)]
    pub(crate) fn halves(self, column: usize) -> (*mut u16, *mut u16) {
        let high = self.start.wrapping_add(column / BLOCK * self.block);
        let at = |words: *mut f32| words.cast::<u16>().wrapping_add(column % BLOCK);
        (at(high), at(high.wrapping_add(self.low)))
    }

    /// Returns the lines of a block of columns, which begins at `column`.
    #[inline(always)]
    pub(crate) fn lines(self, column: usize) -> impl Iterator<Item = *mut f32> {
        let (first, second) = match self.element {
            Element::F32 => (self.single(column), self.single(column + LINE)),
            _ => (self.halves(column).0.cast(), self.halves(column).1.cast()),
        };
        [first, second].into_iter().take(if self.element == Element::Bf16 { 1 } else { 2 })
    }
}

/// Returns bf16 number `at` of words.
pub(crate) fn half(words: &[f32], at: usize) -> f32 {
    let word = words[at / 2].to_bits();
    f32::from_bits(if at.is_multiple_of(2) { word << 16 } else { word & 0xffff_0000 })
}

/// Reads the value of a column.
///
/// # Safety
/// The row has that column.
pub(crate) unsafe fn read(row: Row, column: usize) -> f32 {
    let (high, low) = row.halves(column);
    let value = |half: u16| f32::from_bits(u32::from(half) << 16);
    // SAFETY: the caller's.
    unsafe {
        match row.element {
            Element::F32 => *row.single(column),
            Element::Bf16 => value(*high),
            Element::Split => value(*high) + value(*low),
        }
    }
}

/// Writes `value` to a column.
///
/// # Safety
/// The row has that column.
pub(crate) unsafe fn write(row: Row, column: usize, value: f32) {
    let (high, low) = row.halves(column);
    // SAFETY: the caller's.
    unsafe {
        match row.element {
            Element::F32 => *row.single(column) = value,
            Element::Bf16 => *high = bf16_bits(value),
            Element::Split => (*high, *low) = split(value),
        }
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
    fn values_come_back_and_padding_is_zero() {
        for (element, tiled) in
            [(Element::Split, false), (Element::Split, true), (Element::Bf16, false), (Element::Bf16, true)]
        {
            let mut matrix = if tiled { Matrix::tiled(element) } else { Matrix::new(element) };
            matrix.shape(40, 64);
            matrix.words_mut().fill(f32::NAN);
            matrix.shape(35, 33);
            let values: Vec<f32> = (0..35 * 33).map(|i| (i % 256) as f32 / 2.0).collect();
            let places = matrix.places_mut();
            for (at, &value) in values.iter().enumerate() {
                // SAFETY: the row has 33 columns.
                unsafe { write(places.row(at / 33), at % 33, value) };
            }
            assert_eq!(matrix.to_values(), values);
            // SAFETY: a row has whole blocks.
            assert!((0..35 * 64).all(|at| unsafe { at % 64 < 33 || read(places.row(at / 64), at % 64) == 0.0 }));
        }
    }

    #[test]
    fn tiles_are_what_amx_loads() {
        let mut matrix = Matrix::tiled(Element::Split);
        matrix.shape(33, 40);
        assert_eq!((matrix.stride(), matrix.words_mut().len()), (64, 64 * 64));
        let places = matrix.places_mut();
        let start = matrix.as_ptr().cast::<u16>();
        // Groups of 32 rows, of blocks of 32 columns, of parts, of rows.
        for (row, column) in [(0, 0), (1, 0), (0, 1), (17, 31), (31, 39), (32, 0), (32, 33)] {
            let high = row / 32 * 32 * 128 + column / 32 * 2 * 1024 + row % 32 * 32 + column % 32;
            let at = [start.wrapping_add(high), start.wrapping_add(high + 1024)];
            let (high, low) = places.row(row).halves(column);
            assert_eq!([high.cast_const(), low.cast_const()], at, "{row}, {column}");
        }
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
