//! The cache of embeddings from outside: what is found and what is not, kills, crowds, full disks.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::command::{err, image, lines, model, out, run, zsic};
use crate::common::fixtures;
use serde_json::Value;
use tempfile::TempDir;
use zsic::cache::{self, Cache, CacheError, ContentHash, Kind, LEAST, Stamp};
use zsic::preprocess::Decoding;
use zsic::{Checkpoint, Compute, Isa};

const LABELS: &str = "cat,the cat's toy,wine glass";
/// The directory and the first number of a process that fills the cache.
const FILLER: &str = "ZSIC_TEST_FILLER";

fn temporary() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("a/cache");
    (dir, cache)
}

fn classify(cache: &Path, args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), &image("wide.png"), "-v"]);
    command.args(args).env("ZSIC_CACHE_DIR", cache);
    command
}

fn info(cache: &Path) -> Value {
    let output = run(zsic(&["cache", "info", "--format", "json", "--cache-dir"]).arg(cache));
    assert!(output.status.success(), "{}", err(&output));
    serde_json::from_str(out(&output)).unwrap()
}

fn count(cache: &Path, kind: &str) -> u64 {
    let info = info(cache);
    let of_kind = info["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind);
    of_kind.map(|entry| entry["entries"].as_u64().unwrap()).sum()
}

#[track_caller]
fn assert_kept(output: &Output, kept: usize, of: usize) {
    assert!(output.status.success(), "{}", err(output));
    assert!(err(output).contains(&format!("\n{kept} of {of} labels were kept from before\n")), "{}", err(output));
    assert!(!err(output).contains("warning"), "{}", err(output));
}

#[test]
fn the_output_is_the_same_bit_for_bit() {
    let (_dir, cache) = temporary();
    for args in [&["-l", LABELS, "--logits"][..], &["-l", LABELS, "--template-set", "openai-7", "--logits"]] {
        let without = run(&mut classify(&cache, &[args, &["--no-cache"]].concat()));
        let first = run(&mut classify(&cache, args));
        let second = run(&mut classify(&cache, args));
        assert_kept(&first, 0, 3);
        assert_kept(&second, 3, 3);
        assert!(!without.stdout.is_empty() && without.stdout == first.stdout && first.stdout == second.stdout);
    }
    assert_eq!(count(&cache, "label"), 6);
    let embed = |args: &[&str]| {
        let mut command = zsic(&["embed", "-m", &model("gelu"), "--text", "a cat", "the cat's toy"]);
        let output = run(command.args(args).env("ZSIC_CACHE_DIR", &cache));
        assert!(output.status.success() && err(&output).is_empty(), "{}", err(&output));
        output.stdout
    };
    let without = embed(&["--no-cache"]);
    assert!(without == embed(&[]) && without == embed(&[]) && !without.is_empty());
    assert_eq!(count(&cache, "text"), 2);
}

#[test]
fn only_what_is_missing_is_encoded() {
    let (_dir, cache) = temporary();
    assert_kept(&run(&mut classify(&cache, &["-l", "cat,dog"])), 0, 2);
    let more = ["-l", "fox,dog,cat,dog house"];
    let output = run(&mut classify(&cache, &more));
    assert_kept(&output, 2, 4);
    assert_eq!(output.stdout, run(&mut classify(&cache, &[&more[..], &["--no-cache"]].concat())).stdout);
    assert_kept(&run(&mut classify(&cache, &["-l", "cat,dog", "-t", "{}"])), 0, 2);
    assert_kept(&run(&mut classify(&cache, &["-l", "cat,dog", "--truncate"])), 0, 2);
}

#[test]
fn labels_that_are_read_alike_are_told_when_kept_too() {
    let (_dir, cache) = temporary();
    for _ in 0..2 {
        let output = run(&mut classify(&cache, &["-l", "Cat,dog,cat"]));
        assert!(err(&output).contains("the labels `Cat` and `cat` alike"), "{}", err(&output));
    }
}

/// A snapshot in the layout of the hub, whose weights can be damaged behind the back of their name.
fn snapshot(dir: &Path) -> (PathBuf, PathBuf) {
    let snapshot = dir.join("models--org--clip/snapshots/0123456789abcdef0123456789abcdef01234567");
    let blobs = dir.join("models--org--clip/blobs");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    for entry in fs::read_dir(fixtures("checkpoints/quick-gelu")).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        let blob = blobs.join(format!("{:?}", ContentHash::of(&content)));
        fs::write(&blob, content).unwrap();
        symlink(&blob, snapshot.join(path.file_name().unwrap())).unwrap();
    }
    let weights = fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
    (snapshot, weights)
}

