//! Checkpoints by name, from a hub on loopback: what is fetched, what is kept, and what is in the cache. Faults are in
//! `hub_faults.rs`, the network in `hub_network.rs`, the command's side in `models.rs`.

use std::fs;
#[cfg(unix)] // links and permissions
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::fixtures;
use crate::fake_hub::world::{WEIGHTS, World, files};
use crate::fake_hub::{FakeHub, Fault, NAME, etag};
use zsic::net::hub::{EarlyFiles, Event, HubError, HubSettings, fetch};
#[cfg(unix)]
use zsic::net::hub::{Removal, Verdict, cached, verify};

#[test]
fn only_what_is_needed_is_fetched_and_only_once() {
    let world = World::new(20_000);
    let snapshot = world.fetch().unwrap();
    assert_eq!(snapshot.commit, "a".repeat(40));
    let mut names: Vec<_> = fs::read_dir(&snapshot.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let wanted = ["config.json", WEIGHTS, "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(names, wanted);
    assert_eq!(world.hub.seen().len(), 1 + wanted.len());
    world.assert_nothing_wrong();

    // The layout of Python's huggingface_hub.
    let link = fs::read_link(snapshot.dir.join(WEIGHTS)).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(etag(&files(20_000)[WEIGHTS])));
    assert_eq!(fs::read_to_string(world.root().join("refs/main")).unwrap(), snapshot.commit);
    let absent = world.root().join(".no_exist").join(&snapshot.commit);
    assert!(absent.join("added_tokens.json").exists() && !absent.join("tokenizer.json").exists());
    let temporary = |path: &Path| {
        fs::read_dir(path).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().contains("incomplete"))
    };
    assert!(temporary(&world.root().join("blobs")));

    let before = world.hub.seen().len();
    assert_eq!(world.fetch().unwrap(), snapshot);
    assert_eq!(fetch(NAME, &snapshot.commit, &world.settings()).unwrap(), snapshot);
    assert_eq!(world.hub.seen().len(), before);
}

#[test]
fn shards_are_those_of_the_index() {
    for name in ["sharded", "bin-sharded"] {
        let hub = FakeHub::of(&fixtures("checkpoints").join(name));
        let world = World { hub, cache: tempfile::tempdir().unwrap() };
        let snapshot = world.fetch().unwrap();
        zsic::Checkpoint::open(&snapshot.dir).unwrap();
        // A shard that is gone is missed, and fetched alone.
        let shard = fs::read_dir(&snapshot.dir).unwrap().map(|e| e.unwrap().path());
        let shard = shard.into_iter().find(|path| path.to_string_lossy().contains("00002-of")).unwrap();
        fs::remove_file(fs::canonicalize(&shard).unwrap()).unwrap();
        let before = world.hub.seen().len();
        world.fetch().unwrap();
        assert_eq!(world.hub.seen().len(), before + 2, "{name}"); // the list, the shard
        zsic::Checkpoint::open(&snapshot.dir).unwrap();
    }
}

#[test]
fn a_branch_that_moves_meanwhile_does_not_mix_commits() {
    let world = World::new(50_000);
    world.hub.fail("tokenizer.json", 1, Fault::Move);
    let snapshot = world.fetch().unwrap();
    assert_eq!(snapshot.commit, "a".repeat(40));
    world.assert_nothing_wrong();
    // It is used from then on, until somebody asks.
    assert_eq!(world.fetch().unwrap(), snapshot);
    let refresh = || HubSettings { refresh: true, ..world.settings() };
    let moved = fetch(NAME, "main", &refresh()).unwrap();
    assert_eq!(moved.commit, "b".repeat(40));
    assert_eq!(world.fetch().unwrap(), moved);
    world.assert_nothing_wrong();
    // And what the branch was is kept if the new one cannot be had.
    let world = World::new(50_000);
    let before = world.fetch().unwrap();
    world.hub.fail("main", 1, Fault::Move);
    world.hub.fail(WEIGHTS, 99, Fault::Cut(100));
    fetch(NAME, "main", &HubSettings { refresh: true, ..world.settings() }).unwrap_err();
    assert_eq!(world.fetch().unwrap(), before);
}

