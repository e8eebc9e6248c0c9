//! `zsic sort`: images get their places, and a journal takes them back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::command::{err, out, run, zsic};
use crate::image_server::{Answer, Server};

pub const LABELS: &str = "owl,fox,bear";

fn picture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)).unwrap()
}

/// A folder `photos` with these pictures: an owl where the name has `owl`, and so on. Each file has bytes of its own.
pub fn photos(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| put(&dir.path().join("photos").join(name), name));
    dir
}

pub fn put(path: &Path, name: &str) {
    let animal = ["owl", "fox", "bear", "car"].into_iter().find(|animal| name.contains(animal)).unwrap();
    let animal = if animal == "car" { "mixed/img_04.jpg".to_owned() } else { format!("{animal}.png") };
    let mut bytes = picture(&animal);
    bytes.extend(name.bytes()); // after the picture's end
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The command in the folder, with the built-in checkpoint.
pub fn sort(dir: &Path, args: &[&str]) -> Command {
    let mut command = zsic(&["sort"]);
    command.args(args).current_dir(dir);
    if !args.contains(&"--undo") {
        command.args(["-m", "demo", "--into", "sorted"]);
    }
    command
}

pub fn status(dir: &Path, args: &[&str]) -> (i32, Output) {
    let output = run(&mut sort(dir, args));
    (output.status.code().unwrap(), output)
}

/// Sorts `photos`, and checks the exit status.
pub fn sorted(dir: &TempDir, code: i32, args: &[&str]) -> Output {
    let args = [&["photos", "-l", LABELS][..], args].concat();
    let (status, output) = status(dir.path(), &args);
    assert_eq!(status, code, "{args:?} {}", err(&output));
    output
}

pub fn undo(dir: &Path, journal: &str, code: i32) -> Output {
    let (status, output) = status(dir, &["--undo", journal]);
    assert_eq!(status, code, "{}", err(&output));
    output
}

/// All files below a folder and their bytes; links too. Journals are left out.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

pub fn names(folder: &Path) -> Vec<String> {
    let slashes = |path: PathBuf| path.display().to_string().replace(std::path::MAIN_SEPARATOR, "/");
    files(folder).into_keys().map(slashes).collect()
}

/// The lines of a journal.
pub fn journal(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub const FIRST: &str = "sorted/.zsic-sort-1.jsonl";

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
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890);
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
    assert!(err(&output).contains("more/owl.png: left where it is") && err(&output).contains("2 files left"));
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
    assert!(err(&output).contains("fox/fox.png: not taken back: it has changed since"), "{}", err(&output));
    assert!(err(&output).contains("owl/owl.png: not taken back: its old place is taken"), "{}", err(&output));
    assert!(dir.path().join(FIRST).exists());
    fs::remove_file(dir.path().join("photos/owl.png")).unwrap();
    fs::remove_file(dir.path().join("sorted/fox/fox.png")).unwrap();
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("fox/fox.png: not taken back: it is no longer there"), "{}", err(&output));
    assert_eq!(names(dir.path()), ["photos/owl.png", "photos/torn.png"]);
}

