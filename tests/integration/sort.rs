//! `zsic sort`: images get their places, a journal takes them back, and nothing is lost however it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::command::{err, out, run, zsic};
use crate::common::random;
use crate::image_server::{Answer, Server};

const LABELS: &str = "owl,fox,bear";

fn picture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)).unwrap()
}

/// A folder `photos` with these pictures: an owl where the name has `owl`, and so on. Each file has bytes of its own.
fn photos(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| put(&dir.path().join("photos").join(name), name));
    dir
}

fn put(path: &Path, name: &str) {
    let animal = ["owl", "fox", "bear", "car"].into_iter().find(|animal| name.contains(animal)).unwrap();
    let animal = if animal == "car" { "mixed/img_04.jpg".to_owned() } else { format!("{animal}.png") };
    let mut bytes = picture(&animal);
    bytes.extend(name.bytes()); // after the picture's end
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The command in the folder, with the built-in checkpoint.
fn sort(dir: &Path, args: &[&str]) -> Command {
    let mut command = zsic(&["sort"]);
    command.args(args).current_dir(dir);
    if !args.contains(&"--undo") {
        command.args(["-m", "demo", "--into", "sorted"]);
    }
    command
}

fn status(dir: &Path, args: &[&str]) -> (i32, Output) {
    let output = run(&mut sort(dir, args));
    (output.status.code().unwrap(), output)
}

/// Sorts `photos`, and checks the exit status.
fn sorted(dir: &TempDir, code: i32, args: &[&str]) -> Output {
    let args = [&["photos", "-l", LABELS][..], args].concat();
    let (status, output) = status(dir.path(), &args);
    assert_eq!(status, code, "{args:?} {}", err(&output));
    output
}

fn undo(dir: &Path, journal: &str, code: i32) -> Output {
    let (status, output) = status(dir, &["--undo", journal]);
    assert_eq!(status, code, "{}", err(&output));
    output
}

/// All files below a folder and their bytes; links too. Journals are left out.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(above) = folders.pop() {
        for entry in fs::read_dir(&above).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|ending| ending != "jsonl") {
                let below = path.strip_prefix(folder).unwrap().to_path_buf();
                files.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().map(|path| path.display().to_string()).collect()
}

