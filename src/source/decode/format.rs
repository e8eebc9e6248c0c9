//! The formats of images, and which of them this build reads.

use super::DecodeResult;
use crate::source::{ErrorKind, ImageError};

/// A format of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Pnm,
    Ico,
    Avif,
    Heic,
    JpegXl,
    Jpeg2000,
    Raw,
}

impl Format {
    /// Returns the name for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
            Self::Ico => "ICO",
            Self::Avif => "AVIF",
            Self::Heic => "HEIC",
            Self::JpegXl => "JPEG XL",
            Self::Jpeg2000 => "JPEG 2000",
            Self::Raw => "camera raw",
        }
    }

    /// Returns the Cargo feature that reads the format, if this build lacks it.
    fn missing_feature(self) -> Option<&'static str> {
        match self {
            Self::Avif if !cfg!(feature = "avif") => Some("avif"),
            Self::Heic if !cfg!(feature = "heic") => Some("heic"),
            Self::JpegXl if !cfg!(feature = "jxl") => Some("jxl"),
            Self::Jpeg2000 if !cfg!(feature = "jpeg2000") => Some("jpeg2000"),
            _ => None,
        }
    }

    /// Returns the format, or an error if this build does not read it.
    pub(super) fn readable(self) -> DecodeResult<Self> {
        let Some(feature) = self.missing_feature() else { return Ok(self) };
        let reason = format!(
            "{} is not part of this build; build zsic with the feature `{feature}`, or convert the image to jpeg or png",
            self.name()
        );
        Err(ImageError::new(ErrorKind::Format, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{MAX_PIXELS, decode};

    #[test]
    fn a_format_that_is_not_part_of_the_build_is_named() {
        for (file, format, name) in [
            ("cjxl-jpeg-420.jxl", Format::JpegXl, "JPEG XL"),
            ("alpha.jp2", Format::Jpeg2000, "JPEG 2000"),
            ("aom-420-64x48.avif", Format::Avif, "AVIF"),
            ("clap.heic", Format::Heic, "HEIC"),
        ] {
            let path = format!("{}/tests/fixtures/decode/{file}", env!("CARGO_MANIFEST_DIR"));
            let decoded = decode(&std::fs::read(path).unwrap(), MAX_PIXELS);
            let Some(feature) = format.missing_feature() else {
                assert!(decoded.is_ok(), "{file}");
                continue;
            };
            let e = decoded.unwrap_err();
            let told = format!("{name} is not part of this build; build zsic with the feature `{feature}`");
            assert!(e.kind == ErrorKind::Format && e.message.starts_with(&told), "{}", e.message);
        }
    }
}
