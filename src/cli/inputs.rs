//! What was named on the command line and in lists -> a walk over it. What an image is, is not known here.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use zsic::reason::os_reason;
use zsic::source::{Entry, ErrorKind, ImageError, Input, Limits, Name, Select, Tally, Walk};

use super::args::{Common, Inputs};
use super::fatal::usage;
use super::lists::Names;
use super::{skipped, text};

/// Why a list could not be read to its end, if that happened.
pub type ListFailure = Arc<Mutex<Option<anyhow::Error>>>;
/// The images, in order.
pub type Entries = Walk<Box<dyn Iterator<Item = Entry> + Send>>;

/// A walk over the inputs.
pub struct Walked<I> {
    /// The images, in order.
    pub entries: I,
    /// Counts what is passed over.
    pub tally: Arc<Tally>,
    /// Why the list of inputs could not be read to its end, if that happened.
    pub list_failure: ListFailure,
    /// What an image may take.
    pub limits: Limits,
}

impl Walked<Entries> {
    /// Walks what the flags name, without the files that the run itself writes, `own`. What is skipped is told as it is.
    ///
    /// # Errors
    /// As [`walk`].
    pub fn new(args: &Inputs, limits: Limits, own: Vec<PathBuf>, common: &Common) -> Result<Self> {
        let (tally, list_failure) = (skipped::tally(common), ListFailure::default());
        let entries = walk(args, &limits, &tally, &list_failure)?.without(own);
        Ok(Self { entries, tally, list_failure, limits })
    }
}

/// Walks what the flags name; `tally` counts what is passed over.
///
/// # Errors
/// A usage error if no input is named or a glob is none; otherwise if the list of inputs cannot be opened.
pub fn walk(args: &Inputs, limits: &Limits, tally: &Arc<Tally>, failure: &ListFailure) -> Result<Entries> {
    let select = Select::new(&args.include, &args.exclude, args.shard).map_err(|e| usage(e.to_string()))?;
    let inputs = inputs(args, limits, failure)?;
    Ok(Walk::new(inputs, args.follow, select, Arc::clone(tally)).within(limits.clone()))
}

/// Whether an input may be long in coming: from a list that somebody writes as we read.
pub fn may_be_slow(args: &Inputs) -> bool {
    let is_pipe = |path: &Path| std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir());
    let mut files = args.inputs.iter().map(Path::new).chain(args.files_from.as_deref());
    files.any(|path| path == Path::new("-") || is_pipe(path))
}

/// How many images there are, if that can be found out without reading what can be read once only, or images.
pub fn count(args: &Inputs) -> Option<u64> {
    let mut count = 0;
    each_name(args, |_| count += 1).map(|()| count)
}

/// Tells the name of each image, if that can be done without reading what can be read once only, or images.
pub fn each_name(args: &Inputs, mut tell: impl FnMut(&Name)) -> Option<()> {
    // A list as long as this may hold images itself, which would be read a second time.
    const LONGEST_LIST: u64 = 16 << 20;
    let is_long = |list: &Path| std::fs::metadata(list).is_ok_and(|list| list.len() > LONGEST_LIST);
    if may_be_slow(args) || args.files_from.as_deref().is_some_and(is_long) {
        return None;
    }
    for entry in walk(args, &Limits::default(), &Arc::default(), &Arc::default()).ok()? {
        match entry {
            Ok(input) if input.is_held() => return None, // to name a tar's members is to read them
            Ok(input) => tell(&input.name()),
            Err((name, _)) => tell(&name),
        }
    }
    Some(())
}

/// The inputs named on the command line, then those of the list. A list that cannot be read to its end leaves why in
/// `failure`.
fn inputs(args: &Inputs, limits: &Limits, failure: &ListFailure) -> Result<Box<dyn Iterator<Item = Entry> + Send>> {
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
    if stdins > 0 {
        text::block_on_stdin();
    }
    let named = args.inputs.clone().into_iter().map(|input| Ok(Input::from_arg(input)));
    let Some(list) = &args.files_from else { return Ok(Box::new(named)) };
    if list == Path::new("-") && stdins > 0 {
        return Err(usage("standard input cannot be both an image and the list of images"));
    }
    let separator = if args.null { 0 } else { b'\n' };
    Ok(Box::new(named.chain(read_list(list, separator, limits.clone(), Arc::clone(failure))?)))
}

/// The inputs in a list, read as they are needed.
fn read_list(
    path: &Path,
    separator: u8,
    limits: Limits,
    failure: ListFailure,
) -> Result<impl Iterator<Item = Entry> + Send + use<>> {
    let is_stdin = path == Path::new("-");
    let reader: Box<dyn Read + Send> = if is_stdin {
        text::block_on_stdin();
        Box::new(std::io::stdin())
    } else {
        let failed = |e| usage(format!("{}: the list cannot be opened: {}", path.display(), os_reason(&e)));
        if path.is_dir() {
            return Err(usage(format!("{}: is a folder, and no list; name it without --files-from", path.display())));
        }
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let name = path.display().to_string();
    let names = Names::new(reader, separator, limits).map_while(move |item| {
        let told = |e: std::io::Error| {
            let e = anyhow!(e).context(format!("{name}: the list cannot be read to its end"));
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        };
        item.map_err(told).ok()
    });
    let entry = move |(name, lease)| match Input::from_arg(OsString::from_vec(name)) {
        input @ Input::Stdin if is_stdin => {
            let reason =
                ImageError::new(ErrorKind::Read, "standard input is the list, and cannot be an image of it too");
            Err((input.name(), reason))
        }
        Input::Held(held) => Ok(Input::Held(held.with(lease))),
        input => Ok(input),
    };
    Ok(names.map(entry))
}
