//! Memory and threads are bounded: by limits of the system, by caps that are stated, and whatever files claim to be.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::command::{err, image, lines, out, run, zsic};
use crate::common::fixtures;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use zsic::ImageError;
use zsic::source::{ErrorKind, Input, Limits, Options, RowSink, decode_rows, read_within};

/// A black PNG file, in the passes of an interlaced one or row after row.
fn black(dir: &Path, name: &str, side: u32, interlaced: bool) -> PathBuf {
    const PASSES: [[u32; 4]; 7] =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let passes: &[[u32; 4]] = if interlaced { &PASSES } else { &[[0, 0, 1, 1]] };
    let mut data = ZlibEncoder::new(Vec::new(), Compression::fast());
    for &[left, top, across, down] in passes {
        let row = vec![0; 1 + (side - left).div_ceil(across) as usize * 3];
        (top..side).step_by(down as usize).for_each(|_| data.write_all(&row).unwrap());
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    };
    let layout = [8, 2, 0, 0, u8::from(interlaced)];
    chunk(b"IHDR", &[&side.to_be_bytes()[..], &side.to_be_bytes(), &layout].concat());
    chunk(b"IDAT", &data.finish().unwrap());
    chunk(b"IEND", &[]);
    let path = dir.join(name);
    fs::write(&path, file).unwrap();
    path
}

/// `zsic classify` of files by the built-in model.
fn classify(files: &[&Path]) -> Command {
    let mut command = zsic(&["classify", "-l", "cat,dog", "-m", "demo", "--no-cache"]);
    command.args(files);
    command
}

/// The command under a limit of the shell's, in its own words.
fn limited(ulimit: &str, command: &Command) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {ulimit} && exec \"$@\""), "sh"]).arg(command.get_program());
    shell.args(command.get_args()).env_clear().envs(std::env::vars().filter(|(name, _)| !name.starts_with("ZSIC_")));
    run(shell.env("ZSIC_CACHE_DIR", crate::common::command::cache_dir()).env("RUST_BACKTRACE", "1"))
}

#[test]
fn a_large_png_takes_no_memory_for_its_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let (large, small) = (black(dir.path(), "large.png", 9000, false), black(dir.path(), "small.png", 300, false));
    let output = limited("-v 200000", &classify(&[&large, &small])); // the pixels are 243 MB
    assert!(output.status.success(), "{output:?}");
    let records = lines(&output);
    assert_eq!(records[0]["predictions"], records[1]["predictions"], "black is black at any size");
}

/// The rows of a compiled classifier are in memory twice: as the file's bytes, and as numbers.
#[test]
fn a_large_classifier_is_copied_once() {
    const ROWS: usize = 2000;
    const DIM: usize = 16384; // 131 MB with the rows
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let made = run(zsic(&["compile", "-m", "demo", "-l", "cat,dog", "-o"]).arg(at("small.zsc")));
    assert!(made.status.success(), "{made:?}");
    let mut about = zsic::compiled::Compiled::open(&at("small.zsc")).unwrap().about;
    let label = |at: usize| zsic::Label { name: at.to_string(), prompts: Vec::new() };
    about.labels = (0..ROWS).map(label).collect();
    let (weights, labels) = (4 * ROWS * DIM, 4 * ROWS);
    let ends = [weights, weights + labels, weights + labels, weights + 2 * labels, weights + 2 * labels];
    let tensor = |of: usize, kind: &str, shape: &[usize]| {
        let start = of.checked_sub(1).map_or(0, |before| ends[before]);
        serde_json::json!({"dtype": kind, "shape": shape, "data_offsets": [start, ends[of]]})
    };
    let header = serde_json::json!({
        "__metadata__": {"zsic": serde_json::to_string(&about).unwrap()},
        "weights": tensor(0, "F32", &[ROWS, DIM]),
        "bias": tensor(1, "F32", &[ROWS]),
        "background": tensor(2, "F32", &[0, DIM]),
        "thresholds": tensor(3, "F32", &[ROWS]),
        "offsets": tensor(4, "F64", &[0]),
    });
    let header = header.to_string();
    let mut file = File::create(at("large.zsc")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + ends[4]) as u64).unwrap(); // all zero
    let mut command = zsic(&["classify", "-m", "demo", "demo:owl.png", "--classifier"]);
    command.arg(at("large.zsc"));
    let output = limited("-v 420000", &command);
    assert!(err(&output).contains("has rows of 16384 values, which this checkpoint does not make"), "{output:?}");
}

