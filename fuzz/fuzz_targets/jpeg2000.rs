//! Any bytes after the beginning of JPEG 2000, a codestream or a container. A panic of the decoder counts as the file's error. Finds a
//! crash, a hang, or unbounded memory.

#![no_main]

use libfuzzer_sys::fuzz_target;

const BEGINNINGS: &[&[u8]] = &[b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"];

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| zsic_fuzz::decode(BEGINNINGS, data));
