//! Samples of every colour model -> RGB bytes, by the integer formulas of Pillow 13 (Convert.c, ConvertYCbCr.c) and of
//! libjpeg (jdcolor.c).

/// Up to 256 colours; an index past their end is black.
pub(super) struct Palette([[u8; 3]; 256]);

impl Palette {
    pub(super) fn from_rgb(colours: &[[u8; 3]]) -> Self {
        let mut palette = [[0; 3]; 256];
        palette.iter_mut().zip(colours).for_each(|(entry, colour)| *entry = *colour);
        Self(palette)
    }

    pub(super) fn greys() -> Self {
        Self(std::array::from_fn(|i| [i as u8; 3]))
    }

    pub(super) fn colours(&self, indices: &[u8]) -> Vec<u8> {
        indices.iter().flat_map(|&index| self.0[usize::from(index)]).collect()
    }
}

/// Repeats each grey three times.
pub(super) fn from_grey(samples: &[u8]) -> Vec<u8> {
    samples.iter().flat_map(|&grey| [grey; 3]).collect()
}

/// Converts `C, M, Y, K`, each 0 for no ink.
pub(super) fn from_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let paper = u32::from(255 - k);
    let channel = |ink: u8| {
        let product = u32::from(ink) * paper + 128;
        paper.saturating_sub(((product >> 8) + product) >> 8) as u8
    };
    [channel(c), channel(m), channel(y)]
}

/// Converts full-range YCbCr, in Pillow's fixed point with six fractional bits.
pub(super) fn from_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let part = |value: u8, factor: f64| ((f64::from(value) - 128.0) * factor * 64.0 + 0.5) as i32;
    let clip = |value: i32| (i32::from(y) + (value >> 6)).clamp(0, 255) as u8;
    [clip(part(cr, 1.402)), clip(part(cb, -0.34414) + part(cr, -0.71414)), clip(part(cb, 1.772))]
}

/// Converts full-range YCbCr as libtiff and libjpeg do, in fixed point with sixteen fractional bits.
pub(super) fn from_ycc([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let [cb, cr] = [cb, cr].map(|value| i32::from(value) - 128);
    let clip = |value: i32| (i32::from(y) + (value >> 16)).clamp(0, 255) as u8;
    [clip(91881 * cr + 32768), clip(-22554 * cb - 46802 * cr + 32768), clip(116_130 * cb + 32768)]
}

/// Converts CIE L*a*b* of 8 bits, with signed `a` and `b`, to sRGB. Pillow uses littleCMS, whose small table is less
/// exact.
pub(super) fn from_lab([l, a, b]: [u8; 3]) -> [u8; 3] {
    const WHITE: [f64; 3] = [0.9642, 1.0, 0.8249]; // D50
    // XYZ of D50 -> linear sRGB, adapted by Bradford.
    const MATRIX: [[f64; 3]; 3] = [
        [3.133_856_1, -1.616_866_7, -0.490_614_6],
        [-0.978_768_4, 1.916_141_5, 0.033_454_0],
        [0.071_945_3, -0.228_991_4, 1.405_242_7],
    ];
    let y = (f64::from(l) * 100.0 / 255.0 + 16.0) / 116.0;
    let cubes = [y + f64::from(a as i8) / 500.0, y, y - f64::from(b as i8) / 200.0];
    let linear = cubes.map(|f| if f > 6.0 / 29.0 { f * f * f } else { (f - 4.0 / 29.0) * 108.0 / 841.0 });
    MATRIX.map(|row| {
        let v: f64 = (0..3).map(|i| row[i] * linear[i] * WHITE[i]).sum();
        let v = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (v * 255.0).round() as u8 // saturates
    })
}

/// Undoes the multiplication with alpha, the last sample.
pub(super) fn from_premultiplied([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    [r, g, b].map(|value| (u32::from(value) * 255).checked_div(a.into()).unwrap_or(0).min(255) as u8)
}

/// Takes the high byte of a 16-bit sample.
pub(super) fn from_u16(sample: u16) -> u8 {
    (sample >> 8) as u8
}

/// Truncates to a whole number and clips.
pub(super) fn from_f32(sample: f32) -> u8 {
    sample as u8 // saturates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_as_pillow() {
        assert_eq!(from_cmyk([100, 150, 200, 50]), [125, 84, 44]);
        assert_eq!(from_cmyk([255, 0, 0, 0]), [0, 255, 255]);
    }

    #[test]
    fn ycbcr_as_pillow() {
        assert_eq!(from_ycbcr([128, 128, 128]), [128, 128, 128]);
        assert_eq!(from_ycbcr([76, 85, 255]), [254, 0, 0]);
    }

    #[test]
    fn lab_white_and_grey() {
        assert_eq!(from_lab([255, 0, 0]), [255; 3]);
        assert_eq!(from_lab([0, 0, 0]), [0; 3]);
        assert_eq!(from_lab([136, 0, 0]), [127; 3]);
    }

    #[test]
    fn transparent_has_no_colour() {
        assert_eq!(from_premultiplied([9, 9, 9, 0]), [0; 3]);
        assert_eq!(from_premultiplied([100, 50, 250, 100]), [255, 127, 255]);
    }
}
