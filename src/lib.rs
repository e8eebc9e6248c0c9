//! Classify images against any labels, with no training.
//!
//! `zsic` computes what the `zero-shot-image-classification` pipeline of transformers computes, from the files of a
//! CLIP or SigLIP checkpoint to sorted scores:
//!
//! ```no_run
//! use zsic::{Checkpoint, Classifier, Compute, ImageEncoder, Label, Labels, Template, TextEncoder, source};
//!
//! # fn main() -> zsic::Result<()> {
//! let checkpoint = Checkpoint::open("clip-vit-base-patch32")?;
//! let plan = Compute::default().plan(&checkpoint);
//! let labels: Vec<Label> =
//!     ["fox", "bear", "owl"].iter().map(|name| Label::new(*name, &[Template::default()])).collect();
//! let labels = Labels::encode(&TextEncoder::load(&checkpoint, &plan)?, &labels, |_, _| {})?;
//! let classifier = Classifier::new(ImageEncoder::load(&checkpoint, &plan)?, labels)?;
//! let image = source::decode(&std::fs::read("owl.jpg").unwrap(), source::MAX_PIXELS)?;
//! for scores in classifier.classify(&[classifier.preprocess(&image)?])? {
//!     for best in scores?.top(3) {
//!         println!("{:.4} {}", best.score, classifier.labels().names()[best.label]);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each step takes the result of the step before it: bytes, [`source::decode`], RGB, preprocess, [`Pixels`], encode,
//! [`Embeddings`], classify, [`Scores`]. `Pipeline` (with the feature `cache`) does everything up to the embeddings for
//! any number of files, folders, tars and URLs. The library prints nothing and reads no environment variable.

#[cfg(feature = "cache")]
pub mod cache;
pub mod calibrate;
pub mod checkpoint;
pub mod classifier;
pub mod compiled;
pub mod decision;
pub mod device;
pub mod embeddings;
pub mod error;
pub mod head;
pub mod kernels;
pub mod measure;
pub mod model;
#[cfg(feature = "net")]
pub mod net;
// The pipeline identifies images by the cache's hashes, and looks each up there before it reads it. The caller passes
// in a function that fetches, so it needs no `net`.
#[cfg(feature = "cache")]
pub mod pipeline;
pub mod preprocess;
pub mod reason;
mod regular;
pub mod score;
pub mod source;
mod stand_in;
pub mod system;
pub mod text;

#[cfg(feature = "cache")]
pub use cache::Cache;
pub use classifier::{Classifier, EncodedLabel, Labels, Scorer};
pub use decision::{Decision, Groups};
pub use device::{Compute, Device, Precision, Threads};
pub use embeddings::Embeddings;
pub use error::{Error, Result};
pub use kernels::Isa;
pub use model::checkpoint::Checkpoint;
pub use model::encoder::{ImageEncoder, TextEncoder};
pub use model::plan::Plan;
#[cfg(feature = "cache")]
pub use pipeline::Pipeline;
pub use preprocess::{Pixels, Preprocessor};
pub use score::{Activation, Readout, Scores, Verdict};
pub use source::ImageError;
pub use text::{Label, Template};
