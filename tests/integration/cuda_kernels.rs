//! The CUDA kernels, as ordinary C++ on the host (`src/kernels/cuda/host.cpp`), compared with their formulas in float64. Needs
//! a C++ compiler. `src/kernels/cuda/tests.rs` tests them on a GPU.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::common::random;

/// Sizes that nothing divides, and those of models.
const SIZES: [usize; 7] = [1, 7, 50, 77, 257, 577, 1024];
/// The forms of results, and what a value of size 1 may be off by.
const FORMS: [(&str, f64); 4] = [("f32", 3e-6), ("bf16", 4e-3), ("f16", 5e-4), ("split", 3e-6)];

/// The kernels' program, compiled once.
static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels/cuda/host.cpp");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda-kernels");
    let mut compiler = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned()));
    let done = compiler.args(["-std=c++17", "-O2", "-U_FORTIFY_SOURCE", "-w", "-o"]).arg(&program).arg(source).status();
    assert!(done.expect("a C++ compiler: install g++").success(), "the kernels do not compile");
    program
});

/// Runs a kernel; see `host.cpp` for what its numbers are.
fn run(kernel: &str, form: &str, numbers: &[usize], values: &[&[f32]]) -> Vec<f64> {
    let mut host = Command::new(&*HOST);
    host.args([kernel, form]).args(numbers.iter().map(ToString::to_string));
    let mut host = host.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|values| values.iter().flat_map(|v| v.to_le_bytes())).collect();
    let mut stdin = host.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = host.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{kernel} {form} {numbers:?}");
    output.stdout.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
}

/// Numbers in [-1, 1) that look random.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut next = random(seed);
    (0..count).map(|_| next(1 << 24) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Checks results against what they should be, relative to the largest.
fn check(what: &str, got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let size = wanted.iter().fold(1f64, |size, v| size.max(v.abs()));
    let worst = got.iter().zip(wanted).map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max);
    assert!(worst < tolerance, "{what}: off by {worst} of {size}");
}

#[test]
fn layer_norm() {
    for (form, tolerance) in FORMS {
        for columns in SIZES {
            let x: Vec<f32> = noise(3 * columns, 1).iter().map(|x| x + 3.0).collect();
            let (weight, bias, eps) = (noise(columns, 2), noise(columns, 3), 1e-5f32);
            let got = run("layer_norm", form, &[3, columns], &[&x, &weight, &bias, &[eps]]);
            let row = |row: &[f32]| {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / columns as f64;
                let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / columns as f64;
                let value = |(i, &x): (usize, &f32)| {
                    (f64::from(x) - mean) / (variance + f64::from(eps)).sqrt() * f64::from(weight[i])
                        + f64::from(bias[i])
                };
                row.iter().enumerate().map(value).collect::<Vec<f64>>()
            };
            let wanted: Vec<f64> = x.chunks_exact(columns).flat_map(row).collect();
            check(&format!("{form}, {columns} columns"), &got, &wanted, tolerance);
        }
    }
}

/// The error function, by its series: good to 1e-12 for |x| < 4.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn nonlinearities() {
    let formulas: [fn(f64) -> f64; 5] = [
        |x| x,
        |x| x / (1.0 + (-1.702 * x).exp()),
        |x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        |x| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x.powi(3))).tanh()),
        |x| x.max(0.0),
    ];
    for (form, tolerance) in FORMS {
        for columns in SIZES {
            let x: Vec<f32> = noise(2 * columns, 5).iter().map(|x| x * 5.0).collect();
            for (act, formula) in formulas.iter().enumerate() {
                let wanted: Vec<f64> = x.iter().map(|&x| formula(x.into())).collect();
                let got = run("convert", form, &[2, columns, act, 0], &[&x]);
                check(&format!("{form}, nonlinearity {act} of {columns}"), &got, &wanted, tolerance);
                if form.ends_with("16") {
                    let got = run("convert", form, &[2, columns, act, 1], &[&x]);
                    check(
                        &format!("{form} to {form}, nonlinearity {act} of {columns}"),
                        &got,
                        &wanted,
                        2.5 * tolerance,
                    );
                }
            }
        }
    }
}

#[test]
fn patches() {
    for (form, tolerance) in FORMS {
        for (patch, sizes) in [(14, vec![(28, 14), (42, 56)]), (4, vec![(9, 8), (4, 4)]), (16, vec![(32, 32)])] {
            let table = noise(768, 7);
            let image = |&(width, height): &(usize, usize)| -> Vec<f32> {
                noise(width * height * 3, (width * height) as u64).iter().map(|x| ((x + 1.0) * 127.9).floor()).collect()
            };
            let images: Vec<Vec<f32>> = sizes.iter().map(image).collect();
            let numbers: Vec<usize> = std::iter::once(patch).chain(sizes.iter().flat_map(|&(w, h)| [w, h])).collect();
            let values: Vec<&[f32]> = images.iter().map(Vec::as_slice).chain([table.as_slice()]).collect();
            let got = run("patches", form, &numbers, &values);
            let mut wanted = Vec::new();
            for (image, &(width, height)) in images.iter().zip(&sizes) {
                for (row, column) in (0..height / patch).flat_map(|row| (0..width / patch).map(move |c| (row, c))) {
                    for n in 0..3 * patch * patch {
                        let (channel, y, x) = (n / (patch * patch), n / patch % patch, n % patch);
                        let byte = image[((row * patch + y) * width + column * patch + x) * 3 + channel];
                        wanted.push(f64::from(table[channel * 256 + byte as usize]));
                    }
                }
            }
            check(&format!("{form}, patches of {patch}"), &got, &wanted, tolerance);
        }
    }
}

