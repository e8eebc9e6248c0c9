//! The caches, the disks that they are on, and the hub.

use std::path::Path;

use serde_json::json;
use zsic::cache::{Cache, LIMIT};
use zsic::net::HttpError;
use zsic::net::hub::{self as library, HubError};
use zsic::source::without_passwords;
use zsic::system::space;

use super::findings::Findings;
use crate::cli::args::{CachePlace, DEFAULT_MODEL, Hub};
use crate::cli::fetching::size;
use crate::cli::report::shown;
use crate::cli::{cache, fatal, hub};

/// Adds the cache of checkpoints.
pub fn hub_cache(found: &mut Findings, flag: Option<&Path>) {
    let dir = match hub::cache(flag) {
        Ok(dir) => dir,
        Err(e) => return found.fault(e),
    };
    let (mut count, mut bytes) = (0, 0);
    let explained = |e: &HubError| hub::explain(e, "", library::REVISION, &dir);
    match library::cached(&dir) {
        Err(e) => found.fault(format!("the hub cache cannot be used: {}", explained(&e))),
        Ok(repos) => {
            for (name, repo) in repos {
                match repo {
                    Ok(repo) => (count, bytes) = (count + repo.snapshots.len(), bytes + repo.size),
                    Err(e) => found.fault(format!("{name} in the hub cache cannot be used: {}", explained(&e))),
                }
            }
            if !is_writable(&dir) {
                found.warn(format!("{}: is not writable, so no checkpoint can be fetched", dir.display()));
            }
        }
    }
    let checkpoints = if count == 1 { "1 checkpoint".to_owned() } else { format!("{count} checkpoints") };
    add(found, "hub cache", &dir, &checkpoints, bytes);
}

/// Adds the cache of embeddings. Opens it as a run does, if its folder exists.
pub fn own_cache(found: &mut Findings, place: &CachePlace) {
    let dir = match cache::dir(place) {
        Ok(dir) => dir,
        Err(e) => return found.fault(e),
    };
    let info = zsic::cache::info(&dir);
    let opened = if dir.exists() { Cache::open(&dir, LIMIT).err() } else { None };
    if let Some(e) = info.as_ref().err().or(opened.as_ref()) {
        found.fault(format!("{e}; use --cache-dir DIR for another folder"));
    } else if !is_writable(&dir) {
        found.fault(format!("{}: is not writable; use --cache-dir DIR for another folder", dir.display()));
    }
    let (count, bytes) = info.map_or((0, 0), |info| (info.groups.iter().map(|group| group.entries).sum(), info.bytes));
    add(found, "zsic cache", &dir, &format!("{count} embeddings and hashes"), bytes);
}

fn add(found: &mut Findings, name: &str, dir: &Path, what: &str, bytes: u64) {
    let (free, is_writable) = (space::free(dir), is_writable(dir));
    let mut text = format!("{}: {what}, {}", dir.display(), size(bytes));
    if let Some(free) = free {
        text += &format!("; {} are free", size(free));
    }
    text += if is_writable { "; writable" } else { "; not writable" };
    let value = json!({ "dir": shown(dir), "bytes": bytes, "free": free, "writable": is_writable });
    found.add(name, text, value);
}

/// Returns whether this process may write to a folder, or may create it.
fn is_writable(dir: &Path) -> bool {
    let here = Path::new(".");
    let nearest = dir.ancestors().map(|dir| if dir.as_os_str().is_empty() { here } else { dir });
    let nearest = nearest.into_iter().find(|dir| dir.exists()).unwrap_or(here);
    space::is_writable(nearest)
}

/// Returns whether the server that answered is not a hub. A busy or faulty hub still counts as a hub.
fn is_no_hub(e: &HubError) -> bool {
    matches!(e, HubError::Answer { .. }) || matches!(e, HubError::Status { status, .. } if *status < 500)
}

/// Adds whether the hub answers.
pub fn answer(found: &mut Findings, args: &Hub) {
    let endpoint = without_passwords(&hub::endpoint()).into_owned();
    let add = |found: &mut Findings, text: &str, answers: Option<bool>| {
        found.add("hub", format!("{endpoint} {text}"), json!({ "endpoint": endpoint, "answers": answers }));
    };
    if hub::is_offline(args) {
        return add(found, "not asked: the network is off", None);
    }
    match hub::ask(args) {
        Ok(Ok(time)) => add(found, &format!("answered in {} ms", time.as_millis()), Some(true)),
        Ok(Err(e @ (HubError::Token { .. } | HubError::Http(HttpError::Settings(_))))) => {
            add(found, "cannot be used", Some(false));
            found.fault(hub::explain(&e, DEFAULT_MODEL, library::REVISION, Path::new("")));
        }
        Ok(Err(e)) if is_no_hub(&e) => {
            add(found, "does not answer as a hub does", Some(false));
            found.fault(format!("no hub answers at {endpoint}: {e}; check HF_ENDPOINT and HTTPS_PROXY"));
        }
        Ok(Err(e)) => {
            add(found, "cannot be used now", Some(false));
            found.warn(format!("no checkpoint can be fetched: {e}"));
        }
        Err(e) => {
            add(found, "not asked", None);
            found.fault(fatal::reason(&e, true));
        }
    }
}
