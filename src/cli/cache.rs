//! The flags of the embedding cache, and `zsic cache`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use zsic::cache::{self as library, Cache, Group, Scope};
use zsic::{Checkpoint, Plan};

use super::Outcome;
use super::args::{CacheArgs as Args, CacheCommand, CachePlace, Caching, Common, ListFormat};
use super::fetching::size;
use super::messages::warn;
use super::output::notes::{self, Notes};
use super::report::{columns, field, print, shown};
use super::terminal::printable;

/// Runs `zsic cache`.
///
/// # Errors
/// If the cache cannot be read or written.
pub fn run(args: &Args) -> Result<Outcome> {
    let json = args.format == ListFormat::Json;
    match &args.command {
        CacheCommand::Info { place, cache_size } => info(&dir(place)?, *cache_size, json),
        CacheCommand::Clear { place } => {
            let dir = dir(place)?;
            let freed = library::clear(&dir)? + notes::clear(&dir)?;
            let text = printable(&format!("cleared {}: {} freed", dir.display(), size(freed)));
            print(json, &text, || json!({ "dir": shown(&dir), "freed": freed }))
        }
    }
}

fn info(dir: &Path, limit: u64, json: bool) -> Result<Outcome> {
    let info = library::info(dir)?;
    let (outputs, noted) = notes::info(dir)?;
    let mut text = field("directory", format!(" {}", dir.display()));
    text += &field("size", format!(" {} of {}", size(info.bytes), size(limit)));
    text += &field("outputs", format!(" {outputs} finished, with {} of notes for --resume", size(noted)));
    if !info.groups.is_empty() {
        let mut table = vec![["KEPT", "ENTRIES", "SIZE", "OF"].map(str::to_owned)];
        table.extend(info.groups.iter().map(|group| {
            let scope = group.scope.clone().unwrap_or_default();
            [group.kind.name().to_owned(), group.entries.to_string(), size(group.bytes), scope]
        }));
        text += &columns(&table);
    }
    print(json, &text, || {
        let entry = |group: &Group| {
            json!({
                "kind": group.kind.name(), "checkpoint": group.scope, "entries": group.entries, "bytes": group.bytes,
            })
        };
        let entries: Vec<_> = info.groups.iter().map(entry).collect();
        let outputs = json!({ "files": outputs, "bytes": noted });
        json!({ "dir": shown(dir), "bytes": info.bytes, "limit": limit, "entries": entries, "outputs": outputs })
    })
}

/// Opens the cached embeddings of a checkpoint. A cache that cannot be used gives a warning, and the run goes on
/// without.
///
/// # Errors
/// If a file of the checkpoint cannot be read.
pub fn open(args: &Caching, checkpoint: &Checkpoint, plan: &Plan, common: &Common) -> Result<Scope> {
    if args.no_cache {
        return Ok(Scope::none());
    }
    let cache = dir(&args.place).and_then(|dir| Ok(Cache::open(&dir, args.cache_size)?));
    let cache = cache.unwrap_or_else(|e| {
        warn(common, format!("{e}; use --cache-dir DIR for another folder, or --no-cache"));
        Cache::off()
    });
    Ok(cache.scope(checkpoint, plan)?)
}

/// Waits until everything is written. A failure is a warning.
pub fn close(scope: &Scope, common: &Common) {
    if let Err(e) = scope.cache().flush() {
        warn(common, format!("{e}; not all embeddings are kept"));
    }
}

/// Returns the place of notes about finished outputs. With `--no-cache`, there is one only if the run resumes.
pub fn notes(args: &Caching, resume: bool, common: &Common) -> Notes {
    let dir = dir(&args.place).ok().filter(|_| resume || !args.no_cache);
    Notes::new(dir.as_deref(), common)
}

/// Returns the cache's directory: from the flag or ZSIC_CACHE_DIR, else the system's place for caches.
///
/// # Errors
/// If neither a setting nor a home directory says where it is.
pub fn dir(place: &CachePlace) -> Result<PathBuf> {
    if let Some(dir) = &place.cache_dir {
        return Ok(dir.clone());
    }
    let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let caches = caches.or_else(|| Some(env::home_dir().filter(|home| !home.as_os_str().is_empty())?.join(".cache")));
    Ok(caches.context("the cache has no folder, since no home directory is known")?.join("zsic"))
}
