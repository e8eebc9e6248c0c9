//! JPEG XL through the `jxl` crate of libjxl's authors: a bare codestream or a container. The picture is the first frame
//! of an animation. The header's orientation is applied here; orientation in EXIF only informs, as libjxl treats it. A JPEG
//! file inside is decoded as JPEG XL, as libjxl does. Pixels are libjxl's before it dithers them to 8 bits.

use bytemuck::cast_slice_mut;
use image::RgbImage;
use image::metadata::Orientation;
use jxl::api::{
    Endianness, Event, ExtraChannel, JxlBasicInfo, JxlBitDepth, JxlColorType, JxlDataFormat, JxlDecoder,
    JxlDecoderOptions, JxlOutputBuffer, JxlPixelFormat, ProfileLevel,
};
use jxl::error::Error;

use super::bounds::Bounds;
use super::{BROKEN, DecodeResult, Decoded, Format, damaged, rgb, unsupported};
use crate::source::ImageError;

/// Bytes that decoding takes per sample, extra channels included, and for any picture, as measured.
const BYTES_OF_SAMPLE: u64 = 5;
const BYTES: u64 = 8 << 20;
/// Samples that a frame may have in any picture; frames of larger pictures may be as large as the picture.
const SAMPLES: usize = 1 << 20;

/// The most extra channels, of which alpha is one.
const EXTRA_CHANNELS: usize = 16;

/// Decodes a JPEG XL file.
pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> DecodeResult<Decoded> {
    let (mut decoder, _) = begun(bytes, None)?;
    let info = info(&mut decoder)?;
    let (width, height) = info.size;
    bounds.check(width as u64, height as u64)?;
    if info.extra_channels.iter().any(|channel| matches!(channel.ec_type, ExtraChannel::Black)) {
        return Err(unsupported(Format::JpegXl, "CMYK colours"));
    }
    if info.extra_channels.len() > EXTRA_CHANNELS {
        return Err(unsupported(Format::JpegXl, format!("more than {EXTRA_CHANNELS} extra channels")));
    }
    let samples = width * height * (3 + info.extra_channels.len());
    bounds.take(bytes.len() as u64 + samples as u64 * BYTES_OF_SAMPLE + BYTES)?;
    let (decoder, rest) = begun(bytes, Some(samples.max(SAMPLES) + 1))?;
    let (pixels, grey) = pixels(decoder, rest, info.size, info.extra_channels.len())?;
    let is_8_bit = matches!(info.bit_depth, JxlBitDepth::Int { bits_per_sample: ..=8 });
    let byte = |&sample: &u16| if is_8_bit { nearest_byte(sample) } else { rgb::from_u16(sample) };
    let data = match grey {
        true => pixels.iter().flat_map(|sample| [byte(sample); 3]).collect(),
        false => pixels.iter().map(byte).collect(),
    };
    let image = RgbImage::from_raw(width as u32, height as u32, data).ok_or_else(ImageError::empty)?;
    Ok(Decoded { image, orientation: Orientation::NoTransforms })
}

/// Returns a decoder that has read the header, and the rest of the file. Frames with more samples than `most` are
/// refused before they are allocated.
fn begun(bytes: &[u8], most: Option<usize>) -> DecodeResult<(JxlDecoder, &[u8])> {
    let mut options = JxlDecoderOptions::default();
    options.sample_limit = most;
    options.max_profile_level = ProfileLevel::Main10;
    let (mut decoder, mut rest) = (JxlDecoder::new(options), bytes);
    match decoder.process(&mut rest, None, None).map_err(failed)? {
        Event::BasicInfo => Ok((decoder, rest)),
        _ => Err(ImageError::truncated("JPEG XL")),
    }
}

fn info(decoder: &mut JxlDecoder) -> DecodeResult<JxlBasicInfo> {
    decoder.basic_info().cloned().ok_or_else(ImageError::empty)
}

/// Decodes the first frame to 16 bits, which are not dithered as 8 bits would be. Returns whether it is grey, with one
/// sample per pixel in place of three.
fn pixels(
    mut decoder: JxlDecoder,
    mut rest: &[u8],
    (width, height): (usize, usize),
    extra_channels: usize,
) -> DecodeResult<(Vec<u16>, bool)> {
    let grey = decoder.current_pixel_format().is_some_and(|format| format.color_type.is_grayscale());
    let color_type = if grey { JxlColorType::Grayscale } else { JxlColorType::Rgb };
    let sixteen = JxlDataFormat::U16 { endianness: Endianness::native(), bit_depth: 16 };
    let extra_channel_format = vec![None; extra_channels];
    let format = JxlPixelFormat { color_type, color_data_format: Some(sixteen), extra_channel_format };
    decoder.set_pixel_format(format).map_err(failed)?;
    let row = width * color_type.samples_per_pixel();
    let mut pixels = vec![0u16; row * height];
    let mut buffers = [JxlOutputBuffer::new(cast_slice_mut(&mut pixels), height, row * 2)];
    loop {
        match decoder.process(&mut rest, Some(&mut buffers), None).map_err(failed)? {
            Event::NeedMoreInput { .. } | Event::Complete => return Err(ImageError::truncated("JPEG XL")),
            Event::FrameComplete { .. } => return Ok((pixels, grey)),
            Event::BasicInfo | Event::FrameHeader => {}
        }
    }
}

/// Scales a sample of 16 bits to the nearest one of 8 bits.
fn nearest_byte(sample: u16) -> u8 {
    ((u32::from(sample) + 128) / 257) as u8
}

fn failed(e: Error) -> ImageError {
    match e {
        Error::ImageSizeTooLarge(..) => unsupported(Format::JpegXl, "a frame that is larger than the image"),
        _ => damaged(Format::JpegXl, BROKEN),
    }
}
