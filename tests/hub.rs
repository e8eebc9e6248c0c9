//! Checkpoints by name, from a hub on loopback with every fault that hubs and networks have: what is fetched, what is
//! kept, what is said. The command's side of it is in `tests/models.rs`.

mod common;
mod fake_hub;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fixtures;
use fake_hub::{FakeHub, Fault, NAME, etag};
use tempfile::TempDir;
use zsic::net::hub::{Event, HubError, HubSettings, Snapshot, Token, Verdict, cached, fetch, remove, verify};
use zsic::net::{HttpError, HttpSettings, Patience, Proxies};

const WEIGHTS: &str = "model.safetensors";
/// A `Retry-After` that is no number.
const DATE: &str = "Wed, 21 Oct 2026 07:28:00 GMT";
const CONFIG: &str = r#"{"model_type":"clip"}"#;

/// A repository whose weights are `size` bytes that mean nothing, with files beside that nobody needs.
fn files(size: usize) -> BTreeMap<String, Vec<u8>> {
    let bytes = |n: usize| (0..n).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>();
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    BTreeMap::from([
        named("config.json", CONFIG.into()),
        named("preprocessor_config.json", "{}".into()),
        named("tokenizer.json", bytes(6000)),
        named("tokenizer_config.json", "{\"a\":1}".into()),
        named("vocab.json", "{}".into()),
        named("merges.txt", "#version".into()),
        named(WEIGHTS, bytes(size)),
        named("pytorch_model.bin", bytes(size + 1)),
        named("flax_model.msgpack", bytes(size + 2)),
        named("README.md", "read me".into()),
    ])
}

struct World {
    hub: FakeHub,
    cache: TempDir,
}

impl World {
    fn new(size: usize) -> Self {
        Self { hub: FakeHub::start(files(size)), cache: tempfile::tempdir().unwrap() }
    }

    /// Short waits, and as few tries as show that there are some.
    fn settings(&self) -> HubSettings {
        let patience = Patience {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            stall: Duration::from_millis(700),
            attempts: 3,
            pause: Duration::from_millis(5),
            ..Patience::default()
        };
        HubSettings {
            endpoint: self.hub.url(),
            http: HttpSettings { patience, ..HttpSettings::default() },
            ..HubSettings::new(self.cache.path())
        }
    }

    fn fetch(&self) -> Result<Snapshot, HubError> {
        fetch(NAME, "main", &self.settings())
    }

    fn error(&self) -> String {
        self.fetch().unwrap_err().to_string()
    }

    fn root(&self) -> PathBuf {
        self.cache.path().join("models--org--clip")
    }

    fn weights(&self) -> Vec<u8> {
        let snapshot = self.root().join("snapshots").join(self.hub.commit()).join(WEIGHTS);
        fs::read(snapshot).unwrap()
    }

    fn partial(&self, size: usize) -> PathBuf {
        self.root().join("blobs").join(format!("{}.incomplete", etag(&files(size)[WEIGHTS])))
    }

    /// Everything under its final name in the cache is what the hub has.
    fn assert_nothing_wrong(&self) {
        for repo in cached(self.cache.path()).unwrap() {
            for snapshot in &repo.snapshots {
                for (file, verdict) in verify(snapshot, |_, _| ()).unwrap() {
                    assert_eq!(verdict, Verdict::Right, "{}", file.path);
                }
            }
        }
        let blobs = fs::read_dir(self.root().join("blobs"));
        for blob in blobs.into_iter().flatten().flatten() {
            let name = blob.file_name().into_string().unwrap();
            assert!(name.ends_with(".incomplete") || etag(&fs::read(blob.path()).unwrap()) == name, "{name}");
        }
    }
}

