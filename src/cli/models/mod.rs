//! `zsic models`: what is in the cache that Python's tools share, changes to it, and what could be fetched.

mod known;
mod show;

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, stderr, stdin};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use zsic::checkpoint::Layout;
use zsic::checkpoint::file_names::OPEN_CLIP_CONFIG;
use zsic::net::hub::{self as library, CachedRepo, CachedSnapshot, HubError, Removal, Verdict};

use super::args::{Common, Hub, ListFormat, ModelId, Models, ModelsCommand};
use super::fatal::usage;
use super::fetching::size;
use super::known::DEMO;
use super::messages::{ask, say, warn};
use super::report::{columns, date, print, shown};
use super::terminal::printable;
use super::{Outcome, hub, interrupt, stdout};

/// The number of letters that distinguish a commit, for people.
const SHORT: usize = 12;
/// The least number of letters that name a commit, as in git.
const FEWEST: usize = 7;

/// Runs the command.
///
/// # Errors
/// The reason why it failed.
pub fn run(args: &Models, common: &Common) -> Result<Outcome> {
    interrupt::install()?;
    let json = args.format == ListFormat::Json;
    match &args.command {
        ModelsCommand::List { known: true, .. } => known::list(json),
        ModelsCommand::List { hub_cache, .. } => list(hub_cache.as_deref(), json, common),
        ModelsCommand::Pull { model } => pull(model, json, common),
        ModelsCommand::Show { model } => show::show(model, json),
        ModelsCommand::Verify { model } => verify(model, json, common),
        ModelsCommand::Rm { name, revision, yes, hub_cache } => {
            let repo = find(hub_cache.as_deref(), name)?;
            let snapshot = revision.as_deref().map(|revision| at(&repo, revision)).transpose()?;
            let commit = snapshot.map(|snapshot| snapshot.commit.as_str());
            let cache = hub::cache(hub_cache.as_deref())?;
            let removal = Removal::plan(&cache, &repo, commit).map_err(|e| plain(&e, &cache))?;
            confirm(&title(name, commit), removal.target(), *yes)?;
            let freed = removal.run().map_err(|e| plain(&e, &cache))?;
            let text = format!("removed {}: {} freed", title(name, commit), size(freed));
            print(json, &text, || json!({ "name": name, "commit": commit, "freed": freed }))
        }
    }
}

fn repos(hub_cache: Option<&Path>) -> Result<BTreeMap<String, Result<CachedRepo>>> {
    let cache = hub::cache(hub_cache)?;
    let repos = library::cached(&cache).map_err(|e| plain(&e, &cache))?;
    Ok(repos.into_iter().map(|(name, repo)| (name, repo.map_err(|e| plain(&e, &cache)))).collect())
}

/// Converts an error of the cache, whose text has its causes.
fn plain(e: &HubError, cache: &Path) -> anyhow::Error {
    hub::explain(e, "", library::REVISION, cache)
}

fn list(hub_cache: Option<&Path>, json: bool, common: &Common) -> Result<Outcome> {
    let all = repos(hub_cache)?;
    let failed = all.values().filter_map(|repo| repo.as_ref().err());
    failed.clone().for_each(|e| warn(common, e));
    let outcome = if failed.count() == 0 { Outcome::Complete } else { Outcome::SomeFailed };
    let rows = all.values().flatten().flat_map(|repo| repo.snapshots.iter().map(move |snapshot| (repo, snapshot)));
    if outcome == Outcome::Complete && rows.clone().next().is_none() {
        let advice =
            "`zsic models pull openai/clip-vit-base-patch32` fetches one, `zsic models list --known` lists more";
        say(common, format!("{}: no checkpoint in the cache; {advice}", hub::cache(hub_cache)?.display()));
    }
    let mut table = vec![["NAME", "REVISION", "KIND", "SIZE", "LAST USED"].map(str::to_owned)];
    table.extend(rows.clone().map(|(repo, snapshot)| {
        let used = repo.last_used.map_or_else(String::new, |time| date(time)[..10].to_owned());
        let mut kind = kind(snapshot).unwrap_or_default();
        if snapshot.missing().is_some() {
            kind += " (incomplete)";
        }
        [repo.name.clone(), revision(snapshot), kind, size(snapshot_size(snapshot)), used]
    }));
    let text = if table.len() == 1 { String::new() } else { columns(&table) };
    print(json, &text, || {
        let row = |(repo, snapshot): (&CachedRepo, &CachedSnapshot)| {
            json!({
                "name": repo.name, "commit": snapshot.commit, "refs": snapshot.refs, "kind": kind(snapshot),
                "size": snapshot_size(snapshot), "last_used": repo.last_used.map(date), "dir": shown(&snapshot.dir),
                "complete": snapshot.missing().is_none(),
            })
        };
        rows.clone().map(row).collect()
    })?;
    Ok(outcome)
}

fn pull(model: &ModelId, json: bool, common: &Common) -> Result<Outcome> {
    check_name(&model.name)?;
    let snapshot = hub::fetch(&model.name, &model.hub, true, common)?;
    if !json {
        let dir = match std::io::stdout().is_terminal() {
            true => printable(&shown(&snapshot.dir)).into_bytes(),
            false => snapshot.dir.as_os_str().as_encoded_bytes().to_vec(), // byte for byte, for `$(...)`
        };
        stdout::write(&[&dir[..], b"\n"].concat())?;
        return Ok(Outcome::Complete);
    }
    print(json, "", || json!({ "name": model.name, "commit": snapshot.commit, "dir": shown(&snapshot.dir) }))
}

