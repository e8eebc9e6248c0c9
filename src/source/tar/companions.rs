//! Small files that lie beside images in a tar, such as their labels.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::source::name::Name;

/// The most bytes of one.
const LONGEST: u64 = 1 << 20;

/// Returns the files in a tar whose names have this ending, with their names as records would have them. Hidden files and those
/// of more than a megabyte, which are something else, are left out. Where the tar is
/// damaged, they end: a [`Walk`](crate::source::Walk) over its images reports that.
///
/// # Errors
/// If the tar cannot be opened.
pub fn companions(path: &Path, ending: &str) -> io::Result<Vec<(Name, Vec<u8>)>> {
    let tar = Name::of(path);
    let mut found = Vec::new();
    for member in tar::Archive::new(BufReader::new(File::open(path)?)).entries_with_seek()? {
        let Ok(mut member) = member else { break };
        let path = member.path_bytes().into_owned();
        if !path.ends_with(format!(".{ending}").as_bytes()) || !member.header().entry_type().is_file() {
            continue;
        }
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        let is_hidden = parts.iter().any(|part| part.starts_with(b".") && *part != b"..");
        if is_hidden || member.size() > LONGEST {
            continue;
        }
        let mut bytes = Vec::new();
        if member.read_to_end(&mut bytes).is_err() || (bytes.len() as u64) < member.size() {
            break;
        }
        found.push((tar.member(&parts.join(&b'/')), bytes));
    }
    Ok(found)
}
