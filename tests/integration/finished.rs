//! `--resume` on a finished file: what is new or changed is added, whatever stops the run, and nothing else is touched.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::common::command::{err, out as printed, run, zsic};
use crate::common::long_run::{assert_alone, beside, command, limit, mend, noting, path, pictures, stop_often};
use crate::image_server::{Answer, Server};

const CLASSIFY: [&str; 3] = ["classify", "-l", "cat,dog,\"pizza\",car"];
const CSV: [&str; 6] = ["classify", "-l", "cat,dog,\"pizza\",car", "--min-score", "0.1", "--logits"];
const ALL: [(&[&str], &str); 4] =
    [(&CLASSIFY, "x.jsonl"), (&CSV, "x.csv"), (&["embed"], "e.jsonl"), (&["embed"], "e.safetensors")];

/// A folder of pictures, and where outputs and notes go.
struct Place {
    dir: tempfile::TempDir,
    folder: PathBuf,
    cache: PathBuf,
}

impl Place {
    fn new(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (folder, cache) = (pictures(dir.path(), count), dir.path().join("cache"));
        Self { dir, folder, cache }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str], name: &str) -> Command {
        noting(words, &self.folder, &self.out(name), &self.cache)
    }

    fn resume(&self, words: &[&str], name: &str, flags: &[&str]) -> (Option<i32>, String) {
        let output = run(self.command(words, name).arg("--resume").args(flags));
        assert_alone(&self.out(name));
        (output.status.code(), err(&output).to_owned())
    }

    /// What a run without an earlier one writes now.
    fn fresh(&self, words: &[&str], name: &str) -> Vec<u8> {
        let out = self.out(&format!("fresh-{name}"));
        run(&mut command(words, &self.folder, &out));
        fs::read(out).unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.out(name)).unwrap()
    }
}

/// A picture is added in front, one between others and one behind them, and one is edited.
fn change(folder: &Path) {
    for (from, to) in [(4, "000.bmp.ppm"), (3, "011a.ppm"), (6, "zz.ppm"), (1, "020.ppm")] {
        fs::copy(path(folder, from), folder.join(to)).unwrap();
    }
}

#[test]
fn new_and_changed_images_are_added_in_their_place() {
    let place = Place::new(50);
    for (words, name) in ALL {
        assert_eq!(run(&mut place.command(words, name)).status.code(), Some(1));
    }
    let before = ALL.map(|(_, name)| place.read(name));
    for ((words, name), before) in ALL.iter().zip(&before) {
        let (status, said) = place.resume(words, name, &[]);
        assert!(status == Some(1) && said.contains(&format!("{name}: is finished; nothing to do")), "{said}");
        assert!(said.contains("2 of 50 images failed"), "{said}");
        assert!(place.read(name) == *before);
    }
    change(&place.folder);
    for (words, name) in ALL {
        let (status, said) = place.resume(words, name, &[]);
        assert!(status == Some(1) && said.contains("new and changed images are added to it"), "{said}");
        assert!(said.contains("2 of 53 images failed"), "{said}");
        assert!(place.read(name) == place.fresh(words, name), "{name}");
        let (status, said) = place.resume(words, name, &[]);
        assert!(status == Some(1) && said.contains("nothing to do"), "{said}");
    }
    mend(&place.folder, 50); // what failed and is another file now
    for (words, name) in ALL {
        let (status, said) = place.resume(words, name, &[]);
        assert_eq!(status, Some(0), "{said}");
        assert!(place.read(name) == place.fresh(words, name), "{name}");
    }
}

#[test]
fn missing_images_are_refused_or_left_out() {
    let place = Place::new(30);
    for (words, name) in ALL {
        run(&mut place.command(words, name));
    }
    for n in [0, 12, 29] {
        fs::remove_file(path(&place.folder, n)).unwrap();
    }
    fs::remove_file(path(&place.folder, 7)).unwrap(); // it failed: nothing is lost with it
    for (words, name) in ALL {
        let before = place.read(name);
        let (status, said) = place.resume(words, name, &[]);
        assert_eq!(status, Some(2), "{said}");
        let first = format!("the first is `{}`", path(&place.folder, 0).display());
        assert!(said.contains("3 images of it are no longer among the inputs") && said.contains(&first), "{said}");
        assert!(place.read(name) == before);
        let (status, said) = place.resume(words, name, &["--drop-missing"]);
        assert!(status == Some(0) && said.contains("left out the records of 3 images"), "{said}");
        assert!(said.contains("are added to it, and missing ones are left out"), "{said}");
        assert!(place.read(name) == place.fresh(words, name), "{name}");
    }
    fs::remove_dir_all(&place.folder).unwrap();
    fs::create_dir(&place.folder).unwrap();
    for (words, name) in ALL {
        let before = place.read(name);
        let (status, said) = place.resume(words, name, &["--drop-missing"]);
        let expected = "error: no image among the inputs, so no record would be left; the file stays as it is\n";
        assert!(status == Some(3) && said.ends_with(expected) && !said.contains("left out"), "{said}");
        assert!(place.read(name) == before);
    }
}

