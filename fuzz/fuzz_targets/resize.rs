//! Any small image through any processor settings that are accepted.

#![no_main]

use image::RgbImage;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use zsic::Preprocessor;
use zsic::preprocess::Arithmetic;

fuzz_target!(|data: (u16, u16, [u16; 4], u8, &[u8])| {
    let (width, height, [a, b, c, d], flags, bytes) = data;
    let (width, height) = (u32::from(width) % 700, u32::from(height) % 700);
    let size = if flags & 1 == 0 { json!(a % 600) } else { json!({"height": a % 600, "width": b % 600}) };
    let crop = json!({"height": c % 600, "width": d % 600});
    let (resize, centre) = (flags & 2 == 0, flags & 4 == 0);
    let settings = json!({"size": size, "crop_size": crop, "resample": 2 + (flags >> 3 & 1),
        "do_resize": resize, "do_center_crop": centre});
    let Ok(preprocessor) = Preprocessor::from_json(settings, zsic::preprocess::ProcessorClass::Clip) else { return };
    let arithmetic = if flags & 16 == 0 { Arithmetic::Torchvision } else { Arithmetic::Pillow };
    let byte = |n: u32| bytes.get(n as usize % bytes.len().max(1)).copied().unwrap_or(n as u8);
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([byte(x + y), byte(x * 7), byte(y * 3 + x)]));
    if let Ok(pixels) = preprocessor.with_arithmetic(arithmetic).run(&image) {
        assert_eq!(pixels.data().len(), pixels.width() * pixels.height() * 3);
    }
});
