//! What a folder holds and what hides it: nothing that may be an image is lost in silence, and nothing else is taken for one.

use std::fs;
#[cfg(unix)] // links and permissions
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::common::command::{err, image, lines, run, zsic};
use crate::common::{fixtures, tiff};

/// `zsic classify` with the built-in checkpoint.
fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", "demo", "-l", "cat,dog", "-k", "1", "--no-cache"]);
    command.args(args);
    command
}

/// Copies a picture to each of these paths.
fn pictures(dir: &Path, paths: &[&str]) {
    for path in paths.iter().map(|path| dir.join(path)) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(image("chroma420.jpg"), path).unwrap();
    }
}

/// Of each record, the path below `dir` and the kind of failure, or nothing.
fn told(output: &Output, dir: &Path) -> Vec<(String, String)> {
    let dir = format!("{}/", dir.display());
    let kind = |record: &serde_json::Value| record["error"]["kind"].as_str().unwrap_or_default().to_owned();
    lines(output).iter().map(|r| (r["image"].as_str().unwrap().replace(&dir, ""), kind(r))).collect()
}

fn assert_told(output: &Output, dir: &Path, expected: &[(&str, &str)]) {
    let told = told(output, dir);
    let told: Vec<_> = told.iter().map(|(path, kind)| (&**path, &**kind)).collect();
    assert_eq!(told, expected, "{}", err(output));
    let failed = expected.iter().any(|(_, kind)| !kind.is_empty());
    assert_eq!(output.status.code(), Some(i32::from(failed)), "{}", err(output));
}

/// The command as a user whom permissions bind; none if there is no way to become one.
#[cfg(unix)]
fn as_user(command: &Command) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return Some(same);
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let mut user = Command::new("setpriv");
    user.args(nobody).arg(command.get_program()).args(command.get_args());
    let can_start = Command::new("setpriv").args(nobody).arg(command.get_program()).arg("--version").output();
    let can_start = can_start.is_ok_and(|output| output.status.success());
    if !can_start {
        eprintln!("skipped: this is root, and setpriv cannot run the command as somebody else");
    }
    can_start.then_some(user)
}

#[cfg(unix)]
#[test]
fn folders_without_permission_are_failures() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &str, mode| fs::set_permissions(dir.path().join(path), PermissionsExt::from_mode(mode)).unwrap();
    pictures(dir.path(), &["2023/trip/c.jpg", "2024/d.jpg", "closed/e.jpg", ".trash/f.jpg", "thumbs/g.jpg"]);
    fs::copy(image("chroma420.jpg"), dir.path().join("2024/without-ending")).unwrap();
    mode("", 0o755);
    mode("2023", 0o644); // can be listed and not entered
    for path in ["closed", ".trash", "thumbs", "2024/without-ending"] {
        mode(path, 0o000);
    }
    let base = dir.path().display().to_string();
    let Some(mut command) = as_user(&classify(&[&base, "--exclude", "thumbs"])) else { return };
    let output = run(&mut command);
    let denied = |path| (path, "permission");
    let expected = [denied("2023/trip"), ("2024/d.jpg", ""), denied("2024/without-ending"), denied("closed")];
    assert_told(&output, dir.path(), &expected);
    // Of several shares one tells each of them.
    let shares = (1..=3).flat_map(|n| {
        let mut command = as_user(&classify(&[&base, "--exclude", "thumbs", "--shard", &format!("{n}/3")])).unwrap();
        told(&run(&mut command), dir.path())
    });
    let mut shares: Vec<_> = shares.collect();
    shares.sort();
    assert_eq!(shares, told(&output, dir.path()));
    for path in ["2023", "closed", ".trash", "thumbs"] {
        mode(path, 0o755);
    }
}

#[cfg(unix)]
#[test]
fn paths_that_are_too_long_are_failures() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), &["b.jpg"]);
    let deep = "n=$(printf 'd%.0s' $(seq 100)); for i in $(seq 45); do mkdir $n; cd -P $n; done; cp \"$0\" x.jpg";
    let made = Command::new("bash").args(["-c", deep, &image("chroma420.jpg")]).current_dir(dir.path()).status();
    assert!(made.unwrap().success());
    let output = run(&mut classify(&[&dir.path().display().to_string()]));
    let told = told(&output, dir.path());
    let kinds: Vec<_> = told.iter().map(|(_, kind)| &**kind).collect();
    assert_eq!((kinds, output.status.code()), (vec!["", "read"], Some(1)), "{}", err(&output));
    assert!(told[1].0.len() > 3900 && told[1].0.ends_with("dd"), "the folder is named");
}

