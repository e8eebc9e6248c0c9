//! Any bytes as a compiled classifier: half of the time behind a header length that fits, which random bytes never have. What is
//! read scores an image, and is written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zsic::compiled::Compiled;
use zsic::{Readout, Scorer};

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let header = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    let length = (header as u64).to_le_bytes();
    let file = if first & 1 == 0 { rest.to_vec() } else { [&length[..], rest].concat() };
    let Ok(compiled) = Compiled::from_bytes(&file) else { return };
    assert!(compiled.rows.values().len() <= file.len(), "more values than the file has bytes");
    assert_eq!(Compiled::from_bytes(&compiled.to_bytes()).as_ref(), Ok(&compiled));
    let readout = Readout { scale: 100.0, bias: 0.0, activation: compiled.activation() };
    let scorer = Scorer::new(readout, compiled.labels());
    let scorer = match compiled.decision() {
        Some(decision) => scorer.with_decision(decision, &compiled.background),
        None => scorer,
    };
    let image = vec![0.5; compiled.rows.dim()];
    _ = scorer.score(&[&image]);
});
