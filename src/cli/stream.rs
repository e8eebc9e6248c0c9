//! Inputs -> pixels, decoded ahead on workers, in order; and the loop that encodes and writes them.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, anyhow};
use zsic::error::os_reason;
use zsic::source::{self, Entry, ErrorKind, ImageError, Input, Name, Ordered, Walk};
use zsic::{Error, Pixels, Preprocessor};

use super::Outcome;
use super::args::{Common, Inputs};
use super::fatal::usage;
use super::messages::{note, warn};
use super::output::{Done, Earlier};
use super::progress::Progress;

/// One image, ready for the encoder, or why it is not.
struct Item {
    name: Name,
    pixels: Result<Option<Pixels>, ImageError>,
}

/// An ordered stream of images.
pub struct Stream {
    items: Ordered<Item>,
    skipped: Arc<AtomicU64>,
    list_failure: Arc<Mutex<Option<anyhow::Error>>>,
    earlier: Arc<Earlier>,
}

impl Stream {
    /// Starts reading, decoding and preprocessing on `threads` workers, at most `batch` images and a few ahead. What is
    /// `done` is passed over.
    ///
    /// # Errors
    /// A usage error if no input is named; otherwise if the list of inputs cannot be opened.
    pub fn start(args: &Inputs, preprocessor: Preprocessor, threads: usize, batch: usize, done: Done) -> Result<Self> {
        let earlier = done.earlier();
        let skipped = Arc::new(AtomicU64::new(0));
        let list_failure = Arc::<Mutex<Option<anyhow::Error>>>::default();
        let entries = Walk::new(inputs(args, &list_failure)?, args.follow, Arc::clone(&skipped));
        let entries = done.skip(entries, Arc::clone(&list_failure));
        let max_pixels = args.max_pixels;
        let work = move |entry: Entry| match entry {
            Err((name, error)) => Item { name, pixels: Err(error) },
            Ok(input) => {
                let name = input.name();
                let pixels = catch_unwind(AssertUnwindSafe(|| prepare(&input, &preprocessor, max_pixels)));
                let pixels =
                    pixels.unwrap_or_else(|_| Err(ImageError::new(ErrorKind::Internal, "preparing it failed")));
                Item { pixels: pixels.map(Some).map_err(|e| e.named(&name)), name }
            }
        };
        Ok(Self { items: Ordered::map(entries, threads, batch + 2 * threads, work), skipped, list_failure, earlier })
    }

    /// Files that are no images, as far as they were met.
    pub fn skipped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.skipped)
    }

    /// The next images: one that is waited for and those behind it that are ready, at most `limit`. None at the end.
    fn next_batch(&mut self, limit: usize) -> Option<Vec<Item>> {
        let mut batch = vec![self.items.next()?];
        while batch.len() < limit
            && let Some(item) = self.items.next_ready()
        {
            batch.push(item);
        }
        Some(batch)
    }

    /// Encodes every image and hands each result, in order, to `write`. Says on stderr what was skipped and failed.
    ///
    /// # Errors
    /// What `encode` and `write` say, and that there is no image at all.
    pub fn run<T>(
        mut self,
        common: &Common,
        results_on_terminal: bool,
        batch: usize,
        encode: impl Fn(&[Pixels]) -> Result<Vec<Result<T, ImageError>>>,
        mut write: impl FnMut(&Name, Result<T, ImageError>) -> Result<()>,
    ) -> Result<Outcome> {
        let progress = Progress::images(common, results_on_terminal);
        let (mut total, mut failed, start) = (0u64, 0u64, Instant::now());
        while let Some(mut items) = self.next_batch(batch) {
            let pixels: Vec<Pixels> = items.iter_mut().filter_map(Item::take_pixels).collect();
            let mut results = encode(&pixels)?.into_iter();
            for Item { name, pixels } in items {
                let missing = || Err(ImageError::new(ErrorKind::Internal, "no result came back"));
                let result = pixels.and_then(|_| results.next().unwrap_or_else(missing).map_err(|e| e.named(&name)));
                total += 1;
                failed += u64::from(result.is_err());
                write(&name, result)?;
                progress.step(failed);
            }
        }
        drop(progress);
        match self.skipped.load(Ordering::Relaxed) {
            0 => {}
            1 => warn(common, "skipped 1 file that is no image"),
            n => warn(common, format!("skipped {n} files that are no images")),
        }
        if let Some(e) = self.list_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e);
        }
        let images = if total == 1 { "image" } else { "images" };
        note(common, 1, format!("{total} {images} in {:.2?}", start.elapsed()));
        let (earlier, earlier_failed) = self.earlier.counts();
        (total, failed) = (total + earlier, failed + earlier_failed);
        if total == 0 {
            anyhow::bail!("no image among the inputs");
        }
        if failed > 0 {
            warn(common, format!("{failed} of {total} images failed"));
            return Ok(Outcome::SomeFailed);
        }
        Ok(Outcome::Complete)
    }
}