/// Numbers without any pattern that matters here.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    }
}

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
fn faults_that_pass_are_waited_out() {
    let busy = |status, headers| Fault::Status(status, headers, "<html>busy</html>");
    let faults = [
        (WEIGHTS, 1, Fault::Cut(7000)),
        (WEIGHTS, 2, Fault::Cut(3000)),
        (WEIGHTS, 1, Fault::Cut(0)),
        (WEIGHTS, 2, busy(500, vec![])),
        (WEIGHTS, 1, busy(503, vec![])),
        (WEIGHTS, 1, busy(429, vec![("Retry-After", "0".to_owned())])),
        ("main", 2, busy(502, vec![])),
        ("main", 1, busy(429, vec![("RateLimit", "\"api\";r=0;t=0".to_owned())])),
        ("main", 1, Fault::Cut(10)),
        ("main", 1, busy(429, vec![("Retry-After", DATE.to_owned())])),
        (WEIGHTS, 1, Fault::Stall(9000)),
        (WEIGHTS, 1, Fault::Slow(1000, 20)), // slower than the bound on a stall, in all
    ];
    for (n, (file, times, fault)) in faults.into_iter().enumerate() {
        let world = World::new(50_000);
        world.hub.fail(file, times, fault);
        world.fetch().unwrap_or_else(|e| panic!("fault {n}: {e}"));
        assert_eq!(world.weights(), files(50_000)[WEIGHTS], "fault {n}");
        world.assert_nothing_wrong();
    }
}

#[test]
fn each_fault_has_its_own_error_and_leaves_no_wrong_file() {
    let status = |status, headers, page| Fault::Status(status, headers, page);
    let gated = vec![("X-Error-Code", "GatedRepo".to_owned())];
    let cases: Vec<(&str, Fault, &[&str])> = vec![
        (WEIGHTS, Fault::Cut(7000), &["model.safetensors", "cut", "21000 of 50000 bytes are kept"]),
        (WEIGHTS, Fault::Stall(7000), &["model.safetensors", "nothing came for 0.7 s", "21000 of 50000"]),
        (WEIGHTS, status(403, vec![], "<html>no</html>"), &["model.safetensors", "status 403"]),
        (WEIGHTS, status(404, vec![("X-Error-Code", "EntryNotFound".into())], ""), &["model.safetensors", "404"]),
        (WEIGHTS, status(500, vec![], ""), &["model.safetensors", "status 500"]),
        (WEIGHTS, status(401, gated.clone(), ""), &["gated", "/org/clip", "log in"]),
        (WEIGHTS, Fault::Length(5), &["model.safetensors", "sends 50005 bytes", "promised 50000"]),
        (WEIGHTS, Fault::Length(-5), &["model.safetensors", "sends 49995 bytes"]),
        (WEIGHTS, Fault::Flip(49_000), &["model.safetensors", "hash is not"]),
        ("tokenizer_config.json", Fault::Flip(2), &["tokenizer_config.json", "hash is not"]),
        ("main", status(403, gated, ""), &["gated", "/org/clip"]),
        ("main", status(404, vec![], ""), &["no such repository", "private"]),
        ("main", status(401, vec![], ""), &["no such repository"]),
        ("main", status(404, vec![("X-Error-Code", "RevisionNotFound".into())], ""), &["no such revision: main"]),
        ("main", status(429, vec![("Retry-After", "3600".into())], ""), &["limits the rate", "3600 s"]),
        (
            "main",
            status(429, vec![("Retry-After", DATE.into()), ("RateLimit", "\"api\";r=0;t=3600".into())], ""),
            &["limits the rate", "3600 s"],
        ),
        ("main", status(503, vec![], ""), &["status 503"]),
        ("main", status(200, vec![], "<html>log in to the wifi</html>"), &["did not answer as the hub does"]),
        ("main", status(200, vec![], "{}"), &["names no commit"]),
        ("main", Fault::Redirect("ftp://x/".to_owned()), &["redirects", "cannot be followed"]),
    ];
    for (file, fault, said) in cases {
        let world = World::new(50_000);
        world.hub.fail(file, 99, fault);
        let e = world.error();
        assert!(said.iter().all(|said| e.contains(said)), "{e}");
        assert!(!e.contains('\n') && !e.ends_with('.') && !e.contains("<html>"), "{e}");
        assert!(!world.root().join("refs/main").exists(), "{e}");
        world.assert_nothing_wrong();
        world.hub.heal();
        world.fetch().unwrap();
        assert_eq!(world.weights(), files(50_000)[WEIGHTS], "{e}");
        world.assert_nothing_wrong();
    }
}

