//! Checkpoints whose files are no files: pipes, devices, endless ones, pointers of git-lfs. Each is named, and none is
//! waited for or read without end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use crate::common::command::{err, image, out, run, zsic};
use crate::common::copied;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Scores with little time and memory.
fn classify(dir: &Path) -> Output {
    let zsic = zsic(&["classify", &image("wide.png"), "-l", "cat,dog", "-m", &dir.display().to_string()]);
    let mut limited = std::process::Command::new("timeout");
    limited.arg("20").arg(zsic.get_program()).args(zsic.get_args());
    limited.envs(zsic.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut limited)
}

fn assert_named(output: &Output, file: &str, reason: &str) {
    assert_eq!((output.status.code(), out(output)), (Some(3), ""), "{file}: {}", err(output));
    assert!(err(output).contains(file) && err(output).contains(reason), "{file}: {}", err(output));
    assert_eq!(err(output).lines().count(), 1);
}

/// The files that a run reads, by checkpoint.
const READ: [(&str, &[&str]); 3] = [
    ("quick-gelu", &["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"]),
    ("odd", &["vocab.json", "merges.txt"]),
    ("bin-sharded", &["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"]),
];

#[test]
fn a_pipe_or_a_device_in_a_checkpoint_is_named() {
    for (name, files) in READ {
        let (_keep, dir) = copied(name);
        for file in files {
            let (path, aside) = (dir.join(file), dir.join("aside"));
            fs::rename(&path, &aside).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
            mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            assert_named(&classify(&dir), file, "it is a named pipe, not a regular file");
            fs::remove_file(&path).unwrap();
            for device in ["/dev/zero", "/dev/null", "/dev/tty"] {
                symlink(device, &path).unwrap();
                assert_named(&classify(&dir), file, "it is a device, not a regular file");
                fs::remove_file(&path).unwrap();
            }
            fs::rename(&aside, &path).unwrap();
        }
    }
}

#[test]
fn not_even_where_nobody_needs_its_content() {
    let (_keep, dir) = copied("quick-gelu");
    let merges = dir.join("merges.txt"); // beside tokenizer.json
    fs::remove_file(&merges).unwrap();
    mknodat(CWD, &merges, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert_named(&classify(&dir), "merges.txt", "it is a named pipe");
}

#[test]
fn an_endless_settings_file_is_not_read() {
    for (name, file) in [("quick-gelu", "config.json"), ("quick-gelu", "tokenizer.json"), ("odd", "merges.txt")] {
        let (_keep, dir) = copied(name);
        fs::File::options().write(true).open(dir.join(file)).unwrap().set_len(1 << 40).unwrap();
        assert_named(&classify(&dir), file, "it has more than 268435456 bytes");
    }
    for (name, file) in [("quick-gelu", "model.safetensors"), ("bin", "pytorch_model.bin")] {
        let (_keep, dir) = copied(name);
        fs::File::create(dir.join(file)).unwrap().set_len(1 << 40).unwrap();
        assert_named(&classify(&dir), file, "");
    }
}

#[test]
fn pointers_of_git_lfs_are_named() {
    for (name, files) in READ {
        for file in files {
            let (_keep, dir) = copied(name);
            let size = fs::metadata(dir.join(file)).unwrap().len();
            let hash = "c9606b7e5b7656c15c97b640674a5da1c5b95e36a03c8cff7f69e76aa68f4321";
            let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hash}\nsize {size}\n");
            fs::write(dir.join(file), pointer).unwrap();
            assert_named(&classify(&dir), file, "is a git-lfs pointer instead of the file: run `git lfs pull`");
        }
    }
}
