//! The command line's inputs and lists -> a walk over them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use zsic::reason::os_reason;
use zsic::source::{Entry, ErrorKind, ImageError, Input, Limits, Name, Select, Tally, Walk};
use zsic::system::name::from_vec;
use zsic::system::pipe::block_on;

use super::args::{Common, Inputs};
use super::fatal::usage;
use super::lists::Names;
use super::skipped;

/// The failure that ended the list early, if any.
pub type ListFailure = Arc<Mutex<Option<anyhow::Error>>>;
/// The images, in order.
pub type Entries = Walk<Box<dyn Iterator<Item = Entry> + Send>>;

/// A walk over the inputs.
pub struct Walked<I> {
    /// The images, in order.
    pub entries: I,
    /// The counts of skipped files.
    pub tally: Arc<Tally>,
    /// The failure that ended the list of inputs early, if any.
    pub list_failure: ListFailure,
    /// The limits of one image.
    pub limits: Limits,
}

impl Walked<Entries> {
    /// Walks the inputs without the run's own output files, `own`. Reports skipped files as it meets them.
    ///
    /// # Errors
    /// The errors of [`walk`].
    pub fn new(args: &Inputs, limits: Limits, own: Vec<PathBuf>, common: &Common) -> Result<Self> {
        let (tally, list_failure) = (skipped::tally(common), ListFailure::default());
        let entries = walk(args, &limits, &tally, &list_failure)?.without(own);
        Ok(Self { entries, tally, list_failure, limits })
    }
}

/// Walks the inputs; `tally` counts skipped files.
///
/// # Errors
/// A usage error if there is no input or a glob cannot be read; another if the list of inputs cannot be opened.
pub fn walk(args: &Inputs, limits: &Limits, tally: &Arc<Tally>, failure: &ListFailure) -> Result<Entries> {
    let select = Select::new(&args.include, &args.exclude, args.shard).map_err(|e| usage(e.to_string()))?;
    let inputs = inputs(args, limits, failure)?;
    Ok(Walk::new(inputs, args.follow, select, Arc::clone(tally)).within(limits.clone()))
}

/// Returns whether inputs may come slowly: from a list that another program writes meanwhile.
pub fn may_be_slow(args: &Inputs) -> bool {
    let is_pipe = |path: &Path| std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir());
    let mut files = args.inputs.iter().map(Path::new).chain(args.files_from.as_deref());
    files.any(|path| path == Path::new("-") || is_pipe(path))
}

/// Counts the images, if that needs neither a pipe, which can be read only once, nor the images' own bytes.
pub fn count(args: &Inputs) -> Option<u64> {
    let mut count = 0;
    each_name(args, |_| count += 1).ok()?.map(|()| count)
}

/// Calls `see` with the name of each image, if that needs neither a pipe, which can be read only once, nor the images'
/// own bytes.
///
/// # Errors
/// As [`walk`].
pub fn each_name(args: &Inputs, mut see: impl FnMut(&Name)) -> Result<Option<()>> {
    // Such a long list may itself hold images, which would be read twice.
    const LONGEST_LIST: u64 = 16 << 20;
    let is_long = |list: &Path| std::fs::metadata(list).is_ok_and(|list| list.len() > LONGEST_LIST);
    if may_be_slow(args) || args.files_from.as_deref().is_some_and(is_long) {
        return Ok(None);
    }
    for entry in walk(args, &Limits::default(), &Arc::default(), &Arc::default())? {
        match entry {
            Ok(input) if input.is_held() => return Ok(None), // the members of a tar have no names until they are read
            Ok(input) => see(&input.name()),
            Err((name, _)) => see(&name),
        }
    }
    Ok(Some(()))
}

/// Returns the paths among the inputs, without those of a list that can be read only once.
pub fn paths(args: &Inputs) -> Vec<PathBuf> {
    let path = |entry| if let Ok(Input::Path(path)) = entry { Some(path) } else { None };
    let named = args.inputs.iter().map(|input| Ok(Input::from_arg(input)));
    if may_be_slow(args) {
        return named.filter_map(path).collect();
    }
    inputs(args, &Limits::default(), &Arc::default()).into_iter().flatten().filter_map(path).collect()
}

/// Returns the inputs on the command line, then those of the list. A list that breaks off puts its error in `failure`.
fn inputs(args: &Inputs, limits: &Limits, failure: &ListFailure) -> Result<Box<dyn Iterator<Item = Entry> + Send>> {
    let stdins = args.inputs.iter().filter(|input| *input == "-").count();
    if args.inputs.is_empty() && args.files_from.is_none() {
        return Err(usage("no input; name images, folders, tars or URLs, or `-` for standard input"));
    }
    if args.inputs.iter().any(|input| input.is_empty()) {
        return Err(usage("an input is empty; a variable may be unset"));
    }
    if stdins > 1 {
        return Err(usage("`-` is given twice, but standard input can be read only once"));
    }
    if stdins > 0 {
        block_on(&std::io::stdin());
    }
    let named = args.inputs.clone().into_iter().map(|input| Ok(Input::from_arg(input)));
    let Some(list) = &args.files_from else { return Ok(Box::new(named)) };
    if list == Path::new("-") && stdins > 0 {
        return Err(usage("standard input cannot be both an image and the list of images"));
    }
    let separator = if args.null { 0 } else { b'\n' };
    Ok(Box::new(named.chain(read_list(list, separator, limits.clone(), Arc::clone(failure))?)))
}

/// Reads the inputs of a list as they are needed.
fn read_list(
    path: &Path,
    separator: u8,
    limits: Limits,
    failure: ListFailure,
) -> Result<impl Iterator<Item = Entry> + Send + use<>> {
    let is_stdin = path == Path::new("-");
    let reader: Box<dyn Read + Send> = if is_stdin {
        block_on(&std::io::stdin());
        Box::new(std::io::stdin())
    } else {
        let failed = |e| usage(format!("{}: the list cannot be opened: {}", path.display(), os_reason(&e)));
        if path.is_dir() {
            return Err(usage(format!("{}: is a folder, not a list; name it without --files-from", path.display())));
        }
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let name = path.display().to_string();
    let names = Names::new(reader, separator, limits).map_while(move |item| {
        let failed = |e: std::io::Error| {
            let e = anyhow!(e).context(format!("{name}: the list cannot be read to its end"));
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        };
        item.map_err(failed).ok()
    });
    let entry = move |(name, lease)| match Input::from_arg(from_vec(name)) {
        input @ Input::Stdin if is_stdin => {
            let reason = ImageError::new(ErrorKind::Read, "standard input is the list, so it cannot be an image in it");
            Err((input.name(), reason))
        }
        Input::Held(held) => Ok(Input::Held(held.with(lease))),
        input => Ok(input),
    };
    Ok(names.map(entry))
}
