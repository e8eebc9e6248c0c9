//! `zsic compile`, `--calibrate` and `--classifier`.

use std::fs;

use serde_json::Value;

use crate::common::command::{err, lines, model, out, run, zsic};
use crate::few_shot::{SWAPPED, demo, folder, picture, printed, variation};

/// Temperature, offset and thresholds were fitted together, and with one activation.
#[test]
fn calibrated_rules_stay_together() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("known"), &labels, (0, 11), false);
    printed(dir.path(), &["compile", "-l", "owl,fox", "--calibrate", "known", "-o", "a.zsc"]);
    printed(dir.path(), &["compile", "-l", "owl,fox", "--temperature", "2", "-o", "free.zsc"]);
    let classify = |file: &str, args: &[&str]| {
        demo(dir.path(), &[&["classify", "demo:owl.png", "--classifier", file], args].concat())
    };
    for args in
        [&["--temperature", "3"][..], &["--activation", "sigmoid"], &["--temperature", "3", "--threshold", "0.5"]]
    {
        let output = classify("a.zsc", args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(
            err(&output).contains("were fitted together; compile it again without --calibrate"),
            "{}",
            err(&output)
        );
    }
    for args in [&["--threshold", "0.5"][..], &["--activation", "softmax"]] {
        assert!(classify("a.zsc", args).status.success(), "{args:?}");
    }
    assert!(classify("free.zsc", &["--temperature", "3"]).status.success());
}

/// The same picture cannot teach one label and calibrate another.
#[test]
fn an_example_with_another_label_among_the_known_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("set"), &labels, (0, 2), false);
    folder(&dir.path().join("known"), &labels, (5, 11), false);
    let compile = ["compile", "--examples", "set", "--background", "a car", "--calibrate", "known", "-o", "a.zsc"];
    for other in ["fox", "unknown"] {
        let folder = dir.path().join("known").join(other);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(dir.path().join("set/owl/001.ppm"), folder.join("x.ppm")).unwrap();
        let output = demo(dir.path(), &compile);
        assert_eq!(output.status.code(), Some(2), "{other}: {}", err(&output));
        let both = format!("two labels: set/owl/001.ppm (`owl`) and known/{other}/x.ppm (`{other}`)");
        assert!(err(&output).contains(&both), "{}", err(&output));
        fs::remove_file(folder.join("x.ppm")).unwrap();
    }
    let output = demo(dir.path(), &compile);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    // What the background rejects is told of the rules that are written.
    let at = |text: &str| err(&output).find(text).unwrap_or_else(|| panic!("{text}: {}", err(&output)));
    assert!(at("the background rejects") > at("mean negative log-likelihood"), "{}", err(&output));
}

/// A label that no known picture shows has a threshold of others, and no promise. Few pictures of none weigh no background.
#[test]
fn what_calibration_cannot_know_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("known"), &labels, (0, 11), false);
    folder(&dir.path().join("known"), &[("unknown", "bear.png")], (0, 3), false);
    let args = ["compile", "-l", "owl,fox,cat", "--background", "pizza", "--calibrate", "known", "-o", "a.zsc"];
    let output = demo(dir.path(), &[&args[..], &["--want", "recall=0.4"]].concat());
    let said = err(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("share one threshold: owl, fox\n"), "{said}");
    assert!(said.contains("has no picture of these labels, so --want promises nothing for them: cat\n"), "{said}");
    let few = "--calibrate: 3 pictures of none of the labels cannot say how much the background weighs";
    assert!(said.contains(few) && !said.contains("logit moves"), "{said}");
    // Pictures whose answers are all wrong.
    let wrong = [("owl", "fox.png"), ("fox", "bear.png"), ("bear", "owl.png")];
    folder(&dir.path().join("wrong"), &wrong, (0, 8), false);
    let output = demo(dir.path(), &["compile", "-l", "owl,fox,bear", "--calibrate", "wrong", "-o", "b.zsc"]);
    let said = err(&output);
    assert!(
        said.contains("as the scores say too little about these pictures, so it stays 1; use --examples"),
        "{said}"
    );
}

