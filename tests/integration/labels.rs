//! Labels and templates as people write them: files of any editor, lists that were meant otherwise, and what is told.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use zsic::text::LabelSet;

use crate::common::command::{err, image, lines, model, out, run, zsic};

/// `zsic classify` of one picture.
fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), &image("wide.png")]);
    command.args(args);
    command
}

/// The labels in the one record, in alphabetical order.
fn labels(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", err(output));
    let mut labels: Vec<String> = lines(output)[0]["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["label"].as_str().unwrap().to_owned())
        .collect();
    labels.sort_unstable();
    labels
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join("labels");
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_label_set_has_the_classes_of_a_dataset() {
    let listed = run(&mut zsic(&["classify", "--label-set", "list"]));
    let names = LabelSet::NAMES.join("\n") + "\n";
    assert_eq!((listed.status.code(), out(&listed), err(&listed)), (Some(0), &*names, ""));
    for name in LabelSet::NAMES {
        let output = run(&mut classify(&["--label-set", name]));
        let mut expected = LabelSet::named(name).unwrap().labels;
        expected.sort_unstable();
        assert_eq!((labels(&output), err(&output)), (expected.iter().map(|&l| l.to_owned()).collect(), ""));
    }
    for (args, expected) in [
        (&["--label-set", "imagenet"][..], "a similar value exists: 'imagenet-1k'"),
        (&["--label-set", "cifar-10", "-l", "cat"], "cannot be used with"),
        (&["--label-set", "cifar-10", "--labels-file", "x"], "cannot be used with"),
    ] {
        let output = run(&mut classify(args));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{args:?}");
        assert!(err(&output).contains(expected), "{}", err(&output));
    }
}

#[test]
fn a_labels_file_is_read_however_it_was_saved() {
    let files = Files::new();
    for bytes in [
        b"owl\nfox\n".to_vec(),
        b"owl\rfox\r".to_vec(),
        b"owl\r\nfox".to_vec(),
        utf16("\u{feff}owl\r\nfox\r\n", u16::to_le_bytes),
        utf16("\u{feff}owl\nfox", u16::to_be_bytes),
        utf16("owl\r\nfox", u16::to_le_bytes),
        utf16("\u{feff}[\"owl\", \"fox\"]", u16::to_le_bytes),
    ] {
        let output = run(&mut classify(&["--labels-file", &files.write(&bytes)]));
        assert_eq!((labels(&output), err(&output)), (vec!["fox".to_owned(), "owl".to_owned()], ""), "{bytes:?}");
    }
    for (bytes, expected) in [
        (utf16("\u{feff}owl", u16::to_le_bytes)[..7].to_vec(), "labels: is UTF-16 text that ends"),
        (b"\xff\xfe\0\0o\0\0\0".to_vec(), "labels: is UTF-32 text; save it as UTF-8"),
        (b"owl\nb\xe4r".to_vec(), "labels: line 2 is not UTF-8 text"),
    ] {
        let output = run(&mut classify(&["--labels-file", &files.write(&bytes)]));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
        assert!(err(&output).contains(expected), "{}", err(&output));
    }
}

#[test]
fn other_lists_are_read_however_they_were_saved() {
    let files = Files::new();
    let expected = run(&mut classify(&["-l", "owl,fox", "-t", "{}", "-t", "a {}"]));
    for bytes in [b"{}\ra {}\r".to_vec(), utf16("\u{feff}{}\r\na {}\r\n", u16::to_le_bytes)] {
        let output = run(&mut classify(&["-l", "owl,fox", "--template-set", &files.write(bytes)]));
        assert_eq!((err(&output), out(&output)), ("", out(&expected)));
    }
    let embed = |bytes: &[u8]| run(&mut zsic(&["embed", "-m", &model("gelu"), "--texts-file", &files.write(bytes)]));
    let expected = embed(b"a cat\na dog\n");
    for bytes in [b"a cat\ra dog".to_vec(), utf16("\u{feff}a cat\r\na dog\r\n", u16::to_be_bytes)] {
        assert_eq!(embed(&bytes).stdout, expected.stdout);
    }
    let (a, b) = (image("wide.png"), image("tall.png"));
    for list in [format!("{a}\r{b}\r").into_bytes(), utf16(&format!("\u{feff}{a}\r\n{b}\r\n"), u16::to_le_bytes)] {
        let list = files.write(list);
        let output = run(&mut zsic(&["classify", "-m", &model("quick-gelu"), "-l", "a,b", "--files-from", &list]));
        let names: Vec<_> = lines(&output).iter().map(|record| record["image"].as_str().unwrap().to_owned()).collect();
        assert_eq!((names, output.status.code()), (vec![a.clone(), b.clone()], Some(0)));
    }
    let list = files.write(utf16(&format!("{a}\n"), u16::to_le_bytes));
    let output = run(&mut zsic(&["classify", "-m", &model("quick-gelu"), "-l", "a,b", "--files-from", &list]));
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("labels: the list cannot be read to its end: it has NUL bytes; use -0"),
        "{}",
        err(&output)
    );
}

#[test]
fn labels_come_from_standard_input_and_nothing_else_does_then() {
    let output = fed(&mut classify(&["--labels-file", "-"]), b"owl\r\nfox\r\n");
    assert_eq!((labels(&output), err(&output)), (vec!["fox".to_owned(), "owl".to_owned()], ""));
    let output = fed(&mut classify(&["--labels-file", "-", "--template-set", "openai-7"]), b"owl\nfox");
    assert_eq!(labels(&output), ["fox", "owl"]);
    for args in [&["-"][..], &["--files-from", "-"], &["--template-set", "-"]] {
        let output = fed(classify(&["--labels-file", "-"]).args(args), b"");
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains("standard input can be read only once"), "{}", err(&output));
    }
    let output = fed(&mut classify(&["--labels-file", "-"]), b"owl\nowl\n");
    assert!(
        err(&output).contains("standard input: labels given more than once: `owl` (lines 1 and 2)"),
        "{}",
        err(&output)
    );
}

