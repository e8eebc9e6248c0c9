//! Reading a tokenizer, and prompts through it.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use zsic::Template;
use zsic::checkpoint::Files;
use zsic::text::{OPENAI_80, Tokenizer, TokenizerClass, TokenizerPlan};

fn tokenize(c: &mut Criterion) {
    let files = Files::directory(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokens"));
    c.bench_function("tokenizer: open", |b| {
        b.iter(|| Tokenizer::open(black_box(&files), &TokenizerPlan::of(TokenizerClass::Clip)).map(drop))
    });
    let tokenizer = Tokenizer::open(&files, &TokenizerPlan::of(TokenizerClass::Clip)).expect("the fixture is sound");
    let templates = Template::parse_lines(OPENAI_80).expect("the set is sound");
    let prompts: Vec<String> = templates.iter().map(|t| t.fill("golden retriever")).collect();
    c.bench_function("tokenizer: 80 prompts", |b| {
        b.iter(|| prompts.iter().map(|p| tokenizer.encode(black_box(p)).map_or(0, |ids| ids.len())).sum::<usize>());
    });
}

criterion_group!(benches, tokenize);
criterion_main!(benches);
