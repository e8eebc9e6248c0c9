//! The user's inputs -> an ordered stream of images: files, folders, tars, `data:` URIs, built-in pictures and standard
//! input, read and decoded to RGB. `net` fetches URLs.

mod data_uri;
mod decode;
mod demo;
mod entry;
mod error;
mod folder_order;
mod held;
mod input;
mod limits;
mod memory_budget;
mod name;
mod parallel;
mod passwords;
mod read;
mod region;
mod select;
mod tar;
mod walk;

pub use decode::{
    Options, RowSink, decode, decode_rows, explained, is_image, is_image_name, is_raw_name, preview, preview_in_file,
};
pub use entry::{Entry, Skipped, Tally};
pub use error::{ErrorKind, ImageError};
pub use held::Held;
pub use input::Input;
pub use limits::{Limits, MAX_BYTES, MAX_PIXELS};
pub use memory_budget::{Bytes, Lease, MemoryBudget, Stage};
pub use name::Name;
pub use parallel::{Ahead, Ordered, Recalled, Work};
pub use passwords::without_passwords;
pub use read::{HEAD, read, read_within};
#[cfg(feature = "net")]
pub(crate) use read::{READ, Space, read_whole, too_many_bytes};
pub use region::{CropShape, Region, RegionRows};
pub use select::{BadGlob, Select, Shard};
pub use tar::{companions, is_tar_name};
pub use walk::Walk;