#[test]
fn a_second_run_loads_no_text_tower() {
    let (dir, cache) = temporary();
    let (snapshot, weights) = snapshot(dir.path());
    let classify = |labels: &str| {
        let mut command = zsic(&["classify", "-m", &snapshot.display().to_string(), &image("wide.png"), "-l", labels]);
        run(command.env("ZSIC_CACHE_DIR", &cache))
    };
    let first = classify(LABELS);
    assert!(first.status.success(), "{}", err(&first));

    let mut bytes = fs::read(&weights).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    for (_, tensor) in metadata.tensors().iter().filter(|(name, _)| name.starts_with("text_")) {
        let (start, end) = tensor.data_offsets;
        bytes[8 + header + start..8 + header + end].fill(0xff); // not a number
    }
    fs::write(&weights, bytes).unwrap();
    assert_eq!(classify(LABELS).stdout, first.stdout, "the text tower's weights were used");
    let output = classify("cat,something new");
    assert!(err(&output).contains("not finite"), "{}", err(&output));
    let entries = info(&cache)["entries"].clone();
    let scopes = entries.as_array().unwrap().iter().filter_map(|entry| entry["checkpoint"].as_str());
    let scopes: Vec<&str> = scopes.collect();
    assert!(scopes.len() == 2, "images and labels: {entries}");
    assert!(scopes.iter().all(|scope| scope.starts_with("org/clip@0123456789ab, f32 on ")), "{entries}");
}

#[test]
fn a_changed_checkpoint_is_another() {
    let (dir, cache) = temporary();
    let copy = dir.path().join("model");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(fixtures("checkpoints/quick-gelu")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let classify = |model: &str| {
        run(zsic(&["classify", "-v", "-l", LABELS, "-m", model, &image("wide.png")]).env("ZSIC_CACHE_DIR", &cache))
    };
    let here = copy.display().to_string();
    assert_kept(&classify(&here), 0, 3);
    assert_kept(&classify(&model("quick-gelu")), 3, 3); // the same files elsewhere
    let weights = copy.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert_kept(&classify(&here), 0, 3);
}

#[test]
fn arithmetics_are_kept_apart() {
    let (_dir, cache) = temporary();
    for isa in Isa::available() {
        let run_with = |precision, kept| {
            let mut command = classify(&cache, &["-l", LABELS, "--precision", precision]);
            assert_kept(&run(command.env("ZSIC_ISA", isa.name())), kept, 3);
        };
        run_with("f32", 0);
        run_with("f32", 3);
        run_with("auto", 3); // f32 for a model as narrow as this
        if isa.has_bf16() {
            run_with("bf16", 0);
            run_with("bf16", 3);
        }
    }
}

/// An embedding that tells its number.
fn embedding(number: u32, dim: usize) -> Vec<f32> {
    (0..dim).map(|i| (number * 31 + i as u32) as f32).collect()
}

fn content(number: u32) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn demo(cache: &Cache) -> (cache::Scope, usize) {
    let checkpoint = Checkpoint::open(model("quick-gelu")).unwrap();
    (cache.scope(&checkpoint, &Compute::default().plan(&checkpoint)).unwrap(), checkpoint.family().facts().embedding)
}

#[test]
fn images_are_found_by_their_content() {
    let (dir, path) = temporary();
    let cache = Cache::open(&path, LEAST).unwrap();
    let (scope, dim) = demo(&cache);
    let row = embedding(5, dim);
    scope.put_image(&content(5), Decoding::Exact, &row);
    let mut damaged = row.clone();
    damaged[1] = f32::NAN;
    scope.put_image(&content(6), Decoding::Exact, &damaged);
    cache.flush().unwrap();
    assert_eq!(scope.images(&[content(4), content(5), content(6)], Decoding::Exact), [None, Some(row.clone()), None]);
    assert_eq!(scope.image(&content(5), Decoding::Fast), None);
    if Isa::best() != Isa::Plain {
        let checkpoint = Checkpoint::open(model("quick-gelu")).unwrap();
        let plain = Compute { isa: Isa::Plain, ..Compute::default() }.plan(&checkpoint);
        let other = cache.scope(&checkpoint, &plain).unwrap();
        assert_eq!(other.image(&content(5), Decoding::Exact), None);
    }

    // By way of files: renamed, touched, changed.
    let file = dir.path().join("x.jpg");
    fs::write(&file, "0123456789").unwrap();
    let stamp = |path: &Path| Stamp::of(path, &fs::metadata(path).unwrap());
    assert_eq!(stamp(&file), None, "changed a moment ago");
    thread::sleep(Duration::from_millis(3100));
    let settled = stamp(&file).unwrap();
    cache.remember(&settled, &content(5));
    cache.flush().unwrap();
    let found = |path: &Path| stamp(path).and_then(|stamp| cache.content_of(&stamp));
    assert_eq!(found(&file).and_then(|content| scope.image(&content, Decoding::Exact)), Some(row));
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "0123456780").unwrap(); // the same size
    File::options().write(true).open(&file).unwrap().set_modified(time).unwrap(); // and the same time
    assert_eq!(found(&file), None);
    let renamed = dir.path().join("y.jpg");
    fs::rename(&file, &renamed).unwrap();
    assert_eq!(found(&renamed), None, "another path is hashed again");
    thread::sleep(Duration::from_millis(3100));
    assert_ne!(stamp(&renamed), Some(settled), "and is another stamp when it has settled");
    assert_eq!(found(&renamed), None);
}