#[test]
fn no_byte_is_fetched_twice_wherever_a_download_is_cut() {
    let mut random = random(1);
    for _ in 0..30 {
        let (world, at) = (World::new(50_000), random(50_000));
        let once = |settings: HubSettings| {
            let patience = Patience { attempts: 1, ..settings.http.patience.clone() };
            HubSettings { http: HttpSettings { patience, ..settings.http }, ..settings }
        };
        world.hub.fail(WEIGHTS, 1, Fault::Cut(at));
        let e = fetch(NAME, "main", &once(world.settings())).unwrap_err().to_string();
        assert!(e.contains("cut"), "{e}");
        assert_eq!(fs::metadata(world.partial(50_000)).map_or(0, |part| part.len()) as usize, at);
        world.fetch().unwrap();
        let from: Vec<_> = world.hub.gets(WEIGHTS).iter().map(|seen| seen.from).collect();
        assert_eq!(from, [None, Some(at).filter(|at| *at > 0)]);
        assert_eq!(world.hub.gets("tokenizer.json").len(), 1);
        world.assert_nothing_wrong();
    }
}

#[test]
fn a_part_is_used_only_if_it_is_one() {
    // What a part is, what the server does about ranges, and the requests that it takes.
    let right = files(50_000)[WEIGHTS][..20_000].to_vec();
    let (wrong, long) = (vec![b'x'; 20_000], vec![b'x'; 60_000]);
    let whole = files(50_000)[WEIGHTS].clone();
    let cases = [
        (&right, None, 1),
        (&right, Some(Fault::NoRange), 1),
        (&right, Some(Fault::RefuseRange), 2),
        (&wrong, None, 2),
        (&wrong, Some(Fault::NoRange), 1),
        (&long, None, 1),
        (&whole, None, 0),
    ];
    for (n, (part, fault, requests)) in cases.into_iter().enumerate() {
        let world = World::new(50_000);
        fs::create_dir_all(world.partial(50_000).parent().unwrap()).unwrap();
        fs::write(world.partial(50_000), part).unwrap();
        if let Some(fault) = fault {
            world.hub.fail(WEIGHTS, 1, fault);
        }
        world.fetch().unwrap_or_else(|e| panic!("case {n}: {e}"));
        assert_eq!(world.weights(), whole, "case {n}");
        assert_eq!(world.hub.gets(WEIGHTS).len(), requests, "case {n}");
        assert!(!world.partial(50_000).exists());
    }
    let world = World::new(50_000);
    fs::create_dir_all(world.partial(50_000).parent().unwrap()).unwrap();
    fs::write(world.partial(50_000), &right).unwrap();
    world.hub.fail(WEIGHTS, 1, Fault::WrongRange);
    assert!(world.error().contains("from byte 19999, not 20000"));
}

#[test]
fn bytes_that_come_again_are_no_progress() {
    let world = World::new(4_000_000);
    for _ in 0..10 {
        world.hub.fail(WEIGHTS, 1, Fault::NoRangeCut(3_000_000));
        world.hub.fail(WEIGHTS, 1, Fault::NoRangeCut(100_000));
    }
    let e = world.error();
    assert!(e.contains("3000000 of 4000000 bytes are kept") && e.contains("starts over"), "{e}");
    assert_eq!(fs::metadata(world.partial(4_000_000)).unwrap().len(), 3_000_000);
    assert_eq!(world.hub.gets(WEIGHTS).len(), 3);
    world.hub.heal();
    world.fetch().unwrap();
    assert_eq!(world.hub.gets(WEIGHTS)[3].from, Some(3_000_000));
    world.assert_nothing_wrong();
}

#[test]
fn one_slow_answer_does_not_end_a_fetch() {
    let world = World::new(50_000);
    for file in ["tokenizer.json", WEIGHTS] {
        world.hub.fail(file, 1, Fault::Silent(2000));
    }
    let mut settings = world.settings();
    settings.http.patience.answer = Duration::from_millis(700);
    fetch(NAME, "main", &settings).unwrap();
    assert_eq!((world.hub.gets("tokenizer.json").len(), world.hub.gets(WEIGHTS).len()), (2, 2));
    world.assert_nothing_wrong();
}

#[test]
fn an_answer_that_breaks_the_rules_is_not_asked_for_again() {
    let chunks = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let cases = [
        ("main", Fault::Length(32 << 20), "the list of org/clip's files: 127.0.0.1"),
        ("main", Fault::Raw(chunks), "the list of org/clip's files: 127.0.0.1"),
        ("main", Fault::Raw("nonsense\r\n\r\n"), "org/clip: 127.0.0.1"),
        (WEIGHTS, Fault::Raw(chunks), "model.safetensors: 127.0.0.1"),
        (WEIGHTS, Fault::Raw("nonsense\r\n\r\n"), "model.safetensors: 127.0.0.1"),
    ];
    for (file, fault, said) in cases {
        let world = World::new(50_000);
        world.hub.fail(file, 99, fault);
        let e = world.fetch().unwrap_err();
        assert!(matches!(e, HubError::Answer { .. }), "{e}");
        assert!(e.to_string().starts_with(said) && e.to_string().contains("did not answer properly"), "{e}");
        assert_eq!(world.hub.gets(file).len(), 1, "{e}");
        world.assert_nothing_wrong();
    }
}

