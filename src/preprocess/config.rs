//! `preprocessor_config.json` in its old and new spellings, with the defaults of the image processor's class in transformers
//! (5.23).

use serde_json::{Map, Value};

use super::resize::{Arithmetic, Filter};

/// Means of CLIP's training images (openai/CLIP, clip.py).
pub(super) const OPENAI_MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
/// Deviations of CLIP's training images (openai/CLIP, clip.py).
pub(super) const OPENAI_STD: [f32; 3] = [0.26862954, 0.26130258, 0.27577711];

/// The image processors of transformers, by their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessorClass {
    /// CLIPImageProcessor: the shorter side becomes 224, and the centre is kept.
    Clip,
    /// SiglipImageProcessor: the image becomes 224 x 224, whatever its shape.
    Siglip,
    /// Siglip2ImageProcessor: the image keeps its shape, and has 256 patches of 16 x 16 at most.
    Siglip2,
    /// ViTImageProcessor: as SigLIP's, with a linear filter.
    Vit,
}

impl ProcessorClass {
    /// Reads the name that a file gives, which may be an old name of the class.
    fn named(name: &str) -> Option<Self> {
        match name {
            "CLIPImageProcessor"
            | "CLIPImageProcessorFast"
            | "CLIPImageProcessorPil"
            | "CLIPFeatureExtractor"
            | "ChineseCLIPImageProcessor"
            | "ChineseCLIPImageProcessorFast"
            | "ChineseCLIPImageProcessorPil"
            | "ChineseCLIPFeatureExtractor"
            | "BitImageProcessor"
            | "BitImageProcessorFast"
            | "BitImageProcessorPil" => Some(Self::Clip),
            "Siglip2ImageProcessor" | "Siglip2ImageProcessorFast" | "Siglip2ImageProcessorPil" => Some(Self::Siglip2),
            "ViTImageProcessor" | "ViTImageProcessorFast" | "ViTImageProcessorPil" | "ViTFeatureExtractor" => {
                Some(Self::Vit)
            }
            "SiglipImageProcessor"
            | "SiglipImageProcessorFast"
            | "SiglipImageProcessorPil"
            | "SiglipFeatureExtractor" => Some(Self::Siglip),
            _ => None,
        }
    }

    fn size(self) -> Size {
        match self {
            Self::Clip => Size::ShortestEdge(224),
            Self::Siglip | Self::Vit => Size::Exact { width: 224, height: 224 },
            Self::Siglip2 => Size::Patches { side: 16, most: 256 },
        }
    }

    /// Returns the number of its filter in Pillow.
    fn filter(self) -> u64 {
        match self {
            Self::Clip | Self::Siglip => 3,
            Self::Siglip2 | Self::Vit => 2,
        }
    }

    fn mean_and_std(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::Clip => (OPENAI_MEAN, OPENAI_STD),
            Self::Siglip | Self::Siglip2 | Self::Vit => ([0.5; 3], [0.5; 3]),
        }
    }
}

/// The most patches of an image.
pub const MAX_PATCHES: usize = 1 << 14;
/// The longest side that a processor may ask for. A file with a longer one is damaged.
const MAX_SIDE: usize = 1 << 14;

/// The size an image is resized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Both sides, whatever the shape.
    Exact {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The shorter side; the other keeps the shape.
    ShortestEdge(usize),
    /// The longer side; the other keeps the shape.
    LongestEdge(usize),
    /// As many whole square patches as are allowed; the image roughly keeps its shape.
    Patches {
        /// A patch's side.
        side: usize,
        /// The most patches.
        most: usize,
    },
}

impl Size {
    /// Returns the width and height that an image of `width` x `height` is resized to.
    pub fn of(self, width: usize, height: usize) -> (usize, usize) {
        match self {
            Self::Exact { width, height } => (width, height),
            Self::ShortestEdge(side) => {
                let long = (side as f64 * width.max(height) as f64 / width.min(height) as f64) as usize;
                if width <= height { (side, long) } else { (long, side) }
            }
            Self::LongestEdge(side) => {
                let ratio = width.max(height) as f64 / side as f64;
                let scaled = |side: usize| ((side as f64 / ratio).round_ties_even() as usize).max(1);
                (scaled(width), scaled(height))
            }
            Self::Patches { side, most } => {
                let (rows, columns) = patches(width, height, side, most);
                (columns * side, rows * side)
            }
        }
    }
}

/// Returns the rows and columns of the patches that an image is resized to: those at the largest scale of a search by halves
/// at which no more than `most` patches cover it (transformers, image_processing_siglip2.py).
fn patches(width: usize, height: usize, side: usize, most: usize) -> (usize, usize) {
    const CLOSE: f64 = 1e-5;
    let count = |scale: f64, pixels: usize| ((pixels as f64 * scale / side as f64).ceil() as usize).max(1);
    let (mut low, mut high) = (CLOSE / 10.0, 100.0);
    while high - low >= CLOSE {
        let scale = (low + high) / 2.0;
        if count(scale, height) * count(scale, width) <= most {
            low = scale;
        } else {
            high = scale;
        }
    }
    (count(low, height), count(low, width))
}

