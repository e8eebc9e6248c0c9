//! Any bytes after the beginning of HEIC. A panic of the decoder counts as the file's error. Finds a
//! crash, a hang, or unbounded memory.

#![no_main]

use libfuzzer_sys::fuzz_target;

const BEGINNINGS: &[&[u8]] = &[b"\0\0\0\x18ftypheic\0\0\0\0", b"\0\0\0\x18ftypmif1\0\0\0\0"];

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| zsic_fuzz::decode(BEGINNINGS, data));
