//! What the command reads: files, folders, lists, pipes and standard input, the damaged among them.

use std::fs;
use std::io::{Read, Write};
#[cfg(unix)] // bytes of names, permissions, links and pipes
use std::os::unix::{
    ffi::OsStrExt,
    fs::{PermissionsExt, symlink},
};
use std::process::{Command, Stdio};

use crate::common::command::{err, image, lines, model, out, run, zsic};
use serde_json::Value;

const LABELS: &str = "cat,the cat's toy,wine glass";

/// `zsic classify` with the quick-gelu checkpoint.
fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu")]);
    command.args(args);
    command
}

/// A fresh folder with copies of the fixture images under the given names.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, source) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(image(source), path).unwrap();
    }
    dir
}

#[cfg(unix)]
#[test]
fn a_folder_is_walked_in_path_order() {
    let dir = folder(&[
        ("b/2.png", "wide.png"),
        ("b-a/1.png", "wide.png"),
        ("b/sub/x", "tall.png"), // no extension, told by its content
        (".hidden/1.png", "wide.png"),
        ("b/.thumb.png", "wide.png"),
        ("a.jpg", "chroma420.jpg"),
    ]);
    fs::write(dir.path().join("notes.txt"), "no image").unwrap();
    fs::write(dir.path().join("broken.HEIC"), "\0\0\0\x18ftypheic").unwrap();
    symlink(dir.path(), dir.path().join("b/loop")).unwrap();
    symlink(image("wide.png"), dir.path().join("z.png")).unwrap();
    let expected = ["a.jpg", "b-a/1.png", "b/2.png", "b/sub/x", "broken.HEIC", "z.png"];
    let base = dir.path().display().to_string();
    for flags in [&[][..], &["--follow"]] {
        let output = run(classify(&["-l", LABELS, &base]).args(flags));
        let names: Vec<String> = lines(&output).iter().map(|r| r["image"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, expected.map(|name| format!("{base}/{name}")), "{flags:?}");
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("skipped 1 file"), "{}", err(&output));
        assert!(err(&output).contains("1 of 6 images failed"), "{}", err(&output));
    }
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_followed_when_asked() {
    let photos = folder(&[("1.png", "wide.png")]);
    let dir = folder(&[("0.png", "wide.png")]);
    symlink(photos.path(), dir.path().join("more")).unwrap();
    let base = dir.path().display().to_string();
    assert_eq!(lines(&run(&mut classify(&["-l", LABELS, &base]))).len(), 1);
    assert_eq!(lines(&run(&mut classify(&["-l", LABELS, &base, "--follow"]))).len(), 2);
}

#[cfg(unix)]
#[test]
fn a_broken_image_never_stops_the_others() {
    let dir = folder(&[("0.png", "wide.png"), ("9.png", "tall.png")]);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let jpeg = fs::read(image("chroma420.jpg")).unwrap();
    fs::write(path("1.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    fs::write(path("2.jpg"), "").unwrap();
    fs::write(path("3.jpg"), "<html>404</html>").unwrap();
    let mut bomb = fs::read(image("wide.png")).unwrap();
    bomb.splice(16..24, [0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]); // 60000 x 60000
    let crc = crc32(&bomb[12..29]);
    bomb.splice(29..33, crc.to_be_bytes());
    fs::write(path("4.png"), bomb).unwrap();
    Command::new("mkfifo").arg(path("5.jpg")).status().unwrap();
    fs::create_dir(path("6.jpg")).unwrap();
    let names = ["0.png", "1.jpg", "2.jpg", "3.jpg", "4.png", "5.jpg", "missing.jpg", "9.png"].map(path);
    let output = run(classify(&["-l", LABELS]).args(&names));
    assert_eq!(output.status.code(), Some(1));
    let records = lines(&output);
    let kinds: Vec<&str> = records.iter().map(|r| r["error"]["kind"].as_str().unwrap_or("ok")).collect();
    assert_eq!(kinds, ["ok", "decode", "format", "format", "too_large", "read", "not_found", "ok"]);
    for record in records {
        if let Some(message) = record["error"]["message"].as_str() {
            assert!(message.starts_with(record["image"].as_str().unwrap()), "{message}");
        }
    }
    // The same through the folder: the FIFO is skipped and the folder called an image is walked.
    let output = run(&mut classify(&["-l", LABELS, &dir.path().display().to_string()]));
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 6));
}

/// CRC-32 as PNG uses it.
#[cfg(unix)]
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[test]
fn an_image_comes_through_standard_input() {
    for stdin in ["wide.png", "rotated.jpg"] {
        let file = fs::File::open(image(stdin)).unwrap();
        let output = run(classify(&["-", "-l", LABELS]).stdin(file));
        let named = run(&mut classify(&[&image(stdin), "-l", LABELS]));
        assert_eq!(lines(&output)[0]["image"], "-");
        assert_eq!(lines(&output)[0]["predictions"], lines(&named)[0]["predictions"]);
    }
}

#[test]
fn a_list_of_files_is_read() {
    let dir = folder(&[("a b.png", "wide.png"), ("c.png", "tall.png")]);
    let (a, c) = (dir.path().join("a b.png"), dir.path().join("c.png"));
    for (separator, flags) in [("\n", &[][..]), ("\r\n", &[]), ("\0", &["-0"])] {
        let list = format!("{}{separator}{}{separator}", a.display(), c.display());
        let path = dir.path().join("list");
        fs::write(&path, &list).unwrap();
        let output = run(classify(&["-l", LABELS, "--files-from", &path.display().to_string()]).args(flags));
        assert_eq!(lines(&output).len(), 2, "{separator:?}: {}", err(&output));
        let mut child = classify(&["-l", LABELS, "--files-from", "-"]);
        let mut child = child.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
        assert_eq!(child.wait_with_output().unwrap().stdout, output.stdout);
    }
}

#[test]
fn a_list_that_cannot_be_read_to_its_end_is_an_error() {
    let list = "/proc/self/mem"; // opens, and cannot be read
    if cfg!(target_os = "linux") {
        let output = run(&mut classify(&["-l", LABELS, &image("wide.png"), "--files-from", list]));
        assert_eq!((output.status.code(), lines(&output).len()), (Some(3), 1), "{}", err(&output));
        assert!(err(&output).contains("the list cannot be read to its end: "), "{}", err(&output));
    }
    let dir = tempfile::tempdir().unwrap();
    let output = run(&mut classify(&["-l", LABELS, "--files-from", &dir.path().display().to_string()]));
    assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
    assert!(err(&output).contains("is a folder, not a list"), "{}", err(&output));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    let dir = folder(&[("c.png", "wide.png")]);
    let list = dir.path().join("list");
    fs::write(&list, format!("\u{feff}{}\r\n", dir.path().join("c.png").display())).unwrap();
    let output = run(&mut classify(&["-l", LABELS, "--files-from", &list.display().to_string()]));
    assert_eq!((output.status.code(), lines(&output).len()), (Some(0), 1), "{}", err(&output));
}

#[test]
fn what_was_probably_meant_is_told() {
    for (name, hint) in [
        ("s3://bucket/x.png", "only http and https URLs are fetched"),
        ("photos/*.png", "leave out the quotes"),
        ("a.png\nb.png\n", "leave out -0"),
        ("nothing.png", "nothing.png: no such file"),
    ] {
        let output = run(&mut classify(&["-l", LABELS, name]));
        let message = lines(&output)[0]["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(hint) && message.contains("no such file"), "{message}");
        assert_eq!(message.contains("; "), name != "nothing.png", "{message}");
    }
    let dir = folder(&[("c.png", "wide.png")]);
    let list = dir.path().join("list");
    fs::write(&list, "a.png\0b.png\0").unwrap();
    let output = run(&mut classify(&["-l", LABELS, "--files-from", &list.display().to_string()]));
    assert!(out(&output).contains("use -0 for a list"), "{}", out(&output));
    let folder = dir.path().display().to_string();
    let output = run(&mut classify(&["-l", LABELS, &folder, "--include", "*.gif"]));
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("that --include and --exclude select"), "{}", err(&output));
}

#[test]
fn standard_input_is_one_thing_only() {
    let mut child = classify(&["-l", LABELS, "--files-from", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let list = format!("{0}\n-\n{0}\n", image("wide.png"));
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let records = lines(&output);
    assert_eq!((output.status.code(), records.len()), (Some(1), 3));
    assert!(records[1]["error"]["message"].as_str().unwrap().contains("standard input is the list"));
    assert_eq!(run(&mut classify(&["-l", LABELS, "-", "-"])).status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_opened() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    Command::new("mkfifo").arg(&pipe).status().unwrap();
    for _ in 0..10 {
        let bytes = fs::read(image("wide.png")).unwrap();
        let path = pipe.clone();
        let writer = std::thread::spawn(move || fs::write(path, bytes).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20)); // so that the writer is there, or nearly
        let output = run(classify(&["-l", LABELS]).arg(&pipe));
        if output.status.code() == Some(1) {
            assert!(out(&output).contains("without a writer")); // the writer was late
            fs::read(&pipe).unwrap();
        }
        writer.join().unwrap();
    }
}

#[test]
fn what_is_no_image_is_told_by_its_first_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    let file = fs::File::create(&path).unwrap();
    (&file).write_all(b"\0\0\0\x18ftypmp42").unwrap();
    file.set_len(8 << 30).unwrap(); // would be refused as too large if it were read
    let output = run(classify(&["-l", LABELS]).arg(&path));
    assert_eq!(lines(&output)[0]["error"]["kind"], "format");
}

#[test]
fn a_line_comes_out_before_the_next_goes_in() {
    let mut child = classify(&["-l", LABELS, "--files-from", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for name in ["wide.png", "tall.png"] {
        writeln!(stdin, "{}", image(name)).unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let record: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(record["image"], image(name));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_opened_and_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
    fs::copy(image("wide.png"), dir.path().join(name)).unwrap();
    let output = run(classify(&["-l", LABELS]).current_dir(dir.path()).arg(name));
    assert_eq!(lines(&output)[0]["image"], r"caf\xE9.png");
    assert_eq!(output.status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn files_without_permission_are_told() {
    let dir = folder(&[("1.png", "wide.png"), ("2.png", "wide.png")]);
    fs::set_permissions(dir.path().join("1.png"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(dir.path().join("1.png")).is_ok() {
        return; // root may read everything
    }
    let output = run(&mut classify(&["-l", LABELS, &dir.path().display().to_string()]));
    assert_eq!(lines(&output)[0]["error"]["kind"], "permission");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_share_without_images_is_a_whole_file_of_none() {
    let picture = image("wide.png");
    let share = (1..).map(|n| format!("{n}/9")).find(|share| {
        let output = run(&mut classify(&[&picture, "-l", LABELS, "--shard", share]));
        assert!(output.status.success(), "{}", err(&output));
        output.stdout.is_empty()
    });
    let share = share.unwrap();
    for (format, expected) in
        [("json", "[]\n"), ("pipeline", "[]\n"), ("csv", "image,label,score,error\n"), ("jsonl", "")]
    {
        let output = run(&mut classify(&[&picture, "-l", LABELS, "--shard", &share, "--format", format]));
        assert_eq!(
            (String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()),
            (expected, Some(0)),
            "{format}"
        );
    }
}
