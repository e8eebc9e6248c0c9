//! Fast products against plain ones.

use super::*;
use crate::kernels::testing::{SIZES, noise, sets};

fn linear(isa: Isa, element: Element, weight: &[f32], bias: &[f32]) -> Linear {
    let mut linear = Linear::new(isa, element, weight.len() / bias.len(), bias.len());
    linear.pack_rows(0, weight);
    linear.set_bias(0, bias);
    linear
}

/// x as a matrix of the element.
fn matrix(x: &[f32], columns: usize, element: Element) -> Matrix {
    let mut matrix = Matrix::new(element);
    matrix.shape(x.len() / columns, columns);
    let (stride, rows) = (matrix.stride(), matrix.rows());
    for row in 0..rows {
        let values = &x[row * columns..][..columns];
        let words = &mut matrix.words_mut()[row * stride..];
        (0..element.words(columns)).for_each(|at| words[at] = word(values, at, element));
    }
    matrix
}

/// Every pair that this machine can run.
fn pairs(what: &str) -> Vec<(Isa, Element)> {
    let mut pairs: Vec<_> = sets(what).into_iter().map(|isa| (isa, Element::F32)).collect();
    pairs.extend(Isa::available().filter(|isa| isa.has_bf16()).map(|isa| (isa, Element::Bf16)));
    println!("{what}: {pairs:?}");
    pairs
}

fn run_one(isa: Isa, element: Element, x: &[f32], weight: &[f32], bias: &[f32], then: Then) -> Vec<f32> {
    let k = weight.len() / bias.len();
    let mut y = Matrix::new(Element::F32);
    if then == Then::Add {
        y = Matrix::from_values(&noise(x.len() / k * bias.len(), 9), bias.len());
    }
    product(&matrix(x, k, element), &linear(isa, element, weight, bias), &mut y, then);
    y.to_values()
}

fn check(isa: Isa, element: Element, (m, k, n): (usize, usize, usize), then: Then) {
    let (x, weight, bias) = (noise(m * k, 1), noise(n * k, 2), noise(n, 3));
    let got = run_one(isa, element, &x, &weight, &bias, then);
    let want = run_one(Isa::Plain, element, &x, &weight, &bias, then);
    let limit = 2e-6 * (1.0 + k as f32).sqrt() * 2.0;
    for (at, (a, b)) in got.iter().zip(&want).enumerate() {
        assert!((a - b).abs() <= limit, "{isa:?} {element:?} {m}x{k}x{n} {then:?}: {a} for {b} at {at}");
    }
}

