//! Running the command in a test: which binary, and what it printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::fixtures;

/// Where the commands of this test binary keep embeddings: nowhere that a user or another run of the tests looks.
pub fn cache_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let binary = std::env::current_exe().unwrap();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").join(binary.file_name().unwrap());
        _ = fs::remove_dir_all(&dir);
        dir
    })
}

/// The command with its environment variables unset, on the device under test if there is one, and with a cache of its own.
pub fn zsic(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zsic"));
    for variable in ["ZSIC_MODEL", "ZSIC_REVISION", "ZSIC_DEVICE", "ZSIC_PRECISION", "ZSIC_THREADS", "ZSIC_ISA"] {
        command.env_remove(variable);
    }
    if let Ok(device) = std::env::var("ZSIC_TEST_DEVICE") {
        command.env("ZSIC_DEVICE", device);
    }
    command.env("ZSIC_CACHE_DIR", cache_dir());
    command.args(args).stdin(Stdio::null());
    command
}

pub fn model(name: &str) -> String {
    super::checkpoint(name).display().to_string()
}

pub fn image(name: &str) -> String {
    fixtures("checkpoints/images").join(name).display().to_string()
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

pub fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

pub fn lines(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