#[test]
fn a_cache_that_is_off_finds_and_keeps_nothing() {
    let cache = Cache::off();
    let (scope, dim) = demo(&cache);
    scope.put_image(&content(1), Decoding::Exact, &embedding(1, dim));
    assert_eq!(scope.image(&content(1), Decoding::Exact), None);
    assert!(!scope.is_on() && !cache.is_on() && cache.flush().is_ok());
    let (_dir, path) = temporary();
    let output = run(&mut classify(&path, &["-l", LABELS, "--no-cache"]));
    assert!(output.status.success() && !err(&output).contains("warning"), "{}", err(&output));
    assert!(!path.parent().unwrap().exists(), "--no-cache touches nothing");
    let chosen = path.join("chosen");
    let output = run(&mut classify(&path, &["-l", LABELS, "--cache-dir", &chosen.display().to_string()]));
    assert_kept(&output, 0, 3);
    assert_eq!((count(&chosen, "label"), count(&path, "label")), (3, 0));
}

/// Run as a process of its own by the tests below: puts embeddings from a number on, and prints how many are kept.
#[test]
fn filler() {
    let Ok(what) = std::env::var(FILLER) else { return };
    let (dir, first) = what.rsplit_once(' ').unwrap();
    let cache = Cache::open(Path::new(dir), 256 << 20).unwrap();
    let (scope, dim) = demo(&cache);
    let first: u32 = first.parse().unwrap();
    for number in first..first + 5000 {
        scope.put_image(&content(number), Decoding::Exact, &embedding(number, dim));
        if number % 16 == 15 {
            cache.flush().unwrap();
            println!("\nkept {}", number + 1);
        }
    }
}

fn fill(dir: &Path, first: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cache::filler", "--nocapture"]).env(FILLER, format!("{} {first}", dir.display()));
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Up to which number the process said that it kept.
fn kept(child: &mut Child) -> Option<u32> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| line.unwrap().strip_prefix("kept ").map(|number| number.parse().unwrap())).last()
}

/// That all of `numbers` are kept, and that the file is right.
fn assert_right(dir: &Path, numbers: std::ops::Range<u32>) {
    let cache = Cache::open(dir, 256 << 20).unwrap();
    let (scope, dim) = demo(&cache);
    let contents: Vec<_> = numbers.clone().map(content).collect();
    for (number, row) in numbers.zip(scope.images(&contents, Decoding::Exact)) {
        assert_eq!(row, Some(embedding(number, dim)), "{number}");
    }
    cache.flush().unwrap();
    let connection = rusqlite::Connection::open(dir.join("embeddings-1.db")).unwrap();
    let word: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
}

#[test]
fn nothing_that_was_kept_is_lost_in_twenty_kills() {
    let (_dir, path) = temporary();
    let mut first = 0;
    for round in 0..20u64 {
        let mut child = fill(&path, first);
        thread::sleep(Duration::from_millis(20 + round * 7919 % 150));
        child.kill().unwrap();
        first = kept(&mut child).unwrap_or(first);
        child.wait().unwrap();
        assert_right(&path, 0..first);
    }
    assert!(first > 0, "no round got far enough");
}

