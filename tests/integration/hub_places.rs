//! Caches on disks without links, unpacked without links, of other users, or prepared by somebody who means harm.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::command::{err, out};
use crate::fake_hub::shell::{WEIGHTS, World, expected, files};
use crate::fake_hub::{Fault, NAME, etag};
use rustix::fs::{CWD, FileType, Mode, mknodat};

fn without_links(world: &World, args: &[&str]) -> Command {
    let mut command = world.zsic(args);
    command.env("HF_HUB_DISABLE_SYMLINKS", "yes");
    command
}

fn pulled(output: &Output) {
    assert!(output.status.success(), "{}", err(output));
}

/// The snapshot holds the files themselves, all right.
fn assert_plain(world: &World) {
    let files = files();
    for entry in fs::read_dir(world.snapshot()).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.symlink_metadata().unwrap().is_file(), "{}", path.display());
        assert!(fs::read(&path).unwrap() == files[path.file_name().unwrap().to_str().unwrap()], "{}", path.display());
    }
    assert_eq!(fs::read_dir(world.snapshot()).unwrap().count(), 6);
}

#[test]
fn without_links_the_files_are_in_the_snapshot_and_used_from_there() {
    let world = World::new();
    world.hub.fail(WEIGHTS, 1, Fault::Cut(10_000)); // goes on where it was cut
    pulled(&without_links(&world, &["models", "pull", NAME]).output().unwrap());
    assert_plain(&world);
    // Moved and not copied, as Python does it.
    assert_eq!(fs::read_dir(world.root().join("blobs")).unwrap().count(), 0);
    let requests = world.hub.seen().len();
    for links in ["0", "1"] {
        let run = world.classify(&["-m", NAME]).env("HF_HUB_DISABLE_SYMLINKS", links).output().unwrap();
        assert_eq!(run.stdout, expected(), "{}", err(&run));
    }
    assert_eq!(world.hub.seen().len(), requests);
    // Nothing is fetched again either with links or without.
    pulled(&without_links(&world, &["models", "pull", NAME]).output().unwrap());
    fs::remove_dir(world.root().join("blobs")).unwrap();
    pulled(&world.run(&["models", "pull", NAME]));
    assert_eq!(world.hub.seen().len(), requests + 2); // the lists
    assert_plain(&world);
    assert!(world.run(&["models", "rm", NAME, "--yes"]).status.success() && !world.root().exists());
}

#[test]
fn a_file_that_is_one_with_its_blob_is_not_emptied() {
    for same in [true, false] {
        let world = World::new();
        pulled(&world.run(&["models", "pull", NAME]));
        let (config, blob) = (world.snapshot().join("config.json"), etag(&files()["config.json"]));
        let blob = world.root().join("blobs").join(blob);
        fs::remove_file(&config).unwrap();
        if same {
            fs::hard_link(&blob, &config).unwrap();
        }
        pulled(&without_links(&world, &["models", "pull", NAME]).output().unwrap());
        for path in [config, blob] {
            assert!(fs::read(&path).unwrap() == files()["config.json"], "{}", path.display());
        }
    }
}

#[test]
fn a_disk_without_links_is_recognised() {
    // exFAT has none, nor hard links; where it cannot be mounted, the variable above stands for it.
    let world = World::new();
    let (image, disk) = (world.cache.path().join("image"), world.cache.path().join("hub"));
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    fs::create_dir(&disk).unwrap();
    let script = r#"set -e
        mkfs.exfat "$1" >&2; loop=$(losetup -f --show "$1"); trap 'losetup -d "$loop"' EXIT
        mount.exfat-fuse "$loop" "$2" >&2 || mount -t exfat "$loop" "$2"; trap - EXIT; echo "$loop""#;
    let mounted = Command::new("sh").args(["-c", script, "sh"]).args([&image, &disk]).output().unwrap();
    if !mounted.status.success() {
        eprintln!("skipped: no exFAT here");
        return;
    }
    let first = world.run(&["models", "pull", NAME]);
    let run = world.classify(&["-m", NAME, "--offline"]).output().unwrap();
    let removed = world.run(&["models", "rm", NAME, "--yes"]);
    let left = fs::read_dir(&disk).unwrap().filter(|e| e.as_ref().unwrap().file_name() != ".locks").count();
    let unmount = r#"umount "$1"; losetup -d "$2""#;
    _ = Command::new("sh").args(["-c", unmount, "sh"]).arg(&disk).arg(out(&mounted).trim()).output();
    pulled(&first);
    assert_eq!(run.stdout, expected(), "{}", err(&run));
    assert!(removed.status.success() && left == 0, "{}", err(&removed));
}

