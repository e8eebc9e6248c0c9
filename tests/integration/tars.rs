//! Tars of images, globs and shares: which members and files are taken, under which names, and what happens to the rest.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::command::{err, image, lines, model, out, run, zsic};
use tar::{Builder, EntryType, Header};

const LABELS: &str = "cat,the cat's toy,wine glass";

fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "-l", LABELS]);
    command.args(args);
    command
}

fn picture() -> Vec<u8> {
    fs::read(image("wide.png")).unwrap()
}

/// A tar of these members, in the order given.
fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The images of the records, the folder taken off; an `!` before those that failed.
fn names(output: &Output, dir: &Path) -> Vec<String> {
    let dir = format!("{}/", dir.display());
    let mark = |failed: bool| if failed { "!" } else { "" };
    lines(output)
        .iter()
        .map(|r| mark(!r["error"].is_null()).to_owned() + &r["image"].as_str().unwrap().replace(&dir, ""))
        .collect()
}

/// Gives `bytes` to the command's standard input.
fn piped(mut command: Command, bytes: Vec<u8>) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    output
}

#[test]
fn the_images_of_a_tar_lie_in_the_order_of_full_paths() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.tar-1.png", "x.tar0.png"] {
        fs::write(dir.path().join(name), picture()).unwrap();
    }
    fs::write(dir.path().join("x.tar"), tar(&[("m.png", &picture())])).unwrap();
    let output = run(&mut classify(&[&dir.path().display().to_string()]));
    assert_eq!(names(&output, dir.path()), ["x.tar-1.png", "x.tar/m.png", "x.tar0.png"]);
}

#[test]
fn a_tar_of_nothing_has_no_image_wherever_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    fs::write(&path, tar(&[])).unwrap();
    for output in [run(&mut classify(&[&path.display().to_string()])), piped(classify(&["-"]), tar(&[]))] {
        assert_eq!((output.status.code(), out(&output)), (Some(3), ""));
        assert!(err(&output).contains("no image among the inputs"), "{}", err(&output));
    }
}

#[test]
fn members_are_images_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let png = picture();
    let long = format!("{}/x.png", "long".repeat(60));
    let members: &[(&str, &[u8])] = &[
        ("b.png", &png),
        ("b.json", b"{}"),
        ("b.cls", b"7"),
        ("./a/c", &png), // no extension, told by its content
        (".hidden/x.png", &png),
        ("a/._c.png", b"resource fork"),
        (&long, &png),
        ("torn.png", &png[..40]),
        ("page.jpg", b"<html>"),
        ("a.png", &png),
    ];
    let path = dir.path().join("shard.tar");
    fs::write(&path, tar(members)).unwrap();
    let output = run(&mut classify(&[&path.display().to_string(), &image("wide.png")]));
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let expected = [
        "shard.tar/b.png",
        "shard.tar/a/c",
        &format!("shard.tar/{long}"),
        "!shard.tar/torn.png",
        "!shard.tar/page.jpg",
    ];
    let expected = expected.iter().map(|name| (*name).to_owned());
    let expected: Vec<_> = expected.chain(["shard.tar/a.png".to_owned(), image("wide.png")]).collect();
    assert_eq!(names(&output, dir.path()), expected);
    assert!(err(&output).contains("skipped 2 files that are not images: 1 .cls, 1 .json"), "{}", err(&output));
    let records = lines(&output);
    assert_eq!(records[0]["predictions"], records[6]["predictions"]);
    for record in &records[3..5] {
        let (name, message) = (record["image"].as_str().unwrap(), record["error"]["message"].as_str().unwrap());
        assert!(message.starts_with(&format!("{name}: ")) && message.matches(name).count() == 1, "{message}");
    }
    // Through a pipe the same, but for the name; and in a folder, among files, in the order of paths.
    let through = piped(classify(&["-", &image("wide.png")]), fs::read(&path).unwrap());
    let renamed = out(&output).replace(&path.display().to_string(), "-");
    assert_eq!(out(&through), renamed);
    fs::copy(image("tall.png"), dir.path().join("s.png")).unwrap();
    fs::copy(image("tall.png"), dir.path().join("t.png")).unwrap();
    let folder = run(&mut classify(&[&dir.path().display().to_string()]));
    let listed = names(&folder, dir.path());
    assert_eq!((listed.len(), &*listed[0], &*listed[1], &*listed[7]), (8, "s.png", "shard.tar/b.png", "t.png"));
}

