//! What workers do to an input: bytes, what is known of them already, pixels.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use zsic::Preprocessor;
use zsic::cache::{ContentHash, Scope, Stamp};
use zsic::net::Images;
use zsic::preprocess::Decoding;
use zsic::source::{self, Entry, ErrorKind, Held, ImageError, Input, Name, Work};

use super::stats::{Part, Stats};
use super::twins::{Ready, Row, Twins};

/// How far the workers give way to the encoder's threads.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// One image, ready for the encoder, or why it is not.
pub struct Item {
    pub name: Name,
    pub ready: Result<Ready, ImageError>,
}

impl Item {
    /// Whether nothing but the encoder can answer it.
    pub fn is_to_encode(&self) -> bool {
        matches!(self.ready, Ok(Ready::Pixels { .. }))
    }
}

/// What the workers share.
pub struct Prepare {
    pub preprocessor: Preprocessor,
    pub urls: Images,
    pub max_pixels: u64,
    pub decoding: Decoding,
    pub twins: Arc<Twins>,
    pub kept: Scope,
    pub stats: Arc<Stats>,
}

impl Work<Entry, Item> for Prepare {
    fn is_remote(&self, entry: &Entry) -> bool {
        entry.as_ref().is_ok_and(Input::is_remote)
    }

    fn fetch(&self, entry: Entry) -> Entry {
        match entry {
            Ok(Input::Url(url)) => {
                let bytes = self.stats.time(Part::Fetch, || self.urls.fetch(&url));
                Ok(Input::Held(Held::new(Input::Url(url).name(), bytes)))
            }
            other => other,
        }
    }

    /// The encoder's threads go first where both have work: what is ahead is enough for it then.
    fn begin(&self) {
        #[cfg(target_os = "linux")] // elsewhere the whole process would give way
        let _ = rustix::process::nice(NICENESS);
    }

    fn run(&self, entry: Entry) -> Item {
        match entry {
            Err((name, error)) => Item { name, ready: Err(error) },
            Ok(input) => {
                let name = input.name();
                let ready = catch_unwind(AssertUnwindSafe(|| self.prepare(input)));
                let ready = ready.unwrap_or_else(|_| Err(ImageError::new(ErrorKind::Internal, "preparing it failed")));
                Item { name, ready }
            }
        }
    }
}

impl Prepare {
    fn prepare(&self, input: Input) -> Result<Ready, ImageError> {
        let stamp = match &input {
            Input::Path(path) if self.kept.is_on() => fs::metadata(path).ok().and_then(|m| Stamp::of(path, &m)),
            _ => None,
        };
        let known = || self.kept(&self.kept.cache().content_of(stamp.as_ref()?)?);
        if let Some(row) = self.stats.time(Part::Read, known) {
            return Ok(Ready::Known(row));
        }
        let (bytes, content) = self.stats.time(Part::Read, || {
            let bytes = source::read(input)?;
            let content = ContentHash::of(&bytes);
            Ok((bytes, content))
        })?;
        self.stats.read(bytes.len());
        if let Some(stamp) = &stamp {
            self.kept.cache().remember(stamp, &content);
        }
        if let Some(row) = self.stats.time(Part::Read, || self.kept(&content)) {
            return Ok(Ready::Known(row));
        }
        let decode = || self.preprocessor.decode(&bytes, self.max_pixels, self.decoding);
        self.twins.ready(content, || self.stats.time(Part::Decode, decode))
    }

    /// What an earlier run kept of a content.
    fn kept(&self, content: &ContentHash) -> Option<Row> {
        self.kept.image(content, self.decoding).map(Row::from)
    }
}
