//! The names of the files beside an output while it is written.

use std::path::{Path, PathBuf};

use zsic::system::name::canonical;

/// The suffix of the partial.
const PARTIAL: &str = ".partial";
/// The suffixes beside a partial: the settings of its run,
pub const SETTINGS: &str = ".json";
/// its records' journal,
pub const JOURNAL: &str = ".journal";
/// records of an earlier run, and their journal,
pub const OLD: &str = ".old";
pub const OLD_JOURNAL: &str = ".old.journal";
/// and the file made from the records.
pub const MADE: &str = ".made";
/// The suffix of a file until it is complete.
pub const NEW: &str = ".new";

/// Everything that may lie beside a partial. The settings come last: they prove that the rest is ours.
pub const BESIDE: [&str; 8] = [OLD_JOURNAL, OLD, ".old.new", ".old.journal.new", MADE, JOURNAL, ".json.new", SETTINGS];

/// The most links that are followed.
const LINKS: usize = 40;

/// Returns every file that a run may make for `target`, including the target.
pub fn family(target: &Path) -> Vec<PathBuf> {
    let partial = partial_of(target);
    let beside = BESIDE.map(|ending| with_ending(&partial, ending));
    [target.to_path_buf(), partial].into_iter().chain(beside).collect()
}

/// Returns every file that a run may write for these targets, in canonical folders.
pub fn families<'a>(targets: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    let placed = |target: &Path| {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(canonical(folder).ok()?.join(target.file_name()?))
    };
    let both = |target: &Path| [placed(target), placed(&behind_links(target))];
    targets.into_iter().flat_map(both).flatten().flat_map(|target| family(&target)).collect()
}

/// Returns where a file is, or will be. A link stays: the output goes to its target, whether that exists or not.
pub fn behind_links(target: &Path) -> PathBuf {
    let mut path = target.to_path_buf();
    for _ in 0..LINKS {
        let Ok(to) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    canonical(&path).unwrap_or(path)
}

/// Returns the path of the partial of `target`.
pub fn partial_of(target: &Path) -> PathBuf {
    with_ending(target, PARTIAL)
}

/// Returns the path with this suffix.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_path_buf().into_os_string();
    path.push(ending);
    path.into()
}