#[test]
fn a_picture_that_cannot_be_held_stops_the_run_which_goes_on_where_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let first = PathBuf::from(image("wide.png"));
    let large = black(dir.path(), "large.png", 8000, true); // 192 MB of pixels
    let [stopped, whole] = ["stopped.jsonl", "whole.jsonl"].map(|name| dir.path().join(name));
    let command = |out: &Path, more: &[&str]| {
        let mut command = classify(&[&first, &large, &first]);
        command.arg("-o").arg(out).args(more);
        command
    };
    let output = limited("-v 200000", &command(&stopped, &[]));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = err(&output);
    assert!(said.contains("large.png: needs ") && said.contains("to be decoded") && !said.contains("bug"), "{said}");
    let partial = fs::read_to_string(dir.path().join("stopped.jsonl.partial")).unwrap();
    assert_eq!(partial.lines().count(), 1, "what came before remains: {partial}");
    assert!(run(&mut command(&stopped, &["--resume"])).status.success());
    assert!(run(&mut command(&whole, &[])).status.success());
    assert_eq!(fs::read(&stopped).unwrap(), fs::read(&whole).unwrap());
}

#[test]
fn many_large_pictures_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..6).map(|n| black(dir.path(), &format!("{n}.png"), 4000 + n, true)).collect();
    let mut command = classify(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    command.args(["-j", "6"]); // 288 MB of pixels, were they decoded at once
    let output = limited("-v 260000", &command);
    assert!(output.status.success() && lines(&output).len() == 6, "{output:?}");
}

#[test]
fn lengths_are_looked_at_before_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let small = fs::read(image("wide.png")).unwrap();
    let sparse = |name: &str, length: u64| {
        let path = dir.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&small).unwrap();
        file.set_len(length).unwrap();
        path
    };
    let start = Instant::now();
    let huge = sparse("huge.png", 1 << 40);
    let e = read_within(Input::Path(huge), &Limits::default()).unwrap_err();
    assert_eq!(e.kind, ErrorKind::TooLarge);
    assert!(start.elapsed() < Duration::from_secs(5));
    // Holes take no memory: 200 MB of them in a limit of that, and in a share of the room for images that is a few.
    let holes = sparse("holes.png", 200 << 20);
    let bytes = read_within(
        Input::Path(holes.clone()),
        &Limits { room: zsic::source::MemoryBudget::of(32 << 20), ..Limits::default() },
    );
    let bytes = bytes.unwrap();
    assert!(bytes.len() == 200 << 20 && bytes.starts_with(&small) && bytes[small.len()..].iter().all(|&b| b == 0));
    let output = limited("-v 400000", &classify(&[&holes, Path::new(&image("wide.png"))]));
    let records = lines(&output);
    assert_eq!(records[0]["predictions"], records[1]["predictions"]);
    // Where addresses are limited, holes take some: then the file is named.
    let output = limited("-v 200000", &classify(&[&holes]));
    assert!(output.status.code() == Some(3) && err(&output).contains("holes.png: needs "), "{output:?}");
    // So in a tar, whose sparse members are listed at their whole length.
    let mut tar = Command::new("tar");
    tar.args(["-S", "--format=gnu", "-cf", "sparse.tar", "holes.png", "huge.png"]);
    if !tar.current_dir(dir.path()).status().is_ok_and(|status| status.success()) {
        return; // no GNU tar here
    }
    let output = limited("-v 400000", &classify(&[&dir.path().join("sparse.tar")]));
    let members = lines(&output);
    assert_eq!(members[0]["predictions"], records[1]["predictions"]);
    assert_eq!(members[1]["error"]["kind"], "too_large", "{members:?}");
}

#[test]
fn a_file_that_goes_alone_leaves_what_its_holes_do_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holes.png");
    let mut file = File::create(&path).unwrap();
    file.write_all(&fs::read(image("wide.png")).unwrap()).unwrap();
    file.write_all(&vec![1; 8 << 20]).unwrap();
    file.set_len(200 << 20).unwrap();
    let limits = Limits { room: zsic::source::MemoryBudget::of(32 << 20), ..Limits::default() };
    let bytes = read_within(Input::Path(path), &limits).unwrap();
    assert_eq!(bytes.iter().filter(|&&byte| byte == 1).count() >> 20, 8);
    let spare = bytes.spare().unwrap() >> 20; // of 14 sixteenths
    assert!((19..=20).contains(&spare), "{spare}");
}

