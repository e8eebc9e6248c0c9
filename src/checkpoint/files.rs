//! Where a checkpoint's files are: in a directory, or in the program itself. Their contents are not interpreted here.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::reason::os_reason;
use crate::stand_in::{LONGEST, StandIn};
use crate::system::file::read_exact_at;
use crate::{Error, Result, regular};

/// The longest file whose numbers are checked for NaN and infinities.
const SETTINGS: usize = 1 << 20;
/// The longest file that is read whole, four times as long as the longest tokenizers.
const MAX_READ: u64 = 256 << 20;

/// The mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns JSON with null for the numbers that Python writes and JSON lacks: NaN and the infinities. Returns None if it
/// has none.
fn without_nan(json: &[u8]) -> Option<Vec<u8>> {
    const NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    if json.len() > SETTINGS || !NUMBERS.iter().any(|number| json.windows(number.len()).any(|part| part == *number)) {
        return None;
    }
    let (mut plain, mut in_text, mut at) = (Vec::with_capacity(json.len()), false, 0);
    while at < json.len() {
        let number = NUMBERS.iter().find(|number| !in_text && json[at..].starts_with(number));
        if let Some(number) = number {
            plain.extend_from_slice(b"null");
            at += number.len();
            continue;
        }
        plain.push(json[at]);
        if in_text && json[at] == b'\\' {
            plain.extend(json.get(at + 1));
            at += 1;
        } else if json[at] == b'"' {
            in_text = !in_text;
        }
        at += 1;
    }
    Some(plain)
}

/// Parses JSON as Python does, which accepts a byte order mark, NaN and the infinities.
///
/// # Errors
/// serde_json's.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    serde_json::from_slice(without_nan(json).as_deref().unwrap_or(json))
}

/// The files of one checkpoint, by name.
#[derive(Debug, Clone)]
pub enum Files {
    /// A directory in the Hub's layout.
    Directory(PathBuf),
    /// Bytes that are part of the program.
    Embedded {
        /// The name that messages put before the files' names.
        name: &'static str,
        /// Each file's name and content.
        files: &'static [(&'static str, &'static [u8])],
    },
}

impl Files {
    /// Creates the files of a directory.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(path.into())
    }

    /// Returns the name of all of them for messages.
    pub fn root(&self) -> &Path {
        match self {
            Self::Directory(dir) => dir,
            Self::Embedded { name, .. } => Path::new(name),
        }
    }

    /// Returns the name of a file for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Returns whether there is a file with this name.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Directory(dir) => dir.join(name).exists(),
            Self::Embedded { .. } => self.embedded(name).is_some(),
        }
    }

    /// Reads a small file; every failure names it.
    pub(crate) fn read(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        let bytes = match self {
            Self::Directory(dir) => regular::read(&dir.join(name), MAX_READ).map(Cow::Owned),
            Self::Embedded { .. } => self.embedded(name).map(Cow::Borrowed).ok_or(io::ErrorKind::NotFound.into()),
        };
        let bytes = bytes.map_err(|e| self.unreadable(name, &e))?;
        self.check(name, &bytes)?;
        Ok(bytes)
    }

    /// Reads a JSON file; every failure names it.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        parse_json(&self.read(name)?).map_err(|e| {
            let reason = match e.classify() {
                Category::Eof => format!("is cut off: its JSON ends too early, in line {}", e.line()),
                Category::Data => format!("is not the JSON expected here: {e}"),
                Category::Syntax | Category::Io => format!("is not valid JSON: {e}"),
            };
            Error::checkpoint(self.path(name), reason)
        })
    }

    /// Checks that a small file is a regular file, before it is read or hashed.
    pub(crate) fn check_small(&self, name: &str) -> Result<()> {
        match self {
            Self::Directory(dir) => regular::check(&dir.join(name), MAX_READ).map_err(|e| self.unreadable(name, &e)),
            Self::Embedded { .. } => Ok(()),
        }
    }

    /// Opens a large file, to be read piece by piece; a failure names it.
    pub(crate) fn open(&self, name: &str) -> Result<Arc<WeightFile>> {
        let content = match self {
            Self::Directory(dir) => regular::open(&dir.join(name)).map(Content::File),
            Self::Embedded { .. } => self.embedded(name).map(Content::Bytes).ok_or(io::ErrorKind::NotFound.into()),
        };
        let unreadable = |e| self.unreadable(name, &e);
        let file = WeightFile { path: self.path(name), content: content.map_err(unreadable)? };
        let mut start = vec![0; file.len().map_err(unreadable)?.min(LONGEST as u64 + 1) as usize];
        file.read_exact_at(&mut start, 0).map_err(unreadable)?;
        self.check(name, &start)?;
        Ok(Arc::new(file))
    }

    /// Refuses content that stands in for a file.
    fn check(&self, name: &str, content: &[u8]) -> Result<()> {
        StandIn::of(content).map_or(Ok(()), |stand_in| Err(Error::checkpoint(self.path(name), stand_in)))
    }

    fn embedded(&self, name: &str) -> Option<&'static [u8]> {
        let Self::Embedded { files, .. } = self else { return None };
        files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes)
    }

    /// Returns the error of a file that could not be opened or read.
    fn unreadable(&self, name: &str, e: &io::Error) -> Error {
        let reason = match e.kind() {
            io::ErrorKind::NotFound => "the checkpoint has no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
            _ => format!("cannot be read: {}", os_reason(e)),
        };
        Error::checkpoint(self.path(name), reason)
    }
}

