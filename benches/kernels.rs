//! The CPU's kernels at the shapes of real towers, by instruction set, against the plain version and against the machine's
//! own rate of multiplication (the group `peak`, in the same unit). Each kernel runs on all threads.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use zsic::Isa;
use zsic::kernels::product::{Then, peak::multiply_in_registers};
use zsic::kernels::{ActivationFn, Attends, Element, Linear, Matrix, Norm, attention, layer_norm, product};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

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

fn peak(c: &mut Criterion) {
    for (isa, element, name) in sets().into_iter().filter(|(isa, ..)| *isa != Isa::Plain) {
        let steps = 1_000_000;
        let operations = multiply_in_registers(isa, element, 1);
        let mut group = group(c, "peak", operations * steps);
        group.bench_function(name, |b| b.iter(|| multiply_in_registers(isa, element, black_box(steps))));
    }
}

fn products(c: &mut Criterion) {
    for (m, k, n) in [(50, 768, 3072), (1600, 3072, 768), (257, 1024, 4096), (2056, 4096, 1024)] {
        let mut group = group(c, &format!("product {m} x {k} x {n}"), 2 * m * k * n);
        for (isa, element, name) in sets() {
            if isa == Isa::Plain && m > 100 {
                continue; // seconds
            }
            let mut linear = Linear::new(isa, element, k, n);
            linear.pack_rows(0, &vec![0.01; n * k]);
            let mut x = Matrix::new(element);
            x.shape(m, k);
            x.words_mut().fill(f32::from_bits(0x3c00_3c00)); // 0.0078 as f32, and twice as bf16
            let mut y = Matrix::new(Element::F32);
            let then = Then::Store(ActivationFn::None);
            group.bench_function(name, |b| b.iter(|| product(black_box(&x), &linear, &mut y, then)));
        }
    }
}

fn attentions(c: &mut Criterion) {
    for (items, length, heads) in [(32, 50, 12), (8, 257, 16)] {
        let name = format!("attention {items} x {length} x {heads} heads of 64");
        let mut group = group(c, &name, 4 * items * heads * length * length * 64);
        let mut qkv = Matrix::new(Element::F32);
        qkv.shape(items * length, 3 * heads * 64);
        qkv.words_mut().fill(0.1);
        let mut attends = Attends::new(false);
        (0..items).for_each(|item| attends.push(length, (item * length) as u32..((item + 1) * length) as u32));
        for (isa, _, name) in sets().into_iter().filter(|(_, element, _)| *element == Element::F32) {
            let mut out = Matrix::new(Element::F32);
            group.bench_function(name, |b| b.iter(|| attention(isa, heads, black_box(&qkv), &qkv, &attends, &mut out)));
        }
    }
}

fn layer_norms(c: &mut Criterion) {
    let (rows, width) = (2056, 1024);
    let mut group = group(c, &format!("layer norm {rows} x {width}"), rows * width);
    let mut x = Matrix::new(Element::F32);
    x.shape(rows, width);
    x.words_mut().fill(0.1);
    for (isa, _, name) in sets().into_iter().filter(|(_, element, _)| *element == Element::F32) {
        let norm = Norm::new(isa, vec![1.0; width], vec![0.0; width], 1e-5);
        let mut y = Matrix::new(Element::F32);
        group.bench_function(name, |b| b.iter(|| layer_norm(black_box(&x), &norm, &mut y)));
    }
}

/// Times products of 16 values, so that nearly all of the time is the activation.
fn activations(c: &mut Criterion) {
    let (m, k, n) = (1600, 16, 3072);
    for act in ActivationFn::ALL {
        let mut group = group(c, &format!("product {m} x {k} x {n}, {act:?}"), m * n);
        let x = Matrix::from_values(&vec![0.1; m * k], k);
        for (isa, _, name) in sets().into_iter().filter(|(_, element, _)| *element == Element::F32) {
            let linear = Linear::new(isa, Element::F32, k, n);
            let mut y = Matrix::new(Element::F32);
            group.bench_function(name, |b| b.iter(|| product(black_box(&x), &linear, &mut y, Then::Store(act))));
        }
    }
}

criterion_group!(benches, peak, products, attentions, layer_norms, activations);
criterion_main!(benches);