/// A list of one `data:` URI of an image, as long as that.
fn data(dir: &Path, length: usize) -> PathBuf {
    let mut bytes = fs::read(image("wide.png")).unwrap();
    bytes.resize(length / 4 * 3, 0);
    let path = dir.join("list");
    fs::write(&path, format!("data:image/png;base64,{}\n", BASE64_STANDARD.encode(&bytes))).unwrap();
    path
}

#[test]
fn a_data_uri_and_its_bytes_are_all_that_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let of = |length| {
        let mut command = classify(&[]);
        limited("-v 220000", command.arg("--files-from").arg(data(dir.path(), length)))
    };
    let output = of(66_000_000);
    assert!(output.status.success() && lines(&output).len() == 1, "{output:?}");
    let output = of(120_000_000);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said.contains("a line needs ") && said.contains("give it more memory"), "{said}");
    assert!(!said.contains("write one name per line"), "{said}");
}

#[test]
fn labels_and_texts_that_cannot_be_held_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let names = || (0..300_000).map(|n| format!("a label with the number {n}"));
    let (list, json) = (dir.path().join("labels.txt"), dir.path().join("labels.json"));
    fs::write(&list, names().collect::<Vec<_>>().join("\n")).unwrap();
    fs::write(&json, serde_json::to_string(&names().collect::<Vec<_>>()).unwrap()).unwrap();
    let picture = image("wide.png");
    for file in [&list, &json] {
        let mut command = zsic(&["classify", &picture, "-m", "demo", "--no-cache"]);
        let output = limited("-v 160000", command.arg("--labels-file").arg(file));
        let said = err(&output);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(
            said.contains(file.to_str().unwrap()) && said.contains("300000 labels") && said.contains(" need "),
            "{said}"
        );
    }
    let mut command = zsic(&["embed", "-m", "demo", "--no-cache"]);
    let output = limited("-v 160000", command.arg("--texts-file").arg(&list));
    assert!(output.status.code() == Some(3) && err(&output).contains("300000 texts need "), "{output:?}");
}

