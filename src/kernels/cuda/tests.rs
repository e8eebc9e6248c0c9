//! On a GPU, where there is one; `tests/integration/cuda_kernels.rs` tests the kernels on any machine.

use super::*;
use crate::kernels::product::Then;
use crate::kernels::testing::noise;

fn gpu() -> Option<Gpu> {
    OpenGpu::of_tests().map(|device| Gpu::new(&device).unwrap())
}

fn matrix(gpu: &Gpu, values: &[f32], columns: usize, form: Form) -> Matrix {
    let (mut exact, mut matrix) = (Matrix::new(Form::F32), Matrix::new(form));
    gpu.put(values, columns, &mut exact).unwrap();
    gpu.convert(&exact, ActivationFn::None, &mut matrix).unwrap();
    matrix
}

fn values(gpu: &Gpu, x: &Matrix) -> Vec<f32> {
    let mut out = Vec::new();
    gpu.take(x, &mut out).unwrap();
    out
}

/// What a product of numbers of size 1 may be off by, for each of its terms.
fn tolerance(form: Form) -> f64 {
    match form {
        Form::F32 => 2e-6,
        Form::Split => 5e-6, // the matrix units' sums lose more than the operands do
        Form::Bf16 => 8e-3,
        Form::F16 => 1e-3,
    }
}

#[test]
fn products_are_right_and_a_row_has_the_same_bits_in_any_company() {
    let Some(gpu) = gpu() else { return };
    for form in [Form::F32, Form::Bf16, Form::F16, Form::Split] {
        for (rows, input, output) in [(1, 8, 8), (7, 12, 20), (50, 77, 33), (257, 588, 64), (300, 768, 3072)] {
            let (x, w, b) = (noise(rows * input, 1), noise(output * input, 2), noise(output, 3));
            let linear = gpu.linear(form, input, &w, &b).unwrap();
            let mut y = Matrix::new(Form::F32);
            let operand = matrix(&gpu, &x, input, form);
            gpu.product(&operand, &linear, &mut y, Then::Store(ActivationFn::None)).unwrap();
            let got = values(&gpu, &y);
            let exact = |row: usize, column: usize| {
                let terms = x[row * input..][..input].iter().zip(&w[column * input..]);
                f64::from(b[column]) + terms.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
            };
            let most = tolerance(form) * (input as f64).sqrt();
            for (at, &value) in got.iter().enumerate().step_by(1 + got.len() / 5000) {
                let off = (f64::from(value) - exact(at / output, at % output)).abs();
                assert!(off < most, "{form:?} {rows} x {input} x {output}: {at} off by {off}");
            }
            gpu.product(&operand, &linear, &mut y, Then::Add).unwrap();
            let twice = values(&gpu, &y);
            let off = twice.iter().zip(&got).map(|(a, b)| (a - 2.0 * b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-4, "{form:?} {rows} x {input} x {output}: added, off by {off}");
            for row in [0, rows / 2, rows - 1] {
                let alone = matrix(&gpu, &x[row * input..][..input], input, form);
                gpu.product(&alone, &linear, &mut y, Then::Store(ActivationFn::None)).unwrap();
                assert_eq!(
                    values(&gpu, &y),
                    got[row * output..][..output],
                    "{form:?} {rows} x {input} x {output}: {row}"
                );
            }
        }
    }
}

#[test]
fn norms_and_nonlinearities_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for columns in [8, 50, 77, 768, 1024, 1664] {
        let (x, w, b) = (noise(9 * columns, 1), noise(columns, 2), noise(columns, 3));
        let norm = gpu.norm(&w, &b, 1e-5).unwrap();
        let (from, mut to) = (matrix(&gpu, &x, columns, Form::F32), Matrix::new(Form::F32));
        gpu.layer_norm(&from, &norm, &mut to).unwrap();
        let own = crate::kernels::Norm::new(crate::kernels::Isa::Plain, w, b, 1e-5);
        let mut y = crate::kernels::Matrix::new(crate::kernels::Element::F32);
        crate::kernels::layer_norm(&crate::kernels::Matrix::from_values(&x, columns), &own, &mut y);
        let off = values(&gpu, &to).iter().zip(y.to_values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "norm of {columns}: off by {off}");
        let x: Vec<f32> = x.iter().map(|x| x * 5.0).collect();
        let from = matrix(&gpu, &x, columns, Form::F32);
        let exact = |act, x: f64| match act {
            ActivationFn::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            ActivationFn::GeluTanh => 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x)).tanh()),
            ActivationFn::Relu => x.max(0.0),
            _ => x,
        };
        for act in [ActivationFn::QuickGelu, ActivationFn::GeluTanh, ActivationFn::Relu, ActivationFn::None] {
            gpu.convert(&from, act, &mut to).unwrap();
            let got = values(&gpu, &to);
            let off = got.iter().zip(&x).map(|(&a, &x)| (f64::from(a) - exact(act, x.into())).abs());
            let off = off.fold(0.0, f64::max);
            assert!(off < 2e-6, "{act:?}: off by {off}");
        }
    }
}