#[test]
fn rows_are_moved_whole() {
    let (values, class, positions, resized) = (noise(5 * 16, 1), noise(16, 2), noise(3 * 16, 3), noise(2 * 16, 4));
    let row = |values: &[f32], row: usize| values[row * 16..][..16].iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let sum =
        |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| f64::from(*a as f32 + b as f32)).collect::<Vec<_>>();
    let got = run("add_positions", "f32", &[16, 5, 3, 2, 0, 4, 1, 3, 2, 4], &[&values, &class, &positions, &resized]);
    let wanted = [
        sum(row(&values, 0), row(&resized, 0)),
        sum(row(&values, 4), row(&positions, 2)),
        sum(row(&values, 1), row(&resized, 1)),
    ];
    assert_eq!(got, wanted.concat());
    assert_eq!(
        run("pick", "f32", &[16, 4, 0, 4], &[&values]),
        [row(&values, 4), row(&values, 0), row(&values, 4)].concat()
    );
    let mean = |from: usize, to: usize| -> Vec<f64> {
        let sum = |c: usize| (from..to).map(|r| f64::from(values[r * 16 + c])).sum::<f64>() / (to - from) as f64;
        (0..16).map(sum).collect()
    };
    check("mean", &run("mean", "f32", &[16, 1, 3, 2, 5], &[&values]), &[mean(1, 3), mean(2, 5)].concat(), 1e-6);
}

/// Groups of queries and keys, as `host.cpp` takes them.
type Group = [usize; 4];

/// Runs attention, of heads side by side, and checks it. `warps` is 0 for the kernel in f32.
fn attend(form: &str, (heads, dim, warps): (usize, usize, usize), causal: bool, groups: &[Group], tolerance: f64) {
    let width = heads * dim;
    let rows = groups.iter().map(|g| (g[0] + g[1]).max(g[2] + g[3])).max().unwrap();
    let qkv = noise(rows * 3 * width, (dim + rows) as u64);
    let numbers = [&[heads, dim, warps, usize::from(causal)][..], groups.as_flattened()].concat();
    let got = run("attention", form, &numbers, &[&qkv]);
    let at = |row: usize, part: usize, column: usize| f64::from(qkv[row * 3 * width + part * width + column]);
    for [query, queries, key, keys] in groups.iter().copied() {
        for (row, column) in (0..queries).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let first = column / dim * dim;
            let seen = if causal { keys - queries + row + 1 } else { keys };
            let score = |k: usize| {
                let dot: f64 = (first..first + dim).map(|i| at(query + row, 0, i) * at(key + k, 1, i)).sum();
                (dot / (dim as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let mixed = (0..seen).map(|k| scores[k] * at(key + k, 2, column)).sum::<f64>() / scores.iter().sum::<f64>();
            let off = (got[(query + row) * width + column] - mixed).abs();
            let what = format!("{form}, heads of {dim}, {warps} warps, causal {causal}, {groups:?}: {row} {column}");
            assert!(off < tolerance, "{what}: off by {off}");
        }
    }
}

#[test]
fn attention() {
    for (form, tolerance) in FORMS {
        attend(form, (2, 12, 0), false, &[[0, 9, 0, 9], [9, 33, 9, 33]], 2.0 * tolerance);
        attend(form, (1, 64, 0), true, &[[0, 77, 0, 77], [77, 1, 77, 9]], 2.0 * tolerance);
    }
    let kernels = [(32, 4), (64, 4), (64, 8), (72, 4), (80, 8), (88, 4), (104, 4), (128, 4), (8, 4)];
    for (form, tolerance) in &FORMS[1..] {
        for (dim, warps) in kernels {
            attend(form, (2, dim, warps), false, &[[0, 50, 0, 50], [50, 7, 50, 7]], 2.0 * tolerance);
            attend(form, (1, dim, warps), true, &[[0, 77, 0, 77], [77, 1, 77, 9]], 2.0 * tolerance);
            attend(form, (1, dim, warps), false, &[[0, 1, 0, 1]], 2.0 * tolerance);
        }
        attend(form, (1, 64, 8), false, &[[0, 257, 0, 257]], 2.0 * tolerance);
    }
}
