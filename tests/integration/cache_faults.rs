//! The cache of embeddings on full and damaged disks, and files in its place that are no cache.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::caches::{LABELS, assert_kept, assert_right, classify, count, temporary};
use crate::common::command::{err, image, model, out, run, zsic};
use zsic::cache::{self, CacheError};

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
        assert!(err(&output).contains(&said) && !err(&output).contains("labels were in the cache"), "{}", err(&output));
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
