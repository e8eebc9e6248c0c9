//! Checkpoints by name from outside: the command against a hub on loopback, killed, in crowds, offline; and
//! `zsic models`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::command::{cache_dir, err, out, zsic};
use crate::fake_hub::shell::{WEIGHTS, World, checkpoint, expected, files, image};
use crate::fake_hub::{Fault, NAME, etag};
use serde_json::{Value, json};

#[test]
fn a_name_is_fetched_once_and_gives_what_its_directory_gives() {
    let world = World::new();
    let first = world.classify(&["-m", NAME]).output().unwrap();
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    assert_eq!(first.stdout, expected());
    let commit = world.hub.commit();
    assert_eq!(err(&first).matches(&format!("\n{NAME}@{commit}\n")).count(), 1, "{}", err(&first));
    assert!(err(&first).contains("fetching org/clip: 4 files, 25"), "{}", err(&first));
    assert!(err(&first).lines().filter(|line| line.starts_with("fetched ")).count() == 6, "{}", err(&first));
    let requests = world.hub.seen().len();
    for args in [&["-m", NAME][..], &["-m", NAME, "--offline"], &["-m", NAME, "--revision", &commit]] {
        let again = world.classify(args).output().unwrap();
        assert_eq!(again.stdout, expected());
        assert_eq!(err(&again), format!("{NAME}@{commit}\n"));
    }
    let quiet = world.classify(&["-m", NAME, "-q"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!((quiet.stdout.clone(), err(&quiet)), (expected(), ""));
    assert_eq!(world.hub.seen().len(), requests);
    let embedded = world.run(&["embed", &image(), "-m", NAME]);
    assert!(embedded.status.success() && out(&embedded).contains("\"embedding\":["));
}

#[test]
fn ten_at_once_fetch_once_and_are_all_right() {
    let world = World::new();
    world.hub.fail(WEIGHTS, 1, Fault::Slow(8192, 50));
    let start = || world.classify(&["-m", NAME, "-j", "1"]).spawn().unwrap();
    let children: Vec<Child> = (0..10).map(|_| start()).collect();
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{}", err(output));
        assert_eq!(output.stdout, expected());
    }
    for file in [WEIGHTS, "config.json", "tokenizer.json", "merges.txt"] {
        let wanted = usize::from(file != "merges.txt"); // not needed beside tokenizer.json
        let gets = world.hub.gets(&format!("/{file}")).len();
        assert_eq!(gets, wanted, "{file}");
    }
    world.assert_right();
}

#[test]
fn the_others_say_that_they_wait() {
    let world = World::new();
    world.hub.fail(WEIGHTS, 1, Fault::Slow(4096, 30));
    let first = world.zsic(&["models", "pull", NAME]).spawn().unwrap();
    while world.hub.gets(WEIGHTS).is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let second = world.run(&["models", "pull", NAME]);
    assert!(err(&second).contains(&format!("waiting for another process to fetch {WEIGHTS}")), "{}", err(&second));
    assert!(second.status.success() && first.wait_with_output().unwrap().status.success());
    assert_eq!(world.hub.gets(WEIGHTS).len(), 1);
}

#[test]
fn kill_at_any_point_is_harmless() {
    let weights = fs::read(checkpoint().join(WEIGHTS)).unwrap();
    let (mut in_the_middle, mut state) = (0, 7u64);
    for _ in 0..30 {
        let world = World::new();
        world.hub.fail(WEIGHTS, 1, Fault::Slow(4096, 4)); // a quarter of a second in all
        let mut child = world.zsic(&["models", "pull", NAME]).spawn().unwrap();
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        thread::sleep(Duration::from_millis(state >> 33).min(Duration::from_millis((state >> 33) % 350)));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();

        let blob = world.root().join("blobs").join(etag(&weights));
        let have = fs::metadata(blob.with_extension("incomplete")).map_or(0, |meta| meta.len() as usize);
        let whole = blob.exists();
        let before = world.hub.gets("/tokenizer.json").len();
        let had_tokenizer = world.snapshot().join("tokenizer.json").exists();
        let output = world.run(&["models", "pull", NAME]);
        assert!(output.status.success(), "{}", err(&output));
        assert_eq!(fs::read(&blob).unwrap(), weights);
        world.assert_right();
        // It went on exactly where the killed one was, and asked for nothing that was there.
        let gets = world.hub.gets(WEIGHTS);
        let asked = gets.last().unwrap().from.unwrap_or(0);
        if have > 0 {
            in_the_middle += 1;
            assert_eq!(asked, if have == weights.len() { 0 } else { have });
        }
        assert!(!whole || gets.len() == 1);
        assert!(!had_tokenizer || world.hub.gets("/tokenizer.json").len() == before);
        let left: Vec<_> = walkdir::WalkDir::new(world.root()).into_iter().flatten().collect();
        assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().contains("incomplete")));
    }
    assert!(in_the_middle > 0, "no kill came in the middle of the weights");
}