/// The size of the centre that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether a half pixel at its beginning is rounded to the even one. Otherwise it is dropped.
    pub rounded: bool,
    /// The value of every channel around an image that is smaller.
    pub fill: u8,
}

impl Crop {
    /// Returns a crop that drops half pixels, on black.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rounded: false, fill: 0 }
    }
}

/// The steps of an image processor; `None` is a step that it skips.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessorConfig {
    /// Size and filter.
    pub resize: Option<(Size, Filter)>,
    /// The centre that is kept.
    pub crop: Option<Crop>,
    /// The factor of the bytes.
    pub rescale: Option<f64>,
    /// Mean and deviation per channel.
    pub normalize: Option<([f32; 3], [f32; 3])>,
    /// The library whose rounding to follow.
    pub arithmetic: Arithmetic,
}

/// The file's keys. An absent key takes its default. Null does not: it switches a step off, and a step that is on needs
/// its value (transformers 5.23, ImageProcessingMixin).
struct Keys(Map<String, Value>);

impl Keys {
    fn step(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.0.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(other) => Err(format!("{key} is {other}, neither true nor false")),
        }
    }

    fn value<T>(&self, key: &str, default: T, parse: impl Fn(&Value) -> Option<T>) -> Result<T, String> {
        let Some(value) = self.0.get(key) else { return Ok(default) };
        parse(value).ok_or_else(|| format!("{key} {value} cannot be used"))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    fn size(&self, class: ProcessorClass) -> Result<Size, String> {
        if class == ProcessorClass::Clip && self.0.get("use_square_size") == Some(&Value::Bool(true)) {
            return Ok(Size::Exact { width: 224, height: 224 }); // whatever `size` says
        }
        if class == ProcessorClass::Siglip2 {
            let whole = |most: usize| move |v: &Value| side(v).filter(|n| *n <= most);
            let most = self.value("max_num_patches", 256, whole(MAX_PATCHES))?;
            return Ok(Size::Patches { side: self.value("patch_size", 16, whole(MAX_SIDE))?, most });
        }
        let square = class == ProcessorClass::Vit || self.0.get("default_to_square") == Some(&Value::Bool(true));
        self.value("size", class.size(), |size| parse_size(size, square))
    }
}

impl ProcessorConfig {
    /// Reads the file's JSON. `default` is the processor's class if the file names none.
    ///
    /// # Errors
    /// One line: the value that cannot be followed.
    pub fn from_json(json: Value, default: ProcessorClass) -> Result<Self, String> {
        let Value::Object(keys) = json else { return Err("is not a JSON object".to_owned()) };
        let keys = Keys(keys);
        let class = match keys.text("image_processor_type").or(keys.text("feature_extractor_type")) {
            None => default,
            Some(name) => ProcessorClass::named(name).ok_or_else(|| {
                let known = "those of CLIP, SigLIP, SigLIP 2, Chinese-CLIP, ViT and BiT";
                format!("image processor `{name}` is not supported; zsic knows {known}")
            })?,
        };
        let arithmetic = Arithmetic::Torchvision;
        let mut config = Self { resize: None, crop: None, rescale: None, normalize: None, arithmetic };
        if keys.step("do_resize", true)? {
            let filter = keys.value("resample", class.filter(), Value::as_u64)?;
            config.resize = Some((keys.size(class)?, Filter::from_pillow(filter)?));
        }
        if keys.step("do_center_crop", class == ProcessorClass::Clip)? {
            config.crop = Some(keys.value("crop_size", Crop::new(224, 224), parse_crop)?);
        }
        if keys.step("do_rescale", true)? {
            let factor = |v: &Value| v.as_f64().filter(|f| f.is_normal());
            config.rescale = Some(keys.value("rescale_factor", 1.0 / 255.0, factor)?);
        }
        if keys.step("do_normalize", true)? {
            let (mean, std) = class.mean_and_std();
            let mean = keys.value("image_mean", mean, channels)?;
            let divisors = |v: &Value| channels(v).filter(|std| std.iter().all(|s| s.is_normal()));
            config.normalize = Some((mean, keys.value("image_std", std, divisors)?));
        }
        if keys.0.get("do_pad") == Some(&Value::Bool(true)) && keys.0.get("pad_size").is_some_and(|v| !v.is_null()) {
            return Err("do_pad with a pad_size is not supported".to_owned());
        }
        Ok(config)
    }
}