#[test]
fn what_is_read_into_memory_has_a_bound() {
    let index = "model.safetensors.index.json";
    for name in ["config.json", index] {
        let mut files = files(6000);
        files.remove(WEIGHTS);
        files.insert(index.to_owned(), "{}".into());
        files.insert(name.to_owned(), vec![b' '; (16 << 20) + 1]);
        let world = World { hub: FakeHub::start(files), cache: tempfile::tempdir().unwrap() };
        let e = world.error();
        assert!(e.contains(&format!("its {name} has 16777217 bytes")) && e.contains("16777216"), "{e}");
        assert!(world.hub.gets(name).is_empty(), "{e}");
    }
}

#[test]
fn a_refused_file_leaves_no_part() {
    let world = World::new(50_000);
    world.hub.fail(WEIGHTS, 99, Fault::Status(403, vec![], ""));
    world.fetch().unwrap_err();
    assert!(!world.partial(50_000).exists());
    let right = files(50_000)[WEIGHTS][..20_000].to_vec();
    fs::write(world.partial(50_000), &right).unwrap();
    world.fetch().unwrap_err();
    assert_eq!(fs::read(world.partial(50_000)).unwrap(), right);
}

#[test]
fn a_usable_copy_is_better_than_any_error() {
    let world = World::new(6000);
    let snapshot = world.fetch().unwrap();
    // As Python leaves it, if it was interrupted: a list of files, and one of them is not there.
    let trees = world.root().join("trees");
    fs::create_dir_all(&trees).unwrap();
    let names: Vec<_> = files(6000).keys().map(|name| format!("{name:?}:{{}}")).collect();
    let tree = format!("{{\"format_version\":1,\"files\":{{{}}}}}", names.join(","));
    fs::write(trees.join(format!("{}.json", snapshot.commit)), tree).unwrap();
    let lacks = snapshot.dir.join("tokenizer_config.json");
    fs::remove_file(fs::canonicalize(&lacks).unwrap()).unwrap();
    for status in [403, 404, 500] {
        world.hub.fail("main", 3, Fault::Status(status, vec![], ""));
        assert_eq!(world.fetch().unwrap(), snapshot, "{status}");
        world.hub.heal();
        world.hub.fail("main", 3, Fault::Status(status, vec![], ""));
        fetch(NAME, "main", &HubSettings { refresh: true, ..world.settings() }).unwrap_err();
        world.hub.heal();
    }
    assert!(!lacks.exists());
    assert_eq!(world.fetch().unwrap(), snapshot);
    assert!(lacks.exists());
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
fn a_token_stays_with_the_hub() {
    let world = World::new(50_000);
    let cdn = FakeHub::start(files(50_000));
    world.hub.require("hf_secret");
    world.hub.fail(WEIGHTS, 1, Fault::Redirect(format!("{}/cdn/{WEIGHTS}?signature=x", cdn.url())));
    world.hub.fail("tokenizer.json", 1, Fault::Redirect("/cdn/tokenizer.json".to_owned()));
    let token = Token::new("hf_secret\n", "the test").unwrap();
    assert!(!format!("{token:?}").contains("secret"));
    let settings = HubSettings { token: Some(token), ..world.settings() };
    fetch(NAME, "main", &settings).unwrap();
    let bearer = Some("Bearer hf_secret".to_owned());
    assert!(world.hub.seen().iter().all(|seen| seen.authorization == bearer));
    assert!(world.hub.seen().iter().any(|seen| seen.path == "/cdn/tokenizer.json"));
    assert_eq!(cdn.seen().len(), 1);
    assert_eq!(cdn.seen()[0].authorization, None);
    world.assert_nothing_wrong();
}

#[test]
fn a_wrong_token_is_told_and_never_shown() {
    let world = World::new(50_000);
    world.hub.require("hf_secret");
    assert!(world.error().contains("private and needs a token"));
    let token = Token::new("hf_wrong", "HF_TOKEN").unwrap();
    let e = fetch(NAME, "main", &HubSettings { token: Some(token), ..world.settings() }).unwrap_err();
    assert!(e.to_string().contains("the token from HF_TOKEN is not accepted"), "{e}");
    assert!(!format!("{e} {e:?}").contains("hf_wrong"));
    for no_token in ["", "two words", "line\nline", "ü"] {
        let e = Token::new(no_token, "a file").unwrap_err().to_string();
        assert!(e.contains("the token from a file is none"), "{e}");
    }
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
    assert!(e.contains("org/clip (revision main) is not in the cache") && e.contains("nothing of it"), "{e}");
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
    let accept = |config: &[u8]| Err(format!("it is {}", String::from_utf8_lossy(config)));
    let e = fetch(NAME, "main", &HubSettings { accept, ..world.settings() }).unwrap_err().to_string();
    assert!(e.starts_with("org/clip is no checkpoint for this: it is {\"model_type\""), "{e}");
    assert_eq!(world.hub.seen().len(), 2); // the list and the config
    let no_weights = files(6000).into_iter().filter(|(name, _)| !name.contains("model.")).collect();
    let world = World { hub: FakeHub::start(no_weights), cache: tempfile::tempdir().unwrap() };
    let e = world.error();
    assert!(e.contains("no weights") || e.contains("pytorch"), "{e}");
}

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
fn nobody_there_is_told_apart_from_nobody_answering() {
    let world = World::new(6000);
    let at = |endpoint: String| {
        let mut settings = HubSettings { endpoint, ..world.settings() };
        settings.http.patience.answer = Duration::from_millis(500);
        fetch(NAME, "main", &settings).unwrap_err()
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // connects, and nobody accepts
    let e = at(format!("http://{}", silent.local_addr().unwrap()));
    assert!(e.to_string().contains("does not answer: nothing came within 0.5 s") && e.is_no_network(), "{e}");
    let gone = silent.local_addr().unwrap();
    drop(silent);
    let e = at(format!("http://{gone}"));
    assert!(e.to_string().contains("cannot connect to 127.0.0.1") && e.is_no_network(), "{e}");
    let e = at("http://no-such-host.invalid".to_owned());
    assert!(e.to_string().contains("no-such-host.invalid cannot be found") && e.is_no_network(), "{e}");
    let e = at(format!("https://{}", world.hub.address)); // speaks no TLS
    assert!(e.to_string().contains("no secure connection to 127.0.0.1"), "{e}");
    assert!(at("nonsense".to_owned()).to_string().contains("is no URL"));
    // What users get: within ten seconds.
    let Patience { connect, answer, .. } = Patience::default();
    assert!(connect < Duration::from_secs(10) && answer < Duration::from_secs(10));
}

/// A proxy that answers CONNECT with `status` and then passes bytes through.
fn proxy(status: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) =
        (format!("http://me:secret@{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(vec![])));
    let lines = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                lines.lock().unwrap().push(head);
                std::io::Write::write_all(&mut stream, format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
                if !status.starts_with("200") {
                    return;
                }
                let mut server = std::net::TcpStream::connect(target).unwrap();
                let (mut up, mut down) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut stream, &mut up));
                let _ = std::io::copy(&mut server, &mut down);
                let _ = down.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (address, seen)
}

#[test]
fn proxies_are_used_where_they_are_meant_to_be() {
    let with = |world: &World, address: &str, exempt: &str| {
        let mut settings = world.settings();
        settings.http.proxies =
            Proxies { http: Some(address.to_owned()), exempt: exempt.to_owned(), ..Proxies::default() };
        fetch(NAME, "main", &settings)
    };
    let (address, seen) = proxy("200 OK");
    let world = World::new(6000);
    with(&world, &address, "example.com").unwrap();
    assert!(seen.lock().unwrap().iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic")));
    assert!(!seen.lock().unwrap().is_empty());
    let (address, seen) = proxy("200 OK");
    let world = World::new(6000);
    with(&world, &address, "localhost,127.0.0.1").unwrap();
    assert!(seen.lock().unwrap().is_empty());
    let (address, _) = proxy("407 Proxy Authentication Required");
    let e = with(&World::new(6000), &address, "").unwrap_err().to_string();
    assert!(e.contains("the proxy 127.0.0.1:") && !e.contains("secret"), "{e}");
    let e = with(&World::new(6000), "http://127.0.0.1:9", "").unwrap_err().to_string();
    assert!(e.contains("the proxy 127.0.0.1:9 failed"), "{e}");
}

#[test]
fn proxies_need_no_scheme_and_may_not_be_socks() {
    let with = |world: &World, address: &str| {
        let mut settings = world.settings();
        settings.http.proxies.http = Some(address.to_owned());
        fetch(NAME, "main", &settings)
    };
    let (address, seen) = proxy("200 OK");
    with(&World::new(6000), address.strip_prefix("http://").unwrap()).unwrap();
    assert!(!seen.lock().unwrap().is_empty());
    let world = World::new(6000);
    let e = with(&world, "u:PSECRET@127.0.0.1:2").unwrap_err().to_string();
    assert!(e.contains("the proxy 127.0.0.1:2 failed") && !e.contains("SECRET"), "{e}");
    for scheme in ["socks", "socks4", "socks4a", "socks5", "socks5h", "SOCKS5"] {
        let e = with(&world, &format!("{scheme}://u:PSECRET@127.0.0.1:2")).unwrap_err();
        let said = "the proxy is SOCKS, which is not supported; give an http:// proxy";
        assert!(matches!(&e, HubError::Http(HttpError::Settings(text)) if text == said), "{e:?}");
    }
    for odd in ["ftp://u:PSECRET@h", "http://u:PSECRET@", "u:PSE CRET@h"] {
        let e = with(&world, odd).unwrap_err().to_string();
        assert!(e.contains("the proxy's setting is no URL") && !e.contains("CRET"), "{e}");
    }
    assert!(world.hub.seen().is_empty());
}

#[test]
fn passwords_in_urls_are_never_shown() {
    let gated = Fault::Status(403, vec![("X-Error-Code", "GatedRepo".to_owned())], "");
    let faults = [
        (Fault::Status(404, vec![], ""), "has no such repository"),
        (gated, "/org/clip"),
        (Fault::Redirect("gopher://me:SECRET@h/x?SECRET".to_owned()), "\"gopher://h/x\""),
        (Fault::Status(503, vec![], ""), "status 503"),
        (Fault::Raw("nonsense\r\n\r\n"), "did not answer properly"),
    ];
    for (fault, said) in faults {
        let world = World::new(6000);
        world.hub.fail("main", 9, fault);
        let endpoint = format!("http://me:SECRET@{}", world.hub.address);
        let e = fetch(NAME, "main", &HubSettings { endpoint, ..world.settings() }).unwrap_err();
        assert!(e.to_string().contains(said) && !format!("{e} {e:?}").contains("SECRET"), "{e:?}");
    }
    let world = World::new(6000);
    for endpoint in ["ftp://me:SECRET@h", "http://me:SE CRET@h", "http://me:SE/CRET@h", "me:SECRET@h"] {
        let settings = HubSettings { endpoint: endpoint.to_owned(), ..world.settings() };
        let e = fetch(NAME, "main", &settings).unwrap_err();
        assert!(e.to_string().contains("is no URL") && !format!("{e} {e:?}").contains("CRET"), "{e:?}");
    }
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
    let bytes = 50_000 + 6000 + "{}".len() + "{\"a\":1}".len();
    assert_eq!(*told.lock().unwrap(), (4, bytes as u64, 5, 50_000, 1));
}

#[test]
fn what_is_cached_can_be_listed_checked_and_removed() {
    let world = World::new(50_000);
    let first = world.fetch().unwrap();
    world.hub.fail("main", 1, Fault::Move);
    // The new commit has other bytes everywhere but in one file.
    let second = fetch(NAME, "main", &HubSettings { refresh: true, ..world.settings() }).unwrap();
    let repo = &cached(world.cache.path()).unwrap()[0];
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
    let repo = &cached(world.cache.path()).unwrap()[0];
    let freed = remove(world.cache.path(), repo, Some(&first.commit)).unwrap();
    assert!(freed >= 50_000, "{freed}");
    assert!(!first.dir.exists() && second.dir.join(WEIGHTS).exists() && shared.exists());
    let repo = &cached(world.cache.path()).unwrap()[0];
    remove(world.cache.path(), repo, None).unwrap();
    assert!(cached(world.cache.path()).unwrap().is_empty());
    assert!(!world.root().exists() && !world.cache.path().join(".locks/models--org--clip").exists());
}