#[cfg(unix)] // strace
#[test]
fn a_complete_snapshot_opens_no_socket() {
    let world = World::new();
    assert!(world.run(&["models", "pull", NAME]).status.success());
    let trace = world.cache.path().join("trace");
    let command = world.classify(&["-m", NAME]);
    let mut strace = Command::new("/usr/bin/strace");
    strace.args(["-f", "-e", "trace=network", "-o"]).arg(&trace).arg(command.get_program()).args(command.get_args());
    strace.env_clear().env("HF_HOME", world.cache.path()).env("HF_ENDPOINT", world.hub.url());
    strace.env("ZSIC_CACHE_DIR", cache_dir());
    let Some(output) = strace.output().ok().filter(|output| !err(output).contains("ptrace")) else {
        eprintln!("skipped: strace is not here, or not allowed");
        return;
    };
    assert_eq!(output.stdout, expected(), "{}", err(&output));
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains("exited with 0") && !trace.contains("socket("), "{trace}");
}

#[cfg(unix)]
#[test]
fn without_network_the_error_says_what_to_paste() {
    let world = World::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = |command: &mut Command| command.env("HF_ENDPOINT", format!("http://{gone}")).output().unwrap();
    for output in [
        unreachable(&mut world.classify(&[])),
        world.classify(&["--offline"]).output().unwrap(),
        world.classify(&[]).env("HF_HUB_OFFLINE", "true").output().unwrap(),
        world.classify(&[]).env("TRANSFORMERS_OFFLINE", "on").output().unwrap(),
    ] {
        assert_eq!(output.status.code(), Some(3));
        let e = err(&output);
        assert_eq!(e.lines().count(), 1, "{e}");
        assert!(e.contains("`zsic models pull openai/clip-vit-large-patch14`"), "{e}");
        assert!(e.contains("models--openai--clip-vit-large-patch14") && e.contains("local directory"), "{e}");
        // What it says to paste is what was typed, and works.
        let (_, paste) = e.trim_end().split_once("to try zsic on drawings without a network: ").unwrap();
        assert!(
            Command::new("sh")
                .args(["-c", paste])
                .env("ZSIC_CACHE_DIR", cache_dir())
                .output()
                .unwrap()
                .status
                .success(),
            "{paste}"
        );
    }
    assert!(world.hub.seen().is_empty());
    // As in Python the one variable wins over the other.
    let mut both = world.zsic(&["models", "pull", NAME]);
    both.env("HF_HUB_OFFLINE", "0").env("TRANSFORMERS_OFFLINE", "1");
    assert!(both.output().unwrap().status.success());
}

#[test]
fn a_network_that_swallows_everything_ends_in_ten_seconds() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // connects, and nobody ever answers
    let start = Instant::now();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let output = world.classify(&["-m", NAME]).env("HF_ENDPOINT", endpoint).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed()); // two for a busy machine
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("does not answer") && err(&output).contains("--model demo"), "{}", err(&output));
}