#[test]
fn revisions_of_every_kind() {
    let world = World::new(6000);
    let at = |revision: &str| fetch(NAME, revision, &world.settings());
    assert_eq!(at("refs/pr/1").unwrap().commit, "a".repeat(40));
    assert!(world.root().join("refs/refs/pr/1").exists());
    assert_eq!(at(&"b".repeat(40)).unwrap().commit, "b".repeat(40));
    assert!(!world.root().join("refs").join("b".repeat(40)).exists());
    assert!(at("no-such").unwrap_err().to_string().contains("no such revision: no-such"));
    for revision in ["../../x", "", "a b", "/etc"] {
        assert!(matches!(at(revision), Err(HubError::Revision(_))), "{revision}");
    }
    for name in ["../x", "a/b/c", "a b", ""] {
        assert!(matches!(fetch(name, "main", &world.settings()), Err(HubError::Name(_))), "{name}");
    }
    let other = fetch("org/other", "main", &world.settings()).unwrap_err();
    assert!(matches!(other, HubError::NoRepo { .. }), "{other}");
}

#[test]
fn a_pinned_commit_is_that_one_or_none() {
    let world = World::new(6000);
    let other = concat!(
        r#"{"sha":"aaaaaaaaaaaaaaaaaaaa"#,
        r#"aaaaaaaaaaaaaaaaaaaa","siblings":[{"rfilename":"config.json"}]}"#
    );
    for pinned in ["b".repeat(40), "B".repeat(40)] {
        world.hub.fail(&pinned, 1, Fault::Status(200, vec![], other));
        let e = fetch(NAME, &pinned, &world.settings()).unwrap_err();
        assert!(matches!(e, HubError::Answer { .. }), "{e}");
        assert!(e.to_string().contains(&"a".repeat(40)) && e.to_string().contains(&pinned), "{e}");
    }
    assert_eq!(fs::read_dir(world.cache.path()).unwrap().count(), 0);
}

#[test]
fn offline_asks_nothing_and_says_what_is_missing() {
    let world = World::new(6000);
    let offline = || HubSettings { offline: true, refresh: true, ..world.settings() };
    let e = fetch(NAME, "main", &offline()).unwrap_err().to_string();
    assert!(e.contains("org/clip (revision main) is not in the cache") && e.contains("none of its files"), "{e}");
    assert!(world.hub.seen().is_empty());
    let snapshot = world.fetch().unwrap();
    let before = world.hub.seen().len();
    assert_eq!(fetch(NAME, "main", &offline()).unwrap(), snapshot);
    fs::remove_file(snapshot.dir.join(WEIGHTS)).unwrap();
    let e = fetch(NAME, "main", &offline()).unwrap_err().to_string();
    assert!(e.contains("its copy has no weights"), "{e}");
    assert_eq!(world.hub.seen().len(), before);
}

#[test]
fn a_mirror_that_lists_only_names_is_asked_for_each_file() {
    let world = World::new(50_000);
    world.hub.list_names_only();
    world.fetch().unwrap();
    assert_eq!(world.weights(), files(50_000)[WEIGHTS]);
    world.assert_nothing_wrong();
    assert_eq!(world.hub.seen().iter().filter(|seen| seen.method == "HEAD").count(), 5);
}

#[test]
fn space_is_checked_before_anything_large_is_fetched() {
    let world = World::new(50_000);
    world.hub.list_names_only();
    let headers = vec![("ETag", format!("\"{}\"", "0".repeat(64))), ("X-Linked-Size", (1u64 << 60).to_string())];
    world.hub.fail(WEIGHTS, 1, Fault::Status(200, headers, ""));
    let e = world.error();
    assert!(e.contains("not enough space") && e.contains("bytes are needed"), "{e}");
    assert!(world.hub.gets(WEIGHTS).is_empty() && world.hub.gets("tokenizer.json").is_empty());
}

#[test]
fn a_model_of_another_kind_is_refused_before_its_weights() {
    let world = World::new(50_000);
    let accept = |early: &EarlyFiles| Err(format!("it is {}", String::from_utf8_lossy(&early.files["config.json"])));
    let e = fetch(NAME, "main", &HubSettings { accept, ..world.settings() }).unwrap_err().to_string();
    assert!(e.starts_with("org/clip cannot be used: it is {\"model_type\""), "{e}");
    assert_eq!(world.hub.seen().len(), 2); // the list and the config
    let no_weights = files(6000).into_iter().filter(|(name, _)| !name.contains("model.")).collect();
    let world = World { hub: FakeHub::start(no_weights), cache: tempfile::tempdir().unwrap() };
    let e = world.error();
    assert!(e.contains("no weights") || e.contains("pytorch"), "{e}");
}