/// The lines of a journal.
fn journal(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const FIRST: &str = "sorted/.zsic-sort-1.jsonl";

#[test]
fn without_an_act_the_plan_is_printed() {
    let dir = photos(&["owl.png", "a/fox.png", "a/bear.png"]);
    let output = sorted(&dir, 0, &[]);
    let expected = "photos/a/bear.png\tsorted/bear/a/bear.png\nphotos/a/fox.png\tsorted/fox/a/fox.png\n\
                    photos/owl.png\tsorted/owl/owl.png\n";
    assert_eq!(out(&output), expected);
    assert!(err(&output).contains("the plan: sort 3 images into sorted: 1 bear, 1 fox, 1 owl\nnothing was done"));
    assert!(!dir.path().join("sorted").exists());
    let flat = sorted(&dir, 0, &["--as", "{label}/x-{name}"]);
    assert!(out(&flat).contains("photos/a/fox.png\tsorted/fox/x-fox.png\n"), "{}", out(&flat));
}

#[test]
fn each_act_places_every_image_and_is_taken_back() {
    let all = ["owl.png", "a/fox.png", "a/b/bear.png", "car.png"];
    let places = ["bear/a/b/bear.png", "fox/a/fox.png", "owl/owl.png", "unknown/car.png"];
    for act in ["--copy", "--move", "--hardlink", "--symlink"] {
        let dir = photos(&all);
        let (photos, into) = (dir.path().join("photos"), dir.path().join("sorted"));
        let before = files(&photos);
        let output = sorted(&dir, 0, &[act, "--unknown"]);
        assert_eq!(out(&output), "");
        assert!(err(&output).contains(&format!("zsic sort --undo {}", dir.path().canonicalize().unwrap().display())));
        assert_eq!(names(&into), places, "{act}");
        let after = files(&into);
        for (place, from) in places.iter().zip(["a/b/bear.png", "a/fox.png", "owl.png", "car.png"]) {
            assert_eq!(after[Path::new(place)], before[Path::new(from)], "{act} {place}");
        }
        assert_eq!(files(&photos).len(), if act == "--move" { 0 } else { 4 }, "{act}");
        let is_link = fs::symlink_metadata(into.join("owl/owl.png")).unwrap().is_symlink();
        assert_eq!(is_link, act == "--symlink");
        let again = sorted(&dir, if act == "--move" { 3 } else { 0 }, &[act, "--unknown"]);
        let told =
            if act == "--move" { "no image among the inputs" } else { "4 images had the same bytes there already" };
        assert!(err(&again).contains(told), "{act} {}", err(&again));
        assert_eq!(names(&into), places, "{act}, again");
        let lines = journal(&dir.path().join(FIRST));
        let acts: Vec<_> = lines.iter().filter(|line| line["sha256"].is_string()).collect();
        assert!(acts.len() == 4 && acts.iter().all(|line| line["op"] == act[2..]), "{lines:?}");
        undo(dir.path(), FIRST, 0);
        assert_eq!(files(&photos), before, "{act}, taken back");
        assert!(!into.exists(), "{act}");
    }
}

#[test]
fn times_and_permissions_come_along() {
    let dir = photos(&["owl.png"]);
    let from = dir.path().join("photos/owl.png");
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    fs::File::options().write(true).open(&from).unwrap().set_modified(time).unwrap();
    sorted(&dir, 0, &["--copy"]);
    let metadata = fs::metadata(dir.path().join("sorted/owl/owl.png")).unwrap();
    assert_eq!(metadata.modified().unwrap(), time);
    assert_eq!(metadata.permissions(), fs::metadata(&from).unwrap().permissions());
}

#[test]
fn a_place_that_is_taken_is_never_written_over() {
    let set = || {
        let dir = photos(&["owl.png", "fox.png"]);
        put(&dir.path().join("more/owl.png"), "more owl");
        put(&dir.path().join("sorted/owl/owl.png"), "an owl of long ago");
        dir
    };
    let inputs = ["photos", "more", "-l", LABELS, "--move"];
    let with = |dir: &TempDir, more: &[&str]| status(dir.path(), &[&inputs[..], more].concat());
    let old = |dir: &TempDir| fs::read(dir.path().join("sorted/owl/owl.png")).unwrap().ends_with(b"long ago");

    let dir = set();
    assert_eq!(with(&dir, &[]).0, 0);
    assert_eq!(names(&dir.path().join("sorted")), ["fox/fox.png", "owl/owl-2.png", "owl/owl-3.png", "owl/owl.png"]);
    assert!(old(&dir) && files(&dir.path().join("sorted"))[Path::new("owl/owl-3.png")].ends_with(b"more owl"));
    undo(dir.path(), FIRST, 0);
    assert_eq!(names(dir.path()), ["more/owl.png", "photos/fox.png", "photos/owl.png", "sorted/owl/owl.png"]);

    let dir = set();
    let (code, output) = with(&dir, &["--if-exists", "skip"]);
    assert_eq!(code, 1);
    assert!(err(&output).contains("photos/owl.png: left where it is: sorted/owl/owl.png is another file"));
    assert!(err(&output).contains("more/owl.png: left where it is") && err(&output).contains("2 images left"));
    assert_eq!(names(dir.path()), ["more/owl.png", "photos/owl.png", "sorted/fox/fox.png", "sorted/owl/owl.png"]);

    let dir = set();
    let (code, output) = with(&dir, &["--if-exists", "error"]);
    assert_eq!(code, 3, "{}", err(&output));
    assert!(err(&output).contains("2 places have another file, so nothing was done"));
    assert!(old(&dir) && !dir.path().join(FIRST).exists() && dir.path().join("photos/fox.png").exists());
}

#[test]
fn equal_bytes_are_skipped_under_any_number() {
    let dir = photos(&["owl.png"]);
    put(&dir.path().join("more/owl.png"), "more owl");
    let copied = |code, told: &str| {
        let (status, output) = status(dir.path(), &["photos", "more", "-l", LABELS, "--copy"]);
        assert_eq!(status, code);
        assert!(err(&output).contains(told), "{}", err(&output));
        assert_eq!(names(&dir.path().join("sorted")), ["owl/owl-2.png", "owl/owl.png"]);
    };
    copied(0, "copied 2 images");
    copied(0, "2 images had the same bytes there already");
    // Moving does not remove an image because there is another one like it.
    let moved = sorted(&dir, 1, &["--move"]);
    assert!(err(&moved).contains("photos/owl.png: left where it is: sorted/owl/owl.png has the same bytes"));
    assert_eq!(names(&dir.path().join("photos")), ["owl.png"]);
    // A file that was named twice is one file.
    let (code, output) = status(dir.path(), &["more", "more/owl.png", "-l", LABELS, "--move", "--as", "x/{name}"]);
    assert_eq!(code, 0, "{}", err(&output));
    assert!(err(&output).contains("moved 1 image into"), "{}", err(&output));
}

#[test]
fn failed_and_changed_images_stay() {
    let dir = photos(&["owl.png", "fox.png"]);
    fs::write(dir.path().join("photos/torn.png"), &picture("bear.png")[..300]).unwrap();
    let output = sorted(&dir, 1, &["--move"]);
    assert!(err(&output).contains("torn.png") && err(&output).contains("1 of 3 images failed"));
    assert_eq!(names(dir.path()), ["photos/torn.png", "sorted/fox/fox.png", "sorted/owl/owl.png"]);
    // An edit since then is not taken back.
    fs::write(dir.path().join("sorted/fox/fox.png"), "drawn over").unwrap();
    put(&dir.path().join("photos/owl.png"), "another owl");
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("fox/fox.png: left: has changed since"), "{}", err(&output));
    assert!(err(&output).contains("owl/owl.png: left: its old place is taken"), "{}", err(&output));
    assert!(dir.path().join(FIRST).exists());
    fs::remove_file(dir.path().join("photos/owl.png")).unwrap();
    fs::remove_file(dir.path().join("sorted/fox/fox.png")).unwrap();
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("fox/fox.png: left: is no longer there"), "{}", err(&output));
    assert_eq!(names(dir.path()), ["photos/owl.png", "photos/torn.png"]);
}

#[test]
fn the_last_copy_is_never_removed() {
    for act in ["--copy", "--hardlink"] {
        let dir = photos(&["owl.png", "fox.png"]);
        sorted(&dir, 0, &[act]);
        fs::remove_file(dir.path().join("photos/owl.png")).unwrap();
        let output = undo(dir.path(), FIRST, 1);
        assert!(err(&output).contains("owl/owl.png: left: it is the last"), "{}", err(&output));
        assert_eq!(names(dir.path()), ["photos/fox.png", "sorted/owl/owl.png"]);
    }
}

