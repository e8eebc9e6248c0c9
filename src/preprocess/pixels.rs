//! Pixels: an image resized, cropped and ready to be normalised.

use std::sync::Arc;

/// An image after resize and crop: RGB bytes, row after row. A clone shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    pub(super) data: Arc<Vec<u8>>, // [H, W, 3]
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Pixels {
    /// Returns the RGB bytes [H, W, 3].
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }
}
