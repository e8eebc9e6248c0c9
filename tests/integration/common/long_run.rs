//! Runs that are long enough to be stopped: many small pictures, and stops at random moments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zsic::source::{MAX_PIXELS, decode};

use super::command::{err, run, zsic};
use super::random;

/// What lies beside a file that is being written.
const BESIDE: [&str; 9] =
    ["", ".json", ".json.new", ".journal", ".old", ".old.new", ".old.journal", ".old.journal.new", ".made"];

/// A folder of `count` small pictures made from the examples, every 40th of them torn.
pub fn pictures(dir: &Path, count: usize) -> PathBuf {
    let folder = dir.join("pictures");
    fs::create_dir(&folder).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/mixed");
    let examples: Vec<_> = (1..=10)
        .filter_map(|n| {
            ["png", "jpg", "webp"].iter().find_map(|e| fs::read(examples.join(format!("img_{n:02}.{e}"))).ok())
        })
        .map(|bytes| decode(&bytes, MAX_PIXELS).unwrap())
        .collect();
    for n in 0..count {
        let size = 40 + n as u32 % 23;
        let picture = image::imageops::thumbnail(&examples[n % examples.len()], size, 48);
        let mut bytes = format!("P6 {size} 48 255\n").into_bytes();
        bytes.extend(picture.as_raw());
        fs::write(path(&folder, n), if n % 40 == 7 { &bytes[..600] } else { &bytes[..] }).unwrap();
    }
    folder
}

/// A picture of the folder.
pub fn path(folder: &Path, n: usize) -> PathBuf {
    folder.join(format!("{n:03}.ppm"))
}

/// Puts whole pictures in place of the torn ones.
pub fn mend(folder: &Path, count: usize) {
    for n in (7..count).step_by(40) {
        fs::copy(path(folder, n + 1), path(folder, n)).unwrap();
    }
}

/// The command with the built-in checkpoint, on one thread.
pub fn command(words: &[&str], folder: &Path, out: &Path) -> Command {
    let mut command = zsic(words);
    command.args(["-m", "demo", "--no-cache", "-j", "1", "--batch-size", "2"]).arg(folder).arg("-o").arg(out);
    command
}

/// The same with a cache, whose embeddings are forgotten: only what is known of finished files stays in it.
pub fn noting(words: &[&str], folder: &Path, out: &Path, cache: &Path) -> Command {
    for ending in ["", "-wal", "-shm"] {
        _ = fs::remove_file(cache.join(format!("embeddings-1.db{ending}")));
    }
    let mut command = zsic(words);
    command.args(["-m", "demo", "-j", "1", "--batch-size", "2", "--cache-dir"]).arg(cache);
    command.arg(folder).arg("-o").arg(out);
    command
}

/// Runs the command until its output has about so many percent of the bytes of `whole`, which a run without a stop wrote:
/// no file may grow further.
pub fn stop_at(percent: usize, whole: &[u8], words: &[&str], folder: &Path, out: &Path) -> Output {
    limited((whole.len() * percent / 100 / 1024).max(1) as u32, words, folder, out)
}

/// The command in files that may not grow over so many KiB.
pub fn limited(kib: u32, words: &[&str], folder: &Path, out: &Path) -> Output {
    limit(kib, command(words, folder, out))
}

/// Runs any command in files that may not grow over so many KiB.
pub fn limit(kib: u32, command: Command) -> Output {
    let mut shell = Command::new("bash");
    let limit = format!("ulimit -f {kib}; exec \"$0\" \"$@\"");
    shell.args(["-c", &limit, env!("CARGO_BIN_EXE_zsic")]).args(command.get_args()).stdin(Stdio::null());
    run(&mut shell)
}

/// A file whose name goes on from `path`'s.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.partial{ending}", path.display()))
}

/// Nothing is left beside a finished file.
pub fn assert_alone(out: &Path) {
    for ending in BESIDE {
        assert!(!beside(out, ending).exists(), "{ending} is left");
    }
}

/// Runs the command again and again, stopped by a signal at a random moment, up to `stops` times; then to its end. Says how
/// often it was stopped.
pub fn stop_and_go_on(words: &[&str], folder: &Path, out: &Path, length: u64, stops: u32) -> u32 {
    stop_often(|| command(words, folder, out), out, length, stops)
}

/// The same with any command.
pub fn stop_often(command: impl Fn() -> Command, out: &Path, length: u64, stops: u32) -> u32 {
    let mut random = random(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let mut stopped = 0;
    for turn in 0..stops {
        let grown = || fs::metadata(beside(out, "")).map_or(0, |partial| partial.len());
        let (before, step) = (grown(), random(2 * length as usize / stops as usize) as u64);
        let mut child = command();
        let mut child = child.args(["--resume", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && grown() < before.saturating_add(step) {
            std::thread::sleep(Duration::from_micros(300));
        }
        std::thread::sleep(Duration::from_micros(random(3000) as u64));
        let signal = if turn % 4 == 3 { "INT" } else { "KILL" };
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        if child.wait().unwrap().code().is_none_or(|code| code == 130) {
            stopped += 1;
        } else {
            break;
        }
    }
    let output = run(command().arg("--resume"));
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", err(&output));
    stopped
}
