//! A tar, in a file or through a pipe -> its images, in their order. Skips the bytes of unwanted members, by seeking if
//! possible. Unpacks nothing to disk.

mod companions;
mod member;
mod reader;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind as Io, Read};
use std::path::{Path, PathBuf};

pub use companions::companions;
use member::{MemberFilter, MemberStep};
use reader::{CountedReader, TarSource};

use super::entry::{Entry, Tally};
use super::error::{ErrorKind, ImageError};
use super::limits::Limits;
use super::name::Name;
use super::read::packed;
use super::select::Select;
use crate::reason::os_reason;
use crate::system::name::from_bytes;
use crate::system::pipe;

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

/// The images of one tar, in its order.
pub(super) struct Members {
    source: TarSource,
    position: Cell<u64>,
    name: Name,
    /// The tar's path below the named folder; empty if the tar was named itself.
    below: PathBuf,
    ended: bool,
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
            TarSource::File(BufReader::new(File::open(path).map_err(failed)?), metadata.len())
        } else {
            TarSource::Stream(pipe::open(path).map_err(failed)?)
        };
        let mut members = Self { source, position: Cell::new(0), name: Name::of(path), below, ended: false };
        members.check_head()?;
        Ok(members)
    }

    /// Returns the tar on standard input, whose first bytes were read already.
    pub fn of_stdin(head: Vec<u8>) -> Self {
        let source = TarSource::Stream(Box::new(Cursor::new(head).chain(io::stdin())));
        Self { source, position: Cell::new(0), name: Name::stdin(), below: PathBuf::new(), ended: false }
    }

    /// Returns the tar's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the path of a member below the folder that the user named. `path` is its name in records.
    pub fn below_input(&self, path: &Path) -> PathBuf {
        let tar = from_bytes(self.name.bytes());
        self.below.join(path.strip_prefix(&*tar).unwrap_or(path))
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
            TarSource::File(file, _) => file.seek_relative(-(BLOCK as i64)).map_err(|e| ImageError::from_io(&e)),
            TarSource::Stream(stream) => {
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
                Ok(MemberStep::Found(entry)) => return Some(entry),
                Ok(MemberStep::Passed) => {}
                Ok(MemberStep::End) => self.ended = true,
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

    fn step(&mut self, select: &Select, tally: &Tally, limits: &Limits) -> io::Result<MemberStep> {
        let before = self.position.get();
        let headers = Cell::new(MAX_HEADERS);
        let counted = CountedReader { source: &mut self.source, position: &self.position, left: &headers };
        // A new archive for each member, and still one pass. One archive for all could not live in `self` beside its own
        // iterator, and when it seeks it does not notice that a file ends early.
        let mut archive = tar::Archive::new(counted);
        let Some(member) = archive.entries()?.next() else {
            // A block of zeros ends a tar; another tar may follow.
            return Ok(if self.position.get() == before { MemberStep::End } else { MemberStep::Passed });
        };
        let mut member = member?;
        let start = self.position.get();
        let stored = if member.header().entry_type().is_gnu_sparse() {
            member.header().entry_size()? // holes excluded
        } else {
            member.size()
        };
        headers.set(u64::MAX);
        let wanted = MemberFilter { name: &self.name, below: &self.below, select, tally, limits };
        let step = wanted.read(&mut member, stored)?;
        let end = stored.checked_next_multiple_of(BLOCK).and_then(|stored| start.checked_add(stored));
        let end = end.ok_or_else(|| io::Error::from(Io::UnexpectedEof))?;
        let passed = end.saturating_sub(self.position.get());
        self.source.skip(passed, &self.position)?;
        self.position.set(end);
        Ok(step)
    }
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

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("name", &self.name).field("position", &self.position).finish()
    }
}
