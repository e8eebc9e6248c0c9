//! The names of the files that lie beside an output while it is written.

use std::path::{Path, PathBuf};

/// What follows the file's name in the partial's.
const PARTIAL: &str = ".partial";
/// What lies beside a partial: the settings of its run,
pub const SETTINGS: &str = ".json";
/// its records' journal,
pub const JOURNAL: &str = ".journal";
/// records of an earlier run, and their journal,
pub const OLD: &str = ".old";
pub const OLD_JOURNAL: &str = ".old.journal";
/// and the file that is made from the records.
pub const MADE: &str = ".made";
/// What is copied or written has this behind its name until it is whole.
pub const NEW: &str = ".new";

/// Everything that may lie beside a partial, the settings last: they tell that the rest is ours.
pub const BESIDE: [&str; 8] = [OLD_JOURNAL, OLD, ".old.new", ".old.journal.new", MADE, JOURNAL, ".json.new", SETTINGS];

/// Links that are followed, one behind the other.
const LINKS: usize = 40;

/// Returns every file that a run may make on the way to `target`, and that file.
pub fn family(target: &Path) -> Vec<PathBuf> {
    let partial = partial_of(target);
    let beside = BESIDE.map(|ending| with_ending(&partial, ending));
    [target.to_path_buf(), partial].into_iter().chain(beside).collect()
}

/// Returns every file that a run may write which is told to write these, their folders canonical.
pub fn families<'a>(targets: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    let placed = |target: &Path| {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(target.file_name()?))
    };
    let both = |target: &Path| [placed(target), placed(&behind_links(target))];
    targets.into_iter().flat_map(both).flatten().flat_map(|target| family(&target)).collect()
}

/// Where a file is, or will be. A link stays one: what is written lies where it leads, be there anything or not.
pub fn behind_links(target: &Path) -> PathBuf {
    let mut path = target.to_path_buf();
    for _ in 0..LINKS {
        let Ok(to) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    path.canonicalize().unwrap_or(path)
}

/// Returns the path of the partial of `target`.
pub fn partial_of(target: &Path) -> PathBuf {
    with_ending(target, PARTIAL)
}

/// Returns the path with this behind its name.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_path_buf().into_os_string();
    path.push(ending);
    path.into()
}