#[test]
fn pax_links_and_holes_are_read_or_told() {
    let dir = tempfile::tempdir().unwrap();
    let png = picture();
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_size(png.len() as u64);
    builder.append_pax_extensions([("path", "caf\u{e9}/\u{1f989}.png".as_bytes())]).unwrap();
    header.set_path("short.png").unwrap();
    header.set_cksum();
    builder.append(&header, &png[..]).unwrap();
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "link.png", "short.png").unwrap();
    let mut folder = Header::new_gnu();
    folder.set_entry_type(EntryType::Directory);
    folder.set_size(0);
    builder.append_data(&mut folder, "folder.png/", &[][..]).unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let output = run(&mut classify(&[&path.display().to_string()]));
    assert_eq!(names(&output, dir.path()), ["a.tar/caf\u{e9}/\u{1f989}.png", "!a.tar/link.png"]);
    assert!(out(&output).contains("--dereference"));
    // GNU tar's own: holes, and two tars one after the other.
    let sparse = dir.path().join("sparse.pgm");
    let file = fs::File::create(&sparse).unwrap();
    (&file).write_all(b"P5 1000 1000 255\n").unwrap();
    file.set_len(17 + 1_000_000).unwrap();
    let made = Command::new("tar").args(["-S", "-cf", "b.tar", "sparse.pgm"]).current_dir(dir.path()).status();
    if !made.is_ok_and(|status| status.success()) {
        return; // no GNU tar here
    }
    let both = [fs::read(dir.path().join("b.tar")).unwrap(), fs::read(&path).unwrap()].concat();
    assert!(both.len() < 100_000, "the holes are not in it");
    for flags in [&[][..], &["--exclude", "sparse.pgm"]] {
        let output = piped(classify(&[&["-"], flags].concat()), both.clone());
        let listed = names(&output, dir.path());
        assert_eq!(listed.len(), if flags.is_empty() { 3 } else { 2 }, "{}", out(&output));
        assert!(listed.contains(&"-/caf\u{e9}/\u{1f989}.png".to_owned()));
        assert_eq!(listed[0] == "-/sparse.pgm", flags.is_empty());
    }
}

#[test]
fn a_torn_tar_keeps_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let png = picture();
    let whole = tar(&[("1.png", &png), ("2.txt", b"two"), ("3.png", &png)]);
    let blocks = 512 + png.len().next_multiple_of(512);
    let other = image("tall.png");
    let mut pax = Builder::new(Vec::new());
    pax.append_pax_extensions([("comment", &[b'x'; 2980][..])]).unwrap();
    let pax = [pax.into_inner().unwrap()[..512 + 3072].to_vec(), whole.clone()].concat();
    let ends = |at: usize| format!("the tar ends early, after {at} bytes");
    let mut damaged = whole.clone();
    damaged[blocks + 100] ^= 1; // the header of 2.txt
    for (name, bytes, before, kind, said) in [
        ("data.tar", &whole[..blocks + 1024 + 600], 1, "decode", &*ends(blocks + 1024 + 600)),
        ("header.tar", &whole[..blocks + 300], 1, "decode", &ends(blocks + 300)),
        ("first.tar", &whole[..600], 0, "decode", &ends(600)),
        ("pax-data.tar", &pax[..512 + 100], 0, "decode", &ends(612)),
        ("pax-end.tar", &pax[..512 + 3000], 0, "decode", &ends(3512)),
        ("pax-only.tar", &pax[..512 + 3072], 0, "decode", &ends(3584)),
        ("pax-member.tar", &pax[..512 + 3072 + 200], 0, "decode", &ends(3784)),
        ("damaged.tar", &damaged[..], 1, "decode", "the tar is damaged"),
        ("none.tar", &b"no tar"[..], 0, "format", "is not a tar file"),
        ("empty.tar", &b""[..], 0, "decode", "the tar is empty"),
        ("packed.tar", &[0x1f, 0x8b, 8, 0, 0, 0][..], 0, "format", "zcat FILE | zsic classify -"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let output = run(&mut classify(&[&path.display().to_string(), &other]));
        let records = lines(&output);
        assert_eq!((output.status.code(), records.len()), (Some(1), before + 2), "{name}: {}", out(&output));
        let failure = &records[before];
        assert_eq!((failure["image"].as_str(), failure["error"]["kind"].as_str()), (path.to_str(), Some(kind)));
        assert!(failure["error"]["message"].as_str().unwrap().contains(said), "{failure}");
        assert_eq!(records[before + 1]["image"], *other);
    }
    // What is passed over must be there too.
    let skipped = tar(&[("1.png", &png), ("2.txt", &[7; 5000])]);
    for through_pipe in [false, true] {
        let path = dir.path().join("skipped.tar");
        fs::write(&path, &skipped[..blocks + 2000]).unwrap();
        let output = match through_pipe {
            false => run(&mut classify(&[&path.display().to_string()])),
            true => piped(classify(&["-"]), fs::read(&path).unwrap()),
        };
        assert_eq!(lines(&output).len(), 2, "{}", out(&output));
        assert!(out(&output).contains(&ends(blocks + 2000)), "{}", out(&output));
    }
    let output = run(&mut classify(&[&dir.path().join("gone.tar").display().to_string()]));
    assert_eq!(lines(&output)[0]["error"]["kind"], "not_found");
    for name in ["x.tar.gz", "x.tgz"] {
        fs::write(dir.path().join(name), [0x1f, 0x8b, 8, 0, 0, 0]).unwrap();
        let output = run(&mut classify(&[&dir.path().join(name).display().to_string()]));
        assert!(out(&output).contains("zcat FILE | zsic classify -"), "{}", out(&output));
    }
}

