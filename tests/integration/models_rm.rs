//! `zsic models rm` in caches that others have prepared: it deletes what the layout knows, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::command::{err, out};
use crate::fake_hub::shell::{WEIGHTS, World};
use crate::fake_hub::{Fault, NAME};

/// A cache with the checkpoint, and a folder of somebody else's that must stay as it is.
fn world() -> (World, PathBuf) {
    let world = World::new();
    assert!(world.run(&["models", "pull", NAME]).status.success());
    let victim = world.cache.path().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("photo.jpg"), "irreplaceable").unwrap();
    (world, victim)
}

fn remove(world: &World) -> Output {
    world.run(&["models", "rm", NAME, "--yes"])
}

fn refused(output: &Output, words: &[&str]) {
    assert_eq!((output.status.code(), out(output)), (Some(3), ""), "{}", err(output));
    assert_eq!(err(output).lines().count(), 1);
    for word in words.iter().chain(&["nothing was removed"]) {
        assert!(err(output).contains(word), "{word}: {}", err(output));
    }
}

fn untouched(victim: &Path) {
    assert_eq!(fs::read_to_string(victim.join("photo.jpg")).unwrap(), "irreplaceable");
    assert_eq!(fs::read_dir(victim).unwrap().count(), 1);
}

/// Every path in the cache.
fn all(world: &World) -> Vec<PathBuf> {
    walkdir::WalkDir::new(world.cache.path()).into_iter().map(|entry| entry.unwrap().into_path()).collect()
}

#[test]
fn a_link_in_place_of_a_repository_is_not_followed() {
    let (world, victim) = world();
    fs::remove_dir_all(world.root()).unwrap();
    symlink(&victim, world.root()).unwrap();
    refused(&remove(&world), &["models--org--clip: is a link to", "victim"]);
    untouched(&victim);
    // Not even where there is a checkpoint behind it.
    let repository = world.cache.path().join("elsewhere");
    fs::create_dir_all(repository.join("snapshots").join(world.hub.commit())).unwrap();
    fs::remove_file(world.root()).unwrap();
    symlink(&repository, world.root()).unwrap();
    refused(&remove(&world), &["is a link to"]);
    assert!(repository.join("snapshots").exists());
}

#[test]
fn a_link_in_place_of_a_part_is_not_followed() {
    for part in ["blobs", "snapshots", "refs", ".no_exist"] {
        let (world, victim) = world();
        let part = world.root().join(part);
        fs::rename(&part, world.cache.path().join("aside")).unwrap();
        symlink(&victim, &part).unwrap();
        let before = all(&world);
        refused(&remove(&world), &[&format!("{}: is a link to", part.display())]);
        assert_eq!(all(&world), before);
        untouched(&victim);
    }
    let (world, victim) = world();
    let locks = world.cache.path().join("hub/.locks/models--org--clip");
    fs::remove_dir_all(&locks).unwrap();
    symlink(&victim, &locks).unwrap();
    refused(&remove(&world), &[".locks/models--org--clip: is a link to"]);
    untouched(&victim);
}

#[test]
fn one_commit_is_removed_without_following_links() {
    for part in ["snapshots", "blobs", "refs"] {
        let (world, victim) = world();
        world.hub.fail("main", 1, Fault::Move);
        assert!(world.run(&["models", "pull", NAME]).status.success());
        let part = world.root().join(part);
        let aside = world.cache.path().join("aside");
        fs::rename(&part, &aside).unwrap();
        symlink(&aside, &part).unwrap();
        let before = all(&world);
        let output = world.run(&["models", "rm", NAME, "--yes", "--revision", &"b".repeat(40)]);
        refused(&output, &["is a link to"]);
        assert_eq!(all(&world), before);
        untouched(&victim);
    }
    let (world, _) = world();
    for revision in ["..", "../..", "", "/", "refs", "main/.."] {
        let output = world.run(&["models", "rm", NAME, "--yes", "--revision", revision]);
        assert!(!output.status.success() && world.snapshot().join(WEIGHTS).exists(), "{revision}: {}", err(&output));
    }
}