fn verify(model: &ModelId, json: bool, common: &Common) -> Result<Outcome> {
    let (repo, snapshot) = cached(model)?;
    let verdicts = library::verify(&snapshot, |_, _| ()).map_err(|e| plain(&e, &repo.dir))?;
    let missing = snapshot.missing();
    let word = |verdict: &Verdict| match verdict {
        Verdict::Right => "ok",
        Verdict::Damaged => "damaged",
        Verdict::Missing => "missing",
        Verdict::Unknown => "unknown",
    };
    let rows = verdicts.iter().map(|(file, verdict)| [word(verdict).to_owned(), file.path.clone()]);
    let rows: Vec<_> = rows.chain(missing.iter().map(|what| ["missing".to_owned(), what.clone()])).collect();
    print(json, columns(&rows).trim_end(), || {
        let file =
            |(file, verdict): &(library::CachedFile, Verdict)| json!({ "path": file.path, "state": word(verdict) });
        let files: Vec<_> = verdicts.iter().map(file).collect();
        json!({ "name": repo.name, "commit": snapshot.commit, "complete": missing.is_none(), "files": files })
    })?;
    let Some(advice) = advice(&repo.name, &verdicts, missing.is_some()) else { return Ok(Outcome::Complete) };
    warn(common, advice);
    Ok(Outcome::SomeFailed)
}

/// Returns what is wrong with a checkpoint, and what to do about it, or None if nothing is wrong.
fn advice(name: &str, verdicts: &[(library::CachedFile, Verdict)], is_part: bool) -> Option<String> {
    let count = |wanted: Verdict| verdicts.iter().filter(|(_, verdict)| *verdict == wanted).count();
    // A file of the right length is not fetched again; a stand-in for one is.
    if verdicts.iter().any(|(file, verdict)| *verdict == Verdict::Damaged && file.etag.is_some()) {
        return Some(format!(
            "something is wrong; `zsic models rm {name}` and `zsic models pull {name}` fetch it again"
        ));
    }
    if is_part || count(Verdict::Damaged) + count(Verdict::Missing) > 0 {
        return Some(format!("something is wrong; `zsic models pull {name}` repairs it"));
    }
    match (count(Verdict::Unknown), verdicts.len()) {
        (0, _) => None,
        (unknown, all) => Some(format!(
            "{unknown} of {all} files could not be verified: the cache keeps no hash of them; `zsic models rm {name}` \
             and `zsic models pull {name}` fetch them again, and check them meanwhile"
        )),
    }
}

/// Asks on a terminal. Elsewhere `--yes` is required.
fn confirm(what: &str, target: &Path, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(usage(format!("Python tools share the cache and would lose {what} too; add --yes to remove it")));
    }
    ask(format!("remove {what}: delete {}? Python tools share this cache. [y/N]", target.display()));
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("nothing was removed") }
}

fn check_name(name: &str) -> Result<()> {
    if name == DEMO {
        return Err(usage("demo is built in: it can be shown, and there is nothing to fetch, verify or remove"));
    }
    if library::is_name(name) {
        Ok(())
    } else {
        Err(usage(format!("{name:?} is not a name on the hub; use owner/name")))
    }
}

/// Finds a checkpoint in the cache by name and revision.
fn cached(model: &ModelId) -> Result<(CachedRepo, CachedSnapshot)> {
    let Hub { revision, hub_cache, .. } = &model.hub;
    let repo = find(hub_cache.as_deref(), &model.name)?;
    let snapshot = at(&repo, revision)?.clone();
    Ok((repo, snapshot))
}

fn find(hub_cache: Option<&Path>, name: &str) -> Result<CachedRepo> {
    check_name(name)?;
    let missing = || Err(anyhow!("{name} is not in the cache; `zsic models pull {name}` fetches it"));
    repos(hub_cache)?.remove(name).unwrap_or_else(missing)
}

/// Finds the snapshot of a branch, tag or commit. The first letters of a commit, as `list` prints them, are enough.
fn at<'a>(repo: &'a CachedRepo, revision: &str) -> Result<&'a CachedSnapshot> {
    let is_it = |s: &&CachedSnapshot| s.commit == revision || s.refs.iter().any(|name| name == revision);
    let begins = |s: &&CachedSnapshot| revision.len() >= FEWEST && s.commit.starts_with(revision);
    let shortened = || match repo.snapshots.iter().filter(begins).collect::<Vec<_>>()[..] {
        [only] => Some(only),
        _ => None,
    };
    repo.snapshots.iter().find(is_it).or_else(shortened).ok_or_else(|| {
        let has: Vec<_> = repo.snapshots.iter().map(self::revision).collect();
        let has = if has.is_empty() { "nothing whole".to_owned() } else { has.join(", ") };
        anyhow!("{}: revision {revision} is not in the cache, which has {has}", repo.name)
    })
}

fn title(name: &str, commit: Option<&str>) -> String {
    commit.map_or_else(|| name.to_owned(), |commit| format!("{name}@{commit}"))
}

fn revision(snapshot: &CachedSnapshot) -> String {
    let commit = &snapshot.commit[..SHORT];
    if snapshot.refs.is_empty() { commit.to_owned() } else { format!("{}@{commit}", snapshot.refs.join(",")) }
}

fn snapshot_size(snapshot: &CachedSnapshot) -> u64 {
    snapshot.files.iter().filter_map(|file| file.size).sum()
}

/// Returns the kind of model that its settings name.
fn kind(snapshot: &CachedSnapshot) -> Option<String> {
    let config = snapshot.config().ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let has_open_clip = snapshot.files.iter().any(|file| file.path == OPEN_CLIP_CONFIG);
    match Layout::of(config.as_ref(), has_open_clip) {
        Layout::OpenClip => Some(Layout::OpenClip.name().to_owned()),
        Layout::Transformers => Some(config?.get("model_type")?.as_str()?.to_owned()),
    }
}
