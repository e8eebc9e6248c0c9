//! Any bytes as an image of any format, and as the head of a file that a folder holds. Panics inside a decoder count as
//! the file's error. Finds a panic outside of decoders, a hang, or unbounded memory.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    let name = std::path::Path::new("x.dng");
    let _ = (zsic::source::is_image(data), zsic::source::preview(name, data));
    if let Ok(image) = zsic::source::decode(data, 1 << 20) {
        assert!(image.width() > 0 && image.height() > 0);
    }
});