/// An open file, read at any place by any thread.
#[derive(Debug)]
pub(crate) struct WeightFile {
    pub(super) path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Bytes(&'static [u8]),
}

impl WeightFile {
    /// Returns the length of the file in bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match &self.content {
            Content::File(file) => Ok(file.metadata()?.len()),
            Content::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Fills `buffer` from the byte `offset` on.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.content {
            Content::File(file) => read_exact_at(file, buffer, offset),
            Content::Bytes(bytes) => {
                let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= bytes.len() as u64);
                let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(&bytes[offset as usize..end as usize]);
                Ok(())
            }
        }
    }

    /// Returns a reader from the start, with its own position.
    pub(super) fn reader(self: &Arc<Self>) -> io::Result<impl Read + Seek + use<>> {
        Ok(Reader { length: self.len()?, file: Arc::clone(self), at: 0 })
    }
}

/// A place in a file of weights.
struct Reader {
    file: Arc<WeightFile>,
    length: u64,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.length.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        self.file.read_exact_at(&mut buffer[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMBEDDED: Files = Files::Embedded { name: "built-in", files: &[("a.json", b"[1, 2]"), ("w", b"0123456789")] };

    #[test]
    fn json_may_be_python_s() {
        let plain = |json: &str| without_nan(json.as_bytes()).map(|json| String::from_utf8(json).unwrap());
        let json = r#"{"a": NaN, "b\" NaN": [-Infinity, "Infinity \\", Infinity]}"#;
        assert_eq!(plain(json).unwrap(), r#"{"a": null, "b\" NaN": [null, "Infinity \\", null]}"#);
        assert_eq!(plain(r#"{"a": 1}"#), None);
        const MARKED: Files = Files::Embedded { name: "x", files: &[("a.json", b"\xef\xbb\xbf{\"a\": NaN}")] };
        let read: serde_json::Value = MARKED.read_json("a.json").unwrap();
        assert!(read["a"].is_null());
    }

    #[test]
    fn embedded_files_are_read_as_those_of_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), b"[1, 2]").unwrap();
        std::fs::write(dir.path().join("w"), b"0123456789").unwrap();
        for files in [EMBEDDED, Files::directory(dir.path())] {
            assert_eq!(files.read_json::<Vec<u8>>("a.json").unwrap(), [1, 2]);
            assert!(files.contains("w") && !files.contains("x"));
            let file = files.open("w").unwrap();
            let mut two = [0; 2];
            file.read_exact_at(&mut two, 8).unwrap();
            assert_eq!((two, file.len().unwrap()), (*b"89", 10));
            assert!(file.read_exact_at(&mut two, 9).is_err() && file.read_exact_at(&mut two, u64::MAX).is_err());
            let mut reader = file.reader().unwrap();
            reader.seek(SeekFrom::End(-3)).unwrap();
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "789");
            assert!(files.read("x").unwrap_err().to_string().contains("no such file"));
        }
        assert_eq!(EMBEDDED.path("a.json"), Path::new("built-in/a.json"));
    }
}
