//! The CPU's kernels at the shapes of real towers, by instruction set, against the plain version and against the machine's
//! own rate of multiplication (the group `peak`, in the same unit). Each kernel runs on all threads.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use zsic::Isa;
use zsic::kernels::product::{Then, peak::multiply_in_registers};
use zsic::kernels::rows::fill as fill_rows;
use zsic::kernels::{
    ActivationFn, Attends, Element, Linear, Matrix, Norm, attention, heads_matrix, layer_norm, operand, product,
};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Rows, width and width of the hidden layer of towers' blocks: ViT-B/32 on 1 and on 32 images, ViT-L/14 on 1 and on 8.
const BLOCKS: [(usize, usize, usize); 4] = [(50, 768, 3072), (1600, 768, 3072), (257, 1024, 4096), (2056, 1024, 4096)];

/// Returns every instruction set of this machine with the elements it multiplies, best first.
fn sets() -> Vec<(Isa, Element, String)> {
    let all = Isa::available().flat_map(|isa| isa.elements().iter().map(move |&element| (isa, element)));
    let mut sets: Vec<_> = all.map(|(isa, element)| (isa, element, format!("{}, {element:?}", isa.name()))).collect();
    sets.reverse();
    sets
}

fn group<'a>(c: &'a mut Criterion, name: &str, operations: usize) -> Group<'a> {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(operations as u64));
    group
}

/// Fills rows with values of about 0.1.
fn fill(rows: usize, columns: usize, matrix: &mut Matrix) {
    fill_rows(Isa::Plain, rows, columns, matrix, |_, row| row.fill(0.1));
}

fn peak(c: &mut Criterion) {
    for (isa, element, name) in sets().into_iter().filter(|(isa, ..)| *isa != Isa::Plain) {
        let steps = 300_000;
        let operations = multiply_in_registers(isa, element, 1);
        let mut group = group(c, "peak", operations * steps);
        group.bench_function(name, |b| b.iter(|| multiply_in_registers(isa, element, black_box(steps))));
    }
}

/// Times the four products of a block as a tower computes them, but that their sums grow.
fn products(c: &mut Criterion) {
    for (m, width, hidden) in BLOCKS {
        let gelu = Then::Store(ActivationFn::QuickGelu);
        for (name, k, n, then) in [
            ("qkv", width, 3 * width, Then::Store(ActivationFn::None)),
            ("out", width, width, Then::Add),
            ("fc1", width, hidden, gelu),
            ("fc2", hidden, width, Then::Add),
        ] {
            let mut group = group(c, &format!("{name} {m} x {k} x {n}"), 2 * m * k * n);
            for (isa, element, set) in sets() {
                if isa == Isa::Plain && m > 100 {
                    continue; // seconds
                }
                let mut linear = Linear::new(isa, element, k, n);
                linear.pack_rows(0, &vec![0.001; n * k]);
                let (mut x, mut y) = (operand(isa, element), Matrix::new(Element::F32));
                fill(m, k, &mut x);
                match name {
                    "qkv" => y = heads_matrix(isa, element),
                    "fc1" => y = operand(isa, element),
                    _ => fill(m, n, &mut y),
                }
                group.bench_function(set, |b| b.iter(|| product(black_box(&x), &linear, &mut y, then)));
            }
        }
    }
}

fn attentions(c: &mut Criterion) {
    for (items, length, heads) in [(32, 50, 12), (8, 257, 16)] {
        let name = format!("attention {items} x {length} x {heads} heads of 64");
        let mut group = group(c, &name, 4 * items * heads * length * length * 64);
        let mut attends = Attends::new(false);
        (0..items).for_each(|item| attends.push(length, (item * length) as u32..((item + 1) * length) as u32));
        for (isa, element, name) in sets() {
            let (mut qkv, mut out) = (heads_matrix(isa, element), operand(isa, element));
            fill(items * length, 3 * heads * 64, &mut qkv);
            group.bench_function(name, |b| b.iter(|| attention(isa, heads, black_box(&qkv), &qkv, &attends, &mut out)));
        }
    }
}

fn layer_norms(c: &mut Criterion) {
    let (rows, width) = (2056, 1024);
    let mut group = group(c, &format!("norm {rows} x {width}"), rows * width);
    let mut x = Matrix::new(Element::F32);
    fill(rows, width, &mut x);
    for (isa, element, name) in sets() {
        let norm = Norm::new(isa, vec![1.0; width], vec![0.0; width], 1e-5);
        let mut y = operand(isa, element);
        group.bench_function(name, |b| b.iter(|| layer_norm(black_box(&x), &norm, &mut y)));
    }
}

/// Times products of 32 values, so that nearly all of the time is the activation.
fn activations(c: &mut Criterion) {
    let (m, k, n) = (1600, 32, 3072);
    for act in ActivationFn::ALL {
        let mut group = group(c, &format!("{act:?} {m} x {n}"), m * n);
        for (isa, element, name) in sets() {
            let linear = Linear::new(isa, element, k, n);
            let (mut x, mut y) = (operand(isa, element), operand(isa, element));
            fill(m, k, &mut x);
            group.bench_function(name, |b| b.iter(|| product(black_box(&x), &linear, &mut y, Then::Store(act))));
        }
    }
}

criterion_group!(benches, peak, products, attentions, layer_norms, activations);
criterion_main!(benches);
