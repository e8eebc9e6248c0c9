//! Datasets as clip_benchmark exports them: `zsic eval` measures what clip_benchmark does, and says what is wrong with one.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::command::{err, model, out, run, zsic};
use crate::common::{fixtures, json};

type Member = (String, Vec<u8>);

fn eval(dataset: &Path, more: &[&str]) -> Output {
    let [tars, templates] = ["test", "templates.txt"].map(|name| dataset.join(name).display().to_string());
    let checkpoint = json(&dataset.join("expected.json"))["checkpoint"].as_str().unwrap().to_owned();
    let model = model(&format!("open_clip/{checkpoint}"));
    let flags = ["--layout", "open_clip", "--format", "json", "--template-set", &templates];
    run(zsic(&["eval", &tars, "-m", &model]).args(flags).args(more))
}

/// Compares a dataset's metrics with clip_benchmark's.
fn assert_same(dataset: &Path, more: &[&str]) {
    let output = eval(dataset, more);
    assert!(output.status.success(), "{}", err(&output));
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    let theirs = json(&dataset.join("expected.json"))["metrics"].as_object().unwrap().clone();
    for (name, value) in theirs {
        // Average precision is a sum in f32 there.
        let (ours, tolerance) = match &*name {
            "acc1" => ("top1", 1e-6),
            "acc5" => ("top5", 1e-6),
            "mean_per_class_recall" => ("mean_recall", 1e-6),
            "mean_average_precision" => ("map", 1e-5),
            other => panic!("{other}"),
        };
        let ours = report["runs"][0]["metrics"][ours]["value"].as_f64().unwrap();
        assert!((ours - value.as_f64().unwrap()).abs() <= tolerance, "{name}: {ours}, not {value}");
    }
}

/// A copy of a dataset, with every member of its tars changed.
fn changed(dataset: &str, mut change: impl FnMut(Member) -> Vec<Member>) -> (TempDir, PathBuf) {
    let (dir, from) = (tempfile::tempdir().unwrap(), fixtures("clip_benchmark").join(dataset));
    let path = dir.path().to_path_buf();
    fs::create_dir(path.join("test")).unwrap();
    for name in ["classnames.txt", "templates.txt", "expected.json"] {
        fs::copy(from.join(name), path.join(name)).unwrap();
    }
    for shard in ["test/0.tar", "test/1.tar"] {
        let mut tar = tar::Builder::new(File::create(path.join(shard)).unwrap());
        for member in tar::Archive::new(File::open(from.join(shard)).unwrap()).entries().unwrap() {
            let mut member = member.unwrap();
            let name = member.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).unwrap();
            for (name, bytes) in change((name, bytes)) {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, name, &*bytes).unwrap();
            }
        }
        tar.finish().unwrap();
    }
    (dir, path)
}

#[test]
fn metrics_are_clip_benchmark_s() {
    for dataset in ["single", "multi"] {
        assert_same(&fixtures("clip_benchmark").join(dataset), &[]);
    }
    // Average precision ranks by logits, so the activation changes nothing.
    assert_same(&fixtures("clip_benchmark/multi"), &["--activation", "sigmoid"]);
}

#[test]
fn names_with_dots_and_arrays_beside_classes_change_nothing() {
    let (_dir, dotted) = changed("single", |(name, bytes)| vec![(format!("img.v1.{name}"), bytes)]);
    assert_same(&dotted, &[]);
    let (_dir, longer) = changed("single", |(name, bytes)| vec![(name.replace(".webp", ".rgb.webp"), bytes)]);
    assert_same(&longer, &[]);
    let embedding = |name: &str| (name.replace(".cls", ".npy"), b"an embedding".to_vec());
    let (_dir, more) = changed("single", |(name, bytes)| {
        let beside = name.ends_with(".cls").then(|| embedding(&name));
        [(name, bytes)].into_iter().chain(beside).collect()
    });
    assert_same(&more, &[]);
}

