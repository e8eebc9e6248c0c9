//! The bytes that a checkpoint still lacks, and whether there is room for them.

use std::fs;

use super::Event;
use super::ask::{HubClient, RemoteFile};
use super::error::HubError;
use super::layout::{is_whole, partial_path};
use crate::system::space;

/// Announces what will be fetched, and checks that there is room for it.
pub(super) fn announce(hub: &HubClient<'_>, commit: &str, files: &[RemoteFile]) -> Result<(), HubError> {
    let missing: Vec<u64> = files.iter().map(|file| missing(hub, commit, file)).collect();
    let need = missing.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    let count = files.iter().filter(|file| !is_here(hub, commit, file)).count();
    if count > 0 {
        (hub.settings.progress)(Event::Planned { name: &hub.repo.name, commit, files: count, bytes: need });
    }
    match space::free(hub.repo.root()) {
        Some(free) if need > free => Err(HubError::NoSpace { path: hub.settings.cache.clone(), need, free }),
        _ => Ok(()),
    }
}

/// Returns whether a file's content is here, in a blob or in the snapshot.
fn is_here(hub: &HubClient<'_>, commit: &str, file: &RemoteFile) -> bool {
    hub.repo.has(commit, &file.path, &file.etag, file.size) || is_whole(&hub.repo.blob(&file.etag), file.size)
}

/// Returns the bytes that `file` still lacks.
fn missing(hub: &HubClient<'_>, commit: &str, file: &RemoteFile) -> u64 {
    let blob = hub.repo.blob(&file.etag);
    let have = fs::metadata(partial_path(&blob)).map_or(0, |meta| meta.len());
    if is_here(hub, commit, file) { 0 } else { file.size.saturating_sub(have) }
}
