//! The memory that this process may use: what control groups, limits and the machine leave.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use zsic::Checkpoint;
use zsic::source::{Limits, MAX_BYTES, MemoryBudget};

use super::args::Inputs;

/// The share of the remaining memory for images in flight, or texts, in sixteenths. The rest covers everything that is
/// not counted.
const SHARE: u64 = 13;
/// The memory to assume if the system does not say.
const UNKNOWN: u64 = 4 << 30;
/// The smallest room: enough for ordinary photographs and lists.
const LEAST: u64 = 32 << 20;

/// Returns the caps of the flags, and the room that remains beside the checkpoint and the run's other memory.
pub fn limits(inputs: &Inputs, checkpoint: &Checkpoint, besides: u64) -> Limits {
    limits_within(inputs, available().saturating_sub(weights(checkpoint)).saturating_sub(besides))
}

/// Returns the caps of the flags, and the room that remains while nothing is computed.
pub fn limits_of_images(inputs: &Inputs) -> Limits {
    limits_within(inputs, available())
}

fn limits_within(inputs: &Inputs, bytes: u64) -> Limits {
    let bytes = bytes / 16 * SHARE;
    Limits {
        max_bytes: inputs.max_bytes.unwrap_or(MAX_BYTES),
        max_pixels: inputs.max_pixels,
        room: MemoryBudget::of(bytes.max(LEAST)).counting_holes(is_limited()),
    }
}

/// Returns the bytes that texts may take.
pub fn for_texts() -> u64 {
    (available() / 16 * SHARE).max(LEAST)
}

/// Returns the bytes that a run takes for `count` labels or texts, beside their words: their embeddings `[dim]` while
/// they are made, found, ordered and stored.
pub fn of_texts(count: usize, dim: usize) -> u64 {
    count as u64 * (1000 + 3 * 4 * dim as u64)
}

/// Checks that there is memory for `count` labels or texts, called `what`, which take `bytes`.
///
/// # Errors
/// A message with the missing amount.
pub fn check(count: usize, what: &str, bytes: u64) -> Result<()> {
    let most = for_texts();
    if bytes <= most {
        return Ok(());
    }
    let (bytes, most) = (bytes.div_ceil(1 << 20), most >> 20);
    Err(anyhow!(
        "{count} {what} need {bytes} MiB of memory, and this run may use {most} MiB; give it more memory or fewer {what}"
    ))
}

/// Returns the bytes of the larger tower: only one is in memory at a time.
fn weights(checkpoint: &Checkpoint) -> u64 {
    let shapes = || checkpoint.weights().shapes();
    let bytes = |is_text: bool| -> u64 {
        let of_tower = shapes().filter(|(name, _)| name.starts_with("text_") == is_text);
        of_tower.map(|(_, shape)| shape.iter().product::<usize>() as u64 * 4).sum()
    };
    bytes(true).max(bytes(false))
}

/// Returns the bytes that this process may still take.
pub fn available() -> u64 {
    tightest().0
}

/// Returns the bytes that this process may still take, and what decides that.
pub fn tightest() -> (u64, &'static str) {
    let machine = field("/proc/meminfo", "MemAvailable:").map(|bytes| (bytes, "all that the machine has left"));
    let limits = process_limits()
        .map(|(limit, used, what)| (limit.saturating_sub(field("/proc/self/status", used).unwrap_or(0)), what));
    let groups = groups().into_iter().map(|bytes| (bytes, "the limit of the control group"));
    let all = machine.into_iter().chain(limits).chain(groups);
    all.min().unwrap_or((UNKNOWN, "a guess, since the system does not say"))
}

/// Returns whether the address space of this process is limited. Then reserved memory counts as used.
pub fn is_limited() -> bool {
    process_limits().next().is_some()
}

/// Returns the limits of this process, what of its status counts against each, and its name.
fn process_limits() -> impl Iterator<Item = (u64, &'static str, &'static str)> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        let all = [
            (Resource::As, "VmSize:", "the limit of addresses (ulimit -v)"),
            (Resource::Data, "VmData:", "the limit of data (ulimit -d)"),
        ];
        all.into_iter().filter_map(|(resource, used, what)| Some((getrlimit(resource).current?, used, what)))
    }
    #[cfg(windows)] // it has no such limits
    std::iter::empty()
}

/// Reads a field of a system file in bytes: the file has kB.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb * 1024)
}

/// Returns what each control group around this process leaves, in both versions, from its own up to the root.
fn groups() -> Vec<u64> {
    let (own, mounts) = (read_to_string("/proc/self/cgroup"), read_to_string("/proc/self/mountinfo"));
    let (Ok(own), Ok(mounts)) = (own, mounts) else { return Vec::new() };
    mounts.lines().filter_map(|mount| folders(mount, &own)).flatten().filter_map(|folder| left_in(&folder)).collect()
}

/// Returns the folders of the memory groups around this process, if this mount has them. `own` are the process's
/// groups.
fn folders(mount: &str, own: &str) -> Option<Vec<PathBuf>> {
    let (place, kind) = mount.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, Path::new(place.next()?));
    let mut kind = kind.split(' ');
    let (name, options) = (kind.next()?, kind.nth(1)?);
    let is_own = |controllers: &str| match name {
        "cgroup2" => controllers.is_empty(),
        "cgroup" if options.split(',').any(|option| option == "memory") => {
            controllers.split(',').any(|c| c == "memory")
        }
        _ => false,
    };
    let path = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        is_own(controllers).then_some(path)
    })?;
    // In a container, the mount may begin below the host's root, but the path begins there.
    let path = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    Some(path.ancestors().map(|path| point.join(path)).collect())
}

/// Returns what a group leaves, if it has a limit. Cached files count as free.
fn left_in(folder: &Path) -> Option<u64> {
    let number = |file: &str| read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let both = |new: &str, old: &str| number(new).or_else(|| number(old));
    let limit = both("memory.max", "memory.limit_in_bytes")?;
    let used = both("memory.current", "memory.usage_in_bytes")?;
    let stat = read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let total =
        |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok());
    let kept = |name: &str| total(&format!("total_{name}")).or_else(|| total(name)).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(kept("inactive_file") + kept("active_file"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_where_they_are_mounted() {
        let v2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let found = folders(v2, "0::/user.slice/a.scope\n").unwrap();
        assert_eq!(
            found,
            ["/sys/fs/cgroup/user.slice/a.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/"].map(PathBuf::from)
        );
        let v1 = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let own = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc/x\n0::/\n";
        let found = folders(v1, own).unwrap();
        assert_eq!(found, ["/sys/fs/cgroup/memory/x", "/sys/fs/cgroup/memory/"].map(PathBuf::from));
        assert_eq!(folders("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct", own), None);
        assert_eq!(folders("21 1 8:1 / / rw - ext4 /dev/root rw", own), None);
    }

    #[test]
    fn a_group_leaves_what_is_not_used_but_for_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "max\n");
        write("memory.current", "300\n");
        assert_eq!(left_in(folder.path()), None, "no limit");
        write("memory.max", "1000\n");
        write("memory.stat", "anon 100\nfile 200\ninactive_file 120\nactive_file 30\n");
        assert_eq!(left_in(folder.path()), Some(1000 - 150));
    }

    #[test]
    fn this_process_may_take_something() {
        assert!(available() > 0);
    }
}
