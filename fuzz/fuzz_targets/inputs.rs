//! Any bytes as a data: URI, or as a tar that is walked. Finds a panic, a hang, or unbounded memory.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use zsic::source::{Input, Select, Tally, Walk, read};

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    if first & 1 == 0 {
        let input = Input::from_arg(OsString::from_vec([b"data:", rest].concat()));
        assert!(input.name().as_str().starts_with("data:"));
        let _ = read(input);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    std::fs::write(&path, with_sums(rest)).unwrap();
    let inputs = [Ok(Input::from_arg(path))].into_iter();
    let tally = Arc::new(Tally::default());
    for entry in Walk::new(inputs, false, Select::default(), tally) {
        let name = entry.as_ref().map_or_else(|(name, _)| name.clone(), Input::name);
        assert!(name.as_str().contains("x.tar"));
    }
});

/// The blocks with right sums where a header's magic stands, which random bytes never have.
fn with_sums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}
