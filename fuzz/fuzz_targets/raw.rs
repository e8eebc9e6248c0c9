//! Any bytes after the beginning of camera raw files. A panic of the decoder counts as the file's error. Finds a
//! crash, a hang, or unbounded memory.

#![no_main]

use libfuzzer_sys::fuzz_target;

const BEGINNINGS: &[&[u8]] = &[b"IIRO", b"IIU\0", b"FUJIFILMCCD-RAW ", b"\0\0\0\x18ftypcrx ", b"II*\0\x10\0\0\0CR\x02\0"];

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| zsic_fuzz::decode(BEGINNINGS, data));
