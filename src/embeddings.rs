//! Rows of unit vectors, as encoders return them, in plain memory.

/// Unit vectors [N, D] of images or texts. Their cosine is their dot product.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>, // [N, D]
    dim: usize,
}

impl Embeddings {
    /// Creates an empty list of rows of `dim` values each.
    pub fn new(dim: usize) -> Self {
        Self { values: Vec::new(), dim }
    }

    /// Creates an empty list with room for `rows` rows of `dim` values each.
    pub fn with_capacity(dim: usize, rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows * dim), dim }
    }

    /// Adds a row, scaled to unit length. A row that is not finite, or zero, becomes a row that is not finite.
    ///
    /// # Panics
    /// If the row does not have [`Self::dim`] values.
    pub fn push(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dim, "a row has as many values as the embeddings' dimension");
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        self.values.extend(row.iter().map(|&x| (f64::from(x) / norm) as f32));
    }

    /// Adds a row that has unit length already.
    ///
    /// # Panics
    /// If the row does not have [`Self::dim`] values.
    pub fn push_unit(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dim, "a row has as many values as the embeddings' dimension");
        self.values.extend_from_slice(row);
    }

    /// Returns the number of values in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim.max(1)
    }

    /// Returns whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim.max(1))
    }

    /// Returns row `index`.
    ///
    /// # Panics
    /// If the row does not exist.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// Returns all values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the unit mean of all rows, which turns a label's prompts into its embedding.
    pub fn mean(&self) -> Self {
        let mut sum = vec![0f64; self.dim];
        for row in self.rows() {
            sum.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x));
        }
        let mean: Vec<f32> = sum.iter().map(|s| (s / self.len() as f64) as f32).collect();
        let mut unit = Self::new(self.dim);
        unit.push(&mean);
        unit
    }

    /// Adds the rows of another set.
    ///
    /// # Panics
    /// If the dimensions differ.
    pub fn extend(&mut self, other: &Self) {
        assert_eq!(self.dim, other.dim, "embeddings of one set have one dimension");
        self.values.extend_from_slice(&other.values);
    }
}

/// Returns the dot product of two rows, summed in f64 in index order: the same bits on every machine.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unit_length() {
        let mut e = Embeddings::new(2);
        e.push(&[3.0, 4.0]);
        e.push(&[0.0, -2.0]);
        assert_eq!(e.rows().collect::<Vec<_>>(), [[0.6, 0.8], [0.0, -1.0]]);
        assert!((dot(e.row(0), e.row(1)) + 0.8).abs() < 1e-7);
    }

    #[test]
    fn a_mean_is_unit_length_again() {
        let mut e = Embeddings::new(2);
        e.push(&[1.0, 0.0]);
        e.push(&[0.0, 1.0]);
        let mean = e.mean();
        assert!((mean.row(0)[0] - 0.5f32.sqrt()).abs() < 1e-7 && mean.len() == 1);
    }

    #[test]
    fn a_zero_row_is_not_finite() {
        let mut e = Embeddings::new(2);
        e.push(&[0.0, 0.0]);
        assert!(e.row(0)[0].is_nan());
    }
}
