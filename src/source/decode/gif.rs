//! GIF: the first frame on its canvas, in the colours that Pillow gives it.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};

use super::{Decoded, Outcome, check_size, damaged};
use crate::source::ImageError;

/// Decodes the first frame.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Outcome<Decoded> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Unlimited); // the pixel cap is checked below, before pixels are allocated
    let mut file = options.read_info(Cursor::new(bytes)).map_err(failed)?;
    let (mut width, mut height) = (usize::from(file.width()), usize::from(file.height()));
    check_size(width as u64, height as u64, max_pixels)?;
    let global = file.global_palette().map(<[u8]>::to_vec);
    let (left, top, columns, rows, palette, background) = {
        let frame = file.next_frame_info().map_err(failed)?.ok_or_else(|| ImageError::truncated("GIF"))?;
        let place = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
        let palette = frame.palette.clone().or(global).unwrap_or_default();
        (place[0], place[1], place[2], place[3], palette, frame.transparent.unwrap_or(0))
    };
    // A frame that reaches beyond the canvas widens it.
    (width, height) = (width.max(left + columns), height.max(top + rows));
    check_size(width as u64, height as u64, max_pixels)?;
    let mut frame = vec![0; columns * rows];
    file.read_into_buffer(&mut frame).map_err(failed)?;
    let mut canvas = vec![background; width * height];
    for (row, line) in frame.chunks_exact(columns.max(1)).enumerate() {
        let at = (top + row) * width + left;
        canvas[at..at + columns].copy_from_slice(line);
    }
    let color = |&index: &u8| palette.get(usize::from(index) * 3..).and_then(|p| p.first_chunk::<3>()).copied();
    let data = canvas.iter().flat_map(|index| color(index).unwrap_or_default()).collect();
    let image = RgbImage::from_raw(width as u32, height as u32, data).ok_or_else(|| ImageError::truncated("GIF"))?;
    Ok(Decoded { image, orientation: Orientation::NoTransforms })
}

fn failed(e: DecodingError) -> ImageError {
    match e {
        DecodingError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => ImageError::truncated("GIF"),
        other => damaged(ImageFormat::Gif, other),
    }
}
