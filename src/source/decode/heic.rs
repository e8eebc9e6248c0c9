//! HEVC pictures, and their colours as libheif converts them: each sample of a colour counts for all pixels that it
//! covers.

use heifer_hevc_dec::Error;
use heifer_hevc_dec::decoder::{DecodeOptions, decode_picture};
use heifer_hevc_dec::nal::{NalUnit, split_annex_b};
use heifer_hevc_dec::params::ParameterSets;
use heifer_hevc_dec::slice::SliceHeader;

use super::yuv::{Chroma, Coding, Planes};
use super::{BROKEN, DecodeResult, Format, damaged, unsupported};

/// Decodes a picture of at most `most` pixels from a stream of NAL units with start codes.
pub(super) fn decode(stream: &[u8], most: u64) -> DecodeResult<(Planes, Coding)> {
    let options = DecodeOptions { max_pixels: most, ..DecodeOptions::default() };
    check_slices(stream)?;
    let frame = decode_picture(stream, options).map_err(|e| match e {
        Error::Unimplemented(what) => unsupported(Format::Heic, what),
        _ => damaged(Format::Heic, BROKEN),
    })?;
    let chroma = match frame.chroma_format {
        0 => Chroma::Grey,
        1 => Chroma::Half,
        2 => Chroma::HalfWidth,
        _ => Chroma::Full,
    };
    let [depth, chroma_depth] = frame.bit_depth;
    if chroma != Chroma::Grey && depth != chroma_depth {
        return Err(unsupported(Format::Heic, "colours of another depth than brightness"));
    }
    let [width, height] = [frame.widths[0], frame.heights[0]].map(|side| side as usize);
    let planes = Planes { width, height, depth: depth.into(), chroma, samples: frame.planes };
    if (0..3).any(|plane| planes.size(plane).iter().product::<usize>() != planes.samples[plane].len()) {
        return Err(unsupported(Format::Heic, "an odd size with halved colours"));
    }
    let coding = Coding { matrix: frame.matrix_coeffs.into(), primaries: 2, full_range: frame.full_range };
    Ok((planes, coding))
}

/// Checks that each slice of the first picture begins after the one before. The decoder only counts what it decoded.
fn check_slices(stream: &[u8]) -> DecodeResult<()> {
    let broken = |_: Error| damaged(Format::Heic, BROKEN);
    let mut sets = ParameterSets::default();
    let (mut last, mut address) = (None::<SliceHeader>, None);
    for unit in split_annex_b(stream) {
        let unit = NalUnit::parse(unit).map_err(broken)?;
        if !unit.header.unit_type.is_slice() {
            if address.is_none() {
                sets.add(&unit).map_err(broken)?;
            }
            continue;
        }
        if address.is_some() && unit.rbsp.first().is_some_and(|byte| byte & 0x80 != 0) {
            break; // the next picture
        }
        let header = SliceHeader::parse(&unit.rbsp, &unit.header, &sets, last.as_ref()).map_err(broken)?;
        if address.replace(header.slice_segment_address).is_some_and(|before| before >= header.slice_segment_address) {
            return Err(damaged(Format::Heic, BROKEN));
        }
        if !header.dependent_slice_segment_flag {
            last = Some(header);
        }
    }
    Ok(())
}

