//! What the user named -> an ordered stream of images: files, folders and standard input, read and decoded to RGB.

mod content;
mod decode;
mod error;
mod ordered;
mod read;
mod walk;

pub use content::ContentHash;
pub use decode::{decode, is_image, is_image_name};
pub use error::{ErrorKind, ImageError};
pub use ordered::{Ahead, Ordered, Work};
pub use read::read;
pub use walk::{Entry, Input, Name, Walk};

/// The most pixels that an image may have unless told otherwise: where Pillow refuses a file as a bomb.
pub const MAX_PIXELS: u64 = 179_000_000;
