//! Inputs -> embeddings -> records: read, decoded and preprocessed ahead on workers, encoded in batches, written in the
//! order of the inputs. Memory is bounded by the window of what is ahead, however many images there are.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use zsic::cache::{ContentHash, Scope, Stamp};
use zsic::error::os_reason;
use zsic::net::Images;
use zsic::preprocess::Decoding;
use zsic::source::{self, Ahead, Entry, ErrorKind, Held, ImageError, Input, Name, Ordered, Select, Tally, Walk, Work};
use zsic::{Embeddings, Pixels, Preprocessor};

use super::Outcome;
use super::args::{Common, Inputs, Machine};
use super::fatal::usage;
use super::messages::{note, say, warn};
use super::output::{Done, Earlier};
use super::progress::Progress;
use super::stats::{Part, Stats};
use super::twins::{Ready, Row, Twins};
use super::urls;

/// The most images that are answered together: those that need no encoding do not count as a batch.
const ANSWERED_TOGETHER: usize = 256;
/// How far the workers give way to the encoder's threads.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Threads that wait for servers.
const FETCHERS: usize = 16;

/// One image, ready for the encoder, or why it is not.
struct Item {
    name: Name,
    ready: Result<Ready, ImageError>,
}

/// One image's embedding, or why there is none.
pub struct Answer {
    pub name: Name,
    pub row: Result<Row, ImageError>,
}

/// An ordered stream of images.
pub struct Stream {
    items: Ordered<Item>,
    twins: Arc<Twins>,
    kept: Scope,
    decoding: Decoding,
    stats: Arc<Stats>,
    tally: Arc<Tally>,
    is_share: bool,
    list_failure: Arc<Mutex<Option<anyhow::Error>>>,
    earlier: Arc<Earlier>,
    batch: usize,
    threads: usize,
    max_wait: Duration,
}

impl Stream {
    /// Starts reading, decoding and preprocessing on `threads` workers, a few batches ahead. What is `done` is passed
    /// over.
    ///
    /// # Errors
    /// A usage error if no input is named or a glob is none; otherwise if the list of inputs cannot be opened.
    pub fn start(
        args: &Inputs,
        machine: &Machine,
        preprocessor: Preprocessor,
        kept: &Scope,
        threads: usize,
        done: Done,
    ) -> Result<Self> {
        let tally = Arc::<Tally>::default();
        let select = Select::new(&args.include, &args.exclude, args.shard).map_err(|e| usage(e.to_string()))?;
        let is_share = select.is_share();
        let list_failure = Arc::<Mutex<Option<anyhow::Error>>>::default();
        let entries = Walk::new(inputs(args, &list_failure)?, args.follow, select, Arc::clone(&tally));
        let earlier = done.earlier();
        let entries = done.skip(entries, Arc::clone(&list_failure));
        let batch = usize::from(machine.batch_size);
        let ahead = Ahead { workers: threads, fetchers: FETCHERS, window: (4 * batch + 2 * threads).max(64) };
        let (twins, stats) = (Arc::<Twins>::default(), Arc::<Stats>::default());
        let decoding = args.decode.into();
        let work = Prepare {
            preprocessor,
            urls: urls::images(args, &machine.hub),
            max_pixels: args.max_pixels,
            decoding,
            twins: Arc::clone(&twins),
            kept: kept.clone(),
            stats: Arc::clone(&stats),
        };
        let max_wait = Duration::from_millis(machine.max_wait);
        let items = Ordered::map(entries, ahead, work);
        Ok(Self {
            items,
            twins,
            kept: kept.clone(),
            decoding,
            stats,
            tally,
            is_share,
            list_failure,
            earlier,
            batch,
            threads,
            max_wait,
        })
    }

    /// What the walk passes over, as far as it got.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// The next images: one that is waited for and those behind it that are begun, until a batch is full, or
    /// `max_wait` is over. None at the end.
    fn next_batch(&mut self) -> Option<Vec<Item>> {
        let mut batch = vec![self.items.next()?];
        let deadline = Instant::now() + self.max_wait;
        let mut to_encode = usize::from(batch[0].is_to_encode());
        while to_encode < self.batch
            && batch.len() < ANSWERED_TOGETHER
            && let Some(item) = self.items.next_before(deadline)
        {
            to_encode += usize::from(item.is_to_encode());
            batch.push(item);
        }
        Some(batch)
    }