#[test]
fn unknown_names_get_the_nearest_known_ones() {
    let world = World::new();
    let error = |name: &str| {
        let output = world.classify(&["-m", name]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(err(&output).lines().count(), 1);
        err(&output).to_owned()
    };
    let e = error("openai/clip-vit-base-patch23");
    assert!(e.contains("no such repository") && e.contains("did you mean openai/clip-vit-base-patch32"), "{e}");
    assert!(!error("nobody/knows-this-thing").contains("did you mean"));
    assert!(error("no name at all").contains("neither a directory with a config.json nor a name on the hub"));
    assert!(error("./nowhere").contains("./nowhere"));
}

#[test]
fn another_kind_of_model_is_named_before_its_weights_come() {
    for (config, reason) in [
        (r#"{"model_type":"bert"}"#, "`bert` is not supported"),
        (r#"{"model_type":"clip","auto_map":{"AutoModel":"code.Model"}}"#, "auto_map"),
        (r#"{"model_type":"clip","open_clip_model_name":"hf-hub:Marqo/marqo-fashionCLIP"}"#, "open_clip_model_name"),
        (r#"{"model_type":"clip","architectures":["CLIPTextModelWithProjection"]}"#, "CLIPTextModelWithProjection"),
        (r#"{"model_type":"clip","architectures":["CLIPForImageClassification"]}"#, "CLIPForImageClassification"),
    ] {
        let mut files = files();
        files.insert("config.json".to_owned(), config.into());
        let world = World::of(files);
        for run in [world.classify(&["-m", NAME]).output().unwrap(), world.run(&["models", "pull", NAME])] {
            assert_eq!(run.status.code(), Some(3));
            assert!(err(&run).contains(reason) && err(&run).contains("config.json"), "{}", err(&run));
            assert!(err(&run).contains("that runs is"), "{}", err(&run));
        }
        assert_eq!(world.hub.seen().len(), 3, "{config}"); // twice the list, once the config
    }
}

#[test]
fn another_kind_of_tokenizer_is_named_before_its_weights_come() {
    let config = String::from_utf8(files().remove("config.json").unwrap()).unwrap();
    let named = config.replacen('{', r#"{"tokenizer_class":"MPNetTokenizer","#, 1);
    for (settings, config, reason) in [
        (
            Some(r#"{"tokenizer_class":"LukeTokenizer"}"#),
            &config,
            "its tokenizer_config.json: tokenizer class `LukeTokenizer`",
        ),
        (Some(r#"{"padding_side":"left"}"#), &config, "its tokenizer_config.json: padding_side `left`"),
        (Some("{}"), &named, "its config.json: tokenizer class `MPNetTokenizer` is not supported"),
        (None, &named, "its config.json: tokenizer class `MPNetTokenizer` is not supported"),
    ] {
        let mut files = files();
        files.insert("config.json".to_owned(), config.clone().into());
        files.remove("tokenizer_config.json");
        files.extend(settings.map(|settings| ("tokenizer_config.json".to_owned(), settings.into())));
        let world = World::of(files);
        let run = world.run(&["models", "pull", NAME]);
        assert_eq!(run.status.code(), Some(3));
        assert!(err(&run).contains(reason) && err(&run).contains("that runs is"), "{}", err(&run));
        let told_by_settings = reason.starts_with("its tokenizer_config.json");
        assert_eq!(world.hub.seen().len(), 2 + usize::from(told_by_settings), "{reason}"); // the list, and what tells
    }
    let mut files = files();
    files.insert("tokenizer_config.json".to_owned(), r#"{"tokenizer_class":"PreTrainedTokenizerFast"}"#.into());
    assert!(World::of(files).run(&["models", "pull", NAME]).status.success());
}

#[test]
fn tokens_come_from_the_usual_places_and_are_never_printed() {
    let world = World::new();
    world.hub.require("hf_secret");
    let pull = || world.zsic(&["models", "pull", NAME, "-vv"]);
    let login = world.cache.path().join("token");
    let elsewhere = world.cache.path().join("elsewhere");
    fs::write(&login, "hf_wrong\n").unwrap();
    fs::write(&elsewhere, "hf_secret\n").unwrap();
    let wrong = pull().output().unwrap();
    assert!(err(&wrong).contains(&format!("the token from {}", login.display())), "{}", err(&wrong));
    let outputs = [
        wrong,
        pull().env("HF_TOKEN", "hf_wronger").output().unwrap(),
        pull().env("HF_TOKEN", "hf_secret").output().unwrap(),
        pull().env("HF_TOKEN_PATH", &elsewhere).output().unwrap(),
    ];
    assert_eq!(outputs.each_ref().map(|output| output.status.code().unwrap()), [3, 3, 0, 0]);
    fs::write(&login, "hf_secret").unwrap();
    assert!(pull().output().unwrap().status.success());
    for output in outputs {
        assert!(!err(&output).contains("hf_") && !out(&output).contains("hf_"), "{}", err(&output));
    }
}

#[test]
fn known_checkpoints_are_listed_without_a_cache() {
    let run = |args: &[&str]| zsic(&[&["models", "list", "--known"], args].concat()).output().unwrap();
    let (table, json) = (run(&[]), run(&["--format", "json"]));
    assert_eq!((table.status.code(), err(&table), err(&json)), (Some(0), "", ""));
    let lines: Vec<Vec<&str>> = out(&table).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "FAMILY", "SIZE", "GFLOP", "TOP-1", "SOURCE", "LICENCE", "LANGUAGES"]);
    let default = "openai/clip-vit-large-patch14 clip 1.71 GB 162 75.5 open_clip none stated English";
    assert!(lines.contains(&default.split(' ').collect()), "{}", out(&table));
    let list: Vec<Value> = serde_json::from_slice(&json.stdout).unwrap();
    assert!(list.iter().map(|known| &known["name"]).eq(lines[1..].iter().map(|line| line[0])));
    let base = list.iter().find(|known| known["name"] == "google/siglip2-base-patch16-224").unwrap();
    let expected = json!({
        "name": "google/siglip2-base-patch16-224", "family": "siglip", "size": 1_500_751_880, "gflop": 35.4,
        "imagenet_top1": 78.2, "top1_source": "big_vision", "licence": "Apache-2.0", "languages": "100+",
    });
    assert_eq!(*base, expected);
    let tiny = "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M clip 93.8 MB 3.6 41.1 tinyclip MIT English";
    assert!(lines.contains(&tiny.split(' ').collect()), "{}", out(&table));
    assert!(list.iter().any(|known| known["imagenet_top1"].is_null() && known["top1_source"].is_null()));
    assert_eq!(run(&["--hub-cache", "/nowhere"]).status.code(), Some(2));
}

#[test]
fn models_of_the_cache_from_pull_to_rm() {
    let world = World::new();
    for (args, listed) in [(&["models", "list"][..], ""), (&["models", "list", "--format", "json"], "[]\n")] {
        let output = world.run(args);
        assert_eq!((out(&output), output.status.code()), (listed, Some(0)));
        assert!(err(&output).contains("hub: no checkpoint in the cache; `zsic models pull "), "{}", err(&output));
    }
    assert_eq!(err(&world.run(&["models", "list", "-q"])), "");
    let missing = world.run(&["models", "show", NAME]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(err(&missing).contains(&format!("`zsic models pull {NAME}`")));

    let pulled = world.run(&["models", "pull", NAME]);
    assert_eq!(out(&pulled).trim_end(), world.snapshot().display().to_string());
    let list = world.run(&["models", "list"]);
    assert!(out(&list).contains(NAME) && out(&list).contains("main@aaaaaaaaaaaa") && out(&list).contains("clip"));
    let list: Value = serde_json::from_slice(&world.run(&["models", "--format", "json", "list"]).stdout).unwrap();
    assert_eq!(
        (&list[0]["name"], &list[0]["refs"][0], &list[0]["kind"]),
        (&NAME.into(), &"main".into(), &"clip".into())
    );
    let size: u64 = world.snapshot().read_dir().unwrap().map(|e| fs::metadata(e.unwrap().path()).unwrap().len()).sum();
    assert_eq!(list[0]["size"], size);

    let shown = world.run(&["models", "show", NAME]);
    assert!(out(&shown).contains("images of") && out(&shown).contains(WEIGHTS), "{}", out(&shown));
    let shown: Value =
        serde_json::from_slice(&world.run(&["models", "show", NAME, "--format", "json"]).stdout).unwrap();
    assert_eq!(shown["usable"], true);

    world.assert_right();
    damage(&world.snapshot().join(WEIGHTS));
    let verified = world.run(&["models", "verify", NAME]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(out(&verified).contains("damaged  model.safetensors"), "{}", out(&verified));

    let refused = world.run(&["models", "rm", NAME]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("Python") && err(&refused).contains("--yes"), "{}", err(&refused));
    assert!(world.root().exists());
    let removed = world.run(&["models", "rm", NAME, "--yes"]);
    assert!(removed.status.success() && out(&removed).contains("freed"), "{}", err(&removed));
    assert!(!world.root().exists());
}

fn damage(link: &Path) {
    let blob = fs::canonicalize(link).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(blob, bytes).unwrap();
}

#[test]
fn the_cache_is_where_python_looks_for_it() {
    let world = World::new();
    let (home, other) = (world.cache.path().join("home"), world.cache.path().join("other"));
    let pull = |change: &dyn Fn(&mut Command)| {
        let mut command = world.zsic(&["models", "pull", NAME]);
        command.env_remove("HF_HOME").env("HOME", &home);
        change(&mut command);
        PathBuf::from(out(&command.output().unwrap()).trim_end())
    };
    assert!(pull(&|_| ()).starts_with(home.join(".cache/huggingface/hub/models--org--clip")));
    assert!(pull(&|c| _ = c.env("XDG_CACHE_HOME", &other)).starts_with(other.join("huggingface/hub")));
    for said in ["~/hf", "$HOME/hf", "${HOME}/hf"] {
        assert!(pull(&|c| _ = c.env("HF_HOME", said)).starts_with(home.join("hf/hub")), "{said}");
        assert!(pull(&|c| _ = c.env("HF_HUB_CACHE", said)).starts_with(home.join("hf/models--org--clip")), "{said}");
        assert!(pull(&|c| _ = c.env("XDG_CACHE_HOME", said)).starts_with(home.join("hf/huggingface/hub")), "{said}");
    }
    assert!(pull(&|c| _ = c.env("HF_HUB_CACHE", &other)).starts_with(other.join("models--org--clip")));
    let flag = world.cache.path().join("flag").display().to_string();
    assert!(pull(&|c| _ = c.args(["--hub-cache", &flag]).env("HF_HUB_CACHE", &other)).starts_with(&flag));
}

#[test]
fn a_checkpoint_that_lacks_its_weights_is_not_called_right() {
    let world = World::new();
    assert!(world.run(&["models", "pull", NAME]).status.success());
    fs::remove_file(world.snapshot().join(WEIGHTS)).unwrap();
    let verified = world.run(&["models", "verify", NAME]);
    assert_eq!(verified.status.code(), Some(1), "{}", out(&verified));
    assert!(out(&verified).contains("missing") && err(&verified).contains("something is wrong"), "{}", out(&verified));
    assert!(out(&world.run(&["models", "list"])).contains("clip (incomplete)"));
    let json = world.run(&["models", "list", "--format", "json"]);
    assert!(out(&json).contains("\"complete\":false"), "{}", out(&json));
}

#[test]
fn a_commit_may_be_given_as_it_is_listed() {
    let world = World::new();
    assert!(world.run(&["models", "pull", NAME]).status.success());
    let listed = world.run(&["models", "list"]);
    let short = &world.hub.commit()[..12];
    assert!(out(&listed).contains(short), "{}", out(&listed));
    assert!(world.run(&["models", "show", NAME, "--revision", short]).status.success());
    assert!(!world.run(&["models", "show", NAME, "--revision", &short[..6]]).status.success());
}

#[test]
fn what_is_in_the_cache_needs_no_token() {
    let world = World::new();
    assert!(world.run(&["models", "pull", NAME]).status.success());
    let output = world.classify(&["-m", NAME]).env("HF_TOKEN", "two words").output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), expected()));
    let output = world.classify(&["-m", "org/other"]).env("HF_TOKEN", "two words").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("HF_TOKEN"), "{}", err(&output));
}

#[cfg(unix)]
#[test]
fn a_cache_whose_path_is_not_text_can_be_described() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let cache = world.cache.path().join(std::ffi::OsStr::from_bytes(b"nu-\xff"));
    let run = |args: &[&str]| world.zsic(args).arg("--hub-cache").arg(&cache).output().unwrap();
    let pulled = run(&["models", "pull", NAME]);
    assert!(pulled.stdout.starts_with(cache.as_os_str().as_bytes()), "{}", err(&pulled));
    let listed = run(&["models", "list", "--format", "json"]);
    assert!(out(&listed).contains(r"nu-\\xFF"), "{}{}", out(&listed), err(&listed));
}

#[test]
fn looking_is_no_use() {
    let world = World::new();
    assert!(world.run(&["models", "pull", NAME]).status.success());
    let config = world.snapshot().join("config.json");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    fs::File::options().write(true).open(&config).unwrap().set_times(times).unwrap();
    world.run(&["models", "list"]);
    assert_eq!(fs::metadata(&config).unwrap().accessed().unwrap(), long_ago);
}

#[test]
fn fetch_is_another_word_for_pull() {
    let world = World::new();
    let [fetched, pulled] = ["fetch", "pull"].map(|word| world.run(&["models", word, NAME]));
    assert_eq!((fetched.status.code(), out(&fetched)), (Some(0), out(&pulled)), "{}", err(&fetched));
    assert!(!out(&world.run(&["models", "--help"])).contains("fetch "));
}

#[test]
fn an_endpoint_that_is_not_a_url_is_named() {
    let world = World::new();
    for (endpoint, shown) in [("huggingface.co", "huggingface.co"), ("ftp://h", "ftp://h"), ("me:pass@h", "h")] {
        let output = world.zsic(&["models", "pull", NAME]).env("HF_ENDPOINT", endpoint).output().unwrap();
        let expected =
            format!("error: HF_ENDPOINT: \"{shown}\" is not a URL; use one such as https://huggingface.co\n");
        assert_eq!((output.status.code(), err(&output)), (Some(3), &*expected));
    }
}
