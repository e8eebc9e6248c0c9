//! `zsic sort` where names are bytes, links lead elsewhere, disks are full, and runs are killed: nothing is lost or doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::command::{err, out, run, zsic};
use crate::common::random;
use crate::sort::{FIRST, LABELS, files, journal, names, photos, put, sort, sorted, status, undo};

#[test]
fn names_stay_as_they_are_byte_for_byte() {
    let odd: [&[u8]; 7] =
        [b"caf\xe9 owl.png", b"caf\\xE9 owl.png", b"a\nowl.png", b"Owl.png", b"owl.png", b"owl\\.png", b"\"owl\".png"];
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
    assert!(err(&output).contains("left where it is") && err(&output).contains("name too long"), "{}", err(&output));
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
    assert!(err(&output).contains("photos/owl.png: left where it is: it is a symbolic link"), "{}", err(&output));
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
        for path in there.keys() {
            let into = self.dir.path().join("sorted").canonicalize().unwrap();
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

#[test]
fn an_undo_that_is_stopped_says_how_to_go_on() {
    let crowd = Crowd::new(None);
    for round in 1u32.. {
        assert_eq!(crowd.start("--move").wait().unwrap().code(), Some(0));
        let mut undo = sort(crowd.dir.path(), &["--undo", FIRST]);
        let child = undo.stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(u64::from(10 * round % 200)));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let code = output.status.code();
        crowd.restore();
        if code == Some(130) && err(&output).contains(&format!("stopped; zsic sort --undo {FIRST} goes on")) {
            return;
        }
        assert!(round < 100 && matches!(code, Some(0 | 130) | None), "{code:?} {}", err(&output));
    }
}

#[test]
fn a_link_is_no_copy() {
    let dir = photos(&["owl.png"]);
    sorted(&dir, 0, &["--symlink"]);
    let output = sorted(&dir, 0, &["--symlink"]);
    assert!(err(&output).contains("1 image had the same bytes there already"), "{}", err(&output));
    sorted(&dir, 0, &["--copy"]);
    let copy = fs::symlink_metadata(dir.path().join("sorted/owl/owl-2.png")).unwrap();
    assert!(copy.is_file(), "beside the link");
    fs::remove_file(dir.path().join("sorted/owl/owl-2.png")).unwrap();
    let output = sorted(&dir, 1, &["--move"]);
    assert!(err(&output).contains("sorted/owl/owl.png is a link to it"), "{}", err(&output));
    symlink("nowhere", dir.path().join("link")).unwrap();
    let mut command = zsic(&["sort", "photos", "-m", "demo", "-l", LABELS, "--copy", "--into", "link"]);
    let output = run(command.current_dir(dir.path()));
    assert!(output.status.code() == Some(2) && err(&output).contains("link: is a link that leads nowhere"));
}

#[test]
fn the_plan_has_a_line_for_each_image() {
    let dir = photos(&["an\towl\n.png"]);
    let output = sorted(&dir, 0, &[]);
    assert_eq!(out(&output), "photos/an\\x09owl\\x0A.png\tsorted/owl/an\\x09owl\\x0A.png\n");
}