#[test]
fn other_settings_and_other_files_are_refused() {
    let place = Place::new(12);
    let (words, name) = ALL[0];
    run(&mut place.command(words, name));
    let before = place.read(name);
    let refused = |words: &[&str], expected: &str| {
        let (status, said) = place.resume(words, name, &[]);
        assert!(status == Some(2) && said.contains(expected), "{said}");
        assert!(place.read(name) == before);
    };
    refused(&["classify", "-l", "owl,fox"], "x.jsonl: was made with other settings: `labels` was");
    refused(&[words, &["-t", "{}"]].concat(), "`templates` was");
    // Another file in its place, of the same length and of another; and one that is not known.
    let time = fs::metadata(place.out(name)).unwrap().modified().unwrap();
    fs::write(place.out(name), &before).unwrap();
    refused(words, "it has changed since, by another program or by a run with --no-cache, so --resume");
    let set = |time: SystemTime| fs::File::options().write(true).open(place.out(name)).unwrap().set_modified(time);
    set(time).unwrap();
    assert_eq!(place.resume(words, name, &[]).0, Some(1));
    let mut damaged = before.clone();
    damaged[40] ^= 1;
    fs::write(place.out(name), &damaged).unwrap();
    set(time).unwrap();
    change(&place.folder);
    let (status, said) = place.resume(words, name, &[]);
    assert!(status == Some(3) && said.contains("its records cannot be read back"), "{said}");
    assert!(place.read(name) == damaged);
    let mut info = zsic(&["cache", "info", "--cache-dir"]);
    assert!(printed(&run(info.arg(&place.cache))).contains("outputs    1 finished"));
    assert!(run(zsic(&["cache", "clear", "--cache-dir"]).arg(&place.cache)).status.success());
    fs::write(place.out(name), &before).unwrap();
    refused(words, " has no note of how it was made");
    // Without a cache a note is kept for those only who resume.
    for (flags, expected) in [(&[][..], " has no note of how it was made"), (&["--resume"], "nothing to do")] {
        let with = |flags: &[&str]| run(place.command(words, "y.jsonl").arg("--no-cache").args(flags));
        _ = fs::remove_file(place.out("y.jsonl"));
        with(flags);
        let output = with(&["--resume"]);
        assert!(err(&output).contains(expected), "{flags:?}: {}", err(&output));
    }
}

#[test]
fn a_list_may_change_its_order_and_name_images_twice() {
    let place = Place::new(8);
    let list = place.out("list");
    let write = |numbers: &[usize]| {
        let names: Vec<String> = numbers.iter().map(|n| path(&place.folder, *n).display().to_string()).collect();
        fs::write(&list, names.join("\n")).unwrap();
    };
    let with_list = |flags: &[&str], name: &str| {
        let mut all = zsic(&CLASSIFY);
        all.args(["-m", "demo", "-j", "1", "--cache-dir"]).arg(&place.cache).args(flags);
        run(all.arg("--files-from").arg(&list).arg("-o").arg(place.out(name)))
    };
    write(&[0, 1, 2, 2, 3, 4]);
    assert_eq!(with_list(&[], "x.jsonl").status.code(), Some(0));
    for numbers in [&[4, 3, 2, 1, 0, 1][..], &[5, 4, 4, 4, 3, 0, 2, 1], &[0, 1, 2, 3, 4, 5, 6]] {
        write(numbers);
        let output = with_list(&["--resume", "-v"], "x.jsonl");
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert_eq!(with_list(&[], "y.jsonl").status.code(), Some(0));
        assert!(place.read("x.jsonl") == place.read("y.jsonl"), "{numbers:?}");
    }
    write(&[6, 0]);
    let output = with_list(&["--resume"], "x.jsonl");
    assert!(output.status.code() == Some(2) && err(&output).contains("5 images of it are"), "{}", err(&output));
}