#[test]
fn attention_is_right() {
    let Some(gpu) = gpu() else { return };
    for (form, causal) in [Form::F32, Form::Bf16, Form::F16, Form::Split].map(|f| [(f, false), (f, true)]).concat() {
        for (heads, dim, lengths) in [(2, 64, [50, 7]), (1, 64, [257, 1]), (2, 72, [77, 300]), (3, 12, [9, 40])] {
            let width = heads * dim;
            let mut attends = super::super::Attends::new(causal);
            let mut first = 0;
            for length in lengths {
                attends.push(length, first..first + length as u32);
                first += length as u32;
            }
            let qkv = noise(first as usize * 3 * width, 4);
            let x = matrix(&gpu, &qkv, 3 * width, heads_form(form, dim));
            let attending = gpu.attending(&attends, form, dim).unwrap();
            let mut y = Matrix::new(form);
            gpu.attention(heads, &x, &x, &attending, &mut y).unwrap();
            let got = match form {
                Form::F32 => values(&gpu, &y),
                Form::Split => split_values(&gpu, &y),
                _ => half_values(&gpu, &y),
            };
            let at = |row: usize, part: usize, head: usize, i: usize| {
                f64::from(qkv[row * 3 * width + part * width + head * dim + i])
            };
            let mut worst = 0f64;
            let mut begin = 0;
            for length in lengths {
                for row in (0..length).step_by(1 + length / 20) {
                    for head in 0..heads {
                        let seen = if causal { row + 1 } else { length };
                        let score = |key: usize| {
                            let dot: f64 =
                                (0..dim).map(|i| at(begin + row, 0, head, i) * at(begin + key, 1, head, i)).sum();
                            (dot / (dim as f64).sqrt()).exp()
                        };
                        let scores: Vec<f64> = (0..seen).map(score).collect();
                        let sum: f64 = scores.iter().sum();
                        for i in [0, 5, dim - 1] {
                            let mixed: f64 = (0..seen).map(|key| scores[key] / sum * at(begin + key, 2, head, i)).sum();
                            worst = worst.max((f64::from(got[(begin + row) * width + head * dim + i]) - mixed).abs());
                        }
                    }
                }
                begin += length;
            }
            println!("{form:?} {heads} x {dim} {lengths:?} causal {causal}: off by {worst:.1e}");
            assert!(worst < 2.0 * tolerance(form), "{form:?} {heads} x {dim} {lengths:?} causal {causal}: {worst}");
        }
    }
}