#[test]
fn a_tiff_is_held_twice_and_no_more() {
    let (width, height) = (5000u32, 3000u32);
    let mut file = b"II*\0\x08\0\0\0\x08\0".to_vec();
    let bits = 8 + 2 + 8 * 12 + 4u32;
    for (tag, kind, count, value) in [
        (256u16, 4u16, 1u32, width),
        (257, 4, 1, height),
        (258, 3, 3, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, bits + 6),
        (277, 3, 1, 3),
        (279, 4, 1, width * height * 3),
    ] {
        let (tag, kind, count, value) =
            (tag.to_le_bytes(), kind.to_le_bytes(), count.to_le_bytes(), value.to_le_bytes());
        file.extend([&tag[..], &kind, &count, &value].concat());
    }
    file.extend([0, 0, 0, 0, 8, 0, 8, 0, 8, 0]);
    file.resize(file.len() + (width * height * 3) as usize, 77);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tiff");
    fs::write(&path, file).unwrap();
    let output = limited("-v 290000", &classify(&[&path])); // 45 MB each: the file, its one strip, and its pixels
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_cap_on_bytes_holds_wherever_they_come_from() {
    let picture = image("wide.png");
    let bytes = fs::read(&picture).unwrap();
    let uri = format!("data:image/png,{}", bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>());
    let dir = tempfile::tempdir().unwrap();
    let (tar, list) = (dir.path().join("a.tar"), dir.path().join("list"));
    let mut archive = tar::Builder::new(File::create(&tar).unwrap());
    archive.append_path_with_name(&picture, "wide.png").unwrap();
    archive.finish().unwrap();
    fs::write(&list, format!("{uri}\n")).unwrap();
    for (cap, kind) in [(bytes.len(), Value::Null), (bytes.len() - 1, "too_large".into())] {
        let mut command = classify(&[Path::new(&picture), &tar, Path::new("-")]);
        command.arg("--files-from").arg(&list).args(["--max-bytes", &cap.to_string()]);
        let output = run(command.stdin(File::open(&picture).unwrap()));
        let kinds: Vec<Value> = lines(&output).iter().map(|record| record["error"]["kind"].clone()).collect();
        assert_eq!(kinds, vec![kind; 4], "{cap}");
    }
}

#[test]
fn a_jpeg_of_too_many_scans_is_refused() {
    let jpeg = fs::read(fixtures("decode/photo-progressive.jpg")).unwrap();
    let at = jpeg.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let with = |scans: usize| {
        let (scan, end) = (&jpeg[at..jpeg.len() - 2], &jpeg[jpeg.len() - 2..]);
        [&jpeg[..at], &scan.repeat(scans), end].concat()
    };
    assert!(zsic::source::decode(&with(20), u64::MAX).is_ok());
    let e = zsic::source::decode(&with(1000), u64::MAX).unwrap_err();
    assert!(e.kind == ErrorKind::TooLarge && e.message.contains("100 scans"), "{e}");
}

#[test]
fn long_labels_and_lines_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let long = write("labels", &format!("cat\n{}\n", "dog ".repeat(1 << 20)));
    let picture = image("wide.png");
    let output = run(&mut zsic(&["classify", &picture, "--labels-file", &long, "-m", "demo"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("a label has 4194303 bytes, and at most 65536 are allowed"), "{}", err(&output));
    let endless = write("list", &"x".repeat(3 << 20));
    let output = run(&mut zsic(&["classify", "--files-from", &endless, "-l", "a,b", "-m", "demo"]));
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("a line has more than 1048576 bytes"), "{}", err(&output));
    let output = run(&mut zsic(&["classify", &picture, "--labels-file", "/dev/zero", "-m", "demo"]));
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
}

#[test]
fn what_the_system_refuses_is_told() {
    let picture = image("wide.png");
    let command = classify(&[Path::new(&picture)]);
    for kib in [2000, 5000, 8000, 10_000, 15_000, 30_000, 60_000] {
        for limit in ["-d", "-v"] {
            let output = limited(&format!("{limit} {}", if limit == "-v" { 50_000 + kib } else { kib }), &command);
            let said = err(&output);
            let is_told = said.contains("a thread cannot be started") || said.contains("out of memory");
            let is_done = output.status.success() && !out(&output).is_empty();
            assert!(is_done || output.status.code() == Some(3) && is_told, "{limit} {kib}: {output:?}");
            assert!(!said.contains("bug") && !said.contains("panicked"), "{said}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn threads_are_as_many_as_asked_for() {
    let mut command = classify(&[Path::new("-")]);
    let mut child = command.args(["-j", "1"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let tasks = PathBuf::from(format!("/proc/{}/task", child.id()));
    let (mut most, start) = (0, Instant::now());
    while start.elapsed() < Duration::from_secs(2) {
        most = most.max(fs::read_dir(&tasks).unwrap().count());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    // The main one, the encoder's, the worker, the reader, and the one that waits for signals.
    assert!(most <= 6, "{most}");
}

/// Takes rows and forgets them.
struct Nowhere;

impl RowSink for Nowhere {
    fn begin(&mut self, _: usize, _: usize) -> Result<(), ImageError> {
        Ok(())
    }

    fn push(&mut self, _: &[u8]) {}
}

#[test]
fn only_jpeg_strips_of_several_scans_take_room_for_coefficients() {
    const SIDE: u32 = 600;
    let strip = |progressive: bool| {
        let mut jpeg = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        jpeg.set_size(SIDE as usize, SIDE as usize);
        if progressive {
            jpeg.set_progressive_mode();
        } else {
            jpeg.set_optimize_scans(false);
        }
        let mut jpeg = jpeg.start_compress(Vec::new()).unwrap();
        jpeg.write_scanlines(&vec![99; (SIDE * SIDE * 3) as usize]).unwrap();
        jpeg.finish().unwrap()
    };
    let tiff = |strip: Vec<u8>| {
        let tags = [(256, SIDE), (257, SIDE), (258, 8), (259, 7), (262, 6), (273, 8 + 2 + 9 * 12 + 4), (277, 3)];
        let tags = tags.into_iter().chain([(278, SIDE), (279, strip.len() as u32)]);
        let mut file = b"II*\0\x08\0\0\0\x09\0".to_vec();
        for (tag, value) in tags {
            file.extend([&(tag as u16).to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
        }
        [file, vec![0; 4], strip].concat()
    };
    let room = u64::from(SIDE * SIDE * 3) * 2 + 1000; // the strip's pixels and the image's
    let decoded = |file: &[u8]| {
        let options = Options { limits: &Limits::default(), spare: Some(room), enough: None };
        decode_rows(file, &options, &mut Nowhere).map_err(|e| e.kind)
    };
    assert_eq!(decoded(&tiff(strip(false))), Ok(()));
    assert_eq!(decoded(&tiff(strip(true))), Err(ErrorKind::Memory));
}