#[test]
fn a_class_name_that_occurs_twice_needs_labels_in_its_place() {
    let (_dir, path) = changed("single", |member| vec![member]);
    let file = path.join("classnames.txt");
    let names = fs::read_to_string(&file).unwrap();
    fs::write(&file, names.replace("sail boat", "red fox")).unwrap();
    for (more, reason) in [
        (&[][..], "classnames.txt: labels given more than once: `red fox` (lines 1 and 8)"),
        (&["-l", "red fox,snowy owl"], "classnames.txt: several classes are called `red fox`; name all 8 classes with"),
    ] {
        let output = eval(&path, more);
        assert!(output.status.code() == Some(2) && err(&output).contains(reason), "{}", err(&output));
    }
    assert_same(&path, &["-l", &names.lines().collect::<Vec<_>>().join(",")]);
}

#[test]
fn a_wrong_truth_is_named() {
    let array = |data: &[u8], shape: &str| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    for (dataset, bytes, reason) in [
        ("single", b"8".to_vec(), "s0000003.cls: is class 8, counted from 0, but there are 8 classes"),
        ("single", b"\n".to_vec(), "s0000003.cls: is empty; write the number or the name of a class"),
        ("multi", array(&[1, 0, 1], "(3,)"), "s0000003.npy: has 3 elements, but there are 8 classes"),
        ("multi", array(&[1, 0, 1], "(8,)"), "s0000003.npy: ends early"),
        ("multi", array(&[1; 8], "(2, 4)"), "s0000003.npy: has the shape (2, 4), not one dimension"),
        ("multi", Vec::new(), "s0000003.npy: is not a NumPy array"),
    ] {
        let (_dir, path) = changed(dataset, |(name, old)| {
            let is_it = name.starts_with("s0000003.") && [".cls", ".npy"].iter().any(|ending| name.ends_with(ending));
            vec![(name, if is_it { bytes.clone() } else { old })]
        });
        let output = eval(&path, &[]);
        let line = err(&output).lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(output.status.code() == Some(2) && line.contains(&format!("0.tar/{reason}")), "{}", err(&output));
    }
}

#[test]
fn arrays_with_a_single_label_each_are_of_several_labels() {
    let (_dir, path) = changed("multi", |(name, bytes)| {
        let first = if name.ends_with(".npy") { bytes.len() - 64 } else { bytes.len() };
        let one = (first < bytes.len()).then(|| [&bytes[..first], &[1], &[0; 63]].concat());
        vec![(name, one.unwrap_or(bytes))]
    });
    let report: Value = serde_json::from_str(out(&eval(&path, &[]))).unwrap();
    assert_eq!(report["runs"][0]["metrics"]["map"]["value"], 1.0, "{}", report["runs"][0]["metrics"]);
}

#[test]
fn images_without_a_truth_are_left_out_and_a_torn_tar_keeps_its_beginning() {
    let (_dir, path) = changed("single", |member| if member.0 == "s0000003.cls" { vec![] } else { vec![member] });
    let tar = path.join("test/1.tar");
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..20_000]).unwrap();
    let output = eval(&path, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("1.tar: the tar ends early, after 20000 bytes"), "{}", err(&output));
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(report["truth"]["images"], 36, "{}", report["truth"]);
}

#[test]
fn numbers_need_names() {
    let (_dir, path) = changed("single", |member| vec![member]);
    let file = path.join("classnames.txt");
    let names = fs::read_to_string(&file).unwrap();
    fs::write(&file, names.replace("black bear", "")).unwrap();
    let output = eval(&path, &[]);
    assert!(err(&output).contains("classnames.txt: line 3 is empty"), "{}", err(&output));
    fs::remove_file(&file).unwrap();
    let output = eval(&path, &[]);
    assert!(err(&output).contains("no classnames.txt lies beside them"), "{}", err(&output));
    assert_same(&path, &["-l", &names.lines().collect::<Vec<_>>().join(",")]);
}
