//! What the ending of a file's name promises about its contents.

use std::path::Path;

use anyhow::Error;

use super::super::fatal::usage;

/// Endings of compressed files. Nothing is compressed here.
const COMPRESSED: &str = "gz tgz bz2 tbz2 xz txz lzma zst zstd lz4 lz lzo br z sz snappy zip 7z rar cab";
/// Endings of formats of texts, tables and tensors.
const FORMATS: &str = "arrow avro csv db doc docx dta duckdb feather h5 hdf5 htm html ipc json json5 jsonl mat md msgpack \
                       ndjson npy npz ods orc parquet pdf pickle pkl pt pth rds rst safetensors sav sql sqlite toml tsv \
                       txt xls xlsx xml yaml yml";

fn is_one_of(ending: &str, endings: &str) -> bool {
    endings.split(' ').any(|one| one == ending)
}

/// Returns what follows the last dot of a file's name, in lower case; nothing if the name has no ending. Dots at the
/// end do not count, and a name like `.csv` is an ending if it is a known one.
pub fn of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let (start, ending) = name.trim_end_matches('.').rsplit_once('.')?;
    let is_known = || is_one_of(ending, COMPRESSED) || is_one_of(ending, FORMATS);
    (!ending.is_empty() && (!start.is_empty() || is_known())).then(|| ending.to_owned())
}

/// Returns whether `ending` stands for a compressed file, or for a format that is not among `own`.
pub fn names_another(ending: &str, own: &[&str]) -> bool {
    !own.contains(&ending) && (is_one_of(ending, COMPRESSED) || is_one_of(ending, FORMATS))
}

/// Returns the usage error for the file `name`, whose `ending` does not fit `what` is written to it, in the plural. `known` are the endings
/// that fit.
pub fn refuse(name: &str, ending: &str, what: &str, known: &[impl AsRef<str>]) -> Error {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let known = match known.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => known.concat(),
    };
    let advice = match () {
        () if is_one_of(ending, COMPRESSED) => " and compress it afterwards",
        () if is_one_of(ending, FORMATS) => "",
        () => ", or leave the ending out",
    };
    usage(format!("{name}: {what} are not written as {ending}; name a {known} file{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_what_follows_the_last_dot() {
        let ending = |name: &str| of(Path::new(name));
        assert_eq!(ending("a/b.c/scores.CSV.Gz").as_deref(), Some("gz"));
        assert_eq!((ending("a.b/scores"), ending("scores."), ending(".scores")), (None, None, None));
        assert_eq!((ending("s.csv.").as_deref(), ending(".csv").as_deref()), (Some("csv"), Some("csv")));
    }

    #[test]
    fn another_format_is_told_from_none() {
        assert!(names_another("gz", &["csv"]) && names_another("json", &["csv", "txt"]));
        assert!(names_another("ndjson", &["csv"]) && names_another("txt", &["parquet"]));
        assert!(!names_another("csv", &["csv"]) && !names_another("out", &["csv"]));
    }
}
