//! `--format html` of `classify` and `eval`: what is on the page, in which order, and that no name on it does anything.
//! `tools/page_test.py` tries it in a browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::common::command::{err, lines, run, zsic};
#[cfg(unix)]
use crate::common::terminal::screen;
use crate::eval::labelled;

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)
}

/// Pictures under these names in a folder.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let all = ["owl.jpg", "fox.png", "bear.png", "mixed/img_02.jpg", "mixed/img_04.jpg"];
    for (name, from) in names.iter().zip(all.iter().cycle()) {
        let to = dir.path().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(picture(from), to).unwrap();
    }
    dir
}

fn classify(dir: &Path, args: &[&str]) -> Output {
    run(zsic(&["classify", "-m", "demo"]).args(args).current_dir(dir))
}

/// The page that a command makes.
fn page(dir: &Path, args: &[&str]) -> String {
    let output = classify(dir, &[args, &["-o", "review.html"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    fs::read_to_string(dir.join("review.html")).unwrap()
}

/// What is between two texts, the first time.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
}

/// What the page's script gets.
fn data(page: &str) -> Value {
    serde_json::from_str(between(page, "<script type=\"application/json\" id=\"data\">", "</script>")).unwrap()
}

/// The cards, in their order.
fn cards(page: &str) -> Vec<&str> {
    page.split("<div class=\"card").skip(1).map(|card| card.split("</div>").next().unwrap()).collect()
}

fn names(page: &str) -> Vec<String> {
    let data = data(page);
    let images = data["images"].as_array().unwrap().iter();
    images.map(|image| image["image"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_least_certain_image_comes_first() {
    let dir = folder(&["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]);
    let page = page(dir.path(), &[".", "-l", "owl,fox,cat"]);
    let records = lines(&classify(dir.path(), &[".", "-l", "owl,fox,cat"]));
    let score = |record: &Value, at: usize| record["predictions"][at]["score"].as_f64().unwrap();
    let mut expected: Vec<(f64, &str)> =
        records.iter().map(|r| (score(r, 0) - score(r, 1), r["image"].as_str().unwrap())).collect();
    expected.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(names(&page), expected.iter().map(|(_, name)| *name).collect::<Vec<_>>());
    let first = records.iter().find(|record| record["image"] == expected[0].1).unwrap();
    let shown = &data(&page)["images"][0];
    assert_eq!(shown["scores"][0][1], first["predictions"][0]["score"]);
    assert_eq!(data(&page)["labels"][shown["answer"][0].as_u64().unwrap() as usize], first["predictions"][0]["label"]);
    let cards = cards(&page);
    assert_eq!(cards.len(), 5);
    assert!(cards[0].contains(&format!(">{}</bdi>", expected[0].1.trim_start_matches("./"))), "{}", cards[0]);
}

#[test]
fn a_page_says_what_it_shows() {
    let dir = folder(&["a.jpg", "b.jpg"]);
    fs::write(dir.path().join("torn.jpg"), &fs::read(picture("owl.jpg")).unwrap()[..900]).unwrap();
    let output = classify(dir.path(), &[".", "-l", "owl,fox", "-t", "a <{}>", "--format", "html"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let page = String::from_utf8(output.stdout).unwrap();
    for part in
        ["<h1>3 images</h1>", "demo</dd>", "a &lt;{}&gt;", "<dd>2</dd>", "1 image failed", "<bdi>./torn.jpg</bdi>"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(cards(&page).len(), 2);
    assert!(page.ends_with("</html>\n"));
}

#[test]
fn thumbnails_are_small_jpegs_of_the_images() {
    let dir = folder(&["a.jpg", "b.png", "c.png"]);
    fs::create_dir(dir.path().join("tar")).unwrap();
    fs::rename(dir.path().join("b.png"), dir.path().join("tar/b.png")).unwrap();
    let tar = std::process::Command::new("tar").args(["cf", "set.tar", "tar/b.png"]).current_dir(dir.path()).status();
    assert!(tar.unwrap().success());
    let inputs = ["a.jpg", "set.tar", "c.png", "demo:owl.png"];
    let page = page(dir.path(), &[&inputs[..], &["-l", "owl,fox,bear"]].concat());
    let names = names(&page);
    assert_eq!(cards(&page).len(), 4);
    for (name, card) in names.iter().zip(cards(&page)) {
        let jpeg = STANDARD.decode(between(card, "data:image/jpeg;base64,", "\"")).unwrap();
        assert!(jpeg.len() < 20_000, "{name}: {} bytes", jpeg.len());
        let small = zsic::source::decode(&jpeg, 1 << 20).unwrap();
        assert_eq!(small.width().max(small.height()), 192, "{name}");
        let from = match name.as_str() {
            "a.jpg" => "owl.jpg",
            "set.tar/tar/b.png" => "fox.png",
            "c.png" => "bear.png",
            "demo:owl.png" => "owl.png",
            other => panic!("{other}"),
        };
        let whole = zsic::source::decode(&fs::read(picture(from)).unwrap(), 1 << 26).unwrap();
        let mean = |image: &image::RgbImage| {
            let sums = image.pixels().fold([0u64; 3], |sums, pixel| [0, 1, 2].map(|c| sums[c] + u64::from(pixel.0[c])));
            sums.map(|sum| sum as f64 / f64::from(image.width() * image.height()))
        };
        for (a, b) in mean(&small).into_iter().zip(mean(&whole)) {
            assert!((a - b).abs() < 3.0, "{name}: its mean colour is {a} instead of {b}");
        }
    }
}

#[test]
fn the_same_inputs_make_the_same_page() {
    let dir = folder(&["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]);
    let first = page(dir.path(), &[".", "-l", "owl,fox,cat", "-j", "1"]);
    assert_eq!(first, page(dir.path(), &[".", "-l", "owl,fox,cat", "-j", "4"]));
    let streamed = classify(dir.path(), &[".", "-l", "owl,fox,cat", "--format", "html", "--no-cache"]);
    assert_eq!(first, String::from_utf8(streamed.stdout).unwrap());
    for word in ["localhost", "http:", "https:"] {
        assert!(!first.replace("http://www.w3.org/2000/svg", "").contains(word), "{word}");
    }
}

#[test]
fn only_the_pages_own_style_and_script_may_run() {
    let dir = folder(&["a.jpg"]);
    let page = page(dir.path(), &[".", "-l", "owl,fox"]);
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
    let style = hash(between(&page, "<style>", "</style>"));
    let script = hash(between(&page, "<script>", "</script>"));
    let expected = format!(
        "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
    );
    assert_eq!(policy, expected);
    let markup = page.split_once("<script>").unwrap().0;
    for inline in [" style=\"", " onclick", " onerror", " onload", "<link rel=\"stylesheet", "javascript:"] {
        assert!(!markup.contains(inline), "{inline}");
    }
}

/// What a stranger may call a file or a label.
const HOSTILE: [&str; 7] = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "<!--<script>",
    "a\nb\rc\td",
    "gpj.\u{202e}exe\u{2066}\u{200b}",
    "a, \"b\" & c;d",
];

#[cfg(unix)]
#[test]
fn hostile_names_are_inert() {
    use std::os::unix::ffi::OsStrExt;

    let plain = folder(&["a.jpg"]);
    let tags = |page: &str| ["<script", "<img", "<div", "<!--", "<svg", "<bdi"].map(|tag| page.matches(tag).count());
    let mut labels = HOSTILE.map(|label| label.replace(['\n', '\r', '\t', '\0'], " ").replace(',', "\\,")).to_vec();
    labels.push("owl".to_owned());
    let labels = labels.join(",");
    let expected = tags(&page(plain.path(), &["a.jpg", "-l", "owl,fox", "-t", "{}"]));
    for name in HOSTILE.map(|name| format!("{}.jpg", name.replace('/', "\u{2215}")).into_bytes()).into_iter().chain([
        b"not \xff\xfe UTF-8.jpg".to_vec(),
        b"</script><script>alert(1)<script>.jpg".to_vec(), // in a folder called `<`
    ]) {
        let dir = folder(&[]);
        let file = dir.path().join(std::ffi::OsStr::from_bytes(&name));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(picture("owl.jpg"), &file).unwrap();
        let page = page(dir.path(), &[".", "-l", &labels, "-t", "{}"]);
        assert_eq!(tags(&page), expected, "{name:?}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{2066}') && !page.contains('\u{200b}'), "{name:?}");
        assert!(!page.contains('\r') && !page.contains('\t'), "{name:?}");
        // The script knows the names as they are: they are what is saved.
        let record = &lines(&classify(dir.path(), &[".", "-l", &labels, "-t", "{}"]))[0];
        let known = data(&page);
        assert_eq!(known["images"][0]["image"], record["image"]);
        let answer = known["images"][0]["answer"][0].as_u64().unwrap() as usize;
        assert_eq!(known["labels"][answer], record["predictions"][0]["label"]);
        assert!(cards(&page)[0].contains("data:image/jpeg;base64,"), "{name:?} was not read again");
    }
}

#[test]
fn doubtful_answers_come_first() {
    let dir = folder(&["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]);
    let args = [".", "-l", "owl,fox", "--unknown"];
    let known = data(&page(dir.path(), &args));
    let records = lines(&classify(dir.path(), &args));
    let margin = |image: &Value| {
        let record = records.iter().find(|record| record["image"] == image["image"]).unwrap();
        let score = |at: usize| record["predictions"][at]["score"].as_f64().unwrap();
        let unknown = record["unknown"].as_f64().unwrap();
        let is_unknown = record["answers"].as_array().unwrap().is_empty();
        assert_eq!(image["answer"].as_array().unwrap().is_empty(), is_unknown);
        assert_eq!(image["unknown"], record["unknown"]);
        if is_unknown { unknown - score(0) } else { (score(0) - unknown).min(score(0) - score(1)) }
    };
    let margins: Vec<f64> = known["images"].as_array().unwrap().iter().map(margin).collect();
    assert!(margins.is_sorted(), "{margins:?}");
    assert!(known["images"].as_array().unwrap().iter().any(|image| image["answer"].as_array().unwrap().is_empty()));
}

#[test]
fn a_page_has_what_a_record_leaves_out() {
    let dir = folder(&["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]);
    for rules in [&[][..], &["--unknown"], &["--threshold", "0.3"]] {
        let args = [&[".", "-l", "owl,fox,cat,dog"][..], rules].concat();
        let whole = page(dir.path(), &args);
        for shortened in [&["--min-score", "0.9999"][..], &["-k", "1"], &["-k", "2", "--min-score", "0.5"]] {
            assert_eq!(page(dir.path(), &[&args[..], shortened].concat()), whole, "{rules:?} {shortened:?}");
        }
        let images = data(&whole)["images"].as_array().unwrap().clone();
        assert!(images.iter().all(|image| image["scores"].as_array().unwrap().len() == 4));
        assert!(images.iter().any(|image| !image["answer"].as_array().unwrap().is_empty()));
        let is_rejecting = !rules.is_empty();
        assert!(is_rejecting || images.iter().all(|image| image["answer"].as_array().unwrap().len() == 1));
    }
}

#[test]
fn a_card_names_the_answer_that_is_next() {
    let dir = folder(&["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]);
    let page = page(dir.path(), &[".", "-l", "owl,fox,cat", "--unknown", "--threshold", "0.01"]);
    assert!(page.contains("<dt>Rules</dt><dd>--unknown --threshold 0.01</dd>"));
    let known = data(&page);
    let mut unknowns = 0;
    for (image, card) in known["images"].as_array().unwrap().iter().zip(cards(&page)) {
        let Some(answer) = image["answer"].as_array().unwrap().first() else { continue };
        let second = image["scores"].as_array().unwrap().iter().find(|score| score[0] != *answer).unwrap();
        let is_unknown = image["unknown"].as_f64().unwrap() > second[1].as_f64().unwrap();
        let label = second[0].as_u64().unwrap() as usize;
        let rival = if is_unknown { "unknown" } else { known["labels"][label].as_str().unwrap() };
        assert!(card.contains(&format!("rival\"><bdi>{rival}</bdi>")), "{rival}: {card}");
        unknowns += usize::from(is_unknown);
    }
    assert!(unknowns > 0);
}

#[test]
fn what_cannot_be_read_again_has_no_picture() {
    let dir = folder(&["a.jpg"]);
    let mut command = zsic(&["classify", "-m", "demo", "-", "-l", "owl,fox", "--format", "html"]);
    let output = run(command.stdin(fs::File::open(dir.path().join("a.jpg")).unwrap()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(cards(&page)[0].contains("no picture: cannot be read again"), "{page}");
    assert_eq!(names(&page), ["-"]);
}

#[test]
fn a_page_cannot_be_resumed() {
    let dir = folder(&["a.jpg"]);
    let output = classify(dir.path(), &[".", "-l", "owl,fox", "-o", "review.html", "--resume"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("html cannot be resumed; jsonl, csv and parquet can"), "{}", err(&output));
    let output = classify(dir.path(), &[".", "-l", "owl,fox", "-o", "review.html", "--format", "csv"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(fs::read_dir(dir.path()).unwrap().count() == 1, "nothing is left");
}

#[cfg(unix)]
#[test]
fn a_page_is_not_for_a_terminal() {
    for args in [&["classify", "-l", "owl,fox"][..], &["eval", "--truth", "folders"]] {
        let shown = screen(zsic(args).args(["-m", "demo", "--format", "html"]).arg(picture("owl.jpg")));
        assert!(shown.contains("write it to a file with -o review.html"), "{shown}");
    }
}

fn evaluate(dir: &Path, args: &[&str]) -> Output {
    run(zsic(&["eval", "-m", "demo", "set"]).args(args).current_dir(dir))
}

#[test]
fn the_page_of_an_evaluation_knows_what_is_right() {
    let dir = labelled();
    let output = evaluate(dir.path(), &["-o", "report.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    let known = data(&page);
    assert!(known["judged"] == true && known["labels"] == serde_json::json!(["bear", "fox", "owl"]));
    let images = known["images"].as_array().unwrap();
    let wrong: Vec<&Value> = images.iter().filter(|image| image["right"] == false).collect();
    assert!(images.len() == 5 && wrong.len() == 1, "{images:?}");
    assert_eq!(
        (&wrong[0]["image"], &wrong[0]["truth"], &wrong[0]["answer"]),
        (&"set/bear/3.png".into(), &serde_json::json!([0]), &serde_json::json!([1]))
    );
    let cards = cards(&page);
    assert_eq!(cards.iter().filter(|card| card.starts_with(" right\"")).count(), 4);
    let card = cards.iter().find(|card| card.starts_with(" wrong\"")).unwrap();
    assert!(card.contains("answer\"><bdi>fox</bdi>") && card.contains("truth\"><bdi>bear</bdi>"), "{card}");
    // What the report says is what the other formats say.
    let report: Value = serde_json::from_slice(&evaluate(dir.path(), &["--format", "json"]).stdout).unwrap();
    let top1 = report["runs"][0]["metrics"]["top1"]["value"].as_f64().unwrap();
    assert!(page.contains(&format!("<th scope=\"row\">top1</th><td><b>{:.1} %</b>", top1 * 100.0)), "{top1}");
    for (truth, answer, count) in [(0, 0, 1), (0, 1, 1), (1, 1, 1), (2, 2, 2)] {
        let name = |label: usize| known["labels"][label].as_str().unwrap();
        let what = format!("aria-label=\"{count} of truth {} answered {}\"", name(truth), name(answer));
        assert!(page.contains(&format!("data-truth=\"{truth}\" data-answer=\"{answer}\" {what}")), "{truth} {answer}");
    }
    let bins = report["runs"][0]["calibration"].as_array().unwrap();
    let filled = bins.iter().filter(|bin| bin["images"] != 0).count();
    assert_eq!(page.matches("<svg class=\"bin\"").count(), filled);
}

#[test]
fn of_several_runs_the_best_is_shown() {
    let dir = labelled();
    let output = evaluate(dir.path(), &["--vary", "template=zzz {} qqq,This is a photo of {}.", "-o", "report.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    let report = evaluate(dir.path(), &["--vary", "template=zzz {} qqq,This is a photo of {}.", "--format", "json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let top1 = |run: usize| report["runs"][run]["metrics"]["top1"]["value"].as_f64().unwrap();
    let best = usize::from(top1(1) > top1(0));
    let template = report["runs"][best]["templates"][0].as_str().unwrap();
    assert_eq!(between(&page, "<span class=\"quote\">", "</span>"), template);
    assert!(page.contains("<h2>Runs</h2>") && page.matches("class=\"best\"").count() == 1);
    let right = data(&page)["images"].as_array().unwrap().iter().filter(|image| image["right"] == true).count();
    assert_eq!(right as f64 / 5.0, top1(best));
}

#[test]
fn corrections_are_read_as_truth() {
    let dir = labelled();
    // As the page writes them: quoted where they must be, names as in records.
    fs::write(dir.path().join("corrections.csv"), "image,label\nset/bear/3.png,fox\nset/owl/1.png,\"owl\"\n").unwrap();
    let output = evaluate(dir.path(), &["--truth", "corrections.csv", "-l", "owl,fox,bear"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["truth"], serde_json::json!({"kind": "file", "images": 2, "failed": 0, "left_out": 3}));
    assert_eq!(report["runs"][0]["metrics"]["top1"]["value"], 1.0);
}

#[cfg(unix)]
#[test]
fn corrections_name_files_whose_names_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;

    let dir = labelled();
    let name = std::ffi::OsStr::from_bytes(b"set/caf\xe9.png");
    fs::rename(dir.path().join("set/fox/5.png"), dir.path().join(name)).unwrap();
    fs::write(dir.path().join("corrections.csv"), "image,label\nset/caf\\xE9.png,fox\n").unwrap();
    let output = evaluate(dir.path(), &["--truth", "corrections.csv", "-l", "owl,fox,bear"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["truth"]["images"], 1, "{}", err(&output));
}

#[cfg(unix)]
#[test]
fn corrections_name_files_with_spaces_at_their_ends() {
    let dir = labelled();
    for (from, to) in [("set/owl/1.png", "set/owl/trail.png "), ("set/fox/5.png", " lead.png")] {
        fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    let rows = "image, label\n\"set/owl/trail.png \", owl\n\" lead.png\",fox\n set/owl/2.jpg , owl \n";
    fs::write(dir.path().join("corrections.csv"), rows).unwrap();
    let output = evaluate(dir.path(), &[" lead.png", "--truth", "corrections.csv", "-l", "owl,fox"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["truth"]["images"], 3, "{}", err(&output));
}

#[test]
fn pictures_of_several_labels_are_no_examples() {
    let dir = labelled();
    let rows = "image,label\nset/bear/3.png,fox\nset/bear/3.png,bear\nset/owl/1.png,owl\nset/fox/5.png,fox\n";
    fs::write(dir.path().join("corrections.csv"), rows).unwrap();
    let output = classify(dir.path(), &["set", "--examples", "corrections.csv", "-l", "owl,fox"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let told =
        "warning: --examples corrections.csv: left out 1 picture: an example shows one label, not several or none";
    assert!(err(&output).contains(told), "{}", err(&output));
    assert!(err(&output).contains("2 examples of 2 labels"), "{}", err(&output));
}

#[test]
fn the_page_of_an_evaluation_names_its_rules() {
    let dir = labelled();
    let output = evaluate(dir.path(), &["--unknown", "--threshold", "0.01", "-o", "report.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.contains("<dt>Rules</dt><dd>--unknown --threshold 0.01</dd>"));
}

#[test]
fn a_right_answer_is_shown_with_the_other_labels_of_its_truth() {
    let dir = labelled();
    fs::write(dir.path().join("truth.csv"), "image,labels\nset/owl/1.png,owl;fox\nset/bear/4.png,bear\n").unwrap();
    let args = ["--truth", "truth.csv", "-l", "owl,fox,bear", "-o", "report.html"];
    assert_eq!(evaluate(dir.path(), &args).status.code(), Some(0));
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    let truths: Vec<bool> = cards(&page).iter().map(|card| card.contains("truth\"><bdi>owl, fox</bdi>")).collect();
    let expected: Vec<bool> = names(&page).iter().map(|name| name.contains("owl")).collect();
    assert_eq!(truths, expected);
    assert!(cards(&page).iter().all(|card| card.starts_with(" right\"")));
}

#[test]
fn what_a_page_cannot_say_is_told() {
    let dir = folder(&["a.jpg"]);
    let told = |args: &[&str]| err(&classify(dir.path(), &[args, &["a.jpg", "-o", "review.html"]].concat())).to_owned();
    let all = told(&["-l", "owl,unknown", "-k", "1", "--min-score", "0.1", "--logits"]);
    assert!(all.contains("warning: --top-k, --min-score, --logits: without effect on a page"), "{all}");
    assert!(all.contains("the label `unknown` and images of none of the labels are the same"), "{all}");
    let none = told(&["-l", "owl,fox"]);
    assert!(!none.contains("warning"), "{none}");
}

#[test]
fn a_report_has_the_format_of_its_ending() {
    let dir = labelled();
    for (name, format, advice) in [
        ("r.html", "json", "json reports are not written as html; name a .json or .txt file"),
        ("r.json", "html", "html reports are not written as json; name a .html or .htm file"),
        ("r.csv", "table", "table reports are not written as csv; name a .txt file"),
    ] {
        let output = evaluate(dir.path(), &["-o", name, "--format", format]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", err(&output));
        assert!(err(&output).contains(advice), "{}", err(&output));
        assert!(!dir.path().join(name).exists());
    }
    assert_eq!(evaluate(dir.path(), &["-o", "r.txt", "--format", "json"]).status.code(), Some(0));
}
