//! The work on an input: bytes, cached results, pixels.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::settings::Settings;
use super::stats::{Part, Stats};
use super::twins::{Ready, Row, Twins};
use super::version::Version;
use crate::cache::{ContentHash, Stamp};
use crate::preprocess::Preprocessor;
use crate::source::{self, Entry, ErrorKind, Held, ImageError, Input, Name, Recalled, Work};

/// The priority by which workers give way to the encoder's threads.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The preview of a camera raw file that was read in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// Columns, as stored.
    pub width: u64,
    /// Rows, as stored.
    pub height: u64,
    /// Whether it is smaller than the model's input.
    pub is_small: bool,
}

/// What an earlier run kept of a file that is unchanged.
struct Kept {
    version: Version,
    content: ContentHash,
    row: Row,
}

/// An image that is ready for the encoder, or its failure.
pub(super) struct Item {
    pub name: Name,
    /// The image's version before it was read.
    pub version: Version,
    /// The hash of its bytes, if they could be read.
    pub content: Option<ContentHash>,
    pub ready: Result<Ready, ImageError>,
    pub preview: Option<Preview>,
}

impl Item {
    /// Returns whether only the encoder can answer it.
    pub fn is_to_encode(&self) -> bool {
        matches!(self.ready, Ok(Ready::Pixels { .. }))
    }
}

/// The state that workers share.
pub(super) struct Prepare {
    pub preprocessor: Preprocessor,
    pub settings: Settings,
    /// The working directory, looked up once: stamps are of absolute paths.
    pub here: PathBuf,
    pub twins: Arc<Twins>,
    pub stats: Arc<Stats>,
}

impl Work<Entry, Item> for Prepare {
    fn is_light(&self, entry: &Entry) -> bool {
        matches!(entry, Ok(Input::Path(_)))
    }

    /// Looks up unchanged files of earlier runs without reading them. An image that goes alone is prepared at once: it
    /// must not wait for others.
    fn recall(&self, entries: Vec<Entry>) -> Vec<Recalled<Entry, Item>> {
        let rows = self.stats.time(Part::Read, || self.rows(&entries));
        let recalled = |(entry, row): (Entry, Option<Kept>)| match (entry, row) {
            (Ok(input), Some(Kept { version, content, row })) => {
                let (name, preview) = (input.name(), self.preview_in(&input));
                Recalled::Known(Item { name, version, content: Some(content), ready: Ok(Ready::Known(row)), preview })
            }
            (entry, _) => self.alone(entry),
        };
        entries.into_iter().zip(rows).map(recalled).collect()
    }

    fn is_remote(&self, entry: &Entry) -> bool {
        self.settings.fetch.is_some() && entry.as_ref().is_ok_and(Input::is_remote)
    }

    fn fetch(&self, entry: Entry) -> Recalled<Entry, Item> {
        let fetched = match (entry, &self.settings.fetch) {
            (Ok(Input::Url(url)), Some(fetch)) => {
                let room = &self.settings.limits.room;
                let fetch = || self.stats.time(Part::Fetch, || fetch(&url, room));
                let failed = |_| Err(ImageError::new(ErrorKind::Internal, "fetching it failed"));
                let bytes = catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(failed);
                Ok(Input::Held(Held::new(Input::Url(url).name(), bytes)))
            }
            (entry, _) => entry,
        };
        self.alone(fetched)
    }

    /// Lets the encoder's threads go first: the images ahead are enough for it then.
    fn begin(&self) {
        #[cfg(target_os = "linux")] // elsewhere the whole process would give way
        let _ = rustix::process::nice(NICENESS);
    }

    fn run(&self, entry: Entry) -> Item {
        let mut version = match &entry {
            Ok(Input::Held(held)) if held.bytes().is_ok() => Version::default(), // hashed anyway
            entry => Version::now(entry).unwrap_or_default(),
        };
        match entry {
            Err((name, e)) => {
                Item { ready: Err(source::explained(&name, e)), version, content: None, name, preview: None }
            }
            Ok(input) => {
                let (name, mut content) = (input.name(), None);
                let prepare = || self.prepare(&name, input, &mut version, &mut content);
                let ready = catch_unwind(AssertUnwindSafe(prepare));
                let ready = ready.unwrap_or_else(|_| Err(ImageError::new(ErrorKind::Internal, "preparing it failed")));
                let (ready, preview) = match ready {
                    Ok((ready, preview)) => (Ok(ready), preview),
                    Err(e) => (Err(source::explained(&name, e)), None),
                };
                Item { name, version, content, ready, preview }
            }
        }
    }
}

