//! `--version`, what `-v` adds to it, and the build script that knows the commit.

#[path = "../../build.rs"]
#[allow(dead_code)] // its main
mod build;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::command::{err, out, run, zsic};

#[test]
fn verbose_version_names_commit_features_and_instruction_set() {
    let plain = concat!("zsic ", env!("CARGO_PKG_VERSION"), "\n");
    for args in [&["--version"][..], &["-V"]] {
        assert_eq!(out(&run(&mut zsic(args))), plain);
    }
    for args in [&["--version", "-v"][..], &["-v", "--version"], &["-vV"], &["-Vv"], &["-V", "--verbose"]] {
        let output = run(&mut zsic(args));
        assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "{args:?}");
        let rest: Vec<&str> = out(&output).strip_prefix(plain).unwrap().lines().collect();
        assert!(rest[0].starts_with("commit: "), "{rest:?}");
        assert!(rest[1].starts_with("features: cli") && rest[1].contains("demo"), "{rest:?}");
        assert_eq!(rest[2..], [format!("instruction set: {}", zsic::Isa::best().name())]);
    }
    assert!(out(&run(&mut zsic(&["classify", "--version"]))).contains(env!("CARGO_PKG_VERSION")));
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-C"]).arg(dir).args(args);
    let output = git.output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    out(&output).trim().to_owned()
}

#[test]
fn the_commit_is_the_clone_s_or_the_package_s() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q"]);
    git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "one"]);
    let commit = git(dir.path(), &["rev-parse", "HEAD"]);
    assert_eq!(build::commit(dir.path()), Some(commit));
    let package = dir.path().join("vendor/zsic"); // in a repository of something else
    fs::create_dir_all(&package).unwrap();
    assert_eq!(build::commit(&package), None);
    let info = "{\n  \"git\": {\n    \"sha1\": \"0123abcd\"\n  },\n  \"path_in_vcs\": \"\"\n}";
    fs::write(package.join(".cargo_vcs_info.json"), info).unwrap();
    assert_eq!(build::commit(&package), Some("0123abcd".to_owned()));
}