#[test]
fn the_last_copy_is_never_removed() {
    for act in ["--copy", "--hardlink"] {
        let dir = photos(&["owl.png", "fox.png"]);
        sorted(&dir, 0, &[act]);
        fs::remove_file(dir.path().join("photos/owl.png")).unwrap();
        let output = undo(dir.path(), FIRST, 1);
        assert!(err(&output).contains("owl/owl.png: not taken back: it is the last"), "{}", err(&output));
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
        assert!(err(&output).contains("not taken back: nothing shows that this run put it there"), "{}", err(&output));
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
    assert!(err(&output).contains("owl/owl.png: not taken back: it is no longer there"), "{}", err(&output));
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
    assert!(err(&output).contains("fox/fox far.png: not taken back: it may be the last copy"), "{}", err(&output));
    assert_eq!(names(&into), ["fox/fox far.png"]);
    fs::remove_dir_all(&into).unwrap();
    // Without the tar, its members' copies are the last.
    sorted(&dir, 1, &["--copy"]);
    let (tar, away) = (dir.path().join("photos/set.tar"), dir.path().join("away.tar"));
    fs::rename(&tar, &away).unwrap();
    let before = names(&into);
    let output = undo(dir.path(), FIRST, 1);
    assert!(
        err(&output).contains("bear/set.tar/bear.png: not taken back: it may be the last copy"),
        "{}",
        err(&output)
    );
    assert_eq!(names(&into).len(), before.len() - 1, "the photo beside the tar has its original");
    fs::write(&tar, fs::read(&away).unwrap().split_at(512).0).unwrap();
    undo(dir.path(), FIRST, 1);
    fs::rename(&away, &tar).unwrap();
    undo(dir.path(), FIRST, 0);
    assert!(!into.exists());
    for act in ["--move", "--hardlink", "--symlink"] {
        let output = sorted(&dir, 1, &[act]);
        assert!(err(&output).contains("set.tar/bear.png: left where it is: it is in a tar, so it can only be copied"));
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

#[test]
fn a_folder_may_be_named_from_elsewhere() {
    let dir = photos(&["owl.png"]);
    fs::create_dir(dir.path().join("a")).unwrap();
    let to = "../photos/../sorted/new";
    let sorted = |args: &[&str]| {
        let mut command = zsic(&["sort", "../photos", "-m", "demo", "-l", LABELS, "--into"]);
        run(command.args(args).current_dir(dir.path().join("a")))
    };
    let output = sorted(&[to, "--move"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(names(&dir.path().join("sorted")), ["new/owl/owl.png"]);
    undo(dir.path(), "sorted/new/.zsic-sort-1.jsonl", 0);
    assert!(!dir.path().join("sorted").exists() && dir.path().join("photos/owl.png").exists());
    sorted(&[to, "--copy"]);
    fs::remove_dir(dir.path().join("a")).unwrap(); // the journal needs no folder that paths went through
    undo(dir.path(), "sorted/new/.zsic-sort-1.jsonl", 0);
    fs::create_dir(dir.path().join("a")).unwrap();
    let output = sorted(&["../none/../sorted"]);
    assert_eq!((output.status.code(), dir.path().join("none").exists()), (Some(2), false), "{}", err(&output));
    assert!(err(&output).contains("has `..` after a folder that is missing"), "{}", err(&output));
}

#[test]
fn images_that_share_a_sidecar_are_taken_back() {
    let dir = photos(&["a/owl.png", "a/owl.jpg", "b/owl.gif"]);
    let before = ["a/owl.xmp", "b/owl.xmp"].map(|name| dir.path().join("photos").join(name));
    before.iter().for_each(|path| fs::write(path, "equal").unwrap());
    let whole = files(&dir.path().join("photos"));
    for (act, left) in [("--copy", 0), ("--hardlink", 0), ("--move", 1)] {
        let args = [act, "--sidecars", "--as", "{label}/{name}"];
        let output = sorted(&dir, left, &args);
        assert!(err(&output).contains("owl.xmp has the same bytes") == (left == 1), "{}", err(&output));
        undo(dir.path(), FIRST, 0);
        assert!(!dir.path().join("sorted").exists() && files(&dir.path().join("photos")) == whole, "{act}");
    }
}

#[test]
fn sidecars_follow_an_image_that_is_there_already() {
    let dir = photos(&["owl.png"]);
    sorted(&dir, 0, &["--copy"]);
    fs::write(dir.path().join("photos/owl.png.xmp"), "one").unwrap();
    let output = sorted(&dir, 0, &["--copy", "--sidecars"]);
    assert!(err(&output).contains("1 image had the same bytes there already"), "{}", err(&output));
    assert_eq!(names(&dir.path().join("sorted")), ["owl/owl.png", "owl/owl.png.xmp"]);
    undo(dir.path(), "sorted/.zsic-sort-2.jsonl", 0);
    assert_eq!(names(&dir.path().join("sorted")), ["owl/owl.png"]);
    // Another sidecar of an equal image has no place.
    sorted(&dir, 0, &["--copy", "--sidecars"]);
    fs::write(dir.path().join("photos/owl.png.xmp"), "two").unwrap();
    let output = sorted(&dir, 1, &["--copy", "--sidecars"]);
    let told = "photos/owl.png.xmp: left where it is: sorted/owl/owl.png.xmp is another file";
    assert!(err(&output).contains(told), "{}", err(&output));
    assert!(!dir.path().join("sorted/.zsic-sort-3.jsonl").exists(), "nothing was done");
    // One that cannot be read keeps its image.
    fs::remove_file(dir.path().join("photos/owl.png.xmp")).unwrap();
    fs::create_dir(dir.path().join("photos/owl.png.xmp")).unwrap();
    let output = sorted(&dir, 1, &["--move", "--sidecars"]);
    let told = "its sidecar photos/owl.png.xmp is not a regular file";
    assert!(err(&output).contains(told), "{}", err(&output));
}

#[test]
fn of_images_with_one_sidecar_the_first_that_moves_takes_it() {
    let dir = photos(&["owl.jpg", "owl.png"]);
    fs::write(dir.path().join("photos/owl.xmp"), "meta").unwrap();
    put(&dir.path().join("sorted/owl/owl.jpg"), "another owl");
    sorted(&dir, 1, &["--move", "--sidecars", "--if-exists", "skip"]);
    assert_eq!(names(&dir.path().join("sorted")), ["owl/owl.jpg", "owl/owl.png", "owl/owl.xmp"]);
    assert_eq!(names(&dir.path().join("photos")), ["owl.jpg"]);
}

#[test]
fn an_image_that_was_renamed_since_is_told() {
    let dir = photos(&["owl.png"]);
    sorted(&dir, 0, &["--move"]);
    fs::rename(dir.path().join("sorted/owl/owl.png"), dir.path().join("sorted/owl/best.png")).unwrap();
    put(&dir.path().join("photos/owl.png"), "a new owl");
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("owl.png: not taken back: it is no longer there"), "{}", err(&output));
    assert!(dir.path().join(FIRST).exists());
    // A copy that is gone takes nothing along.
    let dir = photos(&["owl.png", "fox.png"]);
    sorted(&dir, 0, &["--copy"]);
    fs::remove_file(dir.path().join("sorted/owl/owl.png")).unwrap();
    let output = undo(dir.path(), FIRST, 0);
    assert!(err(&output).contains("1 file taken back\n1 file was gone already; its original is there"));
    sorted(&dir, 0, &["--symlink"]);
    fs::rename(dir.path().join("sorted/owl/owl.png"), dir.path().join("sorted/owl/best.png")).unwrap();
    let output = undo(dir.path(), FIRST, 0);
    assert!(err(&output).contains("1 file was gone already; its original is there"), "{}", err(&output));
    fs::remove_dir_all(dir.path().join("sorted")).unwrap();
    // It is told once, and an undo that left something can end.
    sorted(&dir, 0, &["--copy"]);
    fs::remove_file(dir.path().join("sorted/owl/owl.png")).unwrap();
    fs::rename(dir.path().join("photos/fox.png"), dir.path().join("fox.png")).unwrap();
    undo(dir.path(), FIRST, 1);
    fs::rename(dir.path().join("fox.png"), dir.path().join("photos/fox.png")).unwrap();
    undo(dir.path(), FIRST, 0);
    // One that was renamed may be the last copy.
    sorted(&dir, 0, &["--copy"]);
    fs::rename(dir.path().join("sorted/owl/owl.png"), dir.path().join("sorted/owl/best.png")).unwrap();
    fs::remove_file(dir.path().join("photos/owl.png")).unwrap();
    let output = undo(dir.path(), FIRST, 1);
    assert!(err(&output).contains("it is no longer there, and neither is its original"), "{}", err(&output));
}

#[test]
fn what_is_no_journal_is_told() {
    let dir = photos(&["owl.png"]);
    sorted(&dir, 0, &["--copy"]);
    let journal = dir.path().join(FIRST);
    let whole = fs::read_to_string(&journal).unwrap();
    for (text, told) in [
        (
            whole.replacen("\"version\":1", "\"version\":2,\"more\":0", 1),
            "is of version 2, which this zsic cannot read",
        ),
        (whole.replacen("\"from\":\"/", "\"from\":\"", 1), "the path of the image is not absolute"),
    ] {
        fs::write(&journal, text).unwrap();
        assert!(err(&undo(dir.path(), FIRST, 2)).contains(told), "{told}");
    }
    fs::write(&journal, whole).unwrap();
    assert!(err(&undo(dir.path(), "sorted", 2)).contains("sorted: is a folder; name a journal in it"));
    for args in [&["-l", "owl"][..], &["--unknown"], &["--examples", "x"], &["photos"], &["--include", "*.png"]] {
        let (code, output) = status(dir.path(), &[&["--undo", FIRST], args].concat());
        assert!(code == 2 && err(&output).contains("cannot be used with"), "{args:?} {}", err(&output));
    }
    fs::hard_link(&journal, dir.path().join("second")).unwrap();
    assert!(err(&undo(dir.path(), FIRST, 2)).contains("has a second name (a hard link)"));
    fs::remove_file(dir.path().join("second")).unwrap();
    undo(dir.path(), FIRST, 0);
}

#[test]
fn sidecars_of_one_batch_are_each_of_their_image() {
    let dir = photos(&["a/owl.png", "b/owl.jpg"]);
    let args = |act: &'static str| [act, "--sidecars", "--as", "{label}/{name}"];
    sorted(&dir, 0, &["--copy", "--as", "{label}/{name}", "--include", "*.png"]);
    fs::write(dir.path().join("photos/a/owl.xmp"), "a").unwrap();
    fs::write(dir.path().join("photos/b/owl.xmp"), "b").unwrap();
    let output = sorted(&dir, 0, &args("--copy"));
    assert!(err(&output).contains("2 sidecars along with their images"), "{}", err(&output));
    let all = ["owl/owl-2.jpg", "owl/owl-2.xmp", "owl/owl.png", "owl/owl.xmp"];
    assert_eq!(names(&dir.path().join("sorted")), all);
    assert_eq!(fs::read(dir.path().join("sorted/owl/owl-2.xmp")).unwrap(), b"b");
    // What is in the way is named, before anything is done if that is asked for.
    fs::write(dir.path().join("photos/a/owl.xmp"), "c").unwrap();
    for if_exists in ["skip", "error"] {
        let code = if if_exists == "skip" { 1 } else { 3 };
        let output = sorted(&dir, code, &[&args("--copy")[..], &["--if-exists", if_exists]].concat());
        assert!(err(&output).contains("sorted/owl/owl.xmp is another file"), "{}", err(&output));
    }
    assert_eq!(names(&dir.path().join("sorted")), all);
}

#[test]
fn an_image_is_no_sidecar_of_its_own() {
    let dir = photos(&["owl.xmp"]);
    for act in ["--copy", "--hardlink", "--move"] {
        let output = sorted(&dir, 0, &[act, "--sidecars"]);
        assert_eq!(names(&dir.path().join("sorted")), ["owl/owl.xmp"], "{act} {}", err(&output));
        undo(dir.path(), FIRST, 0);
    }
}
