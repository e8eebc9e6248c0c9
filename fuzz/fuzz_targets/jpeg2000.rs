//! Any bytes after the beginning of a JPEG 2000 codestream or container, which the first byte chooses. Panics inside the
//! decoder count as the file's error. Finds a hang, or unbounded memory.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let beginning: &[u8] = if kind % 2 == 0 { b"\xff\x4f\xff\x51" } else { b"\0\0\0\x0cjP  \r\n\x87\n" };
    let bytes = [beginning, rest].concat();
    if let Ok(image) = zsic::source::decode(&bytes, 1 << 20) {
        assert!(image.width() > 0 && image.height() > 0);
    }
});
