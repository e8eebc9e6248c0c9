//! One file's contents, from the hub into a blob: resumed, hashed while written, and renamed only when they are what
//! the hub promised. After a kill, the next run continues from the part that is left: it hashes the part again and
//! overwrites it in place. The part is never cut, since two processes that no lock keeps apart write the same bytes to
//! the same places.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::ask::{HubClient, RemoteFile};
use super::digest::Digest;
use super::error::HubError;
use super::layout::{is_whole, make_parent, partial_path};
use super::lock::Lock;
use super::{Event, HubSettings};
use crate::net::HttpError;
use crate::net::http::{Reply, Request};
use crate::regular;
use crate::system::file::write_all_at;

/// Bytes written and hashed at a time.
const PIECE: usize = 256 << 10;
/// Pieces under way between the writer and the hasher.
const PIECES: usize = 8;
/// The status of an answer to a range that the file does not have.
const OUT_OF_RANGE: u16 = 416;

/// Fetches one file of `commit` into the cache, unless it is there: into a blob that the snapshot links to or, without
/// links, into the snapshot itself.
pub(super) fn fetch(hub: &HubClient<'_>, commit: &str, file: &RemoteFile) -> Result<(), HubError> {
    let (repo, blob) = (hub.repo, hub.repo.blob(&file.etag));
    let is_here = || repo.has(commit, &file.path, &file.etag, file.size);
    if is_here() {
        return Ok(());
    }
    let links = hub.settings.links && repo.can_link();
    if !is_whole(&blob, file.size) {
        let waiting = || (hub.settings.progress)(Event::Waiting { file: &file.path });
        let _lock = Lock::take(&repo.lock(&file.etag), waiting)?;
        if !is_whole(&blob, file.size) && !is_here() {
            let pointer = repo.pointer(commit, &file.path);
            download(hub, commit, file, &blob, if links { &blob } else { &pointer })?;
        }
    }
    match links {
        _ if is_here() => Ok(()),
        true => repo.link(commit, &file.path, &file.etag),
        false => repo.copy(commit, &file.path, &file.etag),
    }
}

fn download(hub: &HubClient<'_>, commit: &str, file: &RemoteFile, blob: &Path, to: &Path) -> Result<(), HubError> {
    let mut partial = PartialBlob::open(partial_path(blob), file)?;
    let progress = &hub.settings.progress;
    progress(Event::Started { file: &file.path, size: file.size, have: partial.length });
    let mut resumed = partial.length > 0;
    loop {
        hub.patiently(|| attempt(hub, commit, file, &mut partial)).inspect_err(|_| partial.discard_empty())?;
        if partial.is_right() {
            break;
        }
        partial.start_over();
        partial.kept = 0; // these bytes are not a part of the file
        if !std::mem::take(&mut resumed) {
            partial.discard();
            let reason = format!("the bytes are not what the hub promised (their hash is not {})", file.etag);
            return Err(HubError::Damaged { file: file.path.clone(), reason });
        }
        // The part from an earlier run was damaged, for example by a crash of the machine: start over.
    }
    partial.publish(to, file)?;
    progress(Event::Finished { file: &file.path, size: file.size });
    Ok(())
}

/// Requests the missing bytes, and receives them.
fn attempt(hub: &HubClient<'_>, commit: &str, file: &RemoteFile, partial: &mut PartialBlob) -> Result<(), HubError> {
    if partial.length == file.size {
        return Ok(());
    }
    let url = hub.url(commit, &file.path);
    let reply = hub.send(&Request { from: partial.length, within: None, ..hub.request(&url) })?;
    if reply.status == OUT_OF_RANGE {
        partial.start_over();
        return attempt(hub, commit, file, partial); // asks for no range, so this comes once
    }
    let ranges = start(&reply, file, commit, partial.length)? == partial.length;
    if !ranges {
        partial.start_over(); // the server does not support ranges
    }
    let host = reply.host;
    let source = match partial.pour(&mut reply.body.into_reader(), file, hub.settings)? {
        End::Whole => return Ok(()),
        End::Short => HttpError::Cut { host, reason: "the answer ended early".to_owned() },
        End::Cut(e) => hub.client.cut(e, &host),
    };
    if let HttpError::Malformed { .. } = source {
        return Err(HubError::http(&file.path, source)); // another try would get the same answer
    }
    Err(HubError::Interrupted { file: file.path.clone(), source, have: partial.kept, size: file.size, ranges })
}

/// Checks an answer's headers against what was asked for, and says at which byte its body starts.
fn start(reply: &Reply, file: &RemoteFile, commit: &str, asked: u64) -> Result<u64, HubError> {
    let damaged = |reason: String| Err(HubError::Damaged { file: file.path.clone(), reason });
    if let Some(other) = reply.header("x-repo-commit").filter(|other| *other != commit) {
        return damaged(format!("the hub sent it from commit {other} instead of {commit}"));
    }
    let length = reply.own_header("content-length").and_then(|length| length.parse::<u64>().ok());
    let (start, total) = match reply.status {
        206 => {
            let range = reply.own_header("content-range").unwrap_or_default();
            let Some((start, total)) = content_range(range) else {
                return damaged(format!("{} sent a part without saying which ({range:?})", reply.host));
            };
            (start, total.or(length.map(|length| start + length)))
        }
        _ => (0, length),
    };
    match total {
        Some(total) if total != file.size => {
            damaged(format!("{} sends {total} bytes where the hub promised {}", reply.host, file.size))
        }
        _ if start != asked && start != 0 => damaged(format!("{} sent it from byte {start}, not {asked}", reply.host)),
        _ => Ok(start),
    }
}