    /// Encodes every image and hands the embeddings, in order, to `write`. Says on stderr what was skipped and failed.
    ///
    /// # Errors
    /// What `encode` and `write` say, and that there is no image at all.
    pub fn run(
        mut self,
        common: &Common,
        machine: &Machine,
        results_on_terminal: bool,
        mut encode: impl FnMut(&[Pixels]) -> Result<Embeddings>,
        mut write: impl FnMut(&[Answer]) -> Result<()>,
    ) -> Result<Outcome> {
        let progress = Progress::images(common, results_on_terminal);
        let (mut total, mut failed, start) = (0u64, 0u64, Instant::now());
        let stats = Arc::clone(&self.stats);
        while let Some(items) = stats.time(Part::Idle, || self.next_batch()) {
            let answers = self.answer(items, &mut encode)?;
            stats.time(Part::Write, || write(&answers))?;
            total += answers.len() as u64;
            failed += answers.iter().filter(|answer| answer.row.is_err()).count() as u64;
            progress.step(answers.len() as u64, failed);
        }
        drop(progress);
        self.tell(common, total, failed, start.elapsed(), machine.stats)
    }

    /// Encodes those of `items` that need it.
    fn answer(
        &self,
        items: Vec<Item>,
        encode: &mut impl FnMut(&[Pixels]) -> Result<Embeddings>,
    ) -> Result<Vec<Answer>> {
        let mut rows = HashMap::new(); // of every content among the items that has pixels
        let (mut contents, mut pixels) = (Vec::new(), Vec::new());
        for item in &items {
            let Ok(Ready::Pixels { pixels: own, content, .. }) = &item.ready else { continue };
            if rows.contains_key(content) || contents.contains(content) {
                continue;
            }
            match self.twins.row(content) {
                Some(row) => _ = rows.insert(*content, Ok(row)),
                None => {
                    contents.push(*content);
                    pixels.push(own.clone());
                }
            }
        }
        if !pixels.is_empty() {
            self.stats.batch();
            let embeddings = self.stats.time(Part::Encode, || encode(&pixels))?; // [B, D]
            for (content, row) in contents.iter().zip(embeddings.rows()) {
                let row = finite(row);
                if let Ok(row) = &row {
                    self.twins.remember(*content, row);
                    self.kept.put_image(content, self.decoding, row);
                }
                rows.insert(*content, row);
            }
        }
        self.stats.encoded(contents.len());
        let missing = || Err(ImageError::new(ErrorKind::Internal, "no result came back"));
        let answer = |Item { name, ready }| {
            let row = ready.and_then(|ready| match ready {
                Ready::Known(row) => Ok(row),
                Ready::Pixels { content, .. } => rows.get(&content).cloned().unwrap_or_else(missing),
            });
            Answer { row: row.map_err(|e| e.named(&name)), name }
        };
        Ok(items.into_iter().map(answer).collect())
    }

    /// What the run came to, on stderr and as its outcome.
    fn tell(self, common: &Common, total: u64, failed: u64, wall: Duration, stats: bool) -> Result<Outcome> {
        match self.tally.skipped() {
            0 => {}
            1 => warn(common, "skipped 1 file that is no image"),
            n => warn(common, format!("skipped {n} files that are no images")),
        }
        if stats {
            for line in self.stats.summary(wall, self.threads, total, failed) {
                say(common, line);
            }
        }
        if let Some(e) = self.list_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e);
        }
        let images = if total == 1 { "image" } else { "images" };
        note(common, 1, format!("{total} {images} in {wall:.2?}"));
        let (earlier, earlier_failed) = self.earlier.counts();
        let (total, failed) = (total + earlier, failed + earlier_failed);
        if total == 0 && self.is_share && self.tally.elsewhere() > 0 {
            note(common, 1, "no image is of this share");
            return Ok(Outcome::Complete);
        }
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
    fn is_to_encode(&self) -> bool {
        matches!(self.ready, Ok(Ready::Pixels { .. }))
    }
}

fn finite(row: &[f32]) -> Result<Row, ImageError> {
    if row.iter().all(|x| x.is_finite()) { Ok(row.into()) } else { Err(ImageError::not_finite()) }
}

/// What workers do to an input: bytes, RGB, pixels.
struct Prepare {
    preprocessor: Preprocessor,
    urls: Images,
    max_pixels: u64,
    decoding: Decoding,
    twins: Arc<Twins>,
    kept: Scope,
    stats: Arc<Stats>,
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

/// The inputs named on the command line, then those of the list. A list that cannot be read to its end leaves why in
/// `failure`.
fn inputs(
    args: &Inputs,
    failure: &Arc<Mutex<Option<anyhow::Error>>>,
) -> Result<Box<dyn Iterator<Item = Entry> + Send>> {
    let stdins = args.inputs.iter().filter(|input| *input == "-").count();
    if args.inputs.is_empty() && args.files_from.is_none() {
        return Err(usage("no input; name images, folders, tars or URLs, or `-` for standard input"));
    }
    if args.inputs.iter().any(|input| input.is_empty()) {
        return Err(usage("an input is empty; look for a variable that is not set"));
    }
    if stdins > 1 {
        return Err(usage("standard input holds one image or tar, and `-` is given twice"));
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
            Err((input.name(), reason))
        }
        input => Ok(input),
    };
    Ok(names.filter(|name| !name.is_empty()).map(entry))
}
