//! Faults of hubs and networks: each is waited out or told, and none leaves a wrong file behind.

use std::fs;
use std::time::Duration;

use crate::common::random;
use crate::fake_hub::world::{WEIGHTS, World, files};
use crate::fake_hub::{FakeHub, Fault, NAME};
use zsic::net::hub::{HubError, HubSettings, fetch};
use zsic::net::{HttpSettings, Patience};

/// A `Retry-After` that is no number.
const DATE: &str = "Wed, 21 Oct 2026 07:28:00 GMT";

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
        (
            "main",
            status(200, vec![], "<html>log in to the wifi</html>"),
            &["answered something that is not the hub's JSON; a proxy or a login page may be in between"],
        ),
        ("main", status(200, vec![], "{}"), &["names no commit"]),
        ("main", Fault::Redirect("ftp://x/".to_owned()), &["redirects to a ftp: address"]),
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