#[test]
fn what_cannot_be_verified_is_not_called_right() {
    let world = World::new();
    pulled(&without_links(&world, &["models", "pull", NAME]).output().unwrap());
    let verified = world.run(&["models", "verify", NAME]);
    assert_eq!(verified.status.code(), Some(1), "{}", out(&verified));
    assert!(out(&verified).contains("unknown  model.safetensors"), "{}", out(&verified));
    assert!(err(&verified).contains("6 of 6 files could not be verified"), "{}", err(&verified));
    // Python's list of the commit's files has their hashes.
    let entry = |(name, bytes): (String, Vec<u8>)| match etag(&bytes) {
        sha256 if sha256.len() == 64 => (name, serde_json::json!({"size": 1, "blob_id": "0", "lfs_sha256": sha256})),
        sha1 => (name, serde_json::json!({"size": 1, "blob_id": sha1})),
    };
    let tree: serde_json::Map<_, _> = files().into_iter().map(entry).collect();
    fs::create_dir(world.root().join("trees")).unwrap();
    let list = world.root().join("trees").join(format!("{}.json", world.hub.commit()));
    let json = serde_json::json!({"format_version": 1, "files": tree});
    fs::write(list, json.to_string()).unwrap();
    world.assert_right();
    let weights = world.snapshot().join(WEIGHTS);
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let verified = world.run(&["models", "verify", NAME]);
    assert!(out(&verified).contains("damaged  model.safetensors"), "{}", out(&verified));
}

#[test]
fn links_unpacked_as_text_are_named_and_repaired() {
    for with_blobs in [true, false] {
        let world = World::new();
        pulled(&world.run(&["models", "pull", NAME]));
        for entry in fs::read_dir(world.snapshot()).unwrap() {
            let path = entry.unwrap().path();
            let target = fs::read_link(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, target.to_str().unwrap()).unwrap();
        }
        if !with_blobs {
            fs::remove_dir_all(world.root().join("blobs")).unwrap();
        }
        let named = "its config.json is a link that was unpacked as text";
        let offline = world.classify(&["-m", NAME, "--offline"]).output().unwrap();
        assert_eq!(offline.status.code(), Some(3));
        assert!(err(&offline).contains(named), "{}", err(&offline));
        assert!(err(&offline).contains("`zsic models pull org/clip`"), "{}", err(&offline));
        let verified = world.run(&["models", "verify", NAME]);
        assert_eq!(verified.status.code(), Some(1));
        assert!(out(&verified).contains("damaged  model.safetensors") && out(&verified).contains(named));
        assert!(err(&verified).contains("`zsic models pull org/clip` repairs it"), "{}", err(&verified));
        let directory = world.classify(&["-m", &world.snapshot().display().to_string()]).output().unwrap();
        assert!(err(&directory).contains("config.json: is a link that was unpacked as text"), "{}", err(&directory));
        let requests = world.hub.seen().len();
        pulled(&world.run(&["models", "pull", NAME]));
        assert_eq!(world.hub.seen().len(), requests + if with_blobs { 1 } else { 7 });
        world.assert_right();
        let run = world.classify(&["-m", NAME, "--offline"]).output().unwrap();
        assert_eq!(run.stdout, expected(), "{}", err(&run));
    }
}

#[test]
fn notes_that_cannot_be_written_stop_nobody() {
    let world = World::new();
    let commit = world.hub.commit();
    fs::create_dir_all(world.root()).unwrap();
    for place in [".no_exist", "refs"] {
        fs::write(world.root().join(place), "").unwrap(); // nobody can write below it
    }
    let run = world.classify(&["-m", NAME]).output().unwrap();
    assert_eq!((run.status.code(), run.stdout.clone()), (Some(0), expected()), "{}", err(&run));
    assert!(err(&run).contains("warning: ") && err(&run).contains("all files are there"), "{}", err(&run));
    let again = world.classify(&["-m", NAME, "--revision", &commit, "--offline"]).output().unwrap();
    assert_eq!(again.stdout, expected());
}

#[test]
fn a_cache_of_another_user_serves() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    let world = World::new();
    pulled(&world.run(&["models", "pull", NAME]));
    fs::set_permissions(world.cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let kept = tempfile::tempdir().unwrap();
    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let as_nobody =
        |mut command: Command| command.uid(65534).gid(65534).env("ZSIC_CACHE_DIR", kept.path()).output().unwrap();
    // Of `.no_exist`, and of what another tokenizer would read, nothing is there: the hub is asked, and nothing written.
    fs::remove_dir_all(world.root().join(".no_exist")).unwrap();
    for refs in [true, false] {
        if !refs {
            fs::remove_dir_all(world.root().join("refs")).unwrap();
        }
        let run = as_nobody(world.classify(&["-m", NAME]));
        assert_eq!((run.status.code(), run.stdout.clone()), (Some(0), expected()), "{}", err(&run));
        pulled(&as_nobody(world.zsic(&["models", "pull", NAME])));
    }
}

