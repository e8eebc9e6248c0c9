//! A safetensors file in the making: tensor `embeddings` [N, D] f32, and the names as JSON in the metadata key `names`.
//! N is known at the end only, so rows and names go to disk as they come: a line of JSON for each image to the partial,
//! and its row, if it has one, to `FILE.partial.rows`. Both become the file at the end. Memory does not grow.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use zsic::ImageError;

use super::json;
use super::partial::{Partial, ROWS};
use super::records::{Form, Records};
use super::resume::Log;

/// The most bytes that readers take for a header.
const MAX_HEADER: u64 = 100_000_000;
/// What a header has beside the names, at most.
const FRAME: u64 = 256;

/// Rows of embeddings on their way to a file.
pub struct Tensor {
    log: Log,
    rows: PathBuf,
    /// Open from the first row on.
    file: Option<File>,
    /// Rows of an earlier run.
    earlier: u64,
    dim: usize,
    /// Bytes that the names take in the header.
    names: u64,
    /// What messages call it.
    name: String,
}

impl Tensor {
    /// A tensor of rows of `dim` values, with `log` for the names.
    ///
    /// # Errors
    /// If that does not go to a file, or what an earlier run left cannot be read.
    pub fn new(mut log: Log, dim: usize) -> Result<Self> {
        let partial = log.partial().context("a tensor is written to a file only")?;
        let (path, rows, name) =
            (partial.path().to_path_buf(), partial.beside(ROWS), partial.target().display().to_string());
        let (mut earlier, mut names) = (0, 0);
        if !partial.is_left() {
            for record in Records::open(&path, Form::Lines)? {
                let record = record?;
                if !record.failed {
                    earlier += 1;
                    names += escaped(&record.name, false)?.len() as u64;
                }
            }
        }
        Ok(Self { log, rows, file: None, earlier, dim, names, name })
    }

    /// How many rows of `dim` values an earlier run left beside its partial.
    pub fn rows_beside(partial: &Partial, dim: usize) -> u64 {
        std::fs::metadata(partial.beside(ROWS)).map_or(0, |rows| rows.len() / row_bytes(dim))
    }

    /// Adds the row of an image or text, or the failure to have one.
    ///
    /// # Errors
    /// If it cannot be written, or the names become too many for the format.
    pub fn push(&mut self, name: &str, row: Result<&[f32], &ImageError>) -> Result<()> {
        #[derive(Serialize)]
        struct Name<'a> {
            image: &'a str,
        }
        let row = match row {
            Ok(row) => row,
            Err(e) => return self.log.write((json::record(name, &Err(e))? + "\n").as_bytes()),
        };
        self.names += escaped(name, false)?.len() as u64;
        if self.names + FRAME > MAX_HEADER {
            let advice = "write a .jsonl file, or fewer images to a file";
            bail!(
                "{}: the names take more than the 100 MB that the header of a safetensors file may have; {advice}",
                self.name
            );
        }
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.log.begin()?;
        let rows = self.rows.display().to_string();
        self.open()?.write_all(&bytes).with_context(|| format!("{rows}: cannot be written"))?;
        self.log.write((serde_json::to_string(&Name { image: name })? + "\n").as_bytes())
    }

    /// The file of rows, at its end; what a stopped run left behind the last named row is cut off.
    fn open(&mut self) -> Result<&mut File> {
        let failed = || format!("{}: cannot be written", self.rows.display());
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let options = File::options().create(true).read(true).write(true).truncate(false).open(&self.rows);
                let mut file = options.with_context(failed)?;
                let end = self.earlier * row_bytes(self.dim);
                file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).with_context(failed)?;
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// Puts the file together, and gives it its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.log.begin()?;
        let mut rows = self.open()?.try_clone()?;
        let dim = self.dim;
        self.log
            .into_sink()?
            .finish_made(|names, out| assemble(names, &mut rows, dim, out).context("the tensor cannot be written"))
    }
}

fn row_bytes(dim: usize) -> u64 {
    4 * dim as u64
}

/// The header, then the rows.
fn assemble(names: &Path, rows: &mut File, dim: usize, out: &mut File) -> Result<()> {
    let mut header = BufWriter::new(&mut *out);
    let (mut length, mut count) = (0, 0u64);
    header.write_all(&0u64.to_le_bytes())?; // the header's length, when it is known
    let mut put = |text: &str| {
        length += text.len() as u64;
        header.write_all(text.as_bytes())
    };
    put(r#"{"__metadata__":{"names":"["#)?;
    for record in Records::open(names, Form::Lines)? {
        let record = record?;
        if !record.failed {
            put(&escaped(&record.name, count == 0)?)?;
            count += 1;
        }
    }
    let bytes = count * row_bytes(dim);
    let shape = format!(r#""embeddings":{{"dtype":"F32","shape":[{count},{dim}],"data_offsets":[0,{bytes}]}}"#);
    put(&format!(r#"]"}},{shape}}}"#))?;
    let padding = " ".repeat((length.next_multiple_of(8) - length) as usize);
    header.write_all(padding.as_bytes())?;
    header.flush()?;
    drop(header);
    length += padding.len() as u64;
    rows.seek(SeekFrom::Start(0))?;
    let copied = io::copy(&mut io::Read::take(&mut *rows, bytes), out)?;
    if copied != bytes {
        bail!("{copied} bytes of rows are there, and there should be {bytes}");
    }
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&length.to_le_bytes())?;
    Ok(())
}

/// A name in a list of names, as JSON within a JSON text.
fn escaped(name: &str, is_first: bool) -> Result<String> {
    let comma = if is_first { "" } else { "," };
    let quoted = serde_json::to_string(&(comma.to_owned() + &serde_json::to_string(name)?))?;
    Ok(quoted[1..quoted.len() - 1].to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn the_file_is_what_the_crate_writes() {
        let dir = tempfile::tempdir().unwrap();
        let all = ["a.jpg", "b \"quoted\" \\ \n\u{1}.jpg", "c", "\u{1F989}\u{7f}.png"];
        for count in 0..=all.len() {
            let (names, rows) = (&all[..count], (0..count * 3).map(|i| i as f32 / 7.0).collect::<Vec<_>>());
            let lines: Vec<String> =
                names.iter().map(|name| serde_json::json!({"image": name}).to_string() + "\n").collect();
            let failed = "{\"image\":\"torn.jpg\",\"error\":{}}\n";
            std::fs::write(dir.path().join("names"), lines.join(failed) + failed).unwrap();
            let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
            std::fs::write(dir.path().join("rows"), &bytes).unwrap();
            let mut out = File::create(dir.path().join("out")).unwrap();
            let mut rows = File::open(dir.path().join("rows")).unwrap();
            assemble(&dir.path().join("names"), &mut rows, 3, &mut out).unwrap();

            let view = TensorView::new(Dtype::F32, vec![count, 3], &bytes).unwrap();
            let metadata = HashMap::from([("names".to_owned(), serde_json::to_string(names).unwrap())]);
            let expected = safetensors::serialize([("embeddings", view)], Some(metadata)).unwrap();
            assert!(std::fs::read(dir.path().join("out")).unwrap() == expected, "{count}");
        }
    }
}
