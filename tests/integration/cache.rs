//! The cache of embeddings from outside: what is found, and what is not.

use std::fs::{self, File};
#[cfg(unix)] // links
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::common::caches::{LABELS, assert_kept, classify, content, count, demo, embedding, info, temporary};
use crate::common::command::{err, image, lines, model, out, run, zsic};
use crate::common::{copied, fixtures};
use zsic::cache::{Cache, LEAST, Stamp};
use zsic::preprocess::Decoding;
use zsic::{Checkpoint, Compute, Isa};

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
        assert!(err(&output).contains("the labels `Cat` and `cat` as the same text"), "{}", err(&output));
    }
}

#[test]
fn the_folder_of_a_commit_may_have_any_name() {
    let (_dir, cache) = temporary();
    let (_keep, dir) = copied("quick-gelu");
    let home = tempfile::tempdir().unwrap();
    let snapshot = home.path().join("models--org--clip/snapshots/0123456789aé"); // é ends behind the twelfth byte
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::rename(dir, &snapshot).unwrap();
    let mut command = zsic(&["classify", &image("wide.png"), "-l", "cat,dog", "-m", snapshot.to_str().unwrap()]);
    let output = run(command.env("ZSIC_CACHE_DIR", &cache));
    assert!(output.status.success(), "{}", err(&output));
}

/// A snapshot in the layout of the hub, whose weights can be damaged behind the back of their name.
#[cfg(unix)]
fn snapshot(dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let snapshot = dir.join("models--org--clip/snapshots/0123456789abcdef0123456789abcdef01234567");
    let blobs = dir.join("models--org--clip/blobs");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    for entry in fs::read_dir(fixtures("checkpoints/quick-gelu")).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        let blob = blobs.join(format!("{:?}", zsic::cache::ContentHash::of(&content)));
        fs::write(&blob, content).unwrap();
        symlink(&blob, snapshot.join(path.file_name().unwrap())).unwrap();
    }
    let weights = fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
    (snapshot, weights)
}

#[cfg(unix)]
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
