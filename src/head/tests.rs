//! Learning beside what SciPy finds, its bits for any order and number of threads, and cross-validation that does not peek.

use super::*;
use crate::kernels::testing::noise;
use crate::score::Activation;

/// Unit rows that lie near each other, as a tower's do.
fn rows(count: usize, dim: usize, seed: u64, spread: f32) -> Embeddings {
    let mut rows = Embeddings::new(dim);
    let common = noise(dim, 99);
    for row in noise(count * dim, seed).chunks_exact(dim) {
        rows.push(&row.iter().zip(&common).map(|(x, y)| spread * x + y).collect::<Vec<_>>());
    }
    rows
}

fn readout(scale: f64) -> Readout {
    Readout { scale, bias: 0.0, activation: Activation::Softmax }
}

/// Texts, and examples around places that are not those of their texts.
fn problem(labels: usize, shots: usize, dim: usize) -> (Embeddings, Vec<(usize, Vec<f32>)>) {
    let texts = rows(labels, dim, 1, 0.5);
    let places = rows(labels, dim, 2, 0.5);
    let mut examples = Vec::new();
    for (at, row) in rows(labels * shots, dim, 3, 0.4).rows().enumerate() {
        let (label, mut unit) = (at % labels, Embeddings::new(dim));
        let near = row.iter().zip(places.row(label)).map(|(x, place)| x + 1.5 * place).collect::<Vec<_>>();
        unit.push(&near);
        examples.push((label, unit.row(0).to_vec()));
    }
    (texts, examples)
}

fn of(dim: usize, given: &[(usize, Vec<f32>)]) -> Examples {
    Examples::new(dim, &given.iter().map(|(label, row)| (*label, &row[..])).collect::<Vec<_>>()).unwrap()
}

/// SciPy's minimum, to 1e-6.
#[test]
fn the_rows_are_scipy_s_optimum() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../tests/fixtures/few_shot/rows.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let table = |key: &str| -> Vec<Vec<f64>> { serde_json::from_value(case[key].clone()).unwrap() };
        let single = |rows: &[Vec<f64>]| -> Vec<Vec<f32>> {
            rows.iter().map(|row| row.iter().map(|x| *x as f32).collect()).collect()
        };
        let (given, expected) = (single(&table("texts")), table("rows"));
        let dim = given[0].len();
        let mut texts = Embeddings::new(dim);
        given.iter().for_each(|row| texts.push_unit(row));
        let labels: Vec<usize> = serde_json::from_value(case["of"].clone()).unwrap();
        let examples: Vec<_> = labels.into_iter().zip(single(&table("examples"))).collect();
        let number = |key: &str| case[key].as_f64().unwrap();
        let activation = if case["activation"] == "sigmoid" { Activation::Sigmoid } else { Activation::Softmax };
        let readout = Readout { scale: number("scale"), bias: number("bias"), activation };
        let examples = of(dim, &examples);
        let shared = Shared::new(&texts, &examples, readout);
        let differences = optimum(&shared, dim, number("strength"));
        let mut largest: f64 = 0.0;
        for (at, difference) in differences.iter().enumerate() {
            let (label, d) = (at / dim, at % dim);
            let row = f64::from(texts.row(label)[d]) + difference;
            largest = largest.max(difference.abs());
            assert!(
                (row - expected[label][d]).abs() < 1e-6,
                "{}: {label} {d}: {row} {}",
                number("scale"),
                expected[label][d]
            );
        }
        assert!(largest > 1e-3, "the rows moved");
        assert!(differences[5 * dim..].iter().all(|d| *d == 0.0), "a label without examples keeps its text");
    }
}

#[test]
fn any_order_and_any_threads_give_the_same_bits() {
    let (texts, mut examples) = problem(7, 9, 24);
    let learned = |examples: &[(usize, Vec<f32>)], threads: usize, head| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| learn(&texts, &of(24, examples), readout(40.0), head))
    };
    let all = Head::ALL.map(|head| learned(&examples, 1, head));
    for threads in [1, 2, 5] {
        let (first, second) = (examples.len() / 3, examples.len() / 2);
        examples.rotate_left(first);
        examples.swap(0, second);
        for (head, expected) in Head::ALL.into_iter().zip(&all) {
            let again = learned(&examples, threads, head);
            let bits = |learned: &Learned| learned.rows.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&again), again.check), (bits(expected), expected.check), "{head:?}");
        }
    }
}

#[test]
fn examples_teach_what_texts_do_not_say() {
    let (texts, examples) = problem(8, 12, 32);
    let learned = Head::ALL.map(|head| learn(&texts, &of(32, &examples), readout(30.0), head));
    let [anchored, prototype, text] = learned.each_ref().map(|learned| learned.check);
    assert_eq!((text.right, text.folds, text.examples), (text.right_by_text, 5, 96));
    assert_eq!(learned[2].rows, texts);
    assert!(anchored.right > text.right + 20, "{anchored:?} {text:?}");
    assert!(prototype.right > text.right + 20, "{prototype:?}");
    assert!(STRENGTHS.contains(&learned[0].strength.unwrap()) && learned[1].strength.is_none());
}

/// With one example a label, an example left out is judged by its text, among labels that have learned.
#[test]
fn one_example_a_label_is_left_out_one_by_one() {
    let (texts, examples) = problem(6, 1, 16);
    let learned = learn(&texts, &of(16, &examples), readout(30.0), Head::Anchored);
    assert_eq!((learned.check.folds, learned.check.examples, learned.strength), (6, 6, Some(STRENGTH)));
    let one = learn(&texts, &of(16, &examples[..1]), readout(30.0), Head::Anchored);
    assert_eq!((one.check.folds, one.check.examples, one.check.right), (1, 1, one.check.right_by_text));
    let two = learn(&texts, &of(16, &examples[..2]), readout(30.0), Head::Prototype);
    assert_eq!(two.check.folds, 2);
}

/// An example that is left out has no part in what judges it: random labels are guessed no better than by chance.
#[test]
fn cross_validation_does_not_peek() {
    let (texts, mut examples) = problem(20, 5, 128);
    let chance = noise(examples.len(), 7);
    examples.iter_mut().zip(chance).for_each(|(example, x)| example.0 = (10.0 * (x + 1.0)) as usize);
    for head in [Head::Anchored, Head::Prototype] {
        let check = learn(&texts, &of(128, &examples), readout(30.0), head).check;
        assert!(check.right < 15 && check.examples == 100, "{head:?}: {check:?}"); // 5 with a deviation of 2
    }
}

#[test]
fn a_stronger_anchor_stays_nearer() {
    let (texts, examples) = problem(5, 6, 20);
    let examples = of(20, &examples);
    let shared = Shared::new(&texts, &examples, readout(50.0));
    let far = |strength: f64| optimum(&shared, 20, strength).iter().map(|d| d * d).sum::<f64>();
    let moved = STRENGTHS.map(far);
    assert!(moved.is_sorted() && moved[0] > 0.0 && moved[5] > 2.0 * moved[0], "{moved:?}");
}

#[test]
fn many_examples_have_one_fold_to_choose_and_one_to_measure() {
    let folds = Folds::new(5001);
    assert_eq!((folds.measuring.clone(), folds.choosing.clone(), folds.measured().count()), (vec![0], vec![1], 1001));
    let (texts, examples) = problem(4, 1300, 6);
    let check = learn(&texts, &of(6, &examples), readout(20.0), Head::Anchored).check;
    assert_eq!(check.examples, 1040);
    assert!(check.right > check.right_by_text);
}
