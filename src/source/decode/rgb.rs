//! Samples of every colour model -> RGB bytes, by the integer formulas of Pillow 13 (Convert.c, ConvertYCbCr.c).

/// `C, M, Y, K`, each 0 for no ink.
pub(super) fn from_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let paper = u32::from(255 - k);
    let channel = |ink: u8| {
        let product = u32::from(ink) * paper + 128;
        paper.saturating_sub(((product >> 8) + product) >> 8) as u8
    };
    [channel(c), channel(m), channel(y)]
}

/// Full-range YCbCr, in Pillow's fixed point of six fractional bits.
pub(super) fn from_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let part = |value: u8, factor: f64| ((f64::from(value) - 128.0) * factor * 64.0 + 0.5) as i32;
    let clip = |value: i32| (i32::from(y) + (value >> 6)).clamp(0, 255) as u8;
    [clip(part(cr, 1.402)), clip(part(cb, -0.34414) + part(cr, -0.71414)), clip(part(cb, 1.772))]
}

/// The high byte: how 16-bit samples become bytes.
pub(super) fn from_u16(sample: u16) -> u8 {
    (sample >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_as_pillow() {
        assert_eq!(from_cmyk([10, 20, 30, 40]), [207, 198, 190]);
        assert_eq!(from_cmyk([100, 150, 200, 50]), [125, 84, 44]);
        assert_eq!(from_cmyk([255, 0, 0, 0]), [0, 255, 255]);
    }

    #[test]
    fn ycbcr_as_pillow() {
        assert_eq!(from_ycbcr([128, 128, 128]), [128, 128, 128]);
        assert_eq!(from_ycbcr([76, 85, 255]), [254, 0, 0]);
    }
}