impl Item {
    /// Moves the pixels out, for the encoder; what is left says only that there were some.
    fn take_pixels(&mut self) -> Option<Pixels> {
        self.pixels.as_mut().ok()?.take()
    }
}

fn prepare(input: &Input, preprocessor: &Preprocessor, max_pixels: u64) -> Result<Pixels, ImageError> {
    let image = source::decode(&source::read(input)?, max_pixels)?;
    preprocessor.run(&image).map_err(|e| match e {
        Error::Image(e) => e,
        other => ImageError::new(ErrorKind::Internal, other.to_string()),
    })
}

/// The inputs named on the command line, then those of the list. A list that cannot be read to its end leaves why in
/// `failure`.
fn inputs(
    args: &Inputs,
    failure: &Arc<Mutex<Option<anyhow::Error>>>,
) -> Result<Box<dyn Iterator<Item = Entry> + Send>> {
    let stdins = args.inputs.iter().filter(|input| *input == "-").count();
    if args.inputs.is_empty() && args.files_from.is_none() {
        return Err(usage("no input; name images or folders, or `-` for an image on standard input"));
    }
    if args.inputs.iter().any(|input| input.is_empty()) {
        return Err(usage("an input is empty; look for a variable that is not set"));
    }
    if stdins > 1 {
        return Err(usage("standard input holds one image, and `-` is given twice"));
    }
    let named = args.inputs.clone().into_iter().map(|input| Ok(Input::from_arg(input)));
    let Some(list) = &args.files_from else { return Ok(Box::new(named)) };
    if list == Path::new("-") && stdins > 0 {
        return Err(usage("standard input cannot be both an image and the list of images"));
    }
    Ok(Box::new(named.chain(read_list(list, if args.null { 0 } else { b'\n' }, Arc::clone(failure))?)))
}

/// The inputs in a list, read as they are needed.
fn read_list(
    path: &Path,
    separator: u8,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
) -> Result<impl Iterator<Item = Entry> + Send + use<>> {
    let is_stdin = path == Path::new("-");
    let reader: Box<dyn Read + Send> = if is_stdin {
        Box::new(std::io::stdin())
    } else {
        let failed = |e| usage(format!("{}: the list cannot be opened: {}", path.display(), os_reason(&e)));
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let name = path.display().to_string();
    let lines = BufReader::new(reader).split(separator).map_while(move |line| {
        let told = |e: std::io::Error| {
            let e = anyhow!(e).context(format!("{name}: the list cannot be read to its end"));
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        };
        line.map_err(told).ok()
    });
    let names = lines.map(move |mut line| {
        if separator == b'\n' && line.ends_with(b"\r") {
            line.pop();
        }
        line
    });
    let entry = move |name| match Input::from_arg(OsString::from_vec(name)) {
        input @ Input::Stdin if is_stdin => {
            let reason =
                ImageError::new(ErrorKind::Read, "standard input is the list, and cannot be an image of it too");
            Err((input.name(), reason.named(input.name())))
        }
        input => Ok(input),
    };
    Ok(names.filter(|name| !name.is_empty()).map(entry))
}
