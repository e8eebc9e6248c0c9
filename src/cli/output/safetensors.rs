//! Makes a safetensors file: tensor `embeddings` [N, D] f32, and the names as JSON in the metadata key `names`. N is
//! known only at the end, so the partial receives each image at once: a line of JSON and its row, or a line without a
//! name for a failure. They become the file at the end. Memory does not grow.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use zsic::ImageError;

use super::journal::{Journal, Of};
use super::log::Log;

/// The name of the tensor.
const TENSOR: &str = "embeddings";
/// The most bytes that readers take for a header.
const MAX_HEADER: u64 = 100_000_000;
/// The most bytes of a header beside the names.
const FRAME: u64 = 256;
/// The line of a failed image: it is not in the file.
const FAILED: &[u8] = b"{}\n";

/// The line before a row.
#[derive(Serialize, Deserialize)]
struct RowLine {
    image: Option<String>,
}

/// Rows of embeddings on their way to a file.
pub struct Tensor {
    log: Log,
    dim: usize,
    /// Bytes of the names in the header.
    names: u64,
    /// The output's name for messages.
    name: String,
}

impl Tensor {
    /// Begins a tensor of rows of `dim` values.
    ///
    /// # Errors
    /// If `log` does not write to a file, or an earlier run's partial cannot be read.
    pub fn new(mut log: Log, dim: usize) -> Result<Self> {
        let partial = log.partial().context("tensors need an output file (-o)")?;
        let name = partial.target().display().to_string();
        let mut names = 0;
        if !partial.is_left() {
            let mut earlier = RowReader::open(partial.path(), dim)?;
            while let Some(name) = earlier.next()? {
                names += name.map_or(Ok(0), |name| escaped(&name, false).map(|name| name.len() as u64))?;
            }
        }
        Ok(Self { log, dim, names, name })
    }

    /// Adds the row of an image or text, or a failure.
    ///
    /// # Errors
    /// If it cannot be written, or the names exceed the format's limit.
    pub fn push(&mut self, name: &str, of: &Of, row: Result<&[f32], &ImageError>) -> Result<()> {
        let Ok(row) = row else { return self.log.write(FAILED, of) };
        self.names += escaped(name, false)?.len() as u64;
        check_names(self.names, &self.name)?;
        let mut record = serde_json::to_vec(&RowLine { image: Some(name.to_owned()) })?;
        record.push(b'\n');
        record.extend(row.iter().flat_map(|x| x.to_le_bytes()));
        self.log.write(&record, of)
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.log.flush()
    }

    /// Assembles the file, and gives it its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<()> {
        let (dim, name) = (self.dim, self.name);
        let make =
            |records: &Path, out: &mut File| assemble(records, dim, &name, out).context("the tensor cannot be written");
        self.log.into_sink()?.finish_made(make)
    }
}

fn check_names(bytes: u64, name: &str) -> Result<()> {
    let advice = "write a .jsonl file, or fewer images per file";
    ensure!(
        bytes + FRAME <= MAX_HEADER,
        "{name}: the names take more than 100 MB, the limit of a safetensors header; {advice}"
    );
    Ok(())
}

/// Iterates over the records of a partial, in order.
struct RowReader {
    file: BufReader<File>,
    line: Vec<u8>,
    row: Vec<u8>,
}

impl RowReader {
    fn open(path: &Path, dim: usize) -> Result<Self> {
        let file = BufReader::with_capacity(1 << 18, File::open(path)?);
        Ok(Self { file, line: Vec::new(), row: vec![0; 4 * dim] })
    }

    /// Reads the next record, and returns its name; None for a failure.
    fn next(&mut self) -> Result<Option<Option<String>>> {
        self.line.clear();
        if self.file.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        let line: RowLine = serde_json::from_slice(&self.line)?;
        if line.image.is_some() {
            self.file.read_exact(&mut self.row)?;
        }
        Ok(Some(line.image))
    }
}