#[test]
fn equal_bytes_of_two_inputs_get_one_place() {
    let dir = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|folder| put(&dir.path().join(folder).join("owl.png"), "owl"));
    let (code, output) = status(dir.path(), &["a", "b", "-l", LABELS, "--copy"]);
    assert_eq!(code, 0, "{}", err(&output));
    assert!(err(&output).contains("1 image had the same bytes there already"), "{}", err(&output));
}

#[test]
fn files_that_others_named_like_unfinished_ones_stay() {
    let dir = photos(&["owl.png", ".zsic-sort-2.new/owl.png"]);
    put(&dir.path().join("sorted/owl/.zsic-sort-1.new"), "an owl of others");
    sorted(&dir, 0, &["--copy"]);
    let own = dir.path().join("sorted/owl/.zsic-sort-1.new");
    assert!(own.exists(), "after a run");
    undo(dir.path(), FIRST, 0);
    assert!(own.exists(), "after its undo");
    let output = sorted(&dir, 1, &["--copy", "--as", "{label}/.zsic-sort-{name}"]);
    assert!(err(&output).contains("left where it is: files of this command have such names"), "{}", err(&output));
}

/// Cuts a journal off as a kill would have, after what was announced together.
fn forget_acts(path: &Path) {
    let lines: Vec<String> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    let told = lines.iter().filter(|line| !line.contains("\"op\":\"made\"") && !line.contains("\"op\":\"done\""));
    assert!(told.clone().count() < lines.len());
    fs::write(path, told.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn what_another_run_did_is_not_taken_back() {
    for act in ["--copy", "--hardlink"] {
        let dir = photos(&["owl.png", "fox.png"]);
        sorted(&dir, 0, &[act]);
        let first = dir.path().join(FIRST);
        forget_acts(&first);
        ["owl", "fox"].iter().for_each(|label| fs::remove_dir_all(dir.path().join("sorted").join(label)).unwrap());
        sorted(&dir, 0, &[act]);
        let output = undo(dir.path(), FIRST, 1);
        assert!(err(&output).contains("left: nothing tells that this run put it there"), "{}", err(&output));
        assert_eq!(names(&dir.path().join("sorted")), ["fox/fox.png", "owl/owl.png"]);
        assert!(first.exists());
    }
    // Announced, and others have put equal bytes there: the image is still where it was.
    let dir = photos(&["owl.png"]);
    sorted(&dir, 0, &["--move"]);
    forget_acts(&dir.path().join(FIRST));
    put(&dir.path().join("photos/owl.png"), "owl.png");
    undo(dir.path(), FIRST, 0);
    assert_eq!(names(dir.path()), ["photos/owl.png", "sorted/owl/owl.png"]);
}

#[test]
fn sidecars_that_do_not_move_are_told() {
    let dir = photos(&["owl.png"]);
    fs::write(dir.path().join("photos/owl.xmp"), "a").unwrap();
    fs::create_dir_all(dir.path().join("sorted/owl")).unwrap();
    fs::write(dir.path().join("sorted/owl/owl.xmp"), "a").unwrap();
    let output = sorted(&dir, 1, &["--move", "--sidecars"]);
    assert!(err(&output).contains("photos/owl.xmp: left where it is: sorted/owl/owl.xmp has the same bytes"));
    assert_eq!(names(dir.path()), ["photos/owl.xmp", "sorted/owl/owl.png", "sorted/owl/owl.xmp"]);
}

#[test]
fn a_folder_that_was_renamed_keeps_its_journal() {
    let dir = photos(&["owl.png"]);
    sorted(&dir, 0, &["--copy"]);
    fs::rename(dir.path().join("sorted"), dir.path().join("renamed")).unwrap();
    let output = undo(dir.path(), "renamed/.zsic-sort-1.jsonl", 2);
    assert!(err(&output).contains("is not in the folder of the journal"), "{}", err(&output));
    fs::rename(dir.path().join("renamed"), dir.path().join("sorted")).unwrap();
    fs::rename(dir.path().join("sorted/owl"), dir.path().join("sorted/owls")).unwrap();
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("owl/owl.png: left: is no longer there"), "{}", err(&output));
    fs::rename(dir.path().join("sorted/owls"), dir.path().join("sorted/owl")).unwrap();
    undo(dir.path(), FIRST, 0);
    assert_eq!(names(dir.path()), ["photos/owl.png"]);
}

#[test]
fn only_journals_of_this_command_are_taken_back() {
    let dir = photos(&["owl.png"]);
    for name in [".zsic-sort-1.new", ".zsic-sort-notes.jsonl"] {
        fs::write(dir.path().join(name), "notes without a line's end").unwrap();
        undo(dir.path(), name, 2);
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"notes without a line's end", "{name}");
    }
    sorted(&dir, 0, &["--copy"]);
    let path = dir.path().join(FIRST);
    let whole = fs::read_to_string(&path).unwrap();
    let own = whole.lines().find(|line| line.contains("\"op\":\"copy\"")).unwrap();
    let mut line: Value = serde_json::from_str(own).unwrap();
    let victim = dir.path().join("photos/owl.png").display().to_string();
    let inside = dir.path().join("sorted/../photos/owl.png").display().to_string();
    for to in [victim, inside, "photos/owl.png".to_owned()] {
        line["to"] = to.clone().into();
        line["from"] = dir.path().join("sorted/owl/owl.png").display().to_string().into();
        fs::write(&path, format!("{whole}{line}\n{{\"op\":\"done\",\"to\":{}}}\n", line["to"])).unwrap();
        undo(dir.path(), FIRST, 2);
        assert!(dir.path().join("photos/owl.png").exists(), "{to}");
    }
    fs::write(&path, whole).unwrap();
    undo(dir.path(), FIRST, 0);
}