/// Converts to RGB bytes [H, W, 3].
pub(super) fn rgb(planes: &Planes, coding: Coding) -> DecodeResult<Vec<u8>> {
    let matrix = Matrix::of(coding).ok_or_else(|| unsupported(Format::Heic, format!("matrix {}", coding.matrix)))?;
    // libheif takes the shortest way to bytes: here it drops bits before it converts, elsewhere after.
    let is_whole = matrix.kind == Kind::Weighted && coding.full_range && planes.chroma == Chroma::Half;
    let planes = &*planes.with_depth(if is_whole { 8 } else { planes.depth });
    let mut out = Vec::with_capacity(planes.width * planes.height * 3);
    let [across, down] = planes.chroma.shifts();
    for y in 0..planes.height {
        let brightness = planes.row(0, y);
        if planes.chroma == Chroma::Grey {
            out.extend(brightness.iter().flat_map(|sample| [(sample >> (planes.depth - 8)) as u8; 3]));
            continue;
        }
        let (blue, red) = (planes.row(1, y >> down), planes.row(2, y >> down));
        let samples = brightness.iter().enumerate().map(|(x, &y)| [y, blue[x >> across], red[x >> across]]);
        if is_whole {
            out.extend(samples.flat_map(|sample| matrix.whole_pixel(sample)));
        } else {
            out.extend(samples.flat_map(|sample| matrix.pixel(sample, planes.depth)));
        }
    }
    Ok(out)
}

/// How brightness and colours become RGB.
struct Matrix {
    kind: Kind,
    full_range: bool,
    /// Red of red, green of blue, green of red, blue of blue.
    factors: [f32; 4],
    /// The same in 256ths.
    whole: [i32; 4],
}

#[derive(PartialEq)]
enum Kind {
    /// The planes are green, blue, red.
    Identity,
    YCgCo,
    Weighted,
}

impl Matrix {
    fn of(coding: Coding) -> Option<Self> {
        let kind = match coding.matrix {
            0 => Kind::Identity,
            8 => Kind::YCgCo,
            11 | 14 | 16 => return None,
            _ => Kind::Weighted,
        };
        let factors = coding.weights().map_or([1.402, -0.344_136, -0.714_136, 1.772], |[kr, kb]| {
            [
                2.0 * (-kr + 1.0),
                2.0 * kb * (-kb + 1.0) / (kb + kr - 1.0),
                2.0 * kr * (-kr + 1.0) / (kb + kr - 1.0),
                2.0 * (-kb + 1.0),
            ]
        });
        Some(Self { kind, full_range: coding.full_range, factors, whole: factors.map(|f| (256.0 * f).round() as i32) })
    }

    /// Converts 8 bits of full range in whole numbers.
    #[inline]
    fn whole_pixel(&self, sample: [u16; 3]) -> [u8; 3] {
        let [y, blue, red] = sample.map(i32::from);
        let (cb, cr) = (blue - 128, red - 128);
        let [rr, gb, gr, bb] = self.whole;
        [rr * cr, gb * cb + gr * cr, bb * cb].map(|colour| (y + ((colour + 128) >> 8)).clamp(0, 255) as u8)
    }

    /// Converts any other samples at their own depth, and drops the lower bits.
    #[inline]
    fn pixel(&self, sample: [u16; 3], depth: u32) -> [u8; 3] {
        let [y, blue, red] = sample.map(i32::from);
        let (middle, black) = (1 << (depth - 1), (16 << (depth - 8)) as f32);
        let byte = |value: i32| (value.clamp(0, (1 << depth) - 1) >> (depth - 8)) as u8;
        let round = |value: f32| byte((value + 0.5) as i32);
        let (cb, cr) = (blue - middle, red - middle);
        match (&self.kind, self.full_range) {
            (Kind::Identity, true) => [red, y, blue].map(byte),
            (Kind::Identity, false) => [(red, 1.1429), (y, 1.1689), (blue, 1.1429)]
                .map(|(value, factor)| round((value as f32 - black) * factor)),
            (Kind::YCgCo, _) => [y - cb + cr, y + cb, y - cb - cr].map(byte),
            (Kind::Weighted, full_range) => {
                let [rr, gb, gr, bb] = self.factors;
                let [y, cb, cr] = [y, cb, cr].map(|value| value as f32);
                let [y, cb, cr] =
                    if full_range { [y, cb, cr] } else { [(y - black) * 1.1689, cb * 1.1429, cr * 1.1429] };
                [y + rr * cr, y + gb * cb + gr * cr, y + bb * cb].map(round)
            }
        }
    }
}
