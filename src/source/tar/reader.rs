//! The bytes of a tar: skipped or read, and counted.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind as Io, Read};

/// The source of a tar's bytes.
pub enum TarSource {
    File(BufReader<File>, u64),
    Stream(Box<dyn Read + Send>),
}

impl TarSource {
    /// Skips `count` bytes from `position` on. An earlier end is an error.
    pub fn skip(&mut self, count: u64, position: &Cell<u64>) -> io::Result<()> {
        let end = position.get().saturating_add(count);
        match self {
            Self::File(file, length) => {
                let there = end.min(*length).saturating_sub(position.get());
                file.seek_relative(i64::try_from(there).map_err(|_| Io::UnexpectedEof)?)?;
                position.set(position.get() + there);
            }
            Self::Stream(stream) => {
                let passed = io::copy(&mut stream.take(count), &mut io::sink())?;
                position.set(position.get() + passed);
            }
        }
        if position.get() < end { Err(Io::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Read for TarSource {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read(into),
            Self::Stream(stream) => stream.read(into),
        }
    }
}

/// A source that counts its bytes, and fails before headers fill the memory.
pub struct CountedReader<'a> {
    pub source: &'a mut TarSource,
    pub position: &'a Cell<u64>,
    pub left: &'a Cell<u64>,
}

impl Read for CountedReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        self.position.set(self.position.get() + read as u64);
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("the headers of a member are too long")),
        }
        Ok(read)
    }
}
