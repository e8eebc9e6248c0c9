//! Running the command in a test: which binary, and what it printed.

#![allow(dead_code)] // each test file uses its part

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::fixtures;

/// The command with its environment variables unset.
pub fn zsic(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zsic"));
    for variable in ["ZSIC_MODEL", "ZSIC_REVISION", "ZSIC_DEVICE", "ZSIC_PRECISION", "ZSIC_THREADS", "ZSIC_ISA"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null());
    command
}

pub fn model(name: &str) -> String {
    fixtures("checkpoints").join(name).display().to_string()
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
