//! The `preprocess_cfg` of open_clip, with the defaults of its PreprocessCfg (3.3).

use serde_json::Value;

use super::config::{Crop, OPENAI_MEAN, OPENAI_STD, ProcessorConfig, Size, channels};
use super::resize::{Arithmetic, Filter};

/// Reads the steps of a checkpoint whose images have `side` pixels a side, whatever `size` says. A key that is missing or null
/// has its default.
///
/// # Errors
/// One line: the value that cannot be followed.
pub(super) fn read(json: Option<&Value>, side: usize) -> Result<ProcessorConfig, String> {
    let key = |name: &str| json.and_then(|json| json.get(name)).filter(|value| !value.is_null());
    let refuse = |name: &str, value: &Value, known: &str| format!("preprocess_cfg.{name} is {value}; expected {known}");
    let text = |name: &str, default: &'static str| key(name).map_or(Some(default), |value| value.as_str());
    let filter = match text("interpolation", "bicubic") {
        Some("bicubic" | "random") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        _ => {
            return Err(refuse(
                "interpolation",
                &key("interpolation").cloned().unwrap_or_default(),
                "bicubic or bilinear",
            ));
        }
    };
    let fill = match key("fill_color") {
        None => 0,
        Some(fill) => {
            let byte = fill.as_u64().and_then(|fill| u8::try_from(fill).ok());
            byte.ok_or_else(|| refuse("fill_color", fill, "a number from 0 to 255"))?
        }
    };
    let crop = Crop { width: side, height: side, rounded: true, fill };
    let (size, crop) = match text("resize_mode", "shortest") {
        Some("shortest") => (Size::ShortestEdge(side), Some(crop)),
        Some("longest") => (Size::LongestEdge(side), Some(crop)),
        Some("squash") => (Size::Exact { width: side, height: side }, None),
        _ => {
            return Err(refuse(
                "resize_mode",
                &key("resize_mode").cloned().unwrap_or_default(),
                "shortest, longest or squash",
            ));
        }
    };
    let values = |name: &str, default| match key(name) {
        None => Ok(default),
        Some(value) => channels(value).ok_or_else(|| refuse(name, value, "one number per channel")),
    };
    let std = values("std", OPENAI_STD)?;
    if std.iter().any(|std| !std.is_normal()) {
        return Err(refuse("std", &key("std").cloned().unwrap_or_default(), "numbers other than 0"));
    }
    Ok(ProcessorConfig {
        resize: Some((size, filter)),
        crop,
        rescale: Some(1.0 / 255.0),
        normalize: Some((values("mean", OPENAI_MEAN)?, std)),
        arithmetic: Arithmetic::Pillow13,
    })
}
