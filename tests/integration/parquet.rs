//! `--format parquet`: the values are those of CSV, and a stopped run goes on as with any other format. Without the
//! feature, what the command says instead.

use std::fs;

use crate::common::command::{err, image, run, zsic};

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_it_says_how_to_get_one() {
    for args in [&["--format", "parquet"][..], &["-o", "x.parquet"]] {
        let output = run(zsic(&["classify", "-m", "demo", "-l", "a,b", &image("wide.png")]).args(args));
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains("cargo install --path . --features parquet"), "{}", err(&output));
    }
    assert!(!fs::exists("x.parquet.partial").unwrap());
}

#[cfg(feature = "parquet")]
mod with_it {
    use std::path::Path;

    use ::parquet::basic::Encoding;
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;
    use serde_json::Value;

    use super::*;
    use crate::common::long_run::{
        assert_alone, beside, command, limited, mend, noting, path, pictures, stop_and_go_on, stop_often,
    };

    const CLASSIFY: [&str; 6] = ["classify", "-l", "cat,dog,\"pizza\",car", "--min-score", "0.01", "--logits"];

    fn reader(path: &Path) -> SerializedFileReader<fs::File> {
        SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn the_values_are_those_of_csv() {
        let dir = tempfile::tempdir().unwrap();
        let folder = pictures(dir.path(), 60);
        let (table, text) = (dir.path().join("x.parquet"), dir.path().join("x.csv"));
        for out in [&table, &text] {
            assert_eq!(run(&mut command(&CLASSIFY, &folder, out)).status.code(), Some(1));
            assert_alone(out);
        }
        let reader = reader(&table);
        let mut rows = 0;
        let mut csv = csv::Reader::from_path(&text).unwrap();
        let mut last = (String::new(), 0);
        for (row, expected) in reader.get_row_iter(None).unwrap().zip(csv.records()) {
            let (row, expected) = (row.unwrap(), expected.unwrap());
            let names: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["image", "rank", "label", "score", "logit", "error_kind", "error"]);
            let text = |column: usize| row.get_string(column).cloned().unwrap_or_default();
            assert_eq!(
                (text(0), text(2), text(6)),
                (expected[0].to_owned(), expected[1].to_owned(), expected[4].to_owned())
            );
            assert_eq!(row.get_float(3).ok(), expected[2].parse().ok());
            assert_eq!(row.get_float(4).ok(), expected[3].parse().ok());
            assert_eq!(text(5).is_empty(), text(6).is_empty());
            if let Ok(rank) = row.get_int(1) {
                assert_eq!(rank, if last.0 == text(0) { last.1 + 1 } else { 1 });
                last = (text(0), rank);
            }
            rows += 1;
        }
        assert!(rows > 60 && csv.records().next().is_none());
        let metadata = reader.metadata();
        assert_eq!(metadata.file_metadata().num_rows(), rows);
        let key =
            metadata.file_metadata().key_value_metadata().unwrap().iter().find(|entry| entry.key == "zsic").unwrap();
        let made: Value = serde_json::from_str(key.value.as_ref().unwrap()).unwrap();
        assert_eq!(made["labels"], serde_json::json!(["cat", "dog", "\"pizza\"", "car"]));
        assert_eq!(made["counts"], serde_json::json!({"records": 60, "failed": 2, "skipped": 0}));
        let dictionary =
            |column: usize| metadata.row_group(0).column(column).encodings().any(|e| e == Encoding::RLE_DICTIONARY);
        assert_eq!((0..7).map(dictionary).collect::<Vec<_>>(), [true, true, true, false, false, true, true]);
    }

