//! Flags about regions of images.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use zsic::source::CropShape;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Boxes")]
pub struct BoxArgs {
    /// Classify regions of images: FILE is MegaDetector's or COCO's JSON, and the one INPUT is the folder of its images
    #[arg(long, value_name = "FILE")]
    pub boxes: Option<PathBuf>,
    /// Cut out a square around each box, as MegaDetector's tools do, or the box itself
    #[arg(long, value_name = "SHAPE", default_value = "square", requires = "boxes")]
    pub box_crop: BoxCrop,
    /// Leave out boxes with a confidence under X [default: what FILE says is typical of its detector, or 0.2]
    #[arg(long, value_name = "X", requires = "boxes", value_parser = super::output::score)]
    pub min_detection: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BoxCrop {
    Square,
    Tight,
}

impl From<BoxCrop> for CropShape {
    fn from(crop: BoxCrop) -> Self {
        match crop {
            BoxCrop::Square => Self::Square,
            BoxCrop::Tight => Self::Tight,
        }
    }
}
