//! `zsic doctor`: what it prints, and what it finds wrong.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::common::command::{err, out, run, zsic};
use crate::fake_hub::shell::World;
use crate::fake_hub::{Fault, NAME};
use serde_json::Value;
use tempfile::TempDir;
use zsic::Isa;

/// `zsic doctor` with empty caches, without the network.
fn doctor(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = zsic(&["doctor"]);
    command.args(args).env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", dir.path().join("hub"));
    command.env("ZSIC_CACHE_DIR", dir.path().join("own"));
    command
}

/// What it prints for scripts, and its exit status.
fn json(command: &mut Command) -> (Value, Option<i32>) {
    let output = run(command.args(["--format", "json"]));
    assert_eq!(err(&output), "");
    (serde_json::from_str(out(&output)).unwrap(), output.status.code())
}

/// The only thing that is wrong.
fn fault((found, status): (Value, Option<i32>)) -> String {
    assert_eq!(status, Some(1), "{found}");
    let [only] = &found["wrong"].as_array().unwrap()[..] else { panic!("{found}") };
    only.as_str().unwrap().to_owned()
}

#[test]
fn a_table_says_what_is_there_and_that_nothing_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&mut doctor(&dir, &["-j", "2"]));
    let text = out(&output);
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "{text}");
    assert!(text.starts_with(concat!("version          ", env!("CARGO_PKG_VERSION"), "\ncommit ")), "{text}");
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("features").contains("cli"));
    assert!(line("instruction set").trim().starts_with(Isa::best().name()));
    assert!(line("threads").trim().starts_with("2 by -j or ZSIC_THREADS; "));
    assert!(line("hub cache").contains("/hub: 0 checkpoints, 0 B; ") && line("hub cache").ends_with("; writable"));
    assert!(line("zsic cache").contains("/own: 0 embeddings and hashes, 0 B; "));
    assert!(line("hub  ").ends_with("not asked: the network is off"));
    assert_eq!(text.lines().last(), Some("nothing is wrong"));
    if cfg!(feature = "demo") {
        assert!(text.contains("\nSELF-TEST ") && text.contains("\ncpu plain "), "{text}");
    } else {
        assert!(line("self test").contains("this build has no demo model"));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn scripts_get_one_value() {
    let dir = tempfile::tempdir().unwrap();
    let (found, status) = json(&mut doctor(&dir, &["--offline"]));
    assert_eq!(status, Some(0), "{found}");
    let keys: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "version commit features cpu instruction_set amx threads memory gpu device precision hub_cache zsic_cache \
                    hub self_test warnings wrong";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
    assert_eq!(found["instruction_set"]["used"], Isa::best().name());
    assert!(found["threads"]["used"].as_u64() > Some(0) && found["memory"]["bytes"].as_u64() > Some(0));
    for cache in ["hub_cache", "zsic_cache"] {
        assert_eq!(found[cache]["writable"], true);
        assert!(found[cache]["free"].as_u64() > Some(0) && found[cache]["dir"].is_string());
    }
    assert_eq!(found["hub"]["answers"], Value::Null);
    if cfg!(feature = "demo") {
        let tested = found["self_test"].as_array().unwrap();
        let names: Vec<&str> = tested.iter().map(|test| test["arithmetic"].as_str().unwrap()).collect();
        for isa in Isa::available() {
            assert!(names.iter().any(|name| name.starts_with(isa.name())), "{names:?}");
        }
        assert!(tested.iter().all(|test| test["right"] == true && test["error"] == Value::Null), "{tested:?}");
    }
}

#[test]
fn a_cache_that_cannot_be_used_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    for below in ["", "/below"] {
        let path = format!("{file}{below}");
        let said = fault(json(&mut doctor(&dir, &["--cache-dir", &path])));
        assert!(said.contains(&path) && said.contains("--cache-dir"), "{said}");
    }
    let said = fault(json(&mut doctor(&dir, &["--hub-cache", file])));
    assert!(said.starts_with("the hub cache cannot be used: ") && said.contains(file), "{said}");

    let hub = dir.path().join("hub/models--org--clip");
    fs::create_dir_all(&hub).unwrap();
    fs::write(hub.join("snapshots"), "").unwrap();
    let said = fault(json(&mut doctor(&dir, &[])));
    assert!(said.starts_with("org/clip in the hub cache cannot be used: "), "{said}");
    fs::remove_dir_all(&hub).unwrap();

    let own = dir.path().join("own");
    let classify = ["classify", "demo:owl.png", "-l", "fox,owl", "-m", "demo"];
    if cfg!(feature = "demo") {
        assert!(run(zsic(&classify).env("ZSIC_CACHE_DIR", &own)).status.success());
        let (found, status) = json(&mut doctor(&dir, &[]));
        assert!(status == Some(0) && found["zsic_cache"]["bytes"].as_u64() > Some(0), "{found}");
    } else {
        fs::create_dir(&own).unwrap();
    }
    fs::write(own.join("embeddings-1.db"), "no database at all".repeat(99)).unwrap();
    let output = run(&mut doctor(&dir, &[]));
    assert_eq!(output.status.code(), Some(1));
    let last = out(&output).lines().last().unwrap();
    assert!(last.starts_with("wrong: ") && last.contains("embeddings-1.db"), "{last}");
}

