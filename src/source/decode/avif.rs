//! The colours of AVIF as Pillow converts them: in libyuv's whole numbers where it has the matrix, else in libavif's
//! floats. Both interpolate the samples of halved colours.

use super::yuv::{Chroma, Coding, Planes};
use super::{DecodeResult, Format, unsupported};

/// Converts to RGB bytes [H, W, 3]. `with_alpha` says whether the image has alpha: Pillow then takes other paths.
pub(super) fn rgb(planes: &Planes, coding: Coding, with_alpha: bool) -> DecodeResult<Vec<u8>> {
    let fixed = Fixed::of(coding, planes.chroma).filter(|_| planes.chroma != Chroma::Grey || with_alpha);
    if let Some(fixed) = fixed {
        // Pillow keeps more than 8 bits until the end only if there is alpha.
        let keeps = with_alpha
            && (planes.depth == 10 && planes.chroma != Chroma::Grey
                || planes.depth == 12 && planes.chroma == Chroma::Half);
        return Ok(fixed.rgb(&planes.with_depth(if keeps { planes.depth } else { 8 })));
    }
    let float = Float::of(planes, coding);
    let float = float.ok_or_else(|| unsupported(Format::Avif, format!("colours of matrix {}", coding.matrix)))?;
    Ok(float.rgb(planes))
}

/// Divides RGB bytes by alpha [H, W], as libyuv does.
pub(super) fn unmultiply(rgb: &mut [u8], alpha: &Planes) {
    for (pixel, &alpha) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(&alpha.with_depth(8).samples[0]) {
        let factor = match alpha {
            0 => 0,
            1 => 0xffff,
            255 => 0x100,
            alpha => 0x10000 / u32::from(alpha),
        };
        *pixel = pixel.map(|value| ((u32::from(value) * 0x101 * factor) >> 16).min(255) as u8);
    }
}

/// libyuv's conversion in 64ths: brightness in 65536ths, then what is added to it, then the factors of colours.
struct Fixed {
    scale: u32,
    bias: i32,
    /// Blue of blue, green of blue, green of red, red of red.
    factors: [i32; 4],
}

impl Fixed {
    /// Finds the numbers of a matrix, if libyuv has it.
    fn of(coding: Coding, chroma: Chroma) -> Option<Self> {
        let matrix = match (coding.matrix, coding.primaries) {
            (0, _) if chroma == Chroma::Grey => 6,
            (2 | 5 | 6, _) | (12, 5 | 6) => 6,
            (1, _) | (12, 1 | 2) => 1,
            (9, _) | (12, 9) => 9,
            _ => return None,
        };
        let (scale, bias, factors) = match (matrix, coding.full_range) {
            (6, true) => (16320, 32, [113, 22, 46, 90]),
            (6, false) => (18997, -1160, [128, 25, 52, 102]),
            (1, true) => (16320, 32, [119, 12, 30, 101]),
            (1, false) => (18997, -1160, [128, 14, 34, 115]),
            (_, true) => (16320, 32, [120, 11, 37, 94]),
            (_, false) => (19003, -1160, [128, 12, 42, 107]),
        };
        Some(Self { scale, bias, factors })
    }

    fn rgb(&self, planes: &Planes) -> Vec<u8> {
        let mut out = vec![0; planes.width * planes.height * 3];
        let mut colours = [vec![0; planes.width], vec![0; planes.width]];
        for (y, out) in out.chunks_exact_mut(planes.width * 3).enumerate() {
            let brightness = planes.row(0, y).iter();
            if planes.chroma == Chroma::Grey {
                let grey = brightness.map(|&sample| ((self.brightness(sample, planes.depth)) >> 6).clamp(0, 255) as u8);
                out.as_chunks_mut::<3>().0.iter_mut().zip(grey).for_each(|(out, grey)| *out = [grey; 3]);
                continue;
            }
            for (plane, row) in colours.iter_mut().enumerate() {
                full_width(planes, plane + 1, y, row);
            }
            let samples = brightness.zip(&colours[0]).zip(&colours[1]);
            for (out, ((&y, &blue), &red)) in out.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
                *out = self.pixel(y, blue, red, planes.depth);
            }
        }
        out
    }

    #[inline]
    fn brightness(&self, sample: u16, depth: u32) -> i32 {
        let sample = u32::from(sample);
        let sample = if depth == 8 { sample * 0x101 } else { sample << (16 - depth) | sample >> (2 * depth - 16) };
        ((sample * self.scale) >> 16) as i32 + self.bias
    }

    #[inline]
    fn pixel(&self, y: u16, blue: u16, red: u16, depth: u32) -> [u8; 3] {
        let y = self.brightness(y, depth);
        let [blue, red] = [blue, red].map(|sample| i32::from(sample >> (depth - 8)) - 128);
        let [bb, gb, gr, rr] = self.factors;
        [y + red * rr, y - (blue * gb + red * gr), y + blue * bb].map(|value| (value >> 6).clamp(0, 255) as u8)
    }
}