/// A folder of pictures and a tar of pictures.
fn mixed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let png = picture();
    for name in ["1.png", "2.jpg", "cats/3.png", "cats/old/4.png", "thumbs/5.png", "cats/thumbs/6.png", "notes.txt"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if name == "notes.txt" { b"notes" } else { &png[..] }).unwrap();
    }
    fs::write(dir.path().join("z.tar"), tar(&[("7.png", &png), ("thumbs/8.png", &png), ("9.jpg", &png)])).unwrap();
    dir
}

#[test]
fn globs_choose_in_folders_and_tars() {
    let dir = mixed();
    let base = dir.path().display().to_string();
    let chosen = |flags: &[&str]| names(&run(classify(&[&base]).args(flags)), dir.path());
    let all = [
        "1.png",
        "2.jpg",
        "cats/3.png",
        "cats/old/4.png",
        "cats/thumbs/6.png",
        "thumbs/5.png",
        "z.tar/7.png",
        "z.tar/thumbs/8.png",
        "z.tar/9.jpg",
    ];
    assert_eq!(chosen(&[]), all);
    assert_eq!(chosen(&["--include", "*.jpg"]), ["2.jpg", "z.tar/9.jpg"]);
    assert_eq!(chosen(&["--include", "cats/*"]), ["cats/3.png"]);
    assert_eq!(chosen(&["--include", "*.jpg", "--include", "cats/"]).len(), 5);
    assert_eq!(chosen(&["--exclude", "thumbs"]).len(), 6);
    assert_eq!(
        chosen(&["--exclude", "thumbs", "--exclude", "z.tar"]),
        ["1.png", "2.jpg", "cats/3.png", "cats/old/4.png"]
    );
    assert_eq!(chosen(&["--include", "z.tar/*.png"]), ["z.tar/7.png"]);
    assert_eq!(chosen(&["--include", "*.png", "--exclude", "cats/old", "--exclude", "**/thumbs/*"]).len(), 3);
    // What is named outright is taken as it is; a tar that is named is like a folder that is.
    let (one, tar) = (format!("{base}/1.png"), format!("{base}/z.tar"));
    let output = run(&mut classify(&[&one, &tar, "--include", "*.jpg", "--exclude", "z.tar"]));
    assert_eq!(names(&output, dir.path()), ["1.png", "z.tar/9.jpg"]);
    let output = run(&mut classify(&[&base, "--include", "[x"]));
    assert!(output.status.code() == Some(2) && err(&output).contains("\"[x\" is not a glob"), "{}", err(&output));
}

#[test]
fn shares_are_the_whole_and_disjoint() {
    let dir = mixed();
    let inputs = [dir.path().display().to_string(), image("tall.png"), "gone.png".to_owned()];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let mut whole: Vec<String> = out(&run(&mut classify(&inputs))).lines().map(str::to_owned).collect();
    assert_eq!(whole.len(), 11);
    let (mut parts, mut skipped) = (Vec::new(), 0);
    for index in 1..=3 {
        let output = run(classify(&inputs).args(["--shard", &format!("{index}/3")]));
        skipped += usize::from(err(&output).contains("skipped 1 file"));
        let part: Vec<String> = out(&output).lines().map(str::to_owned).collect();
        assert!(part.len() < 11);
        parts.extend(part);
    }
    assert_eq!(skipped, 1, "what is no image is counted once");
    whole.sort();
    parts.sort();
    assert_eq!(parts, whole);
    // An array job's empty share is no failure; a list without any image is.
    let one = image("tall.png");
    let codes: Vec<_> = (1..=8).map(|i| run(&mut classify(&[&one, "--shard", &format!("{i}/8")]))).collect();
    assert!(codes.iter().all(|output| output.status.code() == Some(0)));
    assert_eq!(codes.iter().map(|output| lines(output).len()).sum::<usize>(), 1);
    let empty = tempfile::tempdir().unwrap();
    let output = run(&mut classify(&[&empty.path().display().to_string(), "--shard", "1/2"]));
    assert_eq!(output.status.code(), Some(3));
    for bad in ["0/4", "5/4", "4"] {
        assert_eq!(run(&mut classify(&[&one, "--shard", bad])).status.code(), Some(2), "{bad}");
    }
}