#[test]
fn fast_products_are_the_plain_ones_at_any_size() {
    for (isa, element) in pairs("product") {
        for (i, &m) in SIZES.iter().enumerate() {
            for (j, &k) in SIZES.iter().enumerate() {
                let n = SIZES[(i + 3 * j) % SIZES.len()];
                if m * k * n > 2_000_000 && (i + j) % 4 != 0 {
                    continue;
                }
                let then =
                    if (i + j).is_multiple_of(2) { Then::Add } else { Then::Store(Activation::ALL[(i + j) % 5]) };
                check(isa, element, (m, k, n), then);
            }
        }
        check(isa, element, (13, 2500, 70), Then::Add); // several blocks of k
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_and_on_any_threads() {
    for (isa, element) in pairs("same bits") {
        let (m, k, n) = (130, 1100, 75);
        let (x, weight, bias) = (noise(m * k, 4), noise(n * k, 5), noise(n, 6));
        let then = Then::Store(Activation::QuickGelu);
        let all = run_one(isa, element, &x, &weight, &bias, then);
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for (start, rows) in [(0, 1), (3, 1), (7, 2), (5, 50), (1, 129), (0, 130)] {
                let x = &x[start * k..(start + rows) * k];
                let part = pool.install(|| run_one(isa, element, x, &weight, &bias, then));
                assert!(part == all[start * n..(start + rows) * n], "{isa:?} {element:?} {start} {rows} {threads}");
            }
        }
    }
}

#[test]
fn extreme_values_come_out_as_they_should() {
    for (isa, element) in pairs("extremes") {
        let (k, n) = (33, 17);
        let weight = vec![1f32; n * k];
        let bias = vec![0f32; n];
        let run = |x: &[f32]| run_one(isa, element, x, &weight, &bias, Then::Store(Activation::None));
        assert!(run(&vec![0.0; 2 * k]).iter().all(|&y| y == 0.0));
        assert!(run(&vec![1e4; 2 * k]).iter().all(|&y| (y / 33e4 - 1.0).abs() < 4e-3));
        assert!(run(&vec![1e-40; 2 * k]).iter().all(|&y| (y - 33e-40).abs() <= 33e-40)); // bf16 may flush
        let mut x = vec![1f32; 2 * k];
        x[k - 1] = f32::NAN;
        let y = run(&x);
        assert!(y[..n].iter().all(|y| y.is_nan()) && y[n..].iter().all(|&y| y == 33.0));
    }
}

#[test]
fn bf16_results_are_rounded_f32_ones() {
    for (isa, element) in pairs("bf16 results") {
        let (m, k, n) = (5, 20, 37);
        let (x, weight, bias) = (noise(m * k, 4), noise(n * k, 5), noise(n, 6));
        let mut y = Matrix::new(Element::Bf16);
        let then = Then::Store(Activation::Gelu);
        product(&matrix(&x, k, element), &linear(isa, element, &weight, &bias), &mut y, then);
        let exact = run_one(isa, element, &x, &weight, &bias, then);
        let rounded: Vec<f32> = exact.iter().map(|&v| f32::from_bits(u32::from(bf16_bits(v)) << 16)).collect();
        assert_eq!(y.to_values(), rounded, "{isa:?}");
    }
}

#[test]
fn some_columns_have_the_bits_that_they_have_among_all() {
    for (isa, element) in pairs("some columns") {
        let (m, k, n) = (70, 40, 300);
        let (x, weight, bias) = (noise(m * k, 4), noise(n * k, 5), noise(n, 6));
        let (x, linear, then) =
            (matrix(&x, k, element), linear(isa, element, &weight, &bias), Then::Store(Activation::None));
        let (mut all, mut some) = (Matrix::new(Element::F32), Matrix::new(Element::F32));
        product(&x, &linear, &mut all, then);
        for columns in [0..100, 100..300, 33..34, 290..300, 0..300] {
            some.shape(m, n);
            some.words_mut().fill(f32::NAN);
            product_columns(&x, &linear, columns.clone(), &mut some, then);
            assert!((0..m).all(|row| some.row(row)[columns.clone()] == all.row(row)[columns.clone()]), "{columns:?}");
        }
    }
}

#[test]
fn weights_are_packed_as_the_plain_version_reads_them() {
    for (isa, element) in pairs("packing").into_iter().filter(|(isa, _)| *isa != Isa::Plain) {
        for (i, &k) in SIZES.iter().enumerate() {
            let n = SIZES[(i + 4) % SIZES.len()];
            let weight = noise(n * k, 1);
            let mut linear = Linear::new(isa, element, k, n);
            let part = n / 3; // in two parts, the second of which begins anywhere in a panel
            linear.pack_rows(0, &weight[..part * k]);
            linear.pack_rows(part, &weight[part * k..]);
            let (width, words) = (width(isa), element.words(k));
            for (row, values) in weight.chunks_exact(k).enumerate() {
                for at in 0..words {
                    let got = linear.panels.words()[(row / width * words + at) * width + row % width];
                    let want = word(values, at, element);
                    assert_eq!(got.to_bits(), want.to_bits(), "{isa:?} {element:?} {n} x {k}: {row}, {at}");
                }
            }
        }
    }
}

#[test]
fn a_failure_to_read_weights_is_passed_on() {
    let mut linear = Linear::new(Isa::best(), Element::F32, 10, 100);
    assert_eq!(
        linear.pack(0, 100, |row, _| if row > 60 { Err(row) } else { Ok(()) }).map_err(|row| row > 60),
        Err(true)
    );
}