#[test]
fn everything_wrong_with_a_list_is_named_with_its_lines() {
    let files = Files::new();
    for (content, expected) in [
        (
            "missile\ntiger\nmissile\nsunglasses\n\nsunglasses\nmissile\n",
            "labels: labels given more than once: `missile` (lines 1, 3 and 7), `sunglasses` (lines 4 and 6); keep one of each, \
             or add a word to distinguish them",
        ),
        (
            "{\n\"a\": \"x\",\n\"b\": [\n\"y\"],\n\"b\": \"z\",\n\"a\": \"x\"}",
            "`a` (lines 2 and 6), `b` (lines 3 and 5)",
        ),
        ("[\"a\",\n\"b\",\n\"a\"]", "`a` (lines 1 and 3)"),
        ("[\"a\", \"a\"]", "`a` (line 1)"),
        ("[\"a\",\n\"\",\n\" \"]", "a label is empty (lines 2 and 3)"),
    ] {
        let output = run(&mut classify(&["--labels-file", &files.write(content)]));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
        assert!(err(&output).contains(expected), "{}", err(&output));
        assert_eq!(err(&output).lines().count(), 1);
    }
    for (args, expected) in [
        (&["-l", "a,b,a", "-l", "b"][..], "`a` (labels 1 and 3), `b` (labels 2 and 4)"),
        (&["-l", "a,,b,"], "a label is empty (labels 2 and 4)"),
        (&["-l", "a,b", "-t", "x", "-t", "{}", "-t", "{y}"], "`x` has no {} for the label; the template `{y}` has {y}"),
        (
            &["-l", "a,b", "--template-set", &files.write("x\n\na {}\r{} {}\n")],
            "labels: line 1: the template `x` has no {} for the label; line 4: ",
        ),
    ] {
        let output = run(&mut classify(args));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
        assert!(err(&output).contains(expected), "{args:?}: {}", err(&output));
    }
}