#[test]
fn four_processes_at_once_lose_nothing() {
    let (_dir, path) = temporary();
    let mut children: Vec<Child> = (0..4).map(|i| fill(&path, i * 5000)).collect();
    for child in &mut children {
        kept(child);
        assert!(child.wait().unwrap().success());
    }
    for i in 0..4 {
        assert_right(&path, i * 5000..i * 5000 + 4992);
    }

    let (_dir, path) = temporary();
    let commands: Vec<_> = (0..4)
        .map(|_| classify(&path, &["-l", LABELS]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<Output> = commands.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &outputs {
        assert!(output.status.success() && !err(output).contains("warning"), "{}", err(output));
        assert_eq!(output.stdout, outputs[0].stdout);
    }
    assert_eq!(count(&path, "label"), 3);
}

#[test]
fn it_can_be_cleared_while_in_use() {
    let (_dir, path) = temporary();
    let cache = Cache::open(&path, 64 << 20).unwrap();
    let (scope, dim) = demo(&cache);
    let put = |number| scope.put_image(&content(number), Decoding::Exact, &embedding(number, dim));
    (0..2000).for_each(put);
    cache.flush().unwrap();
    assert!(scope.image(&content(0), Decoding::Exact).is_some());
    let size = info(&path)["bytes"].as_u64().unwrap();
    let output = run(zsic(&["cache", "clear", "--format", "json", "--cache-dir"]).arg(&path));
    let freed = serde_json::from_str::<Value>(out(&output)).unwrap()["freed"].as_u64().unwrap();
    assert!(freed > size / 2 && info(&path)["bytes"].as_u64().unwrap() == size - freed, "{freed} of {size}");
    assert_eq!(scope.image(&content(0), Decoding::Exact), None);
    put(1);
    cache.flush().unwrap();
    assert!(scope.image(&content(1), Decoding::Exact).is_some());
    assert_eq!(
        cache::info(&path).unwrap().groups.iter().map(|g| (g.kind, g.entries)).collect::<Vec<_>>(),
        [(Kind::Image, 1)]
    );
}

#[test]
fn a_cache_that_cannot_be_used_is_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    let (file, damaged) = (dir.path().join("file"), dir.path().join("damaged"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("embeddings-1.db"), vec![b'x'; 100_000]).unwrap();
    let expected = run(&mut classify(&file, &["-l", LABELS, "--no-cache"]));
    for (cache, reason) in [
        (file.join("below"), "cannot be used: not a directory"),
        (file.clone(), "cannot be used: it is not a folder, and the cache needs one"),
        (PathBuf::from("/proc/zsic"), "cannot be used: no such file or directory"),
        (damaged.clone(), "is damaged; `zsic cache clear` removes it"),
    ] {
        let output = run(&mut classify(&cache, &["-l", LABELS]));
        assert_eq!((output.status.code(), &output.stdout), (Some(0), &expected.stdout), "{}", err(&output));
        assert_eq!(err(&output).matches("warning: ").count(), 1, "{}", err(&output));
        assert!(err(&output).contains(reason), "{}", err(&output));
    }
    assert!(matches!(cache::info(&damaged), Err(CacheError::Damaged(_))));
    for command in ["info", "clear"] {
        let output = run(zsic(&["cache", command, "--cache-dir"]).arg(&file));
        assert_eq!(output.status.code(), Some(3));
        assert!(err(&output).contains("it is not a folder, and the cache needs one"), "{}", err(&output));
    }
    let output = run(zsic(&["cache", "clear", "--cache-dir"]).arg(&damaged));
    assert!(out(&output).contains("freed"), "{}", err(&output));
    assert_kept(&run(&mut classify(&damaged, &["-l", LABELS])), 0, 3);
}

#[test]
fn a_full_disk_is_one_warning_and_no_harm() {
    let (dir, cache) = temporary();
    let labels = dir.path().join("labels.txt");
    fs::write(&labels, (0..3000).map(|i| format!("label {i}\n")).collect::<String>()).unwrap();
    let shell = |kilobytes: u32| {
        let mut shell = Command::new("bash");
        shell.args([
            "-c",
            &format!("ulimit -f {kilobytes}; exec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_zsic"),
            "classify",
        ]);
        shell.args(["-m", &model("quick-gelu"), &image("wide.png"), "--labels-file"]).arg(&labels);
        run(shell.env("ZSIC_CACHE_DIR", &cache).stdin(Stdio::null()))
    };
    let expected =
        run(zsic(&["classify", "--no-cache", "-m", &model("quick-gelu"), &image("wide.png"), "--labels-file"])
            .arg(&labels));
    for kilobytes in [8, 400] {
        let output = shell(kilobytes);
        assert_eq!((output.status.code(), &output.stdout), (Some(0), &expected.stdout), "{}", err(&output));
        assert_eq!(err(&output).matches("warning: ").count(), 1, "{kilobytes}: {}", err(&output));
    }
    assert_eq!(shell(1_000_000).stdout, expected.stdout);
    assert_right(&cache, 0..0);
    assert_eq!(count(&cache, "label"), 3000);
}

#[test]
fn what_is_kept_is_shown() {
    let (_dir, cache) = temporary();
    assert_eq!(info(&cache)["entries"], serde_json::json!([]));
    assert!(!cache.exists());
    assert_kept(&run(&mut classify(&cache, &["-l", LABELS])), 0, 3);
    let json = info(&cache);
    assert_eq!(json["dir"], cache.display().to_string());
    assert_eq!(json["limit"], 4u64 << 30);
    assert!(json["bytes"].as_u64().unwrap() > 1000);
    let output = run(zsic(&["cache", "info", "--cache-dir"]).arg(&cache));
    let row =
        out(&output).lines().find(|line| line.starts_with("label ")).unwrap_or_else(|| panic!("{}", out(&output)));
    assert!(row.contains(" 3 ") && row.contains("quick-gelu, f32 on "), "{row}");
    let output = run(&mut classify(&cache, &["-l", "a", "--cache-size", "1M"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--cache-size") && err(&output).contains("32M"), "{}", err(&output));
    assert_eq!(lines(&run(&mut classify(&cache, &["-l", LABELS]))).len(), 1);
}

#[test]
fn a_disk_that_changes_bits_changes_no_score() {
    let (_dir, cache) = temporary();
    let classify = || {
        let mut command =
            zsic(&["classify", "-m", &model("quick-gelu"), &image("wide.png"), &image("tall.png"), "-l", LABELS]);
        run(command.env("ZSIC_CACHE_DIR", &cache))
    };
    let expected = classify().stdout;
    assert_eq!(classify().stdout, expected);
    let file =
        fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).find(|p| p.extension().unwrap() == "db");
    let file = file.unwrap();
    let whole = fs::read(&file).unwrap();
    let mut state = 7u64;
    for trial in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..30 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] ^= 1 << (state >> 20 & 7);
        }
        fs::write(&file, bytes).unwrap();
        let output = classify();
        assert_eq!(output.stdout, expected, "trial {trial}: {}", err(&output));
    }
}

/// What SQLite makes of a file of statements.
fn sql(cache: &Path, statements: &str) {
    rusqlite::Connection::open(cache.join("embeddings-1.db")).unwrap().execute_batch(statements).unwrap();
}

#[test]
fn a_file_that_has_more_than_its_tables_is_no_cache() {
    let (_dir, cache) = temporary();
    let expected = run(&mut classify(&cache, &["-l", LABELS, "--no-cache"])).stdout;
    for statements in [
        "CREATE TRIGGER t AFTER UPDATE ON entry BEGIN DELETE FROM value; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON entry (upper(key))",
        "ALTER TABLE value RENAME TO value_; CREATE VIEW value AS SELECT id, zeroblob(9) AS bytes FROM value_",
        "DROP TABLE value; CREATE TABLE value (id INTEGER PRIMARY KEY, bytes AS (zeroblob(9)))",
    ] {
        run(zsic(&["cache", "clear", "--cache-dir"]).arg(&cache));
        assert_kept(&run(&mut classify(&cache, &["-l", LABELS])), 0, 3);
        sql(&cache, statements);
        let output = run(&mut classify(&cache, &["-l", LABELS]));
        assert_eq!((output.status.code(), &output.stdout), (Some(0), &expected), "{}", err(&output));
        assert!(err(&output).contains("is damaged; `zsic cache clear` removes it"), "{statements}: {}", err(&output));
        assert!(matches!(cache::info(&cache), Err(CacheError::Damaged(_))), "{statements}");
    }
    run(zsic(&["cache", "clear", "--cache-dir"]).arg(&cache));
    assert_kept(&run(&mut classify(&cache, &["-l", LABELS])), 0, 3);
}

#[test]
fn what_others_may_write_is_not_believed() {
    let (_dir, cache) = temporary();
    let file = cache.join("embeddings-1.db");
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let expected = run(&mut classify(&cache, &["-l", LABELS])).stdout;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&cache), mode(&file)), (0o700, 0o600));
    for (path, good, bad) in
        [(&cache, 0o755, 0o777), (&cache, 0o755, 0o1777), (&cache, 0o755, 0o775), (&file, 0o644, 0o666)]
    {
        set(path, bad);
        let output = run(&mut classify(&cache, &["-l", LABELS]));
        assert_eq!((output.status.code(), &output.stdout), (Some(0), &expected), "{}", err(&output));
        let said = format!("warning: {}: the cache is not used: other users may write it", path.display());
        assert!(err(&output).contains(&said) && !err(&output).contains("3 of 3 labels were kept"), "{}", err(&output));
        set(path, good);
        assert_kept(&run(&mut classify(&cache, &["-l", LABELS])), 3, 3);
    }
    if fs::metadata(&cache).unwrap().uid() == 0 {
        std::os::unix::fs::chown(&cache, Some(65534), None).unwrap(); // root can tell that a folder is another's
        let output = run(&mut classify(&cache, &["-l", LABELS]));
        assert!(err(&output).contains("the cache is not used: it belongs to another user"), "{}", err(&output));
    }
}

