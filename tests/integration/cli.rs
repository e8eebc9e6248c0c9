//! The command from outside: what it prints, where, and how it exits.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::common::command::{err, image, lines, model, out, run, zsic};
use crate::common::{CHECKPOINTS, Expected};
use serde_json::Value;

const LABELS: &str = "cat,the cat's toy,wine glass";

/// `zsic classify` with the quick-gelu checkpoint.
fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu")]);
    command.args(args);
    command
}

#[test]
fn pipeline_format_is_what_python_returns() {
    // The pipeline cannot run a checkpoint of 16 positions, nor open_clip's layout.
    let runs = |name: &&str| *name != "siglip/unigram-json" && !name.starts_with("open_clip/");
    for name in CHECKPOINTS.iter().copied().filter(runs) {
        let expected = Expected::of(name);
        let labels: Vec<String> = expected.labels().iter().flat_map(|l| ["-l".to_owned(), l.clone()]).collect();
        let images: Vec<String> = expected.images().iter().map(|i| image(i)).collect();
        let mut command = zsic(&["classify", "-m", &model(name), "--format", "pipeline"]);
        let output = run(command.args(&labels).args(&images));
        assert!(output.status.success(), "{name}: {}", err(&output));
        let got: Value = serde_json::from_str(out(&output)).unwrap();
        for (image, got) in expected.images().iter().zip(got.as_array().unwrap()) {
            let python = expected.json["pipeline"][image].as_array().unwrap();
            let got = got.as_array().unwrap();
            let score = |p: &Value| p["score"].as_f64().unwrap();
            for (place, p) in got.iter().enumerate() {
                assert_eq!(p.as_object().unwrap().keys().collect::<Vec<_>>(), ["score", "label"]);
                let theirs = python.iter().find(|q| q["label"] == p["label"]).unwrap();
                let off = (score(p) - score(theirs)).abs();
                assert!(off < 5e-5, "{name}, {image}: {off}");
                // The same place in the ranking, but for labels that tie within rounding.
                let tied = (score(&python[place]) - score(theirs)).abs() < 5e-5;
                assert!(python[place]["label"] == p["label"] || tied, "{name}, {image}: {p} at {place}");
            }
        }
    }
}

#[test]
fn one_input_gives_a_bare_list_to_the_pipeline_format() {
    let output = run(&mut classify(&[&image("wide.png"), "-l", LABELS, "--format", "pipeline"]));
    let got: Value = serde_json::from_str(out(&output)).unwrap();
    assert!(got[0]["score"].is_f64(), "{got}");
}

#[test]
fn lines_follow_the_inputs() {
    let inputs = [image("tall.png"), image("chroma420.jpg"), image("wide.png"), image("tall.png")];
    let output = run(classify(&["-l", LABELS]).args(&inputs));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(err(&output), "");
    let records = lines(&output);
    assert_eq!(records.iter().map(|r| r["image"].as_str().unwrap()).collect::<Vec<_>>(), inputs);
    assert_eq!(records[0]["predictions"], records[3]["predictions"]);
    let scores: Vec<f64> =
        records[0]["predictions"].as_array().unwrap().iter().map(|p| p["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores.len() == 3);
}

#[test]
fn bytes_do_not_depend_on_threads_or_batch() {
    let images = [image("tall.png"), image("chroma420.jpg"), image("wide.png"), image("rotated.jpg")];
    let with = |flags: &[&str]| run(classify(&["-l", LABELS, "--logits"]).args(flags).args(&images)).stdout;
    let expected = with(&["-j", "1", "--batch-size", "1"]);
    assert!(!expected.is_empty());
    for flags in [["-j", "2", "--batch-size", "3"], ["-j", "7", "--batch-size", "64"]] {
        assert_eq!(with(&flags), expected);
    }
}

#[test]
fn variables_that_are_set_to_nothing_are_not_set() {
    let mut command = classify(&["-l", LABELS, &image("wide.png")]);
    for variable in ["ZSIC_DEVICE", "ZSIC_PRECISION", "ZSIC_THREADS"] {
        command.env(variable, "");
    }
    assert_eq!(run(&mut command).status.code(), Some(0));
}

#[test]
fn a_flag_beats_a_variable() {
    let mut command = zsic(&["classify", "-l", LABELS, &image("wide.png"), "-v", "-j", "1"]);
    let output = run(command.env("ZSIC_MODEL", model("gelu")).env("ZSIC_THREADS", "2"));
    assert!(err(&output).contains("gelu on cpu, 1 thread"), "{}", err(&output));
}

#[test]
fn quiet_is_quiet_and_the_rest_is_told() {
    let inputs = [image("wide.png"), "missing.png".to_owned()];
    let told = |flags: &[&str]| err(&run(classify(&["-l", LABELS]).args(flags).args(&inputs))).to_owned();
    assert_eq!(told(&["-q"]), "");
    assert_eq!(told(&[]), "warning: 1 of 2 images failed\n");
    assert!(told(&["-v"]).contains("on cpu") && told(&["-vv"]).contains("cat: This is a photo of cat."));
}

#[cfg(unix)]
#[test]
fn a_stderr_that_cannot_be_written_changes_nothing() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let output = run(classify(&["-l", LABELS, "missing.png", &image("wide.png")]).stderr(full()));
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 2));
    let output = run(zsic(&["classify", "-m", "/nope", "-l", "a", &image("wide.png")]).stderr(full()));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn every_format_has_its_shape() {
    let images = [image("wide.png"), "missing.png".to_owned()];
    let with = |format: &str| run(classify(&["-l", "cat,wine glass", "--format", format, "-k", "1"]).args(&images));
    let json: Value = serde_json::from_str(out(&with("json"))).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[1]["error"]["kind"], "not_found");
    let csv = with("csv");
    let rows: Vec<&str> = out(&csv).lines().collect();
    assert_eq!(rows[0], "image,label,score,error");
    assert_eq!((rows.len(), rows[2]), (3, "missing.png,,,missing.png: no such file"));
    let table = with("table");
    assert!(out(&table).contains('█') && out(&table).contains(" %"), "{}", out(&table));
    assert!(!out(&table).contains('\x1b'));
    let pipeline = with("pipeline"); // a failure ends the run
    assert_eq!(pipeline.status.code(), Some(3));
    assert!(err(&pipeline).contains("missing.png: no such file"));
    let colored = run(&mut classify(&["-l", LABELS, "--format", "table", "--color", "always", &images[0]]));
    assert!(out(&colored).contains('\x1b'));
}

