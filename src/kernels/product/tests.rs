//! Fast products against plain ones.

use super::*;
use crate::kernels::testing::{SIZES, noise, sets};

fn linear(isa: Isa, element: Element, weight: &[f32], bias: &[f32]) -> Linear {
    let mut linear = Linear::new(isa, element, weight.len() / bias.len(), bias.len());
    linear.pack_rows(0, weight);
    linear.set_bias(0, bias);
    linear
}

/// Returns x as a matrix of the element.
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

/// Returns every pair that this machine can run.
fn pairs(what: &str) -> Vec<(Isa, Element)> {
    let each = |isa: Isa| isa.elements().iter().map(move |&element| (isa, element));
    let pairs: Vec<_> = sets(what).into_iter().flat_map(each).collect();
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
                    if (i + j).is_multiple_of(2) { Then::Add } else { Then::Store(ActivationFn::ALL[(i + j) % 5]) };
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
        let then = Then::Store(ActivationFn::QuickGelu);
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
        let run = |x: &[f32]| run_one(isa, element, x, &weight, &bias, Then::Store(ActivationFn::None));
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
fn split_products_are_nearly_those_of_f32() {
    for (isa, element) in pairs("split").into_iter().filter(|(_, element)| *element == Element::Split) {
        let (m, k, n) = (33, 257, 50);
        let (x, weight, bias) = (noise(m * k, 1), noise(n * k, 2), vec![0.0; n]);
        let got = run_one(isa, element, &x, &weight, &bias, Then::Store(ActivationFn::None));
        for (at, got) in got.into_iter().enumerate() {
            let terms = (0..k).map(|i| f64::from(x[at / n * k + i]) * f64::from(weight[at % n * k + i]));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            // 2^-16 is the product of two low parts at most, and what they are rounded by comes to as much again.
            assert!((f64::from(got) - sum).abs() < size * 2f64.powi(-16), "{isa:?} {at}: {got} for {sum}");
        }
    }
}

#[test]
fn what_is_not_finite_in_f32_is_not_finite_in_split_products() {
    for (isa, element) in pairs("not finite").into_iter().filter(|(_, element)| *element != Element::Bf16) {
        let (k, n) = (40, 3);
        let weight = [vec![1.5f32; k], vec![-1e-3; k], vec![0.0; k]].concat();
        for (value, finite) in [
            (f32::INFINITY, [false; 3]),
            (f32::NEG_INFINITY, [false; 3]),
            (f32::NAN, [false; 3]),
            (f32::MAX, [false, true, true]),
            (3.3e38, [false, true, true]),
            (1e38, [true; 3]),
        ] {
            let mut x = vec![0f32; 2 * k];
            x[k - 2] = value;
            let y = run_one(isa, element, &x, &weight, &[0.0; 3], Then::Store(ActivationFn::None));
            let got: Vec<bool> = y.iter().map(|y| y.is_finite()).collect();
            assert_eq!(got[..n], finite, "{isa:?} {element:?} {value}: {y:?}");
            assert_eq!(got[n..], [true; 3]);
        }
    }
}

#[test]
fn what_was_in_the_padding_is_not_multiplied() {
    for (isa, element) in pairs("padding") {
        for k in [1, 15, 33, 50, 95] {
            let (m, n) = (17, 20);
            let mut x = Matrix::new(element);
            x.shape(m, 128);
            x.words_mut().fill(f32::NAN);
            // As a layer norm leaves it: only the values are written.
            let norm = crate::kernels::Norm::new(isa, vec![0.0; k], vec![0.5; k], 1e-5);
            crate::kernels::layer_norm(&Matrix::from_values(&noise(m * k, 1), k), &norm, &mut x);
            let mut y = Matrix::new(Element::F32);
            product(
                &x,
                &linear(isa, element, &vec![2.0; n * k], &vec![0.0; n]),
                &mut y,
                Then::Store(ActivationFn::None),
            );
            assert!(y.to_values().iter().all(|&y| y == k as f32), "{isa:?} {element:?} {k}");
        }
    }
}

#[test]
fn split_results_are_split_f32_ones() {
    for (isa, element) in pairs("split results").into_iter().filter(|(_, element)| *element == Element::Split) {
        let (m, k, n) = (5, 20, 37);
        let (x, weight, bias) = (noise(m * k, 4), noise(n * k, 5), noise(n, 6));
        let mut y = Matrix::new(Element::Split);
        let then = Then::Store(ActivationFn::Gelu);
        product(&matrix(&x, k, element), &linear(isa, element, &weight, &bias), &mut y, then);
        let exact = run_one(isa, element, &x, &weight, &bias, then);
        assert_eq!(y.to_values(), matrix(&exact, n, element).to_values(), "{isa:?}");
    }
}

#[test]
fn bf16_results_are_rounded_f32_ones() {
    for (isa, element) in pairs("bf16 results") {
        let (m, k, n) = (5, 20, 37);
        let (x, weight, bias) = (noise(m * k, 4), noise(n * k, 5), noise(n, 6));
        let mut y = Matrix::new(Element::Bf16);
        let then = Then::Store(ActivationFn::Gelu);
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
            (matrix(&x, k, element), linear(isa, element, &weight, &bias), Then::Store(ActivationFn::None));
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
            let (width, words) = (width(isa), words(isa, element, k));
            for (row, values) in weight.chunks_exact(k).enumerate() {
                for at in 0..element.words(k) {
                    let column = row % width;
                    let place = match (isa, element) {
                        // Tiles of 16 pairs by 16 columns: left and right, of the high parts and of the low.
                        (Isa::Amx, _) => at / 16 * 512 + column / 16 * 256 + at % 16 * 16 + column % 16,
                        _ => at * width + column,
                    };
                    let got = linear.panels.words()[row / width * words * width + place];
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