/// Breaks off the listing of folders after some entries, as a bad disk does.
const BAD_DISK: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
struct dirent64 *readdir64(DIR *dir) {
    static int calls;
    struct dirent64 *(*real)(DIR *) = dlsym(RTLD_NEXT, "readdir64");
    if (++calls < 5) return real(dir);
    errno = calls == 5 ? EIO : 0;
    return 0;
}
"#;

#[cfg(unix)]
#[test]
fn a_listing_that_breaks_off_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (source, shim) = (dir.path().join("disk.c"), dir.path().join("disk.so"));
    fs::write(&source, BAD_DISK).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&shim, &source]).arg("-ldl").status();
    if !cfg!(target_os = "linux") || !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no cc here, or no readdir64");
        return;
    }
    let folder = dir.path().join("c");
    pictures(&folder, &["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg"]);
    let output = run(classify(&[&folder.display().to_string()]).env("LD_PRELOAD", &shim));
    let told = told(&output, dir.path());
    let (failure, scored) = told.split_last().unwrap();
    assert!((2..=4).contains(&scored.len()) && scored.iter().all(|(_, kind)| kind.is_empty()), "{told:?}");
    assert_eq!((failure, output.status.code()), (&("c".to_owned(), "read".to_owned()), Some(1)));
    assert!(lines(&output).last().unwrap()["error"]["message"].as_str().unwrap().contains("broke off"));
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_failures_where_links_are_followed() {
    let (dir, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    pictures(dir.path(), &["a.jpg", "z-1.jpg"]);
    pictures(photos.path(), &["p.jpg"]);
    let link = |target: &Path, name: &str| symlink(target, dir.path().join(name)).unwrap();
    link(Path::new("/no/such/folder"), "gone");
    link(Path::new("/no/such/picture.jpg"), "gone.jpg");
    link(Path::new("/no/such/shard.tar"), "gone.tar");
    link(Path::new("itself"), "itself");
    link(dir.path(), "up");
    link(photos.path(), "z");
    link(Path::new("/no/such/folder"), ".hidden");
    let base = dir.path().display().to_string();
    let output = run(&mut classify(&[&base]));
    assert_told(
        &output,
        dir.path(),
        &[("a.jpg", ""), ("gone.jpg", "not_found"), ("gone.tar", "read"), ("z-1.jpg", "")],
    );
    let output = run(&mut classify(&[&base, "--follow"]));
    let expected = [
        ("a.jpg", ""),
        ("gone", "read"),
        ("gone.jpg", "not_found"),
        ("gone.tar", "read"),
        ("itself", "read"),
        ("z-1.jpg", ""), // before z/p.jpg in the order of full paths
        ("z/p.jpg", ""),
    ];
    assert_told(&output, dir.path(), &expected);
    let output = run(&mut classify(&[&base, "--follow", "--exclude", "gone*", "--exclude", "itself"]));
    assert_told(&output, dir.path(), &[("a.jpg", ""), ("z-1.jpg", ""), ("z/p.jpg", "")]);
}

#[test]
fn text_is_never_taken_for_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let texts = [
        ("plots.csv", "P1,52.10,4.31\nP2,52.11,4.30\n"),
        ("street.txt", "BMW parked on a street at night"),
        ("dose.md", "P3 100 mg twice a day"),
        ("story", "GIF89a was a file format"),
        ("table.dat", "P5 10 20 30 40\nP6 1 2 3 4\n"),
    ];
    pictures(dir.path(), &["a.jpg"]);
    let mut shard = tar::Builder::new(fs::File::create(dir.path().join("shard.tar")).unwrap());
    shard.append_path_with_name(image("chroma420.jpg"), "0001.jpg").unwrap();
    for (name, text) in texts {
        fs::write(dir.path().join(name), text).unwrap();
        shard.append_path_with_name(dir.path().join(name), name).unwrap();
    }
    shard.finish().unwrap();
    let output = run(&mut classify(&[&dir.path().display().to_string()]));
    assert_told(&output, dir.path(), &[("a.jpg", ""), ("shard.tar/0001.jpg", "")]);
    let said = "skipped 10 files that are not images: 2 .csv, 2 .dat, 2 .md, 2 .txt, 2 without an ending\n";
    assert!(err(&output).contains(said), "{}", err(&output));
    // What is named outright, or called an image, is tried all the same.
    let (text, called) = (dir.path().join("street.txt"), dir.path().join("street.bmp"));
    fs::copy(&text, &called).unwrap();
    let output = run(&mut classify(&[&text.display().to_string(), &called.display().to_string()]));
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 2), "{}", err(&output));
    for (name, _) in texts {
        let output = run(&mut classify(&[&dir.path().join(name).display().to_string()]));
        let error = &lines(&output)[0]["error"];
        assert_eq!(error["kind"], "format", "{error}");
        assert!(error["message"].as_str().unwrap().ends_with(": text, not an image"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_told() {
    let (dir, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    pictures(dir.path(), &["a.jpg"]);
    pictures(photos.path(), &["p.jpg"]);
    for name in ["2023", "2024", ".hidden", "thumbs"] {
        symlink(photos.path(), dir.path().join(name)).unwrap();
    }
    let base = dir.path().display().to_string();
    let output = run(&mut classify(&[&base, "--exclude", "thumbs"]));
    assert_told(&output, dir.path(), &[("a.jpg", "")]);
    assert_eq!(err(&output), "warning: skipped 2 links to folders (--follow walks them)\n");
    let output = run(&mut classify(&[&base, "--exclude", "thumbs", "-v"]));
    assert!(err(&output).contains(&format!("{base}/2023: skipped, a link to a folder; --follow walks it")));
    let output = run(&mut classify(&[&base, "--follow"]));
    assert_eq!((lines(&output).len(), err(&output)), (4, ""));
}

#[test]
fn what_is_skipped_is_counted_and_named() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), &["a.jpg"]);
    for name in ["1.txt", "2.TXT", "3.json", "README", "film.mp4", "clip.MOV"] {
        fs::write(dir.path().join(name), "text").unwrap();
    }
    fs::write(dir.path().join("film"), b"\0\0\0\x18ftypmp42\0\0\0\0").unwrap();
    let mut packet = [0xff; 188];
    packet[..4].copy_from_slice(&[0x47, 0x40, 0, 0x10]);
    fs::write(dir.path().join("film.ts"), packet.repeat(3)).unwrap();
    fs::write(dir.path().join("code.ts"), "Good".repeat(200)).unwrap(); // TypeScript
    fs::write(dir.path().join("film.rmvb"), "text").unwrap();
    let base = dir.path().display().to_string();
    let output = run(&mut classify(&[&base]));
    let said = "warning: skipped 10 files that are not images: 2 .txt, 1 .json, 1 .ts, 1 without an ending, \
                5 videos (.mov, .mp4, .rmvb, .ts); video is not supported\n";
    assert_eq!((err(&output), output.status.code()), (said, Some(0)));
    let output = run(&mut classify(&[&base, "-v"]));
    for line in ["1.txt: skipped, not an image", "film.mp4: skipped, video is not supported", "README: skipped"] {
        assert!(err(&output).contains(&format!("{base}/{line}")), "{}", err(&output));
    }
    assert_eq!(err(&run(&mut classify(&[&base, "-q"]))), "");
    let output = run(&mut classify(&[&format!("{base}/film")]));
    assert!(lines(&output)[0]["error"]["message"].as_str().unwrap().contains("video is not supported"));
}

#[test]
fn photographs_that_cannot_be_read_are_failures() {
    let dir = tempfile::tempdir().unwrap();
    let endings = "iiq gpr dcr kdc mrw erf mef mos sr2 srf fff cap cr2 cr3 crw nef nrw arw dng orf rw2 pef srw raf x3f 3fr \
                   rwl NEF";
    for ending in endings.split_whitespace() {
        fs::write(dir.path().join(format!("x.{ending}")), b"FOVb\0\0\x02\0").unwrap();
    }
    for name in ["x.HIF", "x.heics", "x.avifs", "heic"] {
        fs::write(dir.path().join(name), b"\0\0\0\x18ftypheix\0\0\0\0mif1heix").unwrap(); // told by its content
    }
    fs::write(dir.path().join("raw.orf"), b"IIRO\x08\0\0\0\0\0").unwrap();
    let output = run(&mut classify(&[&dir.path().display().to_string()]));
    let records = lines(&output);
    assert_eq!((records.len(), output.status.code()), (33, Some(1)), "{}", err(&output));
    for error in records.iter().map(|record| &record["error"]) {
        let message = error["message"].as_str().unwrap();
        let is_heic = ["x.HIF", "x.heics", "x.avifs", "heic"].iter().any(|name| message.contains(&format!("/{name}:")));
        let (kind, said) = if is_heic { ("decode", "the HEIC data ends early") } else { ("format", "camera raw") };
        assert!(error["kind"] == kind && message.contains(said), "{message}");
    }
}

#[test]
fn small_previews_of_raw_files_are_told() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    const DNG_VERSION: (u16, u32) = (50706, 0x401);
    for (name, bytes) in [
        ("1.nef", tiff(50, 40, &[(254, 1)])), // the built-in model's input has 60 pixels a side
        ("2.dng", tiff(256, 59, &[DNG_VERSION])),
        ("3.tif", tiff(256, 59, &[DNG_VERSION])),
        ("4.cr2", tiff(90, 58, &[])),
        ("5.tif", tiff(90, 58, &[])),
        ("6.dng", tiff(80, 60, &[(254, 1), DNG_VERSION])),
        ("7.nef", fs::read(fixtures("decode").join("raw-big.nef")).unwrap()),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(3100)); // what changed just now is not recalled
    for turn in ["encoded", "kept"] {
        let mut command = zsic(&["classify", "-m", "demo", "-l", "cat,dog"]);
        let output = run(command.arg(dir.path()).arg("-v").arg("--cache-dir").arg(cache.path()));
        assert_eq!((lines(&output).len(), output.status.code()), (7, Some(0)), "{}", err(&output));
        assert!(err(&output).contains("/6.dng: read its preview of 80x60 pixels\n"), "{}", err(&output));
        let mut warnings: Vec<_> = err(&output).lines().filter(|line| line.contains("only a preview of")).collect();
        warnings.sort_unstable();
        // What an earlier run kept is not opened again, but for files that are called raw.
        let names = if turn == "kept" {
            &["1.nef", "2.dng", "4.cr2", "7.nef"][..]
        } else {
            &["1.nef", "2.dng", "3.tif", "4.cr2", "7.nef"]
        };
        assert_eq!(warnings.len(), names.len(), "{turn}: {}", err(&output));
        for (name, warning) in names.iter().zip(&warnings) {
            let size = match *name {
                "1.nef" => "50x40",
                "4.cr2" => "90x58",
                "7.nef" => "64x45",
                _ => "256x59",
            };
            let said = format!("/{name}: only a preview of {size} pixels was read; convert the raw file");
            assert!(warning.starts_with("warning: ") && warning.contains(&said), "{warning}");
        }
    }
}

#[test]
fn two_bytes_do_not_make_an_image() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), &["a.jpg"]);
    for name in ["noise", "noise.bin", "scan.jxl"] {
        fs::write(dir.path().join(name), b"\xff\x0a\xfa\x7f\x01 and what follows").unwrap();
    }
    let output = run(&mut classify(&[dir.path().to_str().unwrap()]));
    assert_told(&output, dir.path(), &[("a.jpg", ""), ("scan.jxl", "decode")]);
    assert!(err(&output).contains("skipped 2 files"), "{}", err(&output));
    let output = run(&mut classify(&[dir.path().join("noise").to_str().unwrap()]));
    assert_told(&output, dir.path(), &[("noise", "decode")]);
    assert!(lines(&output)[0]["error"]["message"].as_str().unwrap().contains("the JPEG XL data "));
}