#[test]
fn a_folder_in_the_input_is_not_sorted_again() {
    let dir = photos(&["owl.png", "a/fox.png"]);
    let into = |extra: &[&str]| {
        let mut command = zsic(&["sort", "photos", "-l", LABELS, "-m", "demo", "--into", "photos/a/sorted", "--move"]);
        let output = run(command.args(extra).current_dir(dir.path()));
        (output.status.code().unwrap(), err(&output).to_owned())
    };
    assert_eq!(into(&[]).0, 0);
    let places = ["a/sorted/fox/a/fox.png", "a/sorted/owl/owl.png"];
    assert_eq!(names(&dir.path().join("photos")), places);
    let (code, told) = into(&[]);
    assert!(code == 3 && told.contains("no image among the inputs"), "{told}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a/sorted", dir.path().join("photos/again")).unwrap();
        assert_eq!(into(&["--follow"]).0, 3, "through a link");
        fs::remove_file(dir.path().join("photos/again")).unwrap();
    }
    put(&dir.path().join("photos/bear.png"), "bear");
    assert_eq!(into(&[]).0, 0);
    assert_eq!(names(&dir.path().join("photos")), ["a/sorted/bear/bear.png", places[0], places[1]]);
    let (code, output) = status(&dir.path().join("photos/a"), &["sorted", "-l", LABELS, "--move"]);
    assert_eq!(code, 2);
    assert!(err(&output).contains("sorted: is the folder to sort into"), "{}", err(&output));
    // One of its folders may be sorted further; what is in its place stays there.
    let (code, output) = status(&dir.path().join("photos/a"), &["sorted/owl", "-l", LABELS, "--move"]);
    assert_eq!(code, 0, "{}", err(&output));
    assert_eq!(names(&dir.path().join("photos")).len(), 3);
}

#[test]
fn tar_members_and_urls_are_copied() {
    let dir = photos(&["owl.png"]);
    let mut tar = tar::Builder::new(fs::File::create(dir.path().join("photos/set.tar")).unwrap());
    let (owl, fox) = (picture("owl.png"), picture("fox.png"));
    for (name, bytes) in [("x/fox.png", &fox), ("x/fox.png", &owl), ("bear.png", &picture("bear.png"))] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let mut out_of_it = tar::Header::new_gnu();
    out_of_it.as_gnu_mut().unwrap().name[..11].copy_from_slice(b"../evil.png");
    out_of_it.set_size(fox.len() as u64);
    out_of_it.set_mode(0o644);
    out_of_it.set_cksum();
    tar.append(&out_of_it, &fox[..]).unwrap();
    tar.finish().unwrap();
    drop(tar);
    let served = fox.clone();
    let server = Server::start(move |path, count| match path {
        "/once/fox.png" if count > 0 => Answer::Body(picture("owl.png")),
        _ => Answer::Body(served.clone()),
    });
    let urls = [server.url("/a/fox%20far.png?size=1"), server.url("/once/fox.png")];
    let inputs = ["photos", &urls[0], &urls[1], "demo:owl.png", "data:,x"];
    let mut command = sort(dir.path(), &[&inputs[..], &["-l", LABELS, "--copy"]].concat());
    ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].iter().for_each(|name| _ = command.env_remove(name));
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let told = err(&output);
    assert!(told.contains("set.tar/../evil.png: left where it is: its name leads out of the folder"), "{told}");
    assert!(told.contains("/once/fox.png: left where it is: its bytes are no longer those that were scored"), "{told}");
    let into = dir.path().join("sorted");
    let places = files(&into);
    let expected = [
        "bear/set.tar/bear.png",
        "fox/fox far.png",
        "fox/set.tar/x/fox.png",
        "owl/owl-2.png",
        "owl/owl.png",
        "owl/set.tar/x/fox.png",
    ];
    assert_eq!(places.keys().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), expected);
    assert!(places[Path::new("fox/set.tar/x/fox.png")] == fox && places[Path::new("owl/set.tar/x/fox.png")] == owl);
    assert!(!dir.path().join("evil.png").exists() && !into.join("evil.png").exists());
    // A tar has them still; a URL may lead elsewhere by now.
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("fox/fox far.png: left: it may be the last copy"), "{}", err(&output));
    assert_eq!(names(&into), ["fox/fox far.png"]);
    fs::remove_dir_all(&into).unwrap();
    // Without the tar, its members' copies are the last.
    sorted(&dir, 1, &["--copy"]);
    let (tar, away) = (dir.path().join("photos/set.tar"), dir.path().join("away.tar"));
    fs::rename(&tar, &away).unwrap();
    let before = names(&into);
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("bear/set.tar/bear.png: left: it may be the last copy"), "{}", err(&output));
    assert_eq!(names(&into).len(), before.len() - 1, "the photo beside the tar has its original");
    fs::write(&tar, fs::read(&away).unwrap().split_at(512).0).unwrap();
    undo(dir.path(), FIRST, 1);
    fs::rename(&away, &tar).unwrap();
    undo(dir.path(), FIRST, 0);
    assert!(!into.exists());
    for act in ["--move", "--hardlink", "--symlink"] {
        let output = sorted(&dir, 1, &[act]);
        assert!(err(&output).contains("set.tar/bear.png: left where it is: is in a tar, so it can only be copied"));
        undo(dir.path(), FIRST, 0);
    }
}

