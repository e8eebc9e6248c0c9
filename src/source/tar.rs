//! A tar, in a file or through a pipe -> its images, in their order. Skips the bytes of unwanted members, by seeking if
//! possible. Unpacks nothing to disk.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind as Io, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::decode::check_format;
use super::entry::{Entry, Skipped, Tally};
use super::held::Held;
use super::name::Name;
use super::read::{HEAD, READ, fill_sparse, open, packed, read_up_to, too_many_bytes};
use super::select::Select;
use super::{Bytes, ErrorKind, ImageError, Input, Limits, Stage, is_image, is_image_name};
use crate::reason::os_reason;

/// Bytes of a header. A member's data is padded to a multiple of them.
pub(super) const BLOCK: u64 = 512;
/// The most bytes of one member's headers: long names, and other pax records.
const MAX_HEADERS: u64 = 16 << 20;

/// Returns whether a path has the name of a tar.
pub fn is_tar_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
}

/// Returns whether these [`BLOCK`] bytes are the start of a tar with a member.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK as usize]>::try_from(head) else { return false };
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|&byte| u32::from(byte)).sum();
    let sum = sum + 8 * u32::from(b' '); // the checksum field counts as blanks
    tar::Header::from_byte_slice(block).cksum().is_ok_and(|said| said == sum)
}

/// Returns whether a tar begins with this block: a member's header, or the zeros of an empty tar.
pub(super) fn begins_tar(head: &[u8]) -> bool {
    is_tar(head) || head.len() as u64 == BLOCK && head.iter().all(|&byte| byte == 0)
}

/// The source of a tar's bytes.
enum Source {
    File(BufReader<File>, u64),
    Stream(Box<dyn Read + Send>),
}

/// The images of one tar, in its order.
pub(super) struct Members {
    source: Source,
    position: Cell<u64>,
    name: Name,
    /// The tar's path below the named folder; empty if the tar was named itself.
    below: PathBuf,
    ended: bool,
}

/// The result of one step through a tar.
enum Step {
    Found(Entry),
    Passed,
    End,
}

impl Members {
    /// Opens the tar in a file.
    ///
    /// # Errors
    /// The tar's failure, if it cannot be opened or is not a tar.
    pub fn open(path: &Path, below: PathBuf) -> Result<Self, ImageError> {
        let failed = |e: io::Error| ImageError::from_io(&e);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let source = if metadata.is_file() {
            Source::File(BufReader::new(File::open(path).map_err(failed)?), metadata.len())
        } else {
            Source::Stream(open(path).map_err(failed)?)
        };
        let mut members = Self { source, position: Cell::new(0), name: Name::of(path), below, ended: false };
        members.check_head()?;
        Ok(members)
    }

    /// Returns the tar on standard input, whose first bytes were read already.
    pub fn of_stdin(head: Vec<u8>) -> Self {
        let source = Source::Stream(Box::new(Cursor::new(head).chain(io::stdin())));
        Self { source, position: Cell::new(0), name: Name::stdin(), below: PathBuf::new(), ended: false }
    }

    /// Checks the first block and puts it back.
    fn check_head(&mut self) -> Result<(), ImageError> {
        let mut head = Vec::new();
        self.source.by_ref().take(BLOCK).read_to_end(&mut head).map_err(|e| ImageError::from_io(&e))?;
        if head.is_empty() {
            return Err(ImageError::new(ErrorKind::Decode, "the tar is empty"));
        }
        if !begins_tar(&head) {
            return Err(packed(&head).unwrap_or_else(|| ImageError::new(ErrorKind::Format, "is not a tar file")));
        }
        match &mut self.source {
            Source::File(file, _) => file.seek_relative(-(BLOCK as i64)).map_err(|e| ImageError::from_io(&e)),
            Source::Stream(stream) => {
                let rest = std::mem::replace(stream, Box::new(io::empty()));
                *stream = Box::new(Cursor::new(head).chain(rest));
                Ok(())
            }
        }
    }

    /// Returns the next selected image. A torn or damaged tar ends with a failure.
    pub fn next(&mut self, select: &Select, tally: &Tally, limits: &Limits) -> Option<Entry> {
        while !self.ended {
            match self.step(select, tally, limits) {
                Ok(Step::Found(entry)) => return Some(entry),
                Ok(Step::Passed) => {}
                Ok(Step::End) => self.ended = true,
                Err(e) => {
                    self.ended = true;
                    if select.shares(&self.name) {
                        return Some(Err((self.name.clone(), failure(&e, self.position.get()))));
                    }
                }
            }
        }
        None
    }

    fn step(&mut self, select: &Select, tally: &Tally, limits: &Limits) -> io::Result<Step> {
        let before = self.position.get();
        let headers = Cell::new(MAX_HEADERS);
        let counted = Counted { source: &mut self.source, position: &self.position, left: &headers };
        // A new archive for each member: it borrows its source, and starts at the source's position.
        let mut archive = tar::Archive::new(counted);
        let Some(member) = archive.entries()?.next() else {
            // A block of zeros ends a tar; another tar may follow.
            return Ok(if self.position.get() == before { Step::End } else { Step::Passed });
        };
        let mut member = member?;
        let start = self.position.get();
        let stored = if member.header().entry_type().is_gnu_sparse() {
            member.header().entry_size()? // holes excluded
        } else {
            member.size()
        };
        headers.set(u64::MAX);
        let wanted = Wanted { name: &self.name, below: &self.below, select, tally, limits };
        let step = wanted.read(&mut member, stored)?;
        let end = stored.checked_next_multiple_of(BLOCK).and_then(|stored| start.checked_add(stored));
        let end = end.ok_or_else(|| io::Error::from(Io::UnexpectedEof))?;
        let passed = end.saturating_sub(self.position.get());
        self.source.skip(passed, &self.position)?;
        self.position.set(end);
        Ok(step)
    }
}