/// Names that a file cannot hold are refused before anything is learned.
#[test]
fn a_name_that_no_classifier_holds_is_named() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 1), false);
    fs::write(dir.path().join("space.json"), r#"["x ", "y"]"#).unwrap();
    fs::write(dir.path().join("groups.csv"), "\"x\",\"a\tb\"\ny,c\n").unwrap();
    for (args, name) in [
        (&["--labels-file", "space.json"][..], "`x `"),
        (&["-l", "x,y", "--groups", "groups.csv"], "`a"),
        (&["-l", "x,y", "--background", "a\tb"], "`a"),
    ] {
        let output = demo(dir.path(), &[&["compile", "--examples", "set", "-o", "a.zsc"], args].concat());
        let said = err(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        let reason = "has a space at an end, or a control character, which a classifier cannot hold";
        assert!(said.contains(name) && said.contains(reason) && !said.contains("accuracy"), "{said}");
    }
}

/// Reports say what was scored by, and by which rules.
#[test]
fn reports_name_what_taught() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 2), false);
    let compile = ["compile", "--examples", "set", "--background", "a car", "--threshold", "thing=0.25", "-o", "a.zsc"];
    printed(dir.path(), &compile);
    let page = |args: &[&str]| {
        printed(dir.path(), &[args, &["-o", "page.html"]].concat());
        fs::read_to_string(dir.path().join("page.html")).unwrap()
    };
    let by_file = ["--classifier", "a.zsc"];
    let classified = page(&[&["classify", "demo:owl.png"], &by_file[..], &["--temperature", "2"]].concat());
    assert!(classified.contains("<dt>Classifier</dt><dd>a.zsc</dd>"), "{}", &classified[..3000]);
    let rules = "<dt>Rules</dt><dd>temperature 2; 1 label in the background; thresholds thing=0.25</dd>";
    assert!(classified.contains(rules) && !classified.contains("each label has its own"), "{}", &classified[..3000]);
    let examples = "<dt>Examples</dt><dd>set, head anchored</dd>";
    assert!(page(&["classify", "demo:owl.png", "--examples", "set"]).contains(examples));
    assert!(page(&["eval", "set", "--examples", "set"]).contains(examples));
    let evaluated = page(&[&["eval", "set"], &by_file[..]].concat());
    let rules = "<dt>Rules</dt><dd>1 label in the background; thresholds thing=0.25</dd>";
    assert!(evaluated.contains(rules), "{}", &evaluated[..3000]);
    assert!(evaluated.contains("<dt>Classifier</dt><dd>a.zsc</dd>") && !evaluated.contains("each label has its own"));
    let meta = ["--temperature", "2", "--meta", "meta.json", "-o", "a.jsonl"];
    printed(dir.path(), &[&["classify", "demo:owl.png"], &by_file[..], &meta].concat());
    let meta: Value = serde_json::from_str(&fs::read_to_string(dir.path().join("meta.json")).unwrap()).unwrap();
    let expected = serde_json::json!({
        "background": {"a car": []}, "built_in": false, "threshold": ["thing=0.25"], "independent": false, "temperature": 2.0,
    });
    assert_eq!(meta["decision"], expected);
}