#[test]
fn what_may_not_be_read_is_named_and_hides_nothing_else() {
    let world = World::new();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(world.cache.path(), 0o755);
    let hub = world.cache.path().join("hub");
    let commit = "a1".repeat(20);
    for name in ["a--one", "b--two", "c--three"] {
        let repo = hub.join(format!("models--{name}"));
        fs::create_dir_all(repo.join("refs")).unwrap();
        fs::create_dir_all(repo.join("snapshots").join(&commit)).unwrap();
        fs::write(repo.join("refs/main"), &commit).unwrap();
        fs::write(repo.join("snapshots").join(&commit).join("config.json"), r#"{"model_type":"clip"}"#).unwrap();
    }
    let as_user = |args: &[&str]| {
        let mut command = world.zsic(args);
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command.output().unwrap()
    };
    let two = hub.join("models--b--two");
    for closed in ["", "snapshots", "refs", "refs/main"].map(|part| two.join(part)) {
        mode(&closed, 0o000);
        let list = as_user(&["models", "list"]);
        let warning = err(&list).strip_prefix("warning: ").unwrap_or_default();
        assert!(warning.starts_with(two.to_str().unwrap()), "{warning}");
        assert!(warning.ends_with(": no permission to read it\n") && warning.lines().count() == 1, "{warning}");
        assert_eq!((list.status.code(), out(&list).lines().count()), (Some(1), 3), "{}", out(&list));
        assert!(out(&list).contains("a/one") && out(&list).contains("c/three"), "{}", out(&list));
        assert_eq!(as_user(&["models", "show", "a/one"]).status.code(), Some(0));
        for command in [&["models", "show", "b/two"][..], &["embed", "x.jpg", "-m", "b/two", "--offline"]] {
            let run = as_user(command);
            assert_eq!(run.status.code(), Some(3));
            assert!(err(&run).contains(two.to_str().unwrap()), "{}", err(&run));
            assert!(err(&run).contains(": no permission to read it"), "{}", err(&run));
        }
        mode(&closed, 0o755);
    }
    mode(&hub, 0o744); // can be listed and not entered
    assert_eq!(err(&as_user(&["models", "list"])).matches(": no permission to read it\n").count(), 3);
    mode(&hub, 0o000);
    let list = as_user(&["models", "list"]);
    assert_eq!(
        (list.status.code(), err(&list)),
        (Some(3), &*format!("error: {}: no permission to read it\n", hub.display()))
    );
    mode(&hub, 0o755);
}

#[test]
fn what_was_planted_in_the_cache_is_not_written_through() {
    let world = World::new();
    let victim = world.cache.path().join("victim");
    fs::write(&victim, "irreplaceable").unwrap();
    let blob = etag(&files()[WEIGHTS]);
    let blobs = world.root().join("blobs");
    let locks = world.cache.path().join("hub/.locks/models--org--clip");
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&locks).unwrap();
    let pipe = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (planted, name) in [(&blobs, format!("{blob}.incomplete")), (&locks, format!("{blob}.lock"))] {
        let planted = planted.join(name);
        _ = fs::remove_file(&planted);
        symlink(&victim, &planted).unwrap();
        let run = world.run(&["models", "pull", NAME]);
        assert_eq!(run.status.code(), Some(3));
        assert!(err(&run).contains(&format!("{}: it is a link", planted.display())), "{}", err(&run));
        fs::remove_file(&planted).unwrap();
        pipe(&planted);
        let run = world.run(&["models", "pull", NAME]);
        assert!(run.status.code() == Some(3) && err(&run).contains("it is a named pipe"), "{}", err(&run));
        fs::remove_file(&planted).unwrap();
    }
    let absent = world.root().join(".no_exist").join(world.hub.commit());
    fs::create_dir_all(&absent).unwrap();
    symlink(world.cache.path().join("new"), absent.join("added_tokens.json")).unwrap();
    pulled(&world.run(&["models", "pull", NAME]));
    assert!(!world.cache.path().join("new").exists());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "irreplaceable");
    // A pipe in place of a reference or of Python's list is no reference and no list.
    for note in ["refs/main".to_owned(), format!("trees/{}.json", world.hub.commit())] {
        let note = world.root().join(note);
        fs::create_dir_all(note.parent().unwrap()).unwrap();
        _ = fs::remove_file(&note);
        pipe(&note);
        pulled(&world.run(&["models", "list"]));
        let run = world.classify(&["-m", NAME]).output().unwrap();
        assert_eq!(run.stdout, expected(), "{}", err(&run));
    }
}