#[test]
fn an_instruction_set_that_no_run_accepts_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let said = fault(json(doctor(&dir, &[]).env("ZSIC_ISA", "sse9")));
    assert!(said.starts_with("ZSIC_ISA is `sse9`; use "), "{said}");
    if let Some(lacking) = Isa::ALL.into_iter().find(|isa| !isa.is_available()) {
        let said = fault(json(doctor(&dir, &[]).env("ZSIC_ISA", lacking.name())));
        assert!(said.starts_with("ZSIC_ISA: this machine has no "), "{said}");
    }
    let text = run(doctor(&dir, &[]).env("ZSIC_ISA", "nonsense"));
    assert!(out(&text).contains(" none can be used: ZSIC_ISA is `nonsense`; this machine has "), "{}", out(&text));
    let (found, status) = json(doctor(&dir, &[]).env("ZSIC_ISA", "plain"));
    assert_eq!((status, &found["instruction_set"]["used"]), (Some(0), &"plain".into()));
}

#[test]
fn the_hub_is_asked_once() {
    let world = World::new();
    let ask = || json(&mut world.zsic(&["doctor"]));
    let (found, status) = ask();
    assert_eq!((status, &found["hub"]["answers"]), (Some(0), &true.into()), "{found}");
    assert_eq!(world.hub.seen().len(), 1);

    assert!(world.run(&["models", "pull", NAME]).status.success());
    let (found, _) = ask();
    assert!(found["hub_cache"]["bytes"].as_u64() > Some(10_000), "{found}");

    let seen = world.hub.seen().len();
    world.hub.fail("/main", 1, Fault::Status(503, Vec::new(), "busy"));
    let (found, status) = ask();
    assert_eq!((status, &found["hub"]["answers"]), (Some(0), &false.into()), "{found}");
    assert!(found["warnings"][0].as_str().unwrap().contains("answered with status 503"), "{found}");
    assert_eq!(world.hub.seen().len(), seen + 1, "without a second try");

    let refuse = vec![("x-error-message", "Invalid credentials in Authorization header".to_owned())];
    world.hub.fail("/main", 1, Fault::Status(401, refuse, ""));
    let refused: Output = world.zsic(&["doctor"]).env("HF_TOKEN", "hf_secret").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(out(&refused).contains("\nwrong: the token from HF_TOKEN is not accepted"), "{}", out(&refused));
    assert!(!out(&refused).contains("hf_secret"));
}

