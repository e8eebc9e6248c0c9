//! What examples show in the words of a background list: entries that would compete with the labels of these very examples.

use rayon::prelude::*;

use super::Examples;
use crate::embeddings::{self, Embeddings};
use crate::kernels::Isa;
use crate::kernels::similarity::Panels;

/// Returns the entries of a background `list` [N, D] that `examples` show: those that score above the right label's row for a
/// third of some label's examples, or more. `rows` [L, D] are those of the labels; examples of others do not count. To whoever
/// chose these examples, the entry is another name of the label.
///
/// # Panics
/// If the dimensions differ.
pub fn shown_entries(rows: &Embeddings, examples: &Examples, list: &Embeddings) -> Vec<usize> {
    const SHARE: usize = 3;
    assert!(rows.dim() == list.dim() && rows.dim() == examples.rows().dim(), "embeddings of one model");
    let entries = Panels::new(list.values(), list.dim());
    let mut is_shown = vec![false; list.len()];
    let mut own: Vec<(usize, &[f32])> = examples.of().iter().copied().zip(examples.rows().rows()).collect();
    own.retain(|(label, _)| *label < rows.len());
    for of_label in own.chunk_by(|a, b| a.0 == b.0) {
        let above = |(label, image): &(usize, &[f32])| {
            let (mut cosines, least) = (Vec::new(), embeddings::dot(rows.row(*label), image));
            entries.cosines(Isa::best(), image, &mut cosines);
            cosines.into_iter().map(|cosine| usize::from(cosine > least)).collect::<Vec<_>>()
        };
        let none = || vec![0; list.len()];
        let add = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(b).map(|(a, b)| a + b).collect();
        let wins = of_label.par_iter().map(above).reduce(none, add);
        is_shown.iter_mut().zip(wins).for_each(|(is_shown, wins)| *is_shown |= SHARE * wins >= of_label.len());
    }
    (0..list.len()).filter(|entry| is_shown[*entry]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(of: &[[f32; 3]]) -> Embeddings {
        let mut rows = Embeddings::new(3);
        of.iter().for_each(|row| rows.push(row));
        rows
    }

    #[test]
    fn an_entry_is_shown_by_a_third_of_a_label_s_own_examples() {
        let labels = rows(&[[1.0, 0.0, 0.3], [0.0, 1.0, 0.0]]);
        let list = rows(&[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]);
        // The first entry is nearer to one of `a` than its label is, and never to one of `b`.
        let (a, far, b) = ([1.0, 0.0, 0.0], [0.5, 0.0, 0.866], [0.0, 1.0, 0.0]);
        let of = |more: usize| {
            let far: Vec<[f32; 3]> = (0..more).map(|at| [far[0], 1e-3 * at as f32, far[2]]).collect();
            let given: Vec<(usize, &[f32])> =
                far.iter().map(|row| (0, &row[..])).chain([(0, &a[..]), (1, &b[..])]).collect();
            shown_entries(&labels, &Examples::new(3, &given).unwrap(), &list)
        };
        assert_eq!((of(0), of(1)), (vec![0], vec![0, 1]), "the second is nearer to the far one");
        assert_eq!((of(2), of(3)), (vec![0, 1], vec![1]), "one of three, and one of four");
        // Examples of a row behind the labels do not count.
        let other = Examples::new(3, &[(2, &a[..]), (1, &b[..])]).unwrap();
        assert!(shown_entries(&labels, &other, &list).is_empty());
    }
}