#[test]
fn whatever_has_the_caches_name_is_cleared() {
    let (dir, cache) = temporary();
    let file = cache.join("embeddings-1.db");
    let beside = ["-wal", "-shm"].map(|ending| cache.join(format!("embeddings-1.db{ending}")));
    let victim = dir.path().join("victim");
    fs::create_dir_all(&cache).unwrap();
    let folder = || {
        fs::create_dir(&file).unwrap();
        fs::write(file.join("x"), "x").unwrap();
        symlink(&victim, file.join("link")).unwrap();
    };
    let shapes: [(&str, &dyn Fn()); 8] = [
        ("a folder", &folder),
        ("a link to a file", &|| symlink(&victim, &file).unwrap()),
        ("a link to a folder", &|| symlink(dir.path(), &file).unwrap()),
        ("a link to nothing", &|| symlink("nothing", &file).unwrap()),
        ("a damaged file", &|| fs::write(&file, vec![7; 100_000]).unwrap()),
        ("a file that may not be read", &|| {
            fs::write(&file, vec![7; 100_000]).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
        }),
        ("a pipe", &|| assert!(Command::new("mkfifo").arg(&file).status().unwrap().success())),
        ("a log without its file", &|| {
            fs::write(&beside[0], "x").unwrap();
            fs::create_dir(&beside[1]).unwrap();
        }),
    ];
    for (what, make) in shapes {
        fs::write(&victim, "precious").unwrap();
        make();
        let output = run(zsic(&["cache", "clear", "--cache-dir"]).arg(&cache));
        assert!(output.status.success() && out(&output).contains("freed"), "{what}: {}", err(&output));
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0, "{what}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{what}");
        assert_kept(&run(&mut classify(&cache, &["-l", LABELS])), 0, 3);
        run(zsic(&["cache", "clear", "--cache-dir"]).arg(&cache));
        fs::remove_dir_all(&cache).unwrap();
        fs::create_dir(&cache).unwrap();
    }
}

#[test]
fn what_is_no_file_is_no_cache() {
    let (_dir, cache) = temporary();
    fs::create_dir_all(&cache).unwrap();
    let file = cache.join("embeddings-1.db");
    let shapes: [(&str, &dyn Fn()); 3] = [
        ("it is a folder, not a regular file", &|| fs::create_dir(&file).unwrap()),
        ("it is a link to nothing", &|| symlink("nothing", &file).unwrap()),
        ("it is a named pipe, not a regular file", &|| {
            assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        }),
    ];
    for (what, make) in shapes {
        make();
        let said = format!("{}: the cache cannot be used: {what}; `zsic cache clear` removes it", file.display());
        let output = run(zsic(&["cache", "info", "--cache-dir"]).arg(&cache));
        assert_eq!((output.status.code(), err(&output)), (Some(3), &*format!("error: {said}\n")));
        let output = run(&mut classify(&cache, &["-l", LABELS]));
        assert!(output.status.success() && err(&output).contains(&said), "{}", err(&output));
        run(zsic(&["cache", "clear", "--cache-dir"]).arg(&cache));
    }
}