#[test]
fn json_that_is_no_list_of_labels_is_told_with_what_to_write() {
    let files = Files::new();
    let advice = "; write one label per line, or an array like [\"cat\", \"dog\"]";
    for (content, expected) in [
        (
            r#"{"fox": 0, "owl": 1}"#,
            "the label `fox` has 0 where its prompt is expected, which is a text; for labels without prompts write [\"fox\", \"owl\"]",
        ),
        (
            r#"{"fox": ["a", null]}"#,
            "the label `fox` has null where its prompt is expected, which is a text; for labels without prompts write [\"fox\"]",
        ),
        (
            r#"{"fox": [], "owl": "an owl"}"#,
            "the label `fox` has no prompt; for labels without prompts write [\"fox\", \"owl\"]",
        ),
        ("['fox', 'owl']", &format!("has single quotation marks instead of JSON's double ones{advice}")),
        ("{'fox': 'a fox'}", &format!("has single quotation marks instead of JSON's double ones{advice}")),
        ("{\"label\": \"fox\"}\n{\"label\": \"owl\"}\n", &format!("has 2 JSON values instead of one{advice}")),
        ("[\"fox\"]\n[\"owl\"]\n[1]\n", &format!("has 3 JSON values instead of one{advice}")),
        (r#"[{"name": "fox"}]"#, &format!("has {{\"name\":\"fox\"}} where a label is expected{advice}")),
        (r#"[["fox", "owl"]]"#, &format!("has [\"fox\",\"owl\"] where a label is expected{advice}")),
        (r#"["fox", "owl",]"#, &format!("begins like JSON but is not: trailing comma at line 1 column 15{advice}")),
    ] {
        let output = run(&mut classify(&["--labels-file", &files.write(content)]));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
        assert!(err(&output).ends_with(&format!("labels: {expected}\n")), "{content}: {}", err(&output));
    }
}

#[test]
fn what_is_wrong_with_many_or_long_templates_is_one_short_line() {
    let files = Files::new();
    let many: String = (1..=500).map(|n| format!("template {n}\n")).collect();
    let long = "x".repeat(100_000);
    for (content, expected) in [
        (many, "line 20: the template `template 20` has no {} for the label; and 480 more"),
        (long.clone(), "xxx…` has no {} for the label"),
        (format!("{{{long}}}"), "xxx}; the place of the label is {} or {0}"),
    ] {
        let output = run(&mut classify(&["-l", "a,b", "--template-set", &files.write(content)]));
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).trim_end().ends_with(expected) && err(&output).len() < 3000, "{}", err(&output));
    }
}

/// What is warned of, if anything: one line at most.
#[track_caller]
fn warning(output: &Output) -> Option<String> {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
    assert!(err(output).lines().count() <= 1, "{}", err(output));
    err(output).strip_prefix("warning: ").map(|line| line.trim_end().to_owned())
}

#[test]
fn labels_that_look_like_a_mistake_are_told_once_with_what_to_type() {
    let one = "and the score of one label is always 1";
    for (list, expected) in [
        ("fox", "there is one label, `fox`, and its score is always 1; add labels"),
        ("fox bear owl", "there is one label"),
        (
            "fox;bear; owl",
            "`fox;bear; owl` looks like a list and is read as one label, and the score of one label is always 1; type -l 'fox,bear,owl'",
        ),
        ("red fox|bear", "type -l 'red fox,bear'"),
        ("fox;bear,owl", "`fox;bear` looks like a list and is read as one label; type -l 'fox,bear,owl'"),
        (
            "- fox,- owl",
            "`- fox` begins with the mark of a list, which the model reads too; remove it from each: write `fox`",
        ),
        ("fox\tbear", "type -l 'fox,bear'"),
        ("fox，bear、owl", "type -l 'fox,bear,owl'"),
        ("fox、bear", one),
        (
            "fox\nbear\nowl",
            "the label `fox bear owl` contains line breaks and is read as one label, and the score of one label is always 1; separate labels by commas, or use --labels-file FILE with one per line",
        ),
        ("fox\rbear,owl", "contains line breaks"),
        ("fox\\nbear,owl", "contains line breaks"),
        (
            r#"["fox","owl"]"#,
            "the labels look like JSON and are read as they stand, `[\"fox\"` first; type -l 'fox,owl'",
        ),
        (r#"["fox", "bear", "owl"]"#, "type -l 'fox,bear,owl'"),
        (r#"{"labels":["fox","owl"]}"#, "type -l 'fox,owl'"),
        (r#"["fox"]"#, one),
        ("['fox', 'owl']", "type -l 'fox,owl'"),
        ("[fox, owl]", "type -l 'fox,owl'"),
        (r#"{"fox": "a fox", "owl": "an owl"}"#, "the labels look like JSON"),
        (r#""fox","owl""#, "the label `\"fox\"` has quotation marks, which the model reads too; type -l 'fox,owl'"),
    ] {
        let warning = warning(&run(&mut classify(&["-l", list]))).unwrap_or_default();
        assert!(warning.contains(expected), "{list}: {warning}");
    }
    let files = Files::new();
    let file = files.write("fox\nowl\n");
    let told = warning(&run(&mut classify(&["-l", &file]))).unwrap_or_default();
    assert!(told.ends_with(&format!("--labels-file {file} reads the labels in that file")), "{told}");
    for (content, expected) in [
        (
            "fox,bear,owl\n",
            "`fox,bear,owl` looks like a list and is read as one label, and the score of one label is always 1; write one label per line",
        ),
        ("fox, bear, owl\n", one),
        ("fox,bear\ncat,dog\n", "`fox,bear` looks like a list and is read as one label; write one label per line"),
        ("fox;bear\nowl\n", "write one label per line"),
        ("1\tfox\n2\tbear\n", "write one label per line"),
        ("\"fox\",\n\"bear\"\n", "the label `\"fox\",` has quotation marks, which the model reads too; remove them"),
        (
            "[\n fox,\n bear\n]\n",
            "the labels look like JSON and are read as they stand, `[` first; write one label per line",
        ),
        ("[fox, bear]\n", one),
        (
            r#"{"labels": ["fox", "bear", "owl", "cat"]}"#,
            "`labels` is read as one label with 4 prompts, and the score of one label is always 1; to use 4 labels, write [\"fox\", \"bear\", \"owl\", …]",
        ),
        (
            r#"{"name": "animals", "labels": ["fox", "bear"]}"#,
            "`labels` is read as one label with 2 prompts; to use 2 labels, write [\"fox\", \"bear\"]",
        ),
        (
            r#"{"0": "fox", "1": "bear"}"#,
            "the numbers are read as the labels, `0` first, and the names as their prompts; write [\"fox\", \"bear\"]",
        ),
        (
            "- fox\n- owl\n",
            "`- fox` begins with the mark of a list, which the model reads too; remove it from each: write `fox`",
        ),
        ("* red fox\n* owl\n", "write `red fox`"),
        ("1. fox\n2. owl\n", "write `fox`"),
        ("9) fox\n10) owl\n", "write `fox`"),
        ("labels:\n  - fox\n  - owl\n", "`- fox` begins with"),
        ("- fox\n", one),
        (
            r#"{"owl": ""}"#,
            "the label `owl` has an empty prompt, and the score of one label is always 1; write one, or for labels without prompts write [\"owl\"]",
        ),
        (
            r#"{"owl": ["an owl", " "], "fox": ""}"#,
            "`owl` has an empty prompt; write one, or for labels without prompts write [\"owl\", \"fox\"]",
        ),
        (r#"["fox,bear,owl"]"#, "write each label as its own string"),
        ("owl", "labels: there is one label, `owl`"),
    ] {
        let warning = warning(&run(&mut classify(&["--labels-file", &files.write(content)]))).unwrap_or_default();
        assert!(warning.contains(expected), "{content}: {warning}");
    }
}

#[test]
fn labels_that_are_meant_are_not_doubted() {
    for list in [
        "fox,owl",
        "[red] car,{blue} car",
        "[red],[blue]",
        "red\\, white and blue,owl",
        "don't,'n roll",
        "(a) fox,owl (b)",
        "AC/DC,rock",
    ] {
        assert_eq!(warning(&run(&mut classify(&["-l", list]))), None, "{list}");
    }
    assert_eq!(warning(&run(&mut classify(&["-l", "fox", "--activation", "sigmoid"]))), None);
    assert_eq!(err(&run(&mut classify(&["-l", "fox", "-q"]))), "");
    let files = Files::new();
    for content in [
        "red, white and blue\nowl\n",
        "tench, Tinca tinca\n1,000 dollars\n",
        "[red] car\n[blue] car\n",
        "- fox\nowl\n",
        "-fox\n-owl\n",
        "1. FC Bayern\n1. FC Union\n",
        "animal:\nfox\n",
        "{a} car\n{b} car\n",
        r#"{"owl": ["an owl", "a barn owl"], "fox": "a fox"}"#,
        r#"["[red] car", "owl, asleep"]"#,
        r#"["(red, blue)", "fox;bear,\"owl\""]"#,
    ] {
        let output = run(&mut classify(&["--labels-file", &files.write(content)]));
        assert_eq!((warning(&output), labels(&output).len()), (None, 2), "{content}");
    }
    let meant = r#"{"owl": ["an owl", "a barn owl"]}"#;
    let output = run(&mut classify(&["--activation", "sigmoid", "--labels-file", &files.write(meant)]));
    assert_eq!(warning(&output), None);
}

#[test]
fn a_label_may_begin_with_a_hyphen_and_no_flag_is_taken_for_one() {
    let output = run(&mut classify(&["-l", "-10 degrees,owl", "-t", "- {}"]));
    for template in ["-- {}", "--{}", "--a {}", "-a {}", "--{}=x"] {
        assert_eq!(labels(&run(&mut classify(&["-l", "fox,owl", "-t", template]))), ["fox", "owl"], "{template}");
    }
    assert_eq!((labels(&output), err(&output)), (vec!["-10 degrees".to_owned(), "owl".to_owned()], ""));
    assert_eq!(labels(&run(&mut classify(&["-l", "-1", "-l", "owl"]))), ["-1", "owl"]);
    for args in [
        &["-l", "-k", "1"][..],
        &["-l", "-k1"],
        &["-l", "--template", "{}"],
        &["-l", "-0"],
        &["-l", "--", "x"],
        &["-l", "--template=a {}"],
        &["-l", "a,b", "-t", "-k"],
        &["-l"],
    ] {
        let output = run(&mut classify(args));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{args:?}");
        assert!(err(&output).contains("a value is "), "{args:?}: {}", err(&output));
    }
}

#[test]
fn the_words_of_the_python_pipeline_are_understood() {
    let expected = run(&mut classify(&["-l", "cat,dog", "-t", "a {}"]));
    for (labels, template) in
        [("--candidate-labels", "--hypothesis-template"), ("--candidate_labels", "--hypothesis_template")]
    {
        let output = run(&mut classify(&[labels, "cat,dog", template, "a {0}"]));
        assert_eq!((err(&output), out(&output)), ("", out(&expected)));
    }
    let help = run(&mut zsic(&["classify", "--help"]));
    assert!(!out(&help).contains("candidate") && !out(&help).contains("hypothesis"));
    let output = run(&mut classify(&["-l", "cat,dog", "-t", "{{}} {}", "-vv"]));
    assert!(err(&output).contains("cat: {} cat\n"), "{}", err(&output));
}

#[test]
fn a_script_that_the_vocabulary_hardly_knows_is_told_on_every_run() {
    let told = |args: &[&str]| {
        let mut command = zsic(&["classify", "-m", "demo", &image("wide.png")]);
        warning(&run(command.args(args)))
    };
    for list in [
        "кошка,собака",
        "قطة,كلب",
        "猫,狗",
        "フクロウ,キツネ",
        "고양이,개",
        "γάτα,σκύλος",
        "חתול,כלב",
        "แมว,หมี",
        "बिल्ली,कुत्ता",
        "cat,собака",
    ] {
        for _ in 0..2 {
            let warning = told(&["-l", list]).unwrap_or_default();
            assert!(warning.contains("hardly knows the script of `"), "{list}: {warning}");
            assert!(warning.contains("google/siglip2-base-patch16-224"), "{warning}");
        }
    }
    assert!(told(&["-l", "cat,dog", "-t", "Это фото {}."]).is_some());
    for list in ["forêt,crème brûlée", "người,chó", "kırmızı araba,ağaç", "żółw,łódź", "😀,🦊", "π,Ω", "café,ＣＡＴ"]
    {
        assert_eq!(told(&["-l", list]), None, "{list}");
    }
    let files = Files::new();
    let english = files.write(r#"{"кошка": "a cat", "собака": "a dog"}"#);
    assert_eq!(told(&["--labels-file", &english]), None, "the model reads prompts");
}
