//! One member of a tar: whether it is wanted, and its bytes.

use std::io::{self, ErrorKind as Io, Read};
use std::path::Path;

use crate::source::decode::{check_format, is_image, is_image_name};
use crate::source::entry::{Entry, Skipped, Tally};
use crate::source::error::{ErrorKind, ImageError};
use crate::source::held::Held;
use crate::source::input::Input;
use crate::source::limits::Limits;
use crate::source::memory_budget::{Bytes, Stage};
use crate::source::name::Name;
use crate::source::read::{HEAD, READ, fill_sparse, read_up_to, too_many_bytes};
use crate::source::select::Select;
use crate::system::name::from_bytes;

/// The result of one step through a tar.
pub enum MemberStep {
    Found(Entry),
    Passed,
    End,
}

/// Judges members, and reads the selected ones.
pub struct MemberFilter<'a> {
    pub name: &'a Name,
    pub below: &'a Path,
    pub select: &'a Select,
    pub tally: &'a Tally,
    pub limits: &'a Limits,
}

impl MemberFilter<'_> {
    pub fn read(&self, member: &mut tar::Entry<'_, impl Read>, stored: u64) -> io::Result<MemberStep> {
        let kind = member.header().entry_type();
        let path = member.path_bytes().into_owned();
        if kind.is_dir() || kind.is_pax_global_extensions() || path.ends_with(b"/") {
            return Ok(MemberStep::Passed);
        }
        let parts = path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
        let parts: Vec<&[u8]> = parts.collect();
        let path = parts.join(&b'/');
        let name = self.name.member(&path);
        let path = from_bytes(&path);
        let path = Path::new(&path);
        let hidden = parts.iter().any(|part| part.starts_with(b".") && *part != b"..");
        if hidden || !self.select.takes_below(self.below, &self.below.join(path)) {
            return Ok(MemberStep::Passed);
        }
        if !self.select.shares(&name) {
            self.tally.pass_elsewhere();
            return Ok(MemberStep::Passed);
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
            None => MemberStep::Passed,
            Some(Err(e)) => MemberStep::Found(Err((name, e))),
            Some(bytes) => MemberStep::Found(Ok(Input::Held(Held { name, bytes }))),
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