#[test]
fn the_list_can_be_shortened_and_show_logits() {
    let output = run(&mut classify(&["-l", LABELS, "--logits", "--min-score", "0.999999", &image("wide.png")]));
    assert!(lines(&output)[0]["predictions"].as_array().unwrap().len() <= 1);
    let output = run(&mut classify(&["-l", LABELS, "--logits", "--activation", "sigmoid", &image("wide.png")]));
    for p in lines(&output)[0]["predictions"].as_array().unwrap() {
        let logit = p["logit"].as_f64().unwrap();
        assert!((p["score"].as_f64().unwrap() - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
    }
}

#[test]
fn labels_come_from_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels");
    let scores = |content: &str, flags: &[&str]| {
        fs::write(&path, content).unwrap();
        let output = run(classify(&["--labels-file", &path.display().to_string(), &image("wide.png")]).args(flags));
        assert!(output.status.success(), "{content}: {}", err(&output));
        lines(&output)[0]["predictions"].clone()
    };
    let expected = scores("cat\nwine glass\n", &[]);
    assert_eq!(scores("\u{feff}cat\r\n\r\nwine glass", &[]), expected);
    assert_eq!(scores(r#"["cat", "wine glass"]"#, &[]), expected);
    let prompts = r#"{"cat": "This is a photo of cat.", "wine glass": ["This is a photo of wine glass."]}"#;
    assert_eq!(scores(prompts, &[]), expected);
    assert_ne!(scores("cat\nwine glass\n", &["-t", "{}"]), expected);
    assert_ne!(scores("cat\nwine glass\n", &["--template-set", "openai-7"]), expected);
}

#[test]
fn wrong_usage_says_what_and_exits_2() {
    let dir = tempfile::tempdir().unwrap();
    let twice = dir.path().join("twice.json");
    fs::write(&twice, r#"{"a": "x", "a": "y"}"#).unwrap();
    let (twice, picture) = (twice.display().to_string(), image("wide.png"));
    for (args, expected) in [
        (&["-l", "a,b"][..], "no input"),
        (&[&picture], "no labels"),
        (&[&picture, "-l", "a,,b"], "a label is empty"),
        (&[&picture, "-l", "a,b,a"], "`a` (labels 1 and 3)"),
        (&[&picture, "--labels-file", &twice], "`a` (line 1)"),
        (&[&picture, "-l", "a,b", "-t", "a photo"], "has no {}"),
        (&[&picture, "-l", "a,b", "--template-set", "openai-81"], "openai-80"),
        (&[&picture, "--lables", "a,b"], "--labels"),
        (&[&picture, "-l", "a", "--labels-file", &twice], "cannot be used with"),
        (&[&picture, "-l", "a,b", "-j", "0"], "--threads"),
        (&[&picture, "-l", "a,b", "-j", "100000"], "--threads"),
        (&[&picture, "-l", "a,b", "--device", "tpu"], "use auto, cpu, cuda, cuda:N or metal"),
        (&[&picture, "-l", "a,b", "--min-score", "nan"], "a number from 0 to 1"),
        (&[&picture, "--labels-file", "/no/such/file"], "/no/such/file: cannot be read: no such file"),
        (&[&picture, "-l", "a", "--files-from", "/no/such/file"], "/no/such/file: the list cannot be opened"),
        (&["", "-l", "a"], "an input is empty"),
        (&[&picture, "-l", "a", "-o", "x.npy"], "not written as npy"),
    ] {
        let output = run(&mut classify(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(expected), "{args:?}: {}", err(&output));
        assert_eq!(out(&output), "");
    }
}

#[test]
fn the_instruction_set_can_be_forced_and_is_told() {
    let picture = image("wide.png");
    let mut scores = Vec::new();
    for isa in zsic::Isa::ALL {
        let name = isa.name();
        let output = run(classify(&[&picture, "-l", LABELS, "-v", "-j", "2"]).env("ZSIC_ISA", name));
        if !isa.is_available() {
            assert_eq!((output.status.code(), out(&output)), (Some(3), ""));
            assert!(err(&output).contains(&format!("this machine has no {name}; it has ")), "{}", err(&output));
            continue;
        }
        // Embeddings as narrow as the fixture's are computed in f32, which AMX has not.
        let told = if isa == zsic::Isa::Amx { "avx512" } else { name };
        assert!(err(&output).contains(&format!("on cpu, 2 threads, {told}\n")), "{name}: {}", err(&output));
        scores.push(lines(&output)[0]["predictions"][0]["score"].as_f64().unwrap());
    }
    assert!(scores.iter().all(|score| (score - scores[0]).abs() < 5e-5), "{scores:?}");
    let output = run(classify(&[&picture, "-l", "a,b"]).env("ZSIC_ISA", "sse9"));
    assert_eq!((output.status.code(), out(&output)), (Some(3), ""));
    assert!(err(&output).contains("avx512, avx2, neon or plain"), "{}", err(&output));
    let output = run(classify(&[&picture, "-l", "a,b", "--precision", "bf16"]).env("ZSIC_ISA", "plain"));
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(err(&output).contains("no bf16 arithmetic"), "{}", err(&output));
}

#[test]
fn what_cannot_start_says_why_and_exits_3() {
    let empty = tempfile::tempdir().unwrap();
    let (empty, picture) = (empty.path().display().to_string(), image("wide.png"));
    let long = "word ".repeat(80);
    for (args, expected) in [
        (&[&*picture, "-l", "a,b", "-m", "openai/clip-vit-base-patch32"][..], "openai/clip-vit-base-patch32"),
        (&[&picture, "-l", "a,b", "-m", "./demo"], "./demo: is not a directory"),
        (&[&picture, "-l", "a,b", "-m", &empty], "config.json"),
        (&[&empty, "-l", "a,b"], "no image among the inputs"),
        (&[&picture, "-l", "a,b", "--device", "cuda"], "--features cuda"),
        (&[&picture, "-l", "a,b", "--precision", "f16"], "f16"),
        (&[&picture, "-l", &long], "pass --truncate"),
        (&[&picture, "-l", "a,b", "-o", "/no/such/folder/x.csv"], "/no/such/folder: no such folder"),
    ] {
        let mut command = zsic(&["classify"]);
        let has_model = args.contains(&"-m");
        if !has_model {
            command.args(["-m", &model("quick-gelu")]);
        }
        let output = run(command.args(args));
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", err(&output));
        assert!(err(&output).starts_with("error: ") && err(&output).contains(expected), "{args:?}: {}", err(&output));
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
        assert_eq!(out(&output), "");
    }
    let output = run(&mut classify(&[&picture, "-l", &long, "--truncate"]));
    assert_eq!(output.status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn results_for_a_closed_standard_output_are_not_lost_unsaid() {
    let dir = tempfile::tempdir().unwrap();
    let closed = |args: &[&str]| {
        let mut shell = Command::new("bash");
        shell.args(["-c", "exec \"$0\" \"$@\" >&-", env!("CARGO_BIN_EXE_zsic")]).args(args).stdin(Stdio::null());
        run(shell.env("ZSIC_CACHE_DIR", dir.path()))
    };
    let (picture, model) = (image("wide.png"), model("quick-gelu"));
    let classify = ["classify", &picture, "-l", "a,b", "-m", &model];
    for args in [&classify[..], &["embed", "--text", "a", "-m", &model], &["cache", "info"], &["man"]] {
        let output = closed(args);
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        assert!(
            err(&output).starts_with("error: standard output: cannot be written: it is closed"),
            "{}",
            err(&output)
        );
    }
    // Where nothing goes there, it need not be open.
    let file = dir.path().join("x.jsonl");
    let output = closed(&[&classify[..], &["-o", file.to_str().unwrap()]].concat());
    assert_eq!((output.status.code(), std::fs::read_to_string(file).unwrap().lines().count()), (Some(0), 1));
    let output =
        run(zsic(&classify).stdout(std::fs::File::options().read(true).write(true).open("/dev/null").unwrap()));
    assert_eq!(output.status.code(), Some(0), "what is thrown away on purpose is no failure");
}

#[test]
fn a_closed_pipe_is_success() {
    let many = vec![image("wide.png"); 3000];
    let mut child = classify(&["-l", LABELS]);
    let mut child = child.args(&many).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap(); // and close
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
}

#[test]
fn embeddings_are_unit_vectors_in_both_formats() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let images = [image("wide.png"), image("tall.png")];
    let mut command = zsic(&["embed", "-m", &model("quick-gelu")]);
    let output = run(command.args(&images));
    let records = lines(&output);
    let expected = Expected::of("quick-gelu");
    let row: Vec<f64> = records[0]["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert!((row.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-6);
    let at = expected.images().iter().position(|i| i == "wide.png").unwrap();
    let reference = &expected.rows("image_embeds")[at];
    let norm = reference.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!(crate::common::worst(row.clone(), reference.iter().map(|x| x / norm)) < 2e-6);

    let mut command = zsic(&["embed", "-m", &model("quick-gelu"), "-o", &path.display().to_string(), "missing.png"]);
    let output = run(command.args(&images));
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("left out: missing.png"), "{}", err(&output));
    let bytes = fs::read(&path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let names: Vec<String> = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["names"]).unwrap();
    assert_eq!(names, images);
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor("embeddings").unwrap();
    assert_eq!(tensor.shape(), [2, row.len()]);
    assert_eq!(f64::from(f32::from_le_bytes(tensor.data()[..4].try_into().unwrap())), f64::from(row[0] as f32));
}

#[test]
fn texts_are_embedded_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.txt");
    fs::write(&path, "a cat\nthe cat's toy\n").unwrap();
    let from_flags = run(&mut zsic(&["embed", "-m", &model("gelu"), "--text", "a cat", "the cat's toy"]));
    let from_file = run(&mut zsic(&["embed", "-m", &model("gelu"), "--texts-file", &path.display().to_string()]));
    assert_eq!(from_flags.stdout, from_file.stdout);
    assert_eq!(lines(&from_flags)[1]["text"], "the cat's toy");
    let none = run(&mut zsic(&["embed", "-m", &model("gelu")]));
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn completions_and_the_manual_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&mut zsic(&["completions", shell]));
        assert!(output.status.success() && out(&output).contains("classify"), "{shell}");
    }
    let man = run(&mut zsic(&["man"]));
    assert!(out(&man).starts_with(".ie") || out(&man).contains(".TH"), "{}", out(&man));
    assert!(out(&man).contains("labels\\-file"));
}

#[test]
fn help_teaches_by_example() {
    for args in [&["--help"][..], &["classify", "--help"], &["embed", "--help"]] {
        let output = run(&mut zsic(args));
        assert!(output.status.success() && out(&output).contains("Examples:"), "{args:?}");
    }
}

#[test]
fn a_value_from_a_variable_is_told_as_the_variable_s() {
    let picture = image("wide.png");
    let with = |variable: &str, value: &str| {
        let mut command = classify(&["-l", LABELS, &picture]);
        let output = run(command.env(variable, value));
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        err(&output).lines().next().unwrap().to_owned()
    };
    for value in ["many", "0", "-1", "513", "1.5"] {
        let expected = format!("error: invalid value '{value}' for 'ZSIC_THREADS': use a number from 1 to 512");
        assert_eq!(with("ZSIC_THREADS", value), expected);
    }
    assert!(with("ZSIC_DEVICE", "gpu").starts_with("error: invalid value 'gpu' for 'ZSIC_DEVICE': use auto, cpu"));
    assert!(with("ZSIC_PRECISION", "f64").starts_with("error: invalid value 'f64' for 'ZSIC_PRECISION'"));
    let output = run(classify(&["-l", LABELS, &picture, "-j", "0"]).env("ZSIC_THREADS", "2"));
    assert!(err(&output).starts_with("error: invalid value '0' for '--threads <N>': use a number"), "{}", err(&output));
}

#[test]
fn what_only_prints_reports_a_full_disk_too() {
    for words in ["--help", "-h", "help", "--version", "--version -v", "classify --help", "completions bash", "man"] {
        let words: Vec<&str> = words.split(' ').collect();
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = run(zsic(&words).stdout(full));
        let expected = "error: standard output: cannot be written: no space left on device\n";
        assert_eq!((output.status.code(), err(&output)), (Some(3), expected), "{words:?}");
    }
}
