//! Any bytes as a model.safetensors: half of the time after a header length that fits, which random bytes never have.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    if first & 1 == 0 {
        return zsic_fuzz::read_all("model.safetensors", rest);
    }
    let header = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    let mut file = (header as u64).to_le_bytes().to_vec();
    file.extend(rest);
    zsic_fuzz::read_all("model.safetensors", &file);
});