/// Reads one value for all channels, or one for each.
pub(super) fn channels(value: &Value) -> Option<[f32; 3]> {
    let number = |v: &Value| v.as_f64().map(|v| v as f32);
    match value.as_array().map(Vec::as_slice) {
        None => number(value).map(|v| [v; 3]),
        Some([one]) => number(one).map(|v| [v; 3]),
        Some([r, g, b]) => Some([number(r)?, number(g)?, number(b)?]),
        Some(_) => None,
    }
}

/// Parses `224`, `[224, 224]`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
fn parse_size(size: &Value, square: bool) -> Option<Size> {
    match size {
        Value::Number(_) if !square => Some(Size::ShortestEdge(side(size)?)),
        Value::Object(keys) if keys.len() == 1 => Some(Size::ShortestEdge(side(keys.get("shortest_edge")?)?)),
        _ => parse_crop(size).map(|Crop { width, height, .. }| Size::Exact { width, height }),
    }
}

/// Parses `224`, `[224, 224]` (height first) or `{"height": 224, "width": 224}`.
fn parse_crop(size: &Value) -> Option<Crop> {
    let (height, width) = match size {
        Value::Number(_) => (size, size),
        Value::Array(sides) if sides.len() == 2 => (&sides[0], &sides[1]),
        Value::Object(keys) if keys.len() == 2 => (keys.get("height")?, keys.get("width")?),
        _ => return None,
    };
    Some(Crop::new(side(width)?, side(height)?))
}

pub(super) fn side(value: &Value) -> Option<usize> {
    value.as_u64().map(|side| side as usize).filter(|side| (1..=MAX_SIDE).contains(side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn clip(json: Value) -> Result<ProcessorConfig, String> {
        ProcessorConfig::from_json(json, ProcessorClass::Clip)
    }

    #[test]
    fn old_and_new_spellings_are_the_same() {
        let old = clip(json!({
            "crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224,
            "image_mean": OPENAI_MEAN, "image_std": OPENAI_STD,
        }));
        let new = clip(json!({
            "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 224}, "image_std": OPENAI_STD,
            "image_processor_type": "CLIPImageProcessor", "rescale_factor": 0.00392156862745098,
            "do_convert_rgb": null, "_valid_processor_keys": ["images"],
        }));
        assert_eq!(old, new);
        assert_eq!(old, clip(json!({})));
    }

    #[test]
    fn sizes_of_every_kind() {
        let size = |json| clip(json!({ "size": json })).map(|c| c.resize.unwrap().0);
        assert_eq!(size(json!({"height": 10, "width": 20})), Ok(Size::Exact { width: 20, height: 10 }));
        assert_eq!(size(json!([10, 20])), Ok(Size::Exact { width: 20, height: 10 }));
        assert!(size(json!({"shortest_edge": 0})).is_err());
        assert!(size(json!({"shortest_edge": 224, "longest_edge": 300})).is_err());
        assert!(size(json!("big")).unwrap_err().contains("big"));
        assert_eq!(Size::ShortestEdge(224).of(640, 480), (298, 224));
        assert_eq!(Size::ShortestEdge(224).of(1, 5000), (224, 1_120_000));
        assert_eq!(Size::ShortestEdge(224).of(7, 7), (224, 224));
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        let error = |json| clip(json).unwrap_err();
        assert!(error(json!({"image_processor_type": "BlipImageProcessor"})).contains("Blip"));
        assert!(error(json!({"resample": 9})).contains('9'));
        assert!(error(json!({"image_std": [0.0, 1.0, 1.0]})).contains("image_std"));
        assert!(error(json!({"rescale_factor": 0.0})).contains("rescale_factor"));
        assert!(error(json!({"image_mean": null})).contains("image_mean"));
        assert!(error(json!({"do_resize": 1})).contains("do_resize"));
        assert!(error(json!({"do_pad": true, "pad_size": 300})).contains("pad_size"));
    }

    #[test]
    fn a_class_s_own_defaults() {
        let named = clip(json!({"image_processor_type": "SiglipImageProcessor"})).unwrap();
        let size = Size::Exact { width: 224, height: 224 };
        assert_eq!(named.resize, Some((size, Filter::from_pillow(3).unwrap())));
        assert_eq!((named.crop, named.normalize), (None, Some(([0.5; 3], [0.5; 3]))));
        assert_eq!(ProcessorConfig::from_json(json!({}), ProcessorClass::Siglip), Ok(named));
        let int = ProcessorConfig::from_json(json!({"size": 300}), ProcessorClass::Siglip).unwrap();
        assert_eq!(int.resize.unwrap().0, Size::ShortestEdge(300));
    }

    #[test]
    fn null_switches_a_step_off() {
        let config = clip(json!({"do_resize": null, "size": null, "do_normalize": false}));
        let config = config.unwrap();
        assert_eq!((config.resize, config.normalize), (None, None));
        assert!(config.crop.is_some());
    }
}
