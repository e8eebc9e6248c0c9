//! `zsic models`: what is in the cache that Python's tools share, and changes to it.

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io::Read;
use std::io::{self, BufRead, IsTerminal, Write, stderr, stdin};
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;
use zsic::net::hub::{self as library, CachedRepo, CachedSnapshot, HubError, Verdict};
use zsic::source::Input;

use super::args::{Common, Hub, ListFormat, ModelId, Models, ModelsCommand};
use super::fatal::usage;
use super::fetching::size;
use super::messages::{say, warn};
use super::model::DEMO;
use super::{Outcome, hub, interrupt, show, stdout};

/// Letters of a commit that tell it from others, for people.
const SHORT: usize = 12;
/// Letters of a commit that are taken for it at least, as git does.
const FEWEST: usize = 7;

/// Runs the command.
///
/// # Errors
/// What kept it from being done.
pub fn run(args: &Models, common: &Common) -> Result<Outcome> {
    interrupt::install()?;
    let json = args.format == ListFormat::Json;
    match &args.command {
        ModelsCommand::List { hub_cache } => {
            let repos = repos(hub_cache.as_deref())?;
            if repos.iter().all(|repo| repo.snapshots.is_empty()) {
                let cache = hub::cache(hub_cache.as_deref())?;
                let advice = "`zsic models pull openai/clip-vit-base-patch32` fetches one";
                say(common, format!("{}: no checkpoint in the cache; {advice}", cache.display()));
            }
            list(&repos, json)
        }
        ModelsCommand::Pull { model } => pull(model, json, common),
        ModelsCommand::Show { model } => show::show(model, json),
        ModelsCommand::Verify { model } => verify(model, json, common),
        ModelsCommand::Rm { name, revision, yes, hub_cache } => {
            let repo = find(&repos(hub_cache.as_deref())?, name)?;
            let snapshot = revision.as_deref().map(|revision| at(&repo, revision)).transpose()?;
            let commit = snapshot.map(|snapshot| snapshot.commit.as_str());
            confirm(&repo, commit, *yes)?;
            let cache = hub::cache(hub_cache.as_deref())?;
            let freed = library::remove(&cache, &repo, commit).map_err(|e| plain(&e, &cache))?;
            let text = format!("removed {}: {} freed", title(name, commit), size(freed));
            print(json, &text, || json!({ "name": name, "commit": commit, "freed": freed }))
        }
    }
}

/// What is in the cache.
fn repos(hub_cache: Option<&Path>) -> Result<Vec<CachedRepo>> {
    let cache = hub::cache(hub_cache)?;
    library::cached(&cache).map_err(|e| plain(&e, &cache))
}

/// An error of the cache, whose text holds its causes.
fn plain(e: &HubError, cache: &Path) -> anyhow::Error {
    hub::explain(e, "", library::REVISION, cache)
}

fn list(repos: &[CachedRepo], json: bool) -> Result<Outcome> {
    let rows = repos.iter().flat_map(|repo| repo.snapshots.iter().map(move |snapshot| (repo, snapshot)));
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
    })
}

fn pull(model: &ModelId, json: bool, common: &Common) -> Result<Outcome> {
    check_name(&model.name)?;
    let snapshot = hub::fetch(&model.name, &model.hub, true, common)?;
    if !json {
        let line = [snapshot.dir.as_os_str().as_bytes(), b"\n"].concat(); // byte for byte, for `$(...)`
        stdout::write(&line)?;
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
    let bad = verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Damaged | Verdict::Missing));
    if !bad && missing.is_none() {
        return Ok(Outcome::Complete);
    }
    let name = &repo.name;
    warn(common, format!("not all is right; `zsic models rm {name}` and `zsic models pull {name}` fetch it again"));
    Ok(Outcome::SomeFailed)
}

/// Asks on a terminal; elsewhere `--yes` must have been given.
fn confirm(repo: &CachedRepo, commit: Option<&str>, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let what = title(&repo.name, commit);
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(usage(format!(
            "removing {what} takes it from Python tools too, which share the cache: give --yes"
        )));
    }
    write!(stderr(), "remove {what} from {}? Python tools share this cache. [y/N] ", repo.dir.display())?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("nothing was removed") }
}

fn check_name(name: &str) -> Result<()> {
    if name == DEMO {
        return Err(usage("demo is built in: it can be shown, and there is nothing to fetch, verify or remove"));
    }
    if library::is_name(name) { Ok(()) } else { Err(usage(format!("{name:?} is no name on the hub, like owner/name"))) }
}

/// A checkpoint in the cache, by name and revision.
pub(super) fn cached(model: &ModelId) -> Result<(CachedRepo, CachedSnapshot)> {
    let Hub { revision, hub_cache, .. } = &model.hub;
    let repo = find(&repos(hub_cache.as_deref())?, &model.name)?;
    let snapshot = at(&repo, revision)?.clone();
    Ok((repo, snapshot))
}

fn find(repos: &[CachedRepo], name: &str) -> Result<CachedRepo> {
    check_name(name)?;
    let repo = repos.iter().find(|repo| repo.name == name);
    repo.cloned().ok_or_else(|| anyhow!("{name} is not in the cache; `zsic models pull {name}` fetches it"))
}

/// The snapshot of a branch, tag or commit; of a commit its first letters, as `list` prints them, are enough.
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

/// What kind of model it says it is.
pub(super) fn kind(snapshot: &CachedSnapshot) -> Option<String> {
    let config: Value = serde_json::from_slice(&read_unnoticed(&snapshot.dir.join("config.json")).ok()?).ok()?;
    Some(config.get("model_type")?.as_str()?.to_owned())
}

/// Reads a file without that counting as its last use, where the system allows.
fn read_unnoticed(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(target_os = "linux")]
    {
        let flag = rustix::fs::OFlags::NOATIME.bits().cast_signed();
        if let Ok(mut file) = File::options().read(true).custom_flags(flag).open(path) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    std::fs::read(path)
}

/// A path in JSON: bytes that are not UTF-8 as `\xNN`.
pub(super) fn shown(path: &Path) -> String {
    Input::Path(path.to_path_buf()).name().to_string()
}

/// Rows with their columns under each other.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line += &" ".repeat(width - cell.width() + 2);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

pub(super) fn print(json: bool, text: &str, value: impl Fn() -> Value) -> Result<Outcome> {
    let text = if json { value().to_string() } else { text.trim_end().to_owned() };
    if !text.is_empty() {
        stdout::write(format!("{text}\n").as_bytes())?;
    }
    Ok(Outcome::Complete)
}

/// A time as `2026-11-24T21:39:32Z`.
pub(super) fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Days to civil dates, with years that begin in March (Howard Hinnant, chrono-compatible low-level algorithms).
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_civil() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_556_372), "2026-11-24T21:39:32Z");
    }
}