/// Prints how long each operation of a block takes, in microseconds: `cargo test --release --features cuda --lib cuda -- --ignored
/// --nocapture`.
#[test]
#[ignore = "times a GPU"]
fn speed() {
    let Some(gpu) = gpu() else { return };
    for (name, items, length, width, heads) in [("L/14", 32, 257, 1024, 16), ("B/32", 164, 50, 768, 12)] {
        for form in [Form::Bf16, Form::Split, Form::F32] {
            let rows = items * length;
            let (x, dim) = (noise(rows * width, 1), width / heads);
            let mut attends = super::super::Attends::new(false);
            (0..items).for_each(|n| attends.push(length, (n * length) as u32..((n + 1) * length) as u32));
            let attending = gpu.attending(&attends, form, dim).unwrap();
            let linear = |input: usize, output: usize| {
                gpu.linear(form, input, &noise(output * input, 2), &noise(output, 3)).unwrap()
            };
            let (qkv, out) = (linear(width, 3 * width), linear(width, width));
            let (fc1, fc2) = (linear(width, 4 * width), linear(4 * width, width));
            let norm = gpu.norm(&noise(width, 4), &noise(width, 5), 1e-5).unwrap();
            let mut values = matrix(&gpu, &x, width, Form::F32);
            let operand = matrix(&gpu, &x, width, form);
            let (mut rows_of, mut hidden) = (Matrix::new(form), Matrix::new(form));
            let (mut wide, mut raw) = (Matrix::new(heads_form(form, dim)), Matrix::new(form.of_products()));
            let (store, quick) = (Then::Store(ActivationFn::None), ActivationFn::QuickGelu);
            let mut line = format!("{name} {form:?}, {rows} rows:");
            let mut time = |what: &str, work: &mut dyn FnMut()| {
                work();
                gpu.stream.synchronize().unwrap();
                let start = std::time::Instant::now();
                (0..30).for_each(|_| work());
                gpu.stream.synchronize().unwrap();
                line += &format!(" {what} {:.0}", start.elapsed().as_secs_f64() * 1e6 / 30.0);
            };
            time("norm", &mut || gpu.layer_norm(&values, &norm, &mut rows_of).unwrap());
            time("qkv", &mut || gpu.product(&operand, &qkv, &mut wide, store).unwrap());
            time("attention", &mut || gpu.attention(heads, &wide, &wide, &attending, &mut rows_of).unwrap());
            time("out", &mut || gpu.product(&operand, &out, &mut values, Then::Add).unwrap());
            time("fc1 alone", &mut || gpu.product(&operand, &fc1, &mut raw, store).unwrap());
            time("activation", &mut || gpu.convert(&raw, quick, &mut hidden).unwrap());
            time("fc2", &mut || gpu.product(&hidden, &fc2, &mut values, Then::Add).unwrap());
            println!("{line}");
        }
    }
}

/// Returns the bits of a matrix of halves, row after row, without what fills a row's last group.
fn halves(gpu: &Gpu, x: &Matrix) -> Vec<Vec<u16>> {
    let bytes = gpu.stream.clone_dtoh(&x.bytes()).unwrap();
    let all: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_ne_bytes([b[0], b[1]])).collect();
    all.chunks_exact(x.width() * x.form().bytes() / 2).map(<[u16]>::to_vec).collect()
}

fn half_values(gpu: &Gpu, x: &Matrix) -> Vec<f32> {
    let of = |bits: u16| match x.form() {
        Form::F16 => half::f16::from_bits(bits).to_f32(),
        _ => half::bf16::from_bits(bits).to_f32(),
    };
    halves(gpu, x).iter().flat_map(|row| row[..x.columns()].iter().map(|&bits| of(bits)).collect::<Vec<_>>()).collect()
}

fn split_values(gpu: &Gpu, x: &Matrix) -> Vec<f32> {
    let of = |bits: u16| half::f16::from_bits(bits).to_f32();
    let row = |row: &Vec<u16>| (0..x.columns()).map(|c| of(row[c]) + of(row[x.width() + c])).collect::<Vec<f32>>();
    halves(gpu, x).iter().flat_map(row).collect()
}
