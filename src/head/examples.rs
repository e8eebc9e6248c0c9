//! Labelled embeddings in an order of their own, each once.

use crate::embeddings::Embeddings;

/// Embeddings of pictures, and the label that each shows. The order in which they were given makes no difference, and the
/// same embedding counts once.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    rows: Embeddings,
    of: Vec<usize>,
    repeated: usize,
}

/// Two examples that are the same picture with different labels, by their places in the order given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clash(pub usize, pub usize);

impl Examples {
    /// Orders examples: the label of each, and its unit embedding `[dim]`.
    ///
    /// # Errors
    /// [`Clash`] if two labels have the same embedding.
    ///
    /// # Panics
    /// If an embedding has another dimension.
    pub fn new(dim: usize, given: &[(usize, &[f32])]) -> Result<Self, Clash> {
        let bits = |at: &usize| given[*at].1.iter().map(|x| x.to_bits());
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by(|a, b| bits(a).cmp(bits(b)).then(a.cmp(b)));
        let differ = |pair: &&[usize]| given[pair[0]].0 != given[pair[1]].0 && bits(&pair[0]).eq(bits(&pair[1]));
        if let Some(pair) = order.windows(2).find(differ) {
            return Err(Clash(pair[0], pair[1]));
        }
        order.dedup_by(|a, b| bits(a).eq(bits(b)));
        order.sort_by_key(|at| given[*at].0); // a stable sort
        let mut rows = Embeddings::new(dim);
        order.iter().for_each(|&at| rows.push_unit(given[at].1));
        let of = order.iter().map(|&at| given[at].0).collect();
        Ok(Self { rows, of, repeated: given.len() - order.len() })
    }

    /// Returns the embeddings [N, D], label by label.
    pub fn rows(&self) -> &Embeddings {
        &self.rows
    }

    /// Returns the label of each embedding: `[N]`.
    pub fn of(&self) -> &[usize] {
        &self.of
    }

    /// Returns the number of examples.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Returns the number of examples that repeat another one, and do not count.
    pub fn repeated(&self) -> usize {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetition_make_no_difference() {
        let (a, b, c) = ([1.0, 0.0], [0.6, 0.8], [0.0, -1.0]);
        let one = Examples::new(2, &[(1, &a), (0, &b), (1, &c)]).unwrap();
        let other = Examples::new(2, &[(1, &c), (0, &b), (1, &a), (0, &b)]).unwrap();
        assert_eq!((one.rows(), one.of(), other.repeated()), (other.rows(), other.of(), 1));
        assert_eq!(one.of(), [0, 1, 1]);
        assert_eq!(Examples::new(2, &[(0, &a), (1, &c), (0, &b), (2, &a)]), Err(Clash(0, 3)));
    }
}