/// Returns the first byte and the total length in `bytes 5-9/10`.
fn content_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    Some((start, if total == "*" { None } else { Some(total.trim().parse().ok()?) }))
}

/// How a body ended.
enum End {
    Whole,
    Short,
    Cut(std::io::Error),
}

/// The part of a blob that was fetched. Its first `length` bytes are hashed.
struct PartialBlob {
    path: PathBuf,
    file: File,
    length: u64,
    /// The most bytes it has had: more than `length` after starting over.
    kept: u64,
    digest: Digest,
    fresh: Digest,
}

impl PartialBlob {
    fn open(path: PathBuf, wanted: &RemoteFile) -> Result<Self, HubError> {
        make_parent(&path)?;
        let failed = |e| HubError::io(&path, e);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = regular::open_here(&path, &mut options).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length > wanted.size {
            drop(file); // Windows keeps the name of an open file
            fs::remove_file(&path).map_err(failed)?; // not a part of this blob
            return Self::open(path, wanted);
        }
        let fresh = Digest::new(&wanted.etag, wanted.size);
        let mut digest = fresh.clone();
        digest.update_from(&mut file, length, |_| ()).map_err(failed)?;
        Ok(Self { path, file, length, kept: length, digest, fresh })
    }

    /// Starts over. Overwrites the bytes instead of cutting them off: on a file system that ignores locks, another
    /// process may be writing the same file, and the right bytes in the right places do no harm.
    fn start_over(&mut self) {
        self.length = 0;
        self.digest = self.fresh.clone();
    }

    /// Appends a body, hashing on a second thread.
    fn pour(&mut self, body: &mut dyn Read, wanted: &RemoteFile, settings: &HubSettings) -> Result<End, HubError> {
        let (full, pieces) = sync_channel::<(Vec<u8>, usize)>(PIECES);
        let (spare, empty) = sync_channel::<Vec<u8>>(PIECES + 2);
        let mut digest = self.digest.clone();
        thread::scope(|scope| {
            let hasher = scope.spawn(move || {
                for (piece, n) in pieces {
                    digest.update(&piece[..n]);
                    let _ = spare.try_send(piece);
                }
                digest
            });
            let end = self.write(body, wanted, settings, &full, &empty);
            drop(full);
            match hasher.join() {
                Ok(digest) => self.digest = digest,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            end
        })
    }

    fn write(
        &mut self,
        body: &mut dyn Read,
        wanted: &RemoteFile,
        settings: &HubSettings,
        full: &SyncSender<(Vec<u8>, usize)>,
        empty: &Receiver<Vec<u8>>,
    ) -> Result<End, HubError> {
        loop {
            let mut piece = empty.try_recv().unwrap_or_else(|_| vec![0; PIECE]);
            let n = match body.read(&mut piece) {
                Ok(0) if self.length < wanted.size => return Ok(End::Short),
                Ok(0) => return Ok(End::Whole),
                Ok(n) => n,
                Err(e) => return Ok(End::Cut(e)),
            };
            if self.length + n as u64 > wanted.size {
                // Do not read on: an endless body must not fill the disk.
                let reason = format!("more bytes came than the {} that the hub promised", wanted.size);
                self.discard();
                return Err(HubError::Damaged { file: wanted.path.clone(), reason });
            }
            write_all_at(&self.file, &piece[..n], self.length).map_err(|e| self.write_failed(e, wanted))?;
            self.length += n as u64;
            self.kept = self.kept.max(self.length);
            let _ = full.send((piece, n));
            (settings.progress)(Event::Advanced { file: &wanted.path, position: self.length });
        }
    }

    fn write_failed(&self, e: std::io::Error, wanted: &RemoteFile) -> HubError {
        match HubError::io(&self.path, e) {
            HubError::NoSpace { path, .. } => HubError::NoSpace {
                free: crate::system::space::free(&path).unwrap_or(0),
                path,
                need: wanted.size - self.length,
            },
            other => other,
        }
    }

    fn is_right(&self) -> bool {
        self.digest.clone().matches()
    }

    fn discard(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Removes the part of a refused file if it is empty.
    fn discard_empty(&self) {
        if self.file.metadata().is_ok_and(|meta| meta.len() == 0) {
            self.discard();
        }
    }

    /// Gives the file its name, once its bytes are on the disk.
    fn publish(self, name: &Path, wanted: &RemoteFile) -> Result<(), HubError> {
        self.file.sync_all().map_err(|e| HubError::io(&self.path, e))?;
        make_parent(name)?;
        match fs::rename(&self.path, name) {
            // A process that the lock did not stop came first, with the same bytes.
            Err(_) if is_whole(name, wanted.size) => Ok(()),
            // The blobs are on another disk, so the snapshot gets a copy.
            Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {
                fs::rename(&self.path, self.path.with_extension("")).map_err(|e| HubError::io(&self.path, e))
            }
            done => done.map_err(|e| HubError::io(name, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for odd in ["", "bytes */10", "5-9/10", "bytes 5/10", "bytes x-9/10"] {
            assert_eq!(content_range(odd), None, "{odd}");
        }
    }
}