/// Writes the header, then the rows.
fn assemble(records: &Path, dim: usize, name: &str, out: &mut File) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    let (begin, mut names, mut count) = (r#"{"__metadata__":{"names":"["#, 0, 0u64);
    out.write_all(&0u64.to_le_bytes())?; // the header's length, filled in later
    out.write_all(begin.as_bytes())?;
    let mut rows = RowReader::open(records, dim)?;
    while let Some(image) = rows.next()? {
        let Some(image) = image else { continue };
        let escaped = escaped(&image, count == 0)?;
        names += escaped.len() as u64;
        check_names(names, name)?;
        out.write_all(escaped.as_bytes())?;
        count += 1;
    }
    let bytes = count * 4 * dim as u64;
    let shape = format!(r#""{TENSOR}":{{"dtype":"F32","shape":[{count},{dim}],"data_offsets":[0,{bytes}]}}"#);
    let end = format!(r#"]"}},{shape}}}"#);
    let length = begin.len() as u64 + names + end.len() as u64;
    let padding = " ".repeat((length.next_multiple_of(8) - length) as usize);
    out.write_all((end + &padding).as_bytes())?;
    let length = length.next_multiple_of(8);
    let mut rows = RowReader::open(records, dim)?;
    while let Some(name) = rows.next()? {
        if name.is_some() {
            out.write_all(&rows.row)?;
        }
    }
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&length.to_le_bytes())?;
    Ok(out.flush()?)
}

/// Writes the records that a finished file was made from. `journal` says where images failed.
///
/// # Errors
/// If it cannot be read or written, or has other rows.
pub fn unmake(target: &Path, journal: &Journal, out: &mut File) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(target)?);
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= MAX_HEADER, "its header is too long");
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header)?;
    let header: serde_json::Value = serde_json::from_slice(&header)?;
    let names = header["__metadata__"]["names"].as_str().context("it has no names")?;
    let mut names = serde_json::from_str::<Vec<String>>(names)?.into_iter();
    let dim = header[TENSOR]["shape"][1].as_u64().context("it has no embeddings")?;
    let mut row = vec![0; 4 * dim as usize];
    let mut out = BufWriter::new(out);
    for entry in journal.entries(0..journal.count) {
        if entry?.of.failed {
            out.write_all(FAILED)?;
            continue;
        }
        let Some(name) = names.next() else { bail!("it has fewer rows") };
        file.read_exact(&mut row)?;
        serde_json::to_writer(&mut out, &RowLine { image: Some(name) })?;
        out.write_all(b"\n")?;
        out.write_all(&row)?;
    }
    Ok(out.flush()?)
}

/// Returns a name in a list of names, as JSON inside a JSON text.
fn escaped(name: &str, is_first: bool) -> Result<String> {
    let comma = if is_first { "" } else { "," };
    let quoted = serde_json::to_string(&(comma.to_owned() + &serde_json::to_string(name)?))?;
    Ok(quoted[1..quoted.len() - 1].to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::super::journal::JournalEntry;
    use super::*;
    use zsic::pipeline::Version;

    #[test]
    fn the_file_is_what_the_crate_writes_and_is_taken_apart_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let all = ["a.jpg", "b \"quoted\" \\ \n\u{1}.jpg", "c", "\u{1F989}\u{7f}.png"];
        for count in 0..=all.len() {
            let (names, rows) = (&all[..count], (0..count * 3).map(|i| i as f32 / 7.0).collect::<Vec<_>>());
            let (mut records, mut journal) = (FAILED.to_vec(), Vec::new());
            let mut add = |name: &str, failed: bool| {
                journal.extend(JournalEntry::new(0, b"", Of::new(name, Version::default(), failed)).to_bytes());
            };
            add("torn.jpg", true);
            for (name, row) in names.iter().zip(rows.chunks(3)) {
                add(name, false);
                add("torn.jpg", true);
                records.extend(serde_json::json!({"image": name}).to_string().bytes().chain([b'\n']));
                records.extend(row.iter().flat_map(|x| x.to_le_bytes()).chain(FAILED.iter().copied()));
            }
            std::fs::write(path("records"), &records).unwrap();
            std::fs::write(path("journal"), journal).unwrap();
            assemble(&path("records"), 3, "out", &mut File::create(path("out")).unwrap()).unwrap();

            let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
            let view = TensorView::new(Dtype::F32, vec![count, 3], &bytes).unwrap();
            let metadata = HashMap::from([("names".to_owned(), serde_json::to_string(names).unwrap())]);
            let expected = safetensors::serialize([("embeddings", view)], Some(metadata)).unwrap();
            assert!(std::fs::read(path("out")).unwrap() == expected, "{count}");

            let journal = Journal::new(File::open(path("journal")).unwrap(), 0).unwrap();
            unmake(&path("out"), &journal, &mut File::create(path("again")).unwrap()).unwrap();
            assert!(std::fs::read(path("again")).unwrap() == records, "{count}");
        }
    }
}