/// Judges members, and reads the selected ones.
struct Wanted<'a> {
    name: &'a Name,
    below: &'a Path,
    select: &'a Select,
    tally: &'a Tally,
    limits: &'a Limits,
}

impl Wanted<'_> {
    fn read(&self, member: &mut tar::Entry<'_, impl Read>, stored: u64) -> io::Result<Step> {
        let kind = member.header().entry_type();
        let path = member.path_bytes().into_owned();
        if kind.is_dir() || kind.is_pax_global_extensions() || path.ends_with(b"/") {
            return Ok(Step::Passed);
        }
        let parts = path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
        let parts: Vec<&[u8]> = parts.collect();
        let path = parts.join(&b'/');
        let name = self.name.member(&path);
        let path = Path::new(OsStr::from_bytes(&path));
        let hidden = parts.iter().any(|part| part.starts_with(b".") && *part != b"..");
        if hidden || !self.select.takes_below(self.below, &self.below.join(path)) {
            return Ok(Step::Passed);
        }
        if !self.select.shares(&name) {
            self.tally.pass_elsewhere();
            return Ok(Step::Passed);
        }
        let bytes = if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            contents(member, stored, path, self.limits, |kind| self.tally.skip(&name, kind))?
        } else if (kind.is_symlink() || kind.is_hard_link()) && is_image_name(path) {
            let reason =
                "is a link in the tar, which is not followed; make the tar with --dereference --hard-dereference";
            Some(Err(ImageError::new(ErrorKind::Read, reason)))
        } else {
            let is_link = kind.is_symlink() || kind.is_hard_link();
            self.tally.skip(&name, if is_link { Skipped::Link } else { Skipped::Special });
            None
        };
        Ok(match bytes {
            None => Step::Passed,
            Some(Err(e)) => Step::Found(Err((name, e))),
            Some(bytes) => Step::Found(Ok(Input::Held(Held { name, bytes }))),
        })
    }
}

/// Returns a member's bytes, of which `stored` are in the tar, or the reason why it is not an image. A member that does
/// not even have an image's name is None, and `skip` counts it.
fn contents(
    member: &mut tar::Entry<'_, impl Read>,
    stored: u64,
    path: &Path,
    limits: &Limits,
    skip: impl FnOnce(Skipped),
) -> io::Result<Option<Result<Bytes, ImageError>>> {
    let size = member.size();
    let mut bytes = Vec::new();
    member.take(HEAD).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size.min(HEAD) {
        return Err(Io::UnexpectedEof.into());
    }
    if !is_image_name(path) && !is_image(&bytes) {
        skip(Skipped::of(path, &bytes));
        return Ok(None);
    }
    if let Err(e) = check_format(&bytes) {
        return Ok(Some(Err(e)));
    }
    if size > limits.max_bytes {
        return Ok(Some(Err(too_many_bytes(limits.max_bytes))));
    }
    let lease = match limits.room.take(Stage::Walk, limits.room.counted(size, stored), READ) {
        Ok(lease) => Some(lease),
        Err(e) => return Ok(Some(Err(e))),
    };
    if stored < size {
        fill_sparse(member, size, &mut bytes)?;
    } else {
        read_up_to(member, size, &mut bytes)?;
    }
    if (bytes.len() as u64) < size { Err(Io::UnexpectedEof.into()) } else { Ok(Some(Ok(Bytes::new(bytes, lease)))) }
}

/// Converts a failure at a position of the tar.
fn failure(e: &io::Error, position: u64) -> ImageError {
    // The crate's messages for an end inside a header, inside a member, and before the next one.
    const CUT: [&str; 3] = ["failed to read entire block", "unexpected EOF during skip", "no future member found"];
    let text = os_reason(e);
    let is_cut = e.kind() == Io::UnexpectedEof || CUT.iter().any(|cut| text.contains(cut));
    match e.kind() {
        _ if is_cut => ImageError::new(ErrorKind::Decode, format!("the tar ends early, after {position} bytes")),
        Io::Other | Io::InvalidData | Io::InvalidInput => {
            ImageError::new(ErrorKind::Decode, format!("the tar is damaged: {text}"))
        }
        _ => ImageError::from_io(e),
    }
}

impl Source {
    /// Skips `count` bytes from `position` on. An earlier end is an error.
    fn skip(&mut self, count: u64, position: &Cell<u64>) -> io::Result<()> {
        let end = position.get().saturating_add(count);
        match self {
            Self::File(file, length) => {
                let there = end.min(*length).saturating_sub(position.get());
                file.seek_relative(i64::try_from(there).map_err(|_| Io::UnexpectedEof)?)?;
                position.set(position.get() + there);
            }
            Self::Stream(stream) => {
                let passed = io::copy(&mut stream.take(count), &mut io::sink())?;
                position.set(position.get() + passed);
            }
        }
        if position.get() < end { Err(Io::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read(into),
            Self::Stream(stream) => stream.read(into),
        }
    }
}

/// A source that counts its bytes, and fails before headers fill the memory.
struct Counted<'a> {
    source: &'a mut Source,
    position: &'a Cell<u64>,
    left: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        self.position.set(self.position.get() + read as u64);
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("the headers of a member are too long")),
        }
        Ok(read)
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("name", &self.name).field("position", &self.position).finish()
    }
}