    #[test]
    fn answers_have_a_column_and_go_on() {
        const RULES: [&str; 7] = ["classify", "-l", "cat,dog,car", "--background", "pizza", "--threshold", "0.5"];
        let dir = tempfile::tempdir().unwrap();
        let (folder, cache) = (pictures(dir.path(), 30), dir.path().join("cache"));
        let [table, text, whole] = ["x.parquet", "x.csv", "y.parquet"].map(|name| dir.path().join(name));
        run(&mut noting(&RULES, &folder, &table, &cache));
        run(&mut command(&RULES, &folder, &text));
        let (mut csv, mut accepted) = (csv::Reader::from_path(&text).unwrap(), 0);
        let rows = reader(&table);
        for (row, expected) in rows.get_row_iter(None).unwrap().zip(csv.records()) {
            let (row, expected) = (row.unwrap(), expected.unwrap());
            let names: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["image", "rank", "label", "score", "accepted", "error_kind", "error"]);
            assert_eq!(row.get_bool(4).ok(), expected[3].parse().ok());
            accepted += u32::from(row.get_bool(4).unwrap_or_default());
        }
        assert!(accepted > 5 && csv.records().next().is_none());
        fs::copy(path(&folder, 1), path(&folder, 30)).unwrap();
        run(noting(&RULES, &folder, &table, &cache).arg("--resume"));
        run(&mut command(&RULES, &folder, &whole));
        assert!(fs::read(&table).unwrap() == fs::read(&whole).unwrap());
    }

    #[test]
    fn stopped_runs_end_as_if_they_had_not_been() {
        let dir = tempfile::tempdir().unwrap();
        let folder = pictures(dir.path(), 150);
        let out = dir.path().join("x.parquet");
        run(&mut command(&CLASSIFY, &folder, &out));
        let expected = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();
        assert!(stop_and_go_on(&CLASSIFY, &folder, &out, 16_000, 8) > 2);
        assert!(fs::read(&out).unwrap() == expected);
        assert_alone(&out);
        fs::remove_file(&out).unwrap();

        let full = limited(4, &CLASSIFY, &folder, &out);
        assert_eq!(full.status.code(), Some(3), "{}", err(&full));
        assert!(fs::read_to_string(beside(&out, "")).unwrap().ends_with("}\n"));
        run(command(&CLASSIFY, &folder, &out).arg("--resume"));
        assert!(fs::read(&out).unwrap() == expected);
    }

    #[test]
    fn what_is_new_is_added_to_a_finished_file() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, cache) = (pictures(dir.path(), 150), dir.path().join("cache"));
        let (out, other) = (dir.path().join("x.parquet"), dir.path().join("y.parquet"));
        let resume = |words: &[&str], flags: &[&str]| {
            let output = run(noting(words, &folder, &out, &cache).arg("--resume").args(flags));
            assert_alone(&out);
            (output.status.code(), err(&output).to_owned())
        };
        let fresh = || {
            run(&mut command(&CLASSIFY, &folder, &other));
            fs::read(&other).unwrap()
        };
        run(&mut noting(&CLASSIFY, &folder, &out, &cache));
        assert!(resume(&CLASSIFY, &[]).1.contains("nothing to do"));
        assert!(resume(&["classify", "-l", "cat,dog"], &[]).1.contains("`labels` was"));
        mend(&folder, 150);
        fs::copy(path(&folder, 4), folder.join("011a.ppm")).unwrap();
        assert_eq!(resume(&CLASSIFY, &[]).0, Some(0));
        assert!(fs::read(&out).unwrap() == fresh());
        fs::remove_file(path(&folder, 20)).unwrap();
        fs::copy(path(&folder, 4), path(&folder, 5)).unwrap();
        let (status, said) = resume(&CLASSIFY, &[]);
        assert!(status == Some(2) && said.contains("020.ppm`)"), "{said}");
        for n in (0..150).step_by(3) {
            fs::copy(path(&folder, n / 2 * 2 + 1), folder.join(format!("{n:03}b.ppm"))).unwrap();
        }
        let dropping = || {
            let mut command = noting(&CLASSIFY, &folder, &out, &cache);
            command.arg("--drop-missing");
            command
        };
        assert!(stop_often(dropping, &out, 16_000, 8) > 2);
        assert!(fs::read(&out).unwrap() == fresh());
        assert_alone(&out);
    }

    #[test]
    fn it_needs_a_file() {
        for place in ["-", "/dev/null"] {
            let output = run(zsic(&[
                "classify",
                "-m",
                "demo",
                "-l",
                "a,b",
                &image("wide.png"),
                "--format",
                "parquet",
                "-o",
                place,
            ])
            .args(["-q"]));
            assert_eq!(output.status.code(), Some(2));
            assert!(err(&output).contains("name it with -o FILE"), "{}", err(&output));
        }
    }
}