#[test]
fn sidecars_come_along() {
    let dir = photos(&["owl.png", "fox.png", "fox.jpg"]);
    let photos = dir.path().join("photos");
    for (name, text) in [("owl.png.xmp", "a"), ("owl.xmp", "b"), ("fox.XMP", "c"), ("bear.xmp", "d"), ("owl.txt", "e")]
    {
        fs::write(photos.join(name), text).unwrap();
    }
    put(&dir.path().join("sorted/owl/owl.png"), "an owl of long ago");
    let before = files(dir.path());
    sorted(&dir, 0, &["--move"]);
    assert_eq!(names(&photos).len(), 5, "only if asked");
    undo(dir.path(), FIRST, 0);
    let output = sorted(&dir, 0, &["--move", "--sidecars"]);
    let expected = [
        "fox/fox.XMP",
        "fox/fox.jpg",
        "fox/fox.png",
        "owl/owl-2.png",
        "owl/owl-2.png.xmp",
        "owl/owl-2.xmp",
        "owl/owl.png",
    ];
    assert_eq!(names(&dir.path().join("sorted")), expected, "{}", err(&output));
    assert_eq!(names(&photos), ["bear.xmp", "owl.txt"]);
    undo(dir.path(), FIRST, 0);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn wrong_usage_is_told_before_anything_is_done() {
    let dir = photos(&["owl.png"]);
    fs::write(dir.path().join("file"), "").unwrap();
    for (args, told) in [
        (&["photos", "-l", "a/b,a_b"][..], "`a/b` and `a_b` would share the folder `a_b`"),
        (&["photos", "-l", "Owl,owl"], "would share the folder `owl`"),
        (&["photos", "-l", "unknown,owl", "--unknown"], "would share the folder `unknown`"),
        (&["photos", "-l", "owl,fox", "--as", "{label}"], "without {path} or {name}"),
        (&["photos", "-l", "owl,fox", "--as", "../{path}"], "inside of the folder"),
        (&["photos", "-l", "owl,fox", "--copy", "--move"], "cannot be used with"),
        (&["-", "-l", "owl,fox", "--copy"], "standard input can be read only once"),
        (&["photos", "--copy"], "no labels"),
        (&["photos", "--undo", "file"], "cannot be used with"),
        (&["--undo", "file", "--sidecars"], "cannot be used with"),
        (&["--undo", "none"], "none: no such file"),
        (&["--undo", "file"], "file: is not a journal of zsic sort"),
    ] {
        let (code, output) = status(dir.path(), args);
        assert_eq!(code, 2, "{args:?} {}", err(&output));
        assert!(err(&output).contains(told), "{args:?} {}", err(&output));
    }
    let mut command = zsic(&["sort", "photos", "-l", "owl,fox", "-m", "demo", "--copy", "--into", "file"]);
    assert_eq!(run(command.current_dir(dir.path())).status.code(), Some(2));
    let mut command = zsic(&["sort", "photos", "-l", "owl,fox", "-m", "demo", "--copy"]);
    assert_eq!(run(command.current_dir(dir.path())).status.code(), Some(2), "--into is missing");
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn names_stay_as_they_are_byte_for_byte() {
        let odd: [&[u8]; 7] = [
            b"caf\xe9 owl.png",
            b"caf\\xE9 owl.png",
            b"a\nowl.png",
            b"Owl.png",
            b"owl.png",
            b"owl\\.png",
            b"\"owl\".png",
        ];
        for act in ["--copy", "--move", "--hardlink", "--symlink"] {
            let dir = tempfile::tempdir().unwrap();
            let photos = dir.path().join("photos");
            odd.iter().for_each(|name| put(&photos.join(OsStr::from_bytes(name)), &format!("owl {name:?}")));
            let before = files(&photos);
            sorted(&dir, 0, &[act]);
            assert_eq!(files(&dir.path().join("sorted/owl")), before, "{act}");
            let hex = |line: &Value| line["to"]["hex"].as_str().is_some_and(|hex| hex.contains("636166e9206f776c"));
            assert_eq!(
                journal(&dir.path().join(FIRST)).iter().filter(|line| line["op"] == act[2..] && hex(line)).count(),
                1
            );
            undo(dir.path(), FIRST, 0);
            assert!(files(&photos) == before && !dir.path().join("sorted").exists(), "{act}");
        }
    }

    #[test]
    fn names_that_are_too_long_are_left() {
        let (long, fits) = (format!("{}xx.png", "owl".repeat(83)), format!("{}.png", "fox".repeat(60)));
        let dir = photos(&[&long, &fits]);
        put(&dir.path().join("sorted/owl").join(&long), "an owl of long ago");
        let output = sorted(&dir, 1, &["--move"]); // the name with -2 has more than 255 bytes
        assert!(
            err(&output).contains("left where it is") && err(&output).contains("name too long"),
            "{}",
            err(&output)
        );
        assert_eq!(names(&dir.path().join("photos")), std::slice::from_ref(&long));
        let dir = photos(&[&long]);
        sorted(&dir, 0, &["--copy"]); // 255 bytes are none too many, not even while they are copied
        assert_eq!(names(&dir.path().join("sorted")), [format!("owl/{long}")]);
        // A path that is long as a whole.
        let dir = photos(&["fox.png"]);
        let deep = ["fox".repeat(80).as_str(); 17].join("/");
        let output = sorted(&dir, 1, &["--copy", "--as", &format!("{deep}/{{name}}")]);
        assert!(err(&output).contains("name too long"), "{}", err(&output));
        assert!(!dir.path().join("sorted").exists(), "nothing was placed");
    }

    #[test]
    fn a_link_to_the_only_copy_is_no_second_copy() {
        for act in ["--copy", "--move", "--hardlink"] {
            let dir = photos(&["owl.png"]);
            let (old, place) = (dir.path().join("photos/owl.png"), dir.path().join("sorted/owl/owl.png"));
            sorted(&dir, 0, &[act]);
            fs::remove_file(&old).unwrap_or_default();
            symlink(&place, &old).unwrap();
            undo(dir.path(), FIRST, 1);
            assert!(fs::symlink_metadata(&place).is_ok_and(|there| there.is_file()), "{act}: a link to the file");
            // Its whole folder leads there.
            let dir = photos(&["owl.png"]);
            let (folder, place) = (dir.path().join("photos"), dir.path().join("sorted/owl/owl.png"));
            sorted(&dir, 0, &[act]);
            fs::remove_dir_all(&folder).unwrap();
            symlink(place.parent().unwrap(), &folder).unwrap();
            undo(dir.path(), FIRST, 1);
            assert!(place.exists(), "{act}: a link to the folder");
            // It leads there, and the file has a name more.
            fs::hard_link(&place, dir.path().join("more.png")).unwrap();
            undo(dir.path(), FIRST, 1);
            assert!(place.exists(), "{act}: with another name");
        }
    }

    #[test]
    fn a_killed_undo_leaves_no_file_of_others_and_none_of_its_own() {
        let dir = photos(&["owl.png"]);
        sorted(&dir, 0, &["--move"]);
        let new = dir.path().join("photos/.zsic-sort-0123456789abcdef.new");
        let begin = r#"{"op":"begin","version":1,"new":".zsic-sort-0123456789abcdef.new"}"#;
        fs::write(&new, "half an owl").unwrap();
        let path = dir.path().join(FIRST);
        fs::write(&path, format!("{}{begin}\n", fs::read_to_string(&path).unwrap())).unwrap();
        undo(dir.path(), FIRST, 0);
        assert_eq!(names(dir.path()), ["photos/owl.png"]);
    }

    #[test]
    fn links_are_copied_and_linked_but_not_moved() {
        let dir = photos(&["fox.png"]);
        put(&dir.path().join("elsewhere/owl.png"), "owl");
        symlink("../elsewhere/owl.png", dir.path().join("photos/owl.png")).unwrap();
        let output = sorted(&dir, 1, &["--move"]);
        assert!(err(&output).contains("photos/owl.png: left where it is: is a symbolic link"), "{}", err(&output));
        undo(dir.path(), FIRST, 0);
        for act in ["--copy", "--hardlink", "--symlink"] {
            sorted(&dir, 0, &[act]);
            let (place, target) = (dir.path().join("sorted/owl/owl.png"), dir.path().join("elsewhere/owl.png"));
            assert_eq!(fs::read(&place).unwrap(), fs::read(&target).unwrap());
            let here = fs::symlink_metadata(&place).unwrap();
            assert_eq!(
                (here.is_symlink(), here.ino() == fs::metadata(&target).unwrap().ino()),
                match act {
                    "--copy" => (false, false),
                    "--hardlink" => (false, true),
                    _ => (true, false),
                }
            );
            if act == "--symlink" {
                assert_eq!(fs::read_link(&place).unwrap(), target.canonicalize().unwrap());
            }
            undo(dir.path(), FIRST, 0);
            assert!(target.exists() && dir.path().join("photos/owl.png").is_symlink());
        }
    }

    /// A folder on another disk than `dir`; none if the machine has no such.
    fn elsewhere(dir: &Path) -> Option<TempDir> {
        let other = tempfile::tempdir_in("/dev/shm").ok()?;
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let is_other = device(other.path()) != device(dir);
        if !is_other {
            eprintln!("skipped: /dev/shm is no other disk than the temporary folder's");
        }
        is_other.then_some(other)
    }

    #[test]
    fn images_move_to_another_disk_and_back() {
        let dir = photos(&["owl.png", "a/fox.png"]);
        let Some(other) = elsewhere(dir.path()) else { return };
        symlink(other.path(), dir.path().join("sorted")).unwrap();
        let before = files(&dir.path().join("photos"));
        sorted(&dir, 0, &["--move"]);
        assert_eq!((names(&dir.path().join("photos")).len(), names(other.path()).len()), (0, 2));
        undo(dir.path(), FIRST, 0);
        assert_eq!((files(&dir.path().join("photos")), names(other.path()).len()), (before, 0));
        let output = sorted(&dir, 1, &["--hardlink"]);
        assert!(err(&output).contains("on another file system"), "{}", err(&output));
        sorted(&dir, 0, &["--symlink"]);
    }

    #[test]
    fn a_full_disk_stops_the_run_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("sorted");
        fs::create_dir(&into).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=200k", "tmpfs"]).arg(&into).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: a small disk needs root, or another way to mount one");
            return;
        }
        let checked = std::panic::catch_unwind(|| {
            for act in ["--copy", "--move"] {
                for n in 0..40 {
                    let path = dir.path().join(format!("photos/{n:02} owl.png"));
                    put(&path, &format!("owl {n}"));
                    let filled = [fs::read(&path).unwrap(), vec![n; 9000]].concat();
                    fs::write(&path, filled).unwrap();
                }
                let before = files(&dir.path().join("photos"));
                let output = sorted(&dir, 3, &[act]);
                assert!(err(&output).contains("no space left") || err(&output).contains("cannot be written"));
                let (here, there) = (files(&dir.path().join("photos")), files(&into.join("owl")));
                assert!(!there.is_empty() && there.keys().all(|name| before[name] == there[name]), "whole files");
                assert_eq!(here.len() + if act == "--move" { there.len() } else { 0 }, 40, "{act}");
                undo(dir.path(), FIRST, 0);
                assert_eq!((files(&dir.path().join("photos")), files(&into).len()), (before, 0), "{act}");
            }
        });
        let unmounted = Command::new("umount").arg(&into).output();
        assert!(unmounted.is_ok_and(|output| output.status.success()));
        checked.unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let dir = photos(&["owl.png"]);
        let into = dir.path().join("sorted");
        fs::create_dir(&into).unwrap();
        let output = if rustix::process::geteuid().is_root() {
            let mut mount = Command::new("mount");
            let mounted = mount.args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(&into).output();
            if !mounted.is_ok_and(|output| output.status.success()) {
                eprintln!("skipped: root may write everywhere, and mounts nothing here");
                return;
            }
            let output = status(dir.path(), &["photos", "-l", LABELS, "--move"]);
            assert!(Command::new("umount").arg(&into).output().unwrap().status.success());
            output
        } else {
            fs::set_permissions(&into, PermissionsExt::from_mode(0o555)).unwrap();
            status(dir.path(), &["photos", "-l", LABELS, "--move"])
        };
        assert_eq!(output.0, 3, "{}", err(&output.1));
        assert!(err(&output.1).contains(".zsic-sort-1.jsonl: cannot be written"), "{}", err(&output.1));
        assert_eq!(names(dir.path()), ["photos/owl.png"]);
        // A folder of a label that is a file.
        fs::set_permissions(&into, PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(into.join("owl"), "").unwrap();
        let output = sorted(&dir, 1, &["--move"]);
        assert!(err(&output).contains("photos/owl.png: left where it is"), "{}", err(&output));
        assert_eq!(names(dir.path()), ["photos/owl.png", "sorted/owl"]);
        assert!(!dir.path().join(FIRST).exists(), "nothing was done, so there is nothing to tell");
    }

    /// A folder of many owls and foxes, with their embeddings kept.
    struct Crowd {
        dir: TempDir,
        before: BTreeMap<PathBuf, Vec<u8>>,
        /// Where sorting starts to act, and how long that takes.
        acting: Duration,
    }

    const CROWD: usize = 90;

    impl Crowd {
        fn new(other: Option<&Path>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for n in 0..CROWD {
                let animal = ["owl", "fox"][n % 2];
                put(&dir.path().join(format!("photos/{}/{n:02} {animal}.png", n % 7)), &format!("{animal} {n}"));
            }
            let before = files(&dir.path().join("photos"));
            if let Some(other) = other {
                symlink(other, dir.path().join("sorted")).unwrap();
            }
            let mut crowd = Self { dir, before, acting: Duration::ZERO };
            assert_eq!(crowd.start("--copy").wait().unwrap().code(), Some(0)); // embeddings are kept from now on
            undo(crowd.dir.path(), FIRST, 0);
            let mut child = crowd.start("--copy");
            crowd.wait_for_journal();
            let begun = Instant::now();
            assert_eq!(child.wait().unwrap().code(), Some(0));
            crowd.acting = begun.elapsed();
            undo(crowd.dir.path(), FIRST, 0);
            crowd
        }

        fn start(&self, act: &str) -> std::process::Child {
            let mut command = sort(self.dir.path(), &["photos", "-l", "owl,fox", "-q", act]);
            command.stderr(std::process::Stdio::null()).spawn().unwrap()
        }

        fn wait_for_journal(&self) {
            let begun = Instant::now();
            while !self.dir.path().join(FIRST).exists() && begun.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(1));
            }
        }

        /// Kills the command while it acts.
        fn kill_sort(&self, act: &str, random: &mut impl FnMut(usize) -> usize) {
            let mut child = self.start(act);
            self.wait_for_journal();
            thread::sleep(Duration::from_micros(random(self.acting.as_micros() as usize + 1) as u64));
            child.kill().unwrap();
            child.wait().unwrap();
        }

        fn photos(&self) -> BTreeMap<PathBuf, Vec<u8>> {
            files(&self.dir.path().join("photos"))
        }

        /// The images in their places, under the names that they had. Files that were being copied are hidden.
        fn placed(&self) -> BTreeMap<PathBuf, Vec<u8>> {
            let mut placed = BTreeMap::new();
            for label in ["owl", "fox"] {
                let hidden = |path: &Path| path.file_name().unwrap().as_bytes().starts_with(b".");
                let own = files(&self.dir.path().join("sorted").join(label));
                placed.extend(own.into_iter().filter(|(path, _)| !hidden(path)));
            }
            placed
        }

        /// Checks that no file is lost, and none is there twice unless `doubled`; and that the journal tells every place.
        fn check(&self, doubled: usize) {
            let (here, there) = (self.photos(), self.placed());
            let all: BTreeMap<_, _> = here.iter().chain(&there).collect();
            assert!(all.len() == CROWD && all.iter().all(|(path, bytes)| self.before[*path] == **bytes));
            let twice = here.keys().filter(|path| there.contains_key(*path)).count();
            assert!(twice <= doubled, "{twice} files are in both places");
            self.check_journal(&there);
        }

        fn check_journal(&self, there: &BTreeMap<PathBuf, Vec<u8>>) {
            let told = fs::read_to_string(self.dir.path().join(FIRST)).unwrap_or_default();
            let told: BTreeSet<PathBuf> = told
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|line| line["sha256"].is_string())
                .map(|line| PathBuf::from(line["to"].as_str().unwrap()))
                .collect();
            let into = self.dir.path().canonicalize().unwrap().join("sorted");
            for path in there.keys() {
                let label = if path.display().to_string().contains("owl") { "owl" } else { "fox" };
                assert!(told.contains(&into.join(label).join(path)), "{} is not in the journal", path.display());
            }
        }

        fn restore(&self) {
            if self.dir.path().join(FIRST).exists() {
                undo(self.dir.path(), FIRST, 0);
            }
            assert_eq!(self.photos(), self.before);
            assert!(files(&self.dir.path().join("sorted")).is_empty());
        }
    }

    const KILLS: usize = 30;

    #[test]
    fn kills_of_a_copy_lose_nothing() {
        let (crowd, mut random) = (Crowd::new(None), random(41));
        let mut partly = 0;
        for _ in 0..KILLS {
            crowd.kill_sort("--copy", &mut random);
            assert_eq!(crowd.photos(), crowd.before);
            let there = crowd.placed();
            assert!(there.iter().all(|(path, bytes)| crowd.before[path] == *bytes), "whole files only");
            crowd.check_journal(&there);
            partly += usize::from((1..CROWD).contains(&there.len()));
            crowd.restore();
        }
        assert!(partly > KILLS / 4, "{partly} kills were in the middle");
        // What one run begins, the next one ends.
        crowd.kill_sort("--copy", &mut random);
        assert_eq!(crowd.start("--copy").wait().unwrap().code(), Some(0));
        assert_eq!(files(&crowd.dir.path().join("sorted")).len(), CROWD, "no unfinished file is left");
    }

    #[test]
    fn kills_of_a_move_lose_nothing() {
        let (crowd, mut random) = (Crowd::new(None), random(42));
        let mut partly = 0;
        for _ in 0..KILLS {
            crowd.kill_sort("--move", &mut random);
            crowd.check(0);
            partly += usize::from((1..CROWD).contains(&crowd.placed().len()));
            crowd.restore();
        }
        assert!(partly > 0, "no kill was in the middle");
        crowd.kill_sort("--move", &mut random);
        if !crowd.photos().is_empty() {
            assert_eq!(crowd.start("--move").wait().unwrap().code(), Some(0));
        }
        assert_eq!((crowd.photos().len(), crowd.placed()), (0, crowd.before.clone()));
    }

    #[test]
    fn kills_of_an_undo_lose_nothing() {
        let (crowd, mut random) = (Crowd::new(None), random(43));
        let mut took = Duration::ZERO;
        let mut partly = 0;
        for round in 0..=KILLS {
            assert_eq!(crowd.start("--move").wait().unwrap().code(), Some(0));
            let begun = Instant::now();
            let mut child = sort(crowd.dir.path(), &["--undo", FIRST, "-q"]).spawn().unwrap();
            if round == 0 {
                child.wait().unwrap();
                took = begun.elapsed();
                continue;
            }
            thread::sleep(Duration::from_micros(random(took.as_micros() as usize) as u64));
            child.kill().unwrap();
            child.wait().unwrap();
            crowd.check(0);
            partly += usize::from((1..CROWD).contains(&crowd.placed().len()));
            crowd.restore();
        }
        assert!(partly > 0, "no kill was in the middle");
    }

    #[test]
    fn kills_of_a_move_to_another_disk_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let Some(other) = elsewhere(dir.path()) else { return };
        let (crowd, mut random) = (Crowd::new(Some(other.path())), random(44));
        for _ in 0..KILLS {
            crowd.kill_sort("--move", &mut random);
            crowd.check(1); // one at most has its copy checked and is not removed yet
            crowd.restore();
        }
    }

    #[test]
    fn a_signal_leaves_no_unfinished_file() {
        let crowd = Crowd::new(None);
        let mut child = crowd.start("--copy");
        crowd.wait_for_journal();
        thread::sleep(crowd.acting / 3);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(matches!(child.wait().unwrap().code(), Some(130 | 0)));
        let hidden = |path: &&String| path.contains(".zsic-sort");
        assert_eq!(names(&crowd.dir.path().join("sorted")).iter().filter(hidden).count(), 0);
        crowd.restore();
    }
}