#[cfg(unix)]
#[test]
fn read_only_and_linked_caches_serve() {
    let world = World::new(6000);
    let snapshot = world.fetch().unwrap();
    let other = tempfile::tempdir().unwrap();
    let linked = other.path().join("cache");
    symlink(world.cache.path(), &linked).unwrap();
    let set = |mode: u32| {
        for folder in walkdir::WalkDir::new(world.cache.path()).into_iter().flatten().filter(|e| e.file_type().is_dir())
        {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555);
    let before = world.hub.seen().len();
    assert_eq!(world.fetch().unwrap(), snapshot);
    let through = fetch(NAME, "main", &HubSettings { cache: linked.clone(), ..world.settings() }).unwrap();
    assert_eq!(through.commit, snapshot.commit);
    assert!(through.dir.starts_with(&linked) && through.dir.join(WEIGHTS).exists());
    assert_eq!(world.hub.seen().len(), before);
    set(0o755);
}

#[test]
fn progress_adds_up() {
    let world = World::new(50_000);
    world.hub.fail(WEIGHTS, 1, Fault::Cut(20_000));
    let told = Arc::new(Mutex::new((0, 0, 0, 0, 0)));
    let listener = Arc::clone(&told);
    let progress = Box::new(move |event: Event<'_>| {
        let mut told = listener.lock().unwrap();
        match event {
            Event::Planned { files, bytes, .. } => (told.0, told.1) = (files, bytes),
            Event::Finished { .. } => told.2 += 1,
            Event::Advanced { file: WEIGHTS, position } => told.3 = position,
            Event::Retrying { .. } => told.4 += 1,
            _ => {}
        }
    });
    fetch(NAME, "main", &HubSettings { progress, ..world.settings() }).unwrap();
    let bytes = 50_000 + 6000 + "{}".len(); // what tells the kind of tokenizer came before
    assert_eq!(*told.lock().unwrap(), (3, bytes as u64, 5, 50_000, 1));
}

#[cfg(unix)]
#[test]
fn what_is_cached_can_be_listed_checked_and_removed() {
    let world = World::new(50_000);
    let first = world.fetch().unwrap();
    world.hub.fail("main", 1, Fault::Move);
    // The new commit has other bytes everywhere but in one file.
    let second = fetch(NAME, "main", &HubSettings { refresh: true, ..world.settings() }).unwrap();
    let repo = cached(world.cache.path()).unwrap().remove(NAME).unwrap().unwrap();
    assert_eq!((repo.name.as_str(), repo.snapshots.len()), (NAME, 2));
    assert_eq!(repo.snapshots[1].refs, ["main"]);
    assert!(repo.size > 100_000 && repo.last_used.is_some());

    let blob = fs::canonicalize(first.dir.join(WEIGHTS)).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    let damaged: Vec<_> = verify(&repo.snapshots[0], |_, _| ()).unwrap();
    let damaged: Vec<_> = damaged.into_iter().filter(|(_, v)| *v == Verdict::Damaged).map(|(f, _)| f.path).collect();
    assert_eq!(damaged, [WEIGHTS]);
    assert!(verify(&repo.snapshots[1], |_, _| ()).unwrap().iter().all(|(_, v)| *v == Verdict::Right));

    // A blob that the other commit needs stays.
    let shared = second.dir.join("shared.txt");
    let etag = fs::read_link(first.dir.join("config.json")).unwrap();
    symlink(&etag, &shared).unwrap();
    let repo = cached(world.cache.path()).unwrap().remove(NAME).unwrap().unwrap();
    let freed = Removal::plan(world.cache.path(), &repo, Some(&first.commit)).unwrap().run().unwrap();
    assert!(freed >= 50_000, "{freed}");
    assert!(!first.dir.exists() && second.dir.join(WEIGHTS).exists() && shared.exists());
    let repo = cached(world.cache.path()).unwrap().remove(NAME).unwrap().unwrap();
    Removal::plan(world.cache.path(), &repo, None).unwrap().run().unwrap();
    assert!(cached(world.cache.path()).unwrap().is_empty());
    assert!(!world.root().exists() && !world.cache.path().join(".locks/models--org--clip").exists());
}