impl Prepare {
    /// Returns the result of an image that goes alone; others wait for a worker.
    fn alone(&self, entry: Entry) -> Recalled<Entry, Item> {
        if entry.as_ref().is_ok_and(Input::is_alone) {
            Recalled::Known(self.run(entry))
        } else {
            Recalled::Unknown(entry)
        }
    }

    fn prepare(
        &self,
        name: &Name,
        input: Input,
        version: &mut Version,
        of_bytes: &mut Option<ContentHash>,
    ) -> Result<(Ready, Option<Preview>), ImageError> {
        let Settings { limits, decoding, kept, .. } = &self.settings;
        let stamp = self.file(&input).and_then(|(stamp, _)| stamp);
        let is_held = input.is_held();
        let region = if let Input::Region(_, region) = &input { Some(*region) } else { None };
        let (bytes, content) = self.stats.time(Part::Read, || {
            let bytes = source::read_within(input, limits)?;
            let content = ContentHash::of(&bytes);
            Ok((bytes, content))
        })?;
        self.stats.read(bytes.len());
        *of_bytes = Some(content);
        let content = match &region {
            Some(region) => ContentHash::of(&[&content.bytes()[..], &region.to_bytes()].concat()),
            None => content,
        };
        if is_held {
            *version = Version::of_content(&content);
        }
        if let Some(stamp) = &stamp {
            kept.cache().remember(stamp, &content);
        }
        let preview = |bytes| self.preview(source::preview(Path::new(name.as_str()), bytes));
        if let Some(row) = self.stats.time(Part::Read, || kept.image(&content, *decoding)) {
            return Ok((Ready::Known(row.into()), preview(&bytes)));
        }
        let decode = || {
            let decode = || match region {
                Some(region) => self.preprocessor.decode_region(&bytes, limits, region),
                None => self.preprocessor.decode_within(&bytes, limits, *decoding),
            };
            self.stats.time(Part::Decode, decode)
        };
        let ready = if bytes.is_alone() {
            Ready::without_twins(content, decode()?)
        } else {
            self.twins.ready(content, decode)?
        };
        Ok((ready, preview(&bytes)))
    }

    /// Returns the stamp and version of a file, if they are needed. Call it before the file is read.
    fn file(&self, input: &Input) -> Option<(Option<Stamp>, Version)> {
        match input {
            Input::Path(path) if self.settings.kept.is_on() => {
                let metadata = fs::metadata(path).ok()?;
                Some((Stamp::of(&self.here.join(path), &metadata), Version::of_file(&metadata)))
            }
            _ => None,
        }
    }

    /// Returns the cached results of unchanged files.
    fn rows(&self, entries: &[Entry]) -> Vec<Option<Kept>> {
        let Settings { decoding, kept, .. } = &self.settings;
        let files: Vec<_> = entries.iter().map(|entry| self.file(entry.as_ref().ok()?)).collect();
        let some: Vec<Stamp> = files.iter().flatten().filter_map(|(stamp, _)| *stamp).collect();
        let contents = kept.cache().contents_of(&some);
        let known: Vec<ContentHash> = contents.iter().flatten().copied().collect();
        let mut rows = kept.images(&known, *decoding).into_iter();
        let mut contents = contents.into_iter();
        let row = |file: Option<(Option<Stamp>, Version)>| {
            let (stamp, version) = file?;
            let content = stamp.and_then(|_| contents.next()?)?;
            Some(Kept { version, content, row: rows.next()??.into() })
        };
        files.into_iter().map(row).collect()
    }

    fn preview(&self, size: Option<(u64, u64)>) -> Option<Preview> {
        size.map(|(width, height)| Preview { width, height, is_small: self.preprocessor.enlarges(width, height) })
    }

    /// Returns the preview of a file that an earlier run read, if it has a camera raw file's name.
    fn preview_in(&self, input: &Input) -> Option<Preview> {
        match input {
            Input::Path(path) if source::is_raw_name(path) => self.preview(source::preview_in_file(path)),
            _ => None,
        }
    }
}