/// A compiled classifier gives the bits of the flags that it was compiled from, and the same flags the same file.
#[test]
fn a_classifier_scores_as_its_flags_do() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("set"), &SWAPPED, (0, 3), false);
    fs::write(dir.path().join("groups.csv"), "fox,beast\nbear,beast\n").unwrap();
    let pictures = ["owl.png", "owl.jpg", "fox.png", "bear.png"].map(|name| picture(name).display().to_string());
    let classify = |flags: &[&str]| {
        let args = [&["classify", "--logits"], flags].concat();
        printed(dir.path(), &args.into_iter().chain(pictures.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    for (number, flags) in [
        &["-l", "fox,bear,owl"][..],
        &["-l", "fox,bear,owl", "--template-set", "openai-7", "--activation", "sigmoid"],
        &["-l", "fox,bear,owl", "--unknown", "--threshold", "fox=0.5,*=0.1", "--temperature", "1.7"],
        &["-l", "fox,owl", "--background", "a car,a bear", "--independent"],
        &["-l", "fox,bear,owl", "--groups", "groups.csv"],
        &["--examples", "set"],
        &["-l", "thing,owl", "--examples", "set", "--background", "matter", "--head", "prototype"],
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("{number}.zsc");
        printed(dir.path(), &[&["compile", "-o", &file], flags].concat());
        assert_eq!(classify(&["--classifier", &file]), classify(flags), "{flags:?}");
        let again = format!("{number}-again.zsc");
        printed(dir.path(), &[&["compile", "-o", &again, "-j", "1", "--no-cache"], flags].concat());
        assert!(fs::read(dir.path().join(&file)).unwrap() == fs::read(dir.path().join(&again)).unwrap(), "{flags:?}");
    }
    let bytes = fs::read(dir.path().join("5.zsc")).unwrap();
    let about = String::from_utf8_lossy(&bytes);
    assert!(!about.contains(&dir.path().display().to_string()) && about.contains("cross_validation"));
    // Without a flag, the model is the file's own. Thresholds may be changed.
    let output =
        run(zsic(&["classify", "--classifier", "0.zsc", &pictures[0], "--threshold", "1"]).current_dir(dir.path()));
    assert_eq!(
        (output.status.code(), &lines(&output)[0]["answers"]),
        (Some(0), &serde_json::json!([])),
        "{}",
        err(&output)
    );
}

#[test]
fn a_classifier_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    printed(dir.path(), &["compile", "-l", "fox,owl", "-o", "demo.zsc"]);
    let tiny = model("quick-gelu");
    let made = run(zsic(&["compile", "-m", &tiny, "-l", "fox,owl", "-o", "tiny.zsc"]).current_dir(dir.path()));
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let whole = fs::read(dir.path().join("demo.zsc")).unwrap();
    fs::write(dir.path().join("cut.zsc"), &whole[..whole.len() - 9]).unwrap();
    fs::write(dir.path().join("empty.zsc"), b"").unwrap();
    let newer = String::from_utf8_lossy(&whole).find(r#"\"format\":1"#).unwrap() + 11;
    let mut other = whole.clone();
    other[newer] = b'7';
    fs::write(dir.path().join("newer.zsc"), other).unwrap();
    let mut header = (u64::MAX / 2).to_le_bytes().to_vec();
    header.extend(b"{}");
    fs::write(dir.path().join("header.zsc"), header).unwrap();
    for (model, file, reason) in [
        ("demo", "tiny.zsc", "was made with the checkpoint quick-gelu ("),
        ("demo", "tiny.zsc", "; name that one with --model, or compile the labels again"),
        (&tiny, "demo.zsc", "was made with the checkpoint demo ("),
        (&tiny, "demo.zsc", "; leave --model out, or compile the labels again"),
        ("demo", "cut.zsc", "is cut off"),
        ("demo", "empty.zsc", "cut off"),
        ("demo", "header.zsc", "header too large"),
        ("demo", "newer.zsc", "was made by a newer zsic: its format is 7, and this version reads 1"),
        ("demo", "nothing.zsc", "cannot be read: "),
    ] {
        let args = ["classify", "-m", model, "demo:owl.png", "--classifier", file];
        let output = run(zsic(&args).current_dir(dir.path()));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{file}: {}", err(&output));
        let said = err(&output);
        assert!(said.contains(&format!("{file}: ")) && said.contains(reason), "{file}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    }
    let output = run(zsic(&["classify", "demo:owl.png", "--classifier", "tiny.zsc"]).current_dir(dir.path()));
    assert!(err(&output).contains("name that folder with --model"), "{}", err(&output));
    for args in [
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "-l", "a,b"][..],
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "--examples", "set"],
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "--unknown"],
        &["classify", "demo:owl.png", "-l", "a,b", "--head", "text"],
        &["compile", "--classifier", "demo.zsc", "-o", "x.zsc"],
        &["classify", "demo:owl.png", "--classifier", "demo.zsc", "--head", "text"],
        &["compile", "-l", "a,b", "-o", "x.json"],
        &["compile", "-l", "a,b", "-o", "x"],
        &["compile", "-l", "a,b", "-o", "x.zsc", "--want", "precision=0.9"],
        &["compile", "-l", "a,b", "-o", "x.zsc", "--calibrate", ".", "--want", "f1=0.9"],
    ] {
        let output = demo(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
    }
    assert!(!dir.path().join("x.zsc").exists());
}

#[test]
fn calibration_fits_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("owl", "owl.png"), ("fox", "fox.png")];
    folder(&dir.path().join("known"), &labels, (0, 11), false);
    folder(&dir.path().join("known"), &[("unknown", "bear.png")], (0, 22), false);
    let compile = ["compile", "-l", "owl,fox", "--background", "a car", "--calibrate", "known", "-o", "a.zsc"];
    let output = demo(dir.path(), &[&compile[..], &["--want", "recall=0.4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = err(&output);
    assert!(
        said.contains("22 pictures of the labels, 22 of none of them: temperature ")
            && said.contains("the background's logit moves"),
        "{said}"
    );
    assert!(
        said.contains("22 pictures show a label; 100 would be better")
            && said.contains("share one threshold: owl, fox"),
        "{said}"
    );
    let bears = run(zsic(&["classify", "known/unknown", "known/owl", "--classifier", "a.zsc"]).current_dir(dir.path()));
    let records = lines(&bears);
    let rejected = records[..22].iter().filter(|record| record["answers"].as_array().unwrap().is_empty()).count();
    let accepted = records[22..].iter().filter(|record| record["answers"][0] == "owl").count();
    assert!(rejected >= 15 && accepted >= 8, "{rejected} {accepted}");
    // What no threshold keeps is never accepted.
    folder(&dir.path().join("uneven"), &labels[..1], (0, 22), false);
    folder(&dir.path().join("uneven"), &labels[1..], (0, 3), false);
    let compile = ["compile", "-l", "owl,fox", "--calibrate", "uneven", "-o"];
    let output = demo(dir.path(), &[&compile[..], &["a.zsc", "--want", "precision=0.5"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("they are never accepted: fox\n"), "{}", err(&output));
    let none = run(zsic(&["classify", "known/fox", "--classifier", "a.zsc"]).current_dir(dir.path()));
    assert!(lines(&none).iter().all(|record| record["answers"] == serde_json::json!([])));
    run(zsic(&["classify", "known/fox", "--classifier", "a.zsc", "-o", "n.html"]).current_dir(dir.path()));
    assert!(fs::read_to_string(dir.path().join("n.html")).unwrap().contains("fox=never"));
    folder(&dir.path().join("wrong"), &[("owl", "fox.png"), ("fox", "owl.png")], (0, 22), false);
    let wrong = ["compile", "-l", "owl,fox", "--calibrate", "wrong", "-o", "never.zsc", "--want", "precision=0.5"];
    let output = demo(dir.path(), &wrong);
    assert!(output.status.code() == Some(2) && err(&output).contains("too many answers are wrong"), "{}", err(&output));
    for (promise, least) in [
        ("precision=0.95", "precision 0.95 takes at least 73 answers of a label, all right"),
        ("recall=0.99", "recall 0.99 takes at least 381 pictures of a label, all right"),
    ] {
        let output = demo(dir.path(), &[&compile[..], &["never.zsc", "--want", promise]].concat());
        assert_eq!(output.status.code(), Some(2), "{promise}: {}", err(&output));
        assert!(err(&output).contains(least), "{}", err(&output));
        assert!(["never.zsc", "never.zsc.partial"].iter().all(|name| !dir.path().join(name).exists()));
    }
    // Pictures that taught do not calibrate.
    folder(&dir.path().join("taught"), &labels, (0, 11), false);
    let same = ["compile", "--examples", "taught", "--calibrate", "taught", "-o", "b.zsc"];
    let output = demo(dir.path(), &same);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("left out 22 pictures that --examples has too")
            && err(&output).contains("0 pictures show a label; at least 20 are needed"),
        "{}",
        err(&output)
    );
}

/// What right answers alone say of the temperature is nothing, and what pictures of nothing say is nothing.
#[test]
fn calibration_refuses_what_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("right"), &[("owl", "owl.png"), ("fox", "fox.png")], (0, 11), false);
    let output = demo(dir.path(), &["compile", "-l", "owl,fox", "--calibrate", "right", "-o", "a.zsc"]);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: --calibrate: a lower temperature is always better, as where every answer is right"),
        "{said}"
    );
    assert!(said.contains("temperature 1.000") && !said.contains("-0.000"), "{said}");
    let calibrate = |set: &str, more: &[&str]| {
        let args = [&["compile", "-l", "owl,fox", "--calibrate", set, "-o", "b.zsc"], more].concat();
        let output = demo(dir.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{set}: {}", err(&output));
        err(&output).to_owned()
    };
    folder(&dir.path().join("none"), &[("unknown", "bear.png")], (0, 11), false);
    for more in [&[][..], &["--background", "a car"]] {
        assert!(calibrate("none", more).contains("--calibrate: 0 pictures show a label; at least 20 are needed"));
    }
    for copy in 0..30 {
        fs::create_dir_all(dir.path().join("copies/owl")).unwrap();
        fs::write(dir.path().join(format!("copies/owl/{copy}.ppm")), variation("owl.png", 0)).unwrap();
    }
    assert!(calibrate("copies", &[]).contains("1 picture shows a label; at least 20 are needed, and 100 are better"));
    folder(&dir.path().join("both"), &[("owl", "owl.png"), ("fox", "owl.png")], (0, 11), false);
    assert!(calibrate("both", &[]).contains("the same picture has two labels: "));
}

#[test]
fn a_classifier_s_rules_are_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = ["owl.png", "fox.png", "bear.png"].map(|name| picture(name).display().to_string());
    let rules = ["-l", "fox,owl", "--background", "a car", "--independent"];
    printed(dir.path(), &[&["compile", "-o", "two.zsc"], &rules[..]].concat());
    let grep = |flags: &[&str]| {
        let args = [&["grep", "--scores", "--is", "fox,owl"], flags].concat();
        printed(dir.path(), &args.into_iter().chain(pictures.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    assert_eq!(grep(&["--classifier", "two.zsc"]), grep(&rules), "scores of independent labels do not add up");
    // A classifier that can only say yes is no answer.
    printed(dir.path(), &["compile", "-l", "owl", "-o", "one.zsc"]);
    for command in ["grep", "test"] {
        let output = demo(dir.path(), &[command, &pictures[1], "--is", "owl", "--classifier", "one.zsc"]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains("one.zsc: --is names all its labels"), "{}", err(&output));
    }
    let output = demo(dir.path(), &["grep", &pictures[1], "--is", "wolf", "--classifier", "two.zsc"]);
    assert!(
        output.status.code() == Some(2) && err(&output).contains("two.zsc has no label `wolf`; it has fox, owl\n"),
        "{}",
        err(&output)
    );
    printed(dir.path(), &["compile", "-l", "owl", "--unknown", "-o", "one.zsc"]);
    let output = demo(dir.path(), &["grep", &pictures[0], &pictures[1], "--is", "owl", "--classifier", "one.zsc"]);
    assert_eq!(out(&output).trim_end(), pictures[0]);
    // An evaluation names it, and cannot vary what it has fixed.
    folder(&dir.path().join("set"), &[("owl", "owl.png"), ("fox", "fox.png")], (0, 2), false);
    printed(dir.path(), &["compile", "-l", "fox,owl", "-o", "plain.zsc"]);
    let report: Value =
        serde_json::from_str(&printed(dir.path(), &["eval", "set", "--classifier", "plain.zsc"])).unwrap();
    assert_eq!(report["runs"][0]["classifier"], "plain.zsc");
    let report: Value = serde_json::from_str(&printed(dir.path(), &["eval", "set", "--examples", "set"])).unwrap();
    assert_eq!((&report["runs"][0]["examples"], &report["runs"][0]["head"]), (&"set".into(), &"anchored".into()));
    let output = demo(dir.path(), &["eval", "set", "--classifier", "plain.zsc", "--vary", "template=a {},b {}"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--vary template changes no score of --classifier"), "{}", err(&output));
    let output = demo(dir.path(), &["eval", "set", "--classifier", "plain.zsc", "--vary", "classifier=two.zsc"]);
    assert!(err(&output).contains("give --classifier or --vary classifier, not both"), "{}", err(&output));
}

#[test]
fn a_classifier_chooses_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    printed(dir.path(), &["compile", "-l", "fox,owl", "-o", "demo.zsc"]);
    let classify = |file: &str, more: &[&str]| {
        let args = [&["classify", "demo:owl.png", "--classifier", file], more].concat();
        zsic(&args)
            .current_dir(dir.path())
            .env("ZSIC_MODEL", model("gelu"))
            .env("ZSIC_REVISION", "old")
            .output()
            .unwrap()
    };
    let output = classify("demo.zsc", &["-v"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("demo.zsc: 2 labels of demo: fox, owl"), "{}", err(&output));
    assert!(
        err(&output).contains("demo.zsc: names its own checkpoint, so ZSIC_MODEL does not count"),
        "{}",
        err(&output)
    );
    let output = classify("demo.zsc", &["--revision", "main"]);
    assert!(
        output.status.code() == Some(2) && err(&output).contains("use --revision with --model"),
        "{}",
        err(&output)
    );
    // A file leads to no path, whatever it says, and a folder called demo is not the built-in checkpoint.
    let read = zsic::compiled::Compiled::open(&dir.path().join("demo.zsc")).unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (name, commit) in [("/etc", commit), ("..", commit), ("a/b", "main"), ("clip", commit), ("here/now", commit)] {
        let mut other = read.clone();
        let of = &mut other.about.checkpoint;
        (of.name, of.commit, of.built_in) = (name.to_owned(), Some(commit.to_owned()), false);
        fs::write(dir.path().join("other.zsc"), other.to_bytes()).unwrap();
        fs::create_dir_all(dir.path().join("here/now")).unwrap();
        let output = classify("other.zsc", &["--offline"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", err(&output));
        assert!(err(&output).contains("name that folder with --model"), "{}", err(&output));
        let is_beside = name == "here/now";
        assert_eq!(err(&output).contains("of the hub, and a folder here has that name"), is_beside, "{}", err(&output));
    }
    fs::create_dir(dir.path().join("demo")).unwrap();
    for entry in fs::read_dir(model("quick-gelu")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join("demo").join(path.file_name().unwrap())).unwrap();
    }
    let made = run(zsic(&["compile", "-m", "./demo", "-l", "fox,owl", "-o", "folder.zsc"]).current_dir(dir.path()));
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let output = classify("folder.zsc", &[]);
    assert!(err(&output).contains("in a folder `demo`; name that folder with --model"), "{}", err(&output));
    // Other settings of the same checkpoint are told.
    let output = run(zsic(&["compile", "-m", "./demo", "--image-size", "48", "-l", "fox,owl", "-o", "big.zsc"])
        .current_dir(dir.path()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let output =
        run(zsic(&["classify", "-m", "./demo", "demo:owl.png", "--classifier", "big.zsc"]).current_dir(dir.path()));
    assert!(
        err(&output).contains(
            "big.zsc: made with image size 48; this run uses the checkpoint's own settings; give --image-size"
        ),
        "{}",
        err(&output)
    );
    let args = ["classify", "-m", "./demo", "demo:owl.png", "--classifier", "big.zsc", "--image-size", "48"];
    assert_eq!(run(zsic(&args).current_dir(dir.path())).status.code(), Some(0));
}