#[test]
fn a_killed_run_over_a_finished_file_ends_as_if_it_had_not_been() {
    let place = Place::new(150);
    for (words, name) in ALL {
        run(&mut place.command(words, name));
    }
    for n in (0..150).step_by(3) {
        fs::copy(path(&place.folder, (n + 5) % 150 / 2 * 2 + 1), place.folder.join(format!("{n:03}b.ppm"))).unwrap();
    }
    change(&place.folder);
    for (words, name) in ALL {
        let expected = place.fresh(words, name);
        let stopped = stop_often(|| place.command(words, name), &place.out(name), expected.len() as u64, 8);
        assert!(stopped > 2, "{name}: stopped {stopped} times only");
        assert!(place.read(name) == expected, "{name}");
        assert_alone(&place.out(name));
        let (_, said) = place.resume(words, name, &[]);
        assert!(said.contains("nothing to do"), "{said}");
    }
}

#[test]
fn what_failed_is_tried_again_when_asked() {
    let place = Place::new(4);
    let is_up = Arc::new(AtomicBool::new(false));
    let (up, picture) = (Arc::clone(&is_up), fs::read(path(&place.folder, 2)).unwrap());
    let server = Server::start(move |_, _| match up.load(Ordering::SeqCst) {
        true => Answer::Body(picture.clone()),
        false => Answer::Status(404, vec![], ""),
    });
    let urls: Vec<String> = (0..40).map(|n| server.url(&format!("/{n}.ppm"))).collect();
    let command = || {
        let mut command = place.command(&CLASSIFY, "x.jsonl");
        command.args(["--allow-private-redirects"]).args(&urls).env("NO_PROXY", "*");
        command
    };
    assert_eq!(run(&mut command()).status.code(), Some(1));
    let broken = place.read("x.jsonl");
    is_up.store(true, Ordering::SeqCst);
    let output = run(command().arg("--resume"));
    assert!(err(&output).contains("nothing to do") && err(&output).contains("40 of 44"), "{}", err(&output));
    let stopped = stop_often(
        || {
            let mut command = command();
            command.arg("--retry-failed");
            command
        },
        &place.out("x.jsonl"),
        broken.len() as u64,
        4,
    );
    let retried = place.read("x.jsonl");
    assert_alone(&place.out("x.jsonl"));
    assert_eq!(run(&mut command()).status.code(), Some(0));
    assert!(place.read("x.jsonl") == retried, "stopped {stopped} times");
}

#[test]
fn without_the_flag_a_killed_retry_says_what_it_leaves() {
    let place = Place::new(50);
    let (words, name) = ALL[0];
    run(&mut place.command(words, name));
    let mut retry = place.command(words, name);
    retry.args(["--resume", "--retry-failed"]);
    let stopped = limit(5, retry);
    assert_eq!(stopped.status.code(), Some(3), "{}", err(&stopped));
    assert!(fs::metadata(beside(&place.out(name), "")).unwrap().len() > 0);
    let (status, said) = place.resume(words, name, &[]);
    assert!(said.contains("failed ones are kept too (--retry-failed computes them again)"), "{said}");
    assert!(status == Some(1) && place.read(name) == place.fresh(words, name));
}

#[test]
fn how_it_was_made_is_told_once_more() {
    let place = Place::new(10);
    let (words, name) = ALL[0];
    let meta = place.out("meta.json");
    run(place.command(words, name).arg("--meta").arg(&meta));
    let first = crate::common::json(&meta);
    fs::remove_file(&meta).unwrap();
    let (status, said) = place.resume(words, name, &["--meta", meta.to_str().unwrap()]);
    assert!(status == Some(1) && said.contains("nothing to do"), "{said}");
    let second = crate::common::json(&meta);
    assert_eq!((&second["counts"], &second["labels"]), (&first["counts"], &first["labels"]));
}

#[test]
fn a_refusal_at_the_end_of_a_list_names_the_finished_file() {
    let place = Place::new(4);
    let out = place.out("x.jsonl");
    let over = |order: &[usize], more: &[&str]| {
        let mut command = zsic(&[&CLASSIFY[..], more].concat());
        command.args(["-m", "demo", "--files-from", "-", "--cache-dir"]).arg(&place.cache).arg("-o").arg(&out);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let list: Vec<String> = order.iter().map(|&n| path(&place.folder, n).display().to_string()).collect();
        child.stdin.take().unwrap().write_all(list.join("\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(over(&[0, 1, 2], &[]).status.success());
    let output = over(&[0, 3, 2], &["--resume"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let said = format!("error: {}: 1 image of it is no longer among the inputs", out.display());
    assert!(err(&output).contains(&said) && !err(&output).contains(".partial"), "{}", err(&output));
}
