//! Tells release builds which commit they are made from, for `zsic --version -v`. Other builds are not told: each commit
//! would compile everything again. With the feature `cuda`, has nvcc compile the kernels.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        kernels(Path::new(&root));
    }
    if env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(commit) = commit(Path::new(&root))
    {
        println!("cargo::rustc-env=ZSIC_COMMIT={commit}");
        // Git writes this file whenever another commit is checked out. Cargo would always run again if the file were
        // missing.
        let log = git(Path::new(&root), &["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]);
        if let Some(log) = log.filter(|log| Path::new(log).exists()) {
            println!("cargo::rerun-if-changed={log}");
        }
    }
}

/// Compiles the CUDA kernels: machine code for compute capabilities 7.5 (f32 only), 8 and 9, and code that the driver compiles
/// for later ones.
fn kernels(root: &Path) {
    let source = root.join("src/kernels/cuda");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let of_home = env::var("CUDA_HOME").ok().map(|home| Path::new(&home).join("bin/nvcc"));
    let nvcc = of_home.filter(|nvcc| nvcc.exists()).unwrap_or_else(|| "nvcc".into());
    let output = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("kernels.fatbin");
    let mut command = Command::new(&nvcc);
    command.args(["-std=c++17", "-O3", "-fatbin", "-gencode=arch=compute_75,code=sm_75"]);
    command
        .args(["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=[sm_90,compute_90]", "-o"])
        .arg(&output)
        .arg(source.join("kernels.cu"));
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(_) => println!("cargo::error=nvcc failed; its messages are above"),
        Err(e) => println!("cargo::error={} cannot be run: {e}; docs/gpu.md says how to install it", nvcc.display()),
    }
}

/// Returns the commit of a clone, or the one that a package was made from. A package inside another repository does not
/// take that repository's commit.
pub fn commit(root: &Path) -> Option<String> {
    if root.join(".git").exists() {
        return git(root, &["rev-parse", "HEAD"]);
    }
    let package = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = package.split_once("\"sha1\": \"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