#[test]
fn a_hub_out_of_reach_is_a_warning() {
    let world = World::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ask = |hub: &str| json(world.zsic(&["doctor"]).env("HF_ENDPOINT", hub));
    let (found, status) = ask(&format!("http://me:pass@{closed}/"));
    assert_eq!((status, &found["hub"]["answers"]), (Some(0), &false.into()), "{found}");
    assert!(found["warnings"][0].as_str().unwrap().contains("cannot connect to"), "{found}");
    assert!(!found.to_string().contains("pass@"), "{found}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = std::time::Instant::now();
    let (found, _) = ask(&format!("http://{}", silent.local_addr().unwrap()));
    assert!(found["warnings"][0].as_str().unwrap().contains("nothing came within 3 s"), "{found}");
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn the_device_and_the_precision_of_the_environment_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let with = |variable: &str, value: &str| json(doctor(&dir, &[]).env(variable, value));
    let (found, status) = json(&mut doctor(&dir, &[]));
    assert_eq!((status, &found["precision"]), (Some(0), &serde_json::json!({ "used": "auto", "asked": null })));
    let text = run(doctor(&dir, &[]).env("ZSIC_DEVICE", "cpu").env("ZSIC_PRECISION", "f32"));
    let rows = "\ndevice           cpu by ZSIC_DEVICE\nprecision        f32 by ZSIC_PRECISION\n";
    assert!(text.status.success() && out(&text).contains(rows), "{}", out(&text));
    for (variable, value, reason) in [
        ("ZSIC_DEVICE", "gpu", "use auto, cpu, cuda, cuda:N or metal"),
        ("ZSIC_PRECISION", "f64", "use auto, f32, bf16 or f16"),
        ("ZSIC_PRECISION", "f16", "f16 arithmetic is for NVIDIA GPUs; use --precision f32 or auto"),
    ] {
        assert_eq!(fault(with(variable, value)), format!("{variable} is `{value}`: {reason}"));
    }
}

#[test]
fn a_server_that_answers_and_is_not_a_hub_is_wrong() {
    let world = World::new();
    for (status, page, said) in [
        (404, "", "answered with status 404"),
        (401, "", "answered with status 401"),
        (403, "go away", "answered with status 403"),
        (
            200,
            "<html>log in to the wifi</html>",
            "answered something that is not the hub's JSON; a proxy or a login page",
        ),
        (200, "{}", "names no commit"),
    ] {
        world.hub.fail("/main", 1, Fault::Status(status, Vec::new(), page));
        let said_so = fault(json(&mut world.zsic(&["doctor"])));
        assert!(said_so.starts_with(&format!("no hub answers at {}: ", world.hub.url())), "{said_so}");
        assert!(said_so.contains(said) && said_so.contains("HF_ENDPOINT"), "{said_so}");
    }
    for (status, header, text) in [
        (401, "x-error-message", "Invalid username or password."),
        (404, "x-error-code", "RepoNotFound"),
        (403, "x-error-code", "GatedRepo"),
    ] {
        world.hub.fail("/main", 1, Fault::Status(status, vec![(header, text.to_owned())], ""));
        let (found, status) = json(&mut world.zsic(&["doctor"]));
        assert_eq!((status, &found["hub"]["answers"]), (Some(0), &true.into()), "{found}");
    }
    let text = world.run(&["doctor"]);
    let line = out(&text).lines().find(|line| line.contains(" answered in ")).unwrap();
    assert!(line.ends_with(" ms"), "{line}");
}

#[test]
fn one_fault_is_told_once() {
    let world = World::new();
    let file = world.cache.path().join("file");
    fs::write(&file, "x").unwrap();
    let said = fault(json(world.zsic(&["doctor"]).env("HF_HOME", &file)));
    assert!(said.starts_with("the hub cache cannot be used: ") && said.contains("file/hub"), "{said}");
    let said = fault(json(world.zsic(&["doctor"]).env("HF_ENDPOINT", "localhost")));
    assert_eq!(said, "HF_ENDPOINT: \"localhost\" is not a URL; use one such as https://huggingface.co");
}