#[test]
fn links_in_a_snapshot_are_deleted_and_what_they_lead_to_is_not() {
    let (world, victim) = world();
    symlink(&victim, world.snapshot().join("onnx")).unwrap();
    symlink(victim.join("photo.jpg"), world.snapshot().join("photo.jpg")).unwrap();
    symlink(victim.join("photo.jpg"), world.root().join("blobs").join("0".repeat(64))).unwrap();
    let output = remove(&world);
    assert!(output.status.success(), "{}", err(&output));
    assert!(!world.root().exists());
    untouched(&victim);
}

#[test]
fn what_does_not_belong_there_is_named_and_all_stays() {
    for stranger in ["thesis.pdf", "photos/a.jpg", "blobs/thesis.pdf", "blobs/photos/a.jpg", "snapshots/photos/a.jpg"] {
        let (world, _) = world();
        let path = world.root().join(stranger);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let before = all(&world);
        refused(&remove(&world), &["does not belong to the cache's layout", stranger.split("/a.").next().unwrap()]);
        assert_eq!(all(&world), before);
    }
    // What file managers and killed runs leave goes with the rest.
    let (world, _) = world();
    for left in [".DS_Store", "blobs/._x", ".7-1.tmp", &format!("blobs/{}.1f.incomplete", "0".repeat(40))] {
        fs::write(world.root().join(left), "").unwrap();
    }
    assert!(remove(&world).status.success() && !world.root().exists());
}

#[test]
fn another_disk_mounted_in_the_cache_is_left_alone() {
    let (world, victim) = world();
    let mounted = world.snapshot().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mount = |args: &[&Path]| Command::new(args[0]).args(&args[1..]).output().is_ok_and(|o| o.status.success());
    if !mount(&[Path::new("mount"), Path::new("--bind"), &victim, &mounted]) {
        eprintln!("skipped: mounting is not allowed here");
        return;
    }
    let output = remove(&world);
    assert!(mount(&[Path::new("umount"), &mounted]));
    refused(&output, &["mounted: is a mount point"]);
    untouched(&victim);
    assert!(world.snapshot().join(WEIGHTS).exists());
}

#[test]
fn a_folder_of_somebody_else_s_is_not_removed_by_half() {
    let (world, _) = world();
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(world.cache.path(), 0o755);
    set(&world.root().join("blobs"), 0o555);
    let before = all(&world);
    let mut command = world.zsic(&["models", "rm", NAME, "--yes"]);
    if rustix::process::geteuid().is_root() {
        // To root everything is writable; to the others here only what is theirs.
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    set(&world.root().join("blobs"), 0o755);
    refused(&output, &["cannot be removed: permission denied"]);
    assert_eq!(all(&world), before);
}

#[test]
fn a_cache_that_is_a_link_is_where_the_user_wants_it() {
    let (world, victim) = world();
    let linked = world.cache.path().join("linked");
    symlink(world.cache.path().join("hub"), &linked).unwrap();
    let output = world.run(&["models", "rm", NAME, "--yes", "--hub-cache", &linked.display().to_string()]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(!world.root().exists() && !world.cache.path().join("hub/.locks/models--org--clip").exists());
    untouched(&victim);
}

#[test]
fn the_question_names_the_folder() {
    let (world, _) = world();
    let linked = world.cache.path().join("linked");
    symlink(world.cache.path().join("hub"), &linked).unwrap();
    // `script` gives it a terminal.
    let zsic = format!("{} models rm {NAME} --hub-cache {}", env!("CARGO_BIN_EXE_zsic"), linked.display());
    let Ok(mut child) = Command::new("script")
        .args(["-qec", &zsic, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
    else {
        eprintln!("skipped: script is not here");
        return;
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let root = fs::canonicalize(world.root()).unwrap();
    assert!(out(&output).contains(&format!("delete {}?", root.display())), "{}", out(&output));
    assert!(out(&output).contains("nothing was removed") && root.exists(), "{}", out(&output));
}