/// Writes row `y` of a colour plane in full width: quarters of the two nearest samples across, sixteenths of the four
/// nearest if the colours are of half height too.
fn full_width(planes: &Planes, plane: usize, y: usize, out: &mut [u16]) {
    let [across, down] = planes.chroma.shifts();
    let near = planes.row(plane, y >> down);
    let is_edge = y == 0 || (y == planes.height - 1 && y % 2 == 1);
    let far = if down == 0 || is_edge { None } else { Some(planes.row(plane, (y - 1 + y % 2 * 2) >> down)) };
    let last = out.len() - 1;
    if across == 0 {
        out.copy_from_slice(near);
        return;
    }
    if planes.depth == 12 {
        out.iter_mut().enumerate().for_each(|(x, out)| *out = near[x / 2]); // libyuv has no better way for so many bits
        return;
    }
    let weigh = |x: usize, aside: usize| {
        let sample = |row: &[u16], x: usize| u32::from(row[x]);
        let (a, b) = (sample(near, x), sample(near, aside));
        let value = match far {
            None => (3 * a + b + 2) >> 2,
            Some(far) => (9 * a + 3 * b + 3 * sample(far, x) + sample(far, aside) + 8) >> 4,
        };
        value as u16
    };
    let end = |x: usize| far.map_or(near[x], |far| ((3 * u32::from(near[x]) + u32::from(far[x]) + 2) >> 2) as u16);
    for (x, out) in out.iter_mut().enumerate().take(last).skip(1) {
        *out = weigh(x / 2, (x - 1 + x % 2 * 2) / 2);
    }
    out[0] = end(0);
    out[last] = end(last / 2);
}

/// libavif's own conversion.
struct Float {
    weights: Option<[f32; 2]>,
    matrix: u16,
    black: f32,
    range: f32,
    middle: f32,
    colour_range: f32,
}

impl Float {
    fn of(planes: &Planes, coding: Coding) -> Option<Self> {
        let weights = match coding.matrix {
            0 if planes.chroma.shifts() != [0, 0] => return None,
            0 | 8 => None,
            10 | 11 | 13.. => return None,
            _ => Some(coding.weights().unwrap_or([0.299, 0.114])),
        };
        let unit = (1u32 << (planes.depth - 8)) as f32;
        let most = ((1u32 << planes.depth) - 1) as f32;
        let (black, range, colour_range) =
            if coding.full_range { (0.0, most, most) } else { (16.0 * unit, 219.0 * unit, 224.0 * unit) };
        let is_identity = coding.matrix == 0;
        let (middle, colour_range) = if is_identity { (black, range) } else { (128.0 * unit, colour_range) };
        Some(Self { weights, matrix: coding.matrix, black, range, middle, colour_range })
    }

    fn rgb(&self, planes: &Planes) -> Vec<u8> {
        let mut out = Vec::with_capacity(planes.width * planes.height * 3);
        for y in 0..planes.height {
            for (x, &sample) in planes.row(0, y).iter().enumerate() {
                let brightness = (f32::from(sample) - self.black) / self.range;
                let rgb = if planes.chroma == Chroma::Grey {
                    [brightness; 3]
                } else {
                    self.mixed(brightness, self.colour(planes, 1, x, y), self.colour(planes, 2, x, y))
                };
                out.extend(rgb.map(|value| (0.5 + value.clamp(0.0, 1.0) * 255.0) as u8));
            }
        }
        out
    }

    fn mixed(&self, y: f32, cb: f32, cr: f32) -> [f32; 3] {
        match self.weights {
            Some([kr, kb]) => {
                let kg = 1.0 - kr - kb;
                let green = y - 2.0 * (kr * (1.0 - kr) * cr + kb * (1.0 - kb) * cb) / kg;
                [y + 2.0 * (1.0 - kr) * cr, green, y + 2.0 * (1.0 - kb) * cb]
            }
            None if self.matrix == 0 => [cr, y, cb],
            None => [y - cb + cr, y + cb, y - cb - cr],
        }
    }

    /// Returns the value of a colour at a pixel, between its four nearest samples.
    fn colour(&self, planes: &Planes, plane: usize, x: usize, y: usize) -> f32 {
        let shifts = planes.chroma.shifts();
        let value = |x: usize, y: usize| (f32::from(planes.row(plane, y)[x]) - self.middle) / self.colour_range;
        if planes.chroma == Chroma::Full {
            return value(x, y);
        }
        let aside = |at: usize, length: usize, shift: usize| {
            let is_edge = at == 0 || (at == length - 1 && at % 2 == 1);
            if shift == 0 || is_edge { at >> shift } else { (at - 1 + at % 2 * 2) >> shift }
        };
        let [(near_x, far_x), (near_y, far_y)] = [(x, planes.width, shifts[0]), (y, planes.height, shifts[1])]
            .map(|(at, length, shift)| (at >> shift, aside(at, length, shift)));
        value(near_x, near_y) * (9.0 / 16.0)
            + value(far_x, near_y) * (3.0 / 16.0)
            + value(near_x, far_y) * (3.0 / 16.0)
            + value(far_x, far_y) * (1.0 / 16.0)
    }
}
