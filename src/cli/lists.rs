//! Reads the names in a list of inputs. Names are bytes, as paths are, unless a byte order mark says that the list is
//! UTF-16.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use zsic::source::{Lease, Limits};

use super::lines::{self, LONGEST, too_long};

/// Byte order marks of UTF-8, and of UTF-16 in little and big endian.
const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// The beginning of a name that holds an image.
const DATA: &[u8] = b"data:";

/// The names of a list, in order. A separator ends each; a line may also end with CR LF, and with CR in a list without
/// LF. Empty names are skipped. An error ends the list.
pub struct Names<R> {
    reader: BufReader<R>,
    separator: u8,
    /// Bytes that looked like a mark, and begin the first name.
    head: Vec<u8>,
    /// Converts two bytes to a unit of UTF-16, if the list is UTF-16.
    unit: Option<fn([u8; 2]) -> u16>,
    is_begun: bool,
    /// Names that were read together.
    read: VecDeque<Vec<u8>>,
    /// The limits of a long name, and the memory of the last one.
    limits: Limits,
    lease: Option<Lease>,
}

impl<R: Read> Iterator for Names<R> {
    type Item = io::Result<(Vec<u8>, Option<Lease>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read.pop_front() {
                Some(name) if name.is_empty() => {}
                Some(name) => return Some(Ok((name, self.lease.take()))),
                None => match self.read_on() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(e) => return Some(Err(e)),
                },
            }
        }
    }
}

impl<R: Read> Names<R> {
    /// Returns the names in a list, read on demand, each with the memory of a long one.
    pub fn new(list: R, separator: u8, limits: Limits) -> Self {
        let (head, unit, is_begun, read, lease) = Default::default();
        Self { reader: BufReader::new(list), separator, head, unit, is_begun, read, limits, lease }
    }

    /// Reads to the next separator. Returns false at the end.
    fn read_on(&mut self) -> io::Result<bool> {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if is_first {
            self.begin()?;
        }
        let mut name = match self.unit {
            Some(unit) => self.read_utf16(unit)?,
            None => self.read_bytes(is_first)?,
        };
        if name.is_empty() {
            return Ok(false);
        }
        let is_ended = name.pop_if(|last| *last == self.separator).is_some();
        if self.separator != b'\n' {
            self.read.push_back(name);
            return Ok(true);
        }
        if 3 * name.iter().filter(|byte| **byte == 0).count() > name.len() {
            let reason = "it has NUL bytes; use -0 if they separate names, or save the list as UTF-8";
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        name.pop_if(|last| *last == b'\r');
        if is_first && !is_ended {
            self.read.extend(name.split(|byte| *byte == b'\r').map(<[u8]>::to_vec));
        } else {
            self.read.push_back(name);
        }
        Ok(true)
    }

    /// Reads a byte order mark, without waiting for more bytes than it needs.
    fn begin(&mut self) -> io::Result<()> {
        let begins_mark = |head: &[u8]| MARKS.iter().any(|mark| mark.len() > head.len() && mark.starts_with(head));
        while begins_mark(&self.head)
            && let Some(&byte) = self.reader.fill_buf()?.first()
            && MARKS.iter().any(|mark| mark.starts_with(&[&self.head[..], &[byte]].concat()))
        {
            self.head.push(byte);
            self.reader.consume(1);
        }
        match MARKS.iter().position(|mark| *mark == self.head) {
            Some(0) => {}
            Some(1) if self.separator == b'\n' => self.unit = Some(u16::from_le_bytes),
            Some(2) if self.separator == b'\n' => self.unit = Some(u16::from_be_bytes),
            _ => return Ok(()), // part of a name
        }
        self.head.clear();
        Ok(())
    }

    /// Reads a name. A `data:` URI may be long, and so may a list with CR line ends, which is one line.
    fn read_bytes(&mut self, is_first: bool) -> io::Result<Vec<u8>> {
        let mut name = std::mem::take(&mut self.head);
        let may_be_long = |name: &[u8]| {
            let is_data = name.get(..DATA.len()).is_some_and(|start| start.eq_ignore_ascii_case(DATA));
            is_data || is_first && name.contains(&b'\r')
        };
        self.lease = lines::read(&mut self.reader, self.separator, &self.limits, &mut name, may_be_long)?;
        Ok(name)
    }

    /// Reads a line of UTF-16, including its line feed, as UTF-8.
    fn read_utf16(&mut self, unit: fn([u8; 2]) -> u16) -> io::Result<Vec<u8>> {
        let torn = || io::Error::new(ErrorKind::InvalidData, "it is UTF-16 text that ends inside a character");
        let mut units = Vec::new();
        while units.last() != Some(&u16::from(b'\n'))
            && let Some(first) = self.byte()?
        {
            units.push(unit([first, self.byte()?.ok_or_else(torn)?]));
            if units.len() as u64 > LONGEST {
                return Err(too_long(LONGEST));
            }
        }
        String::from_utf16(&units).map(String::into_bytes).map_err(|_| torn())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        (&mut self.reader).bytes().next().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[u8], separator: u8) -> Vec<String> {
        let name = |name: io::Result<(Vec<u8>, _)>| match name {
            Ok((name, _)) => String::from_utf8(name).unwrap(),
            Err(e) => format!("! {e}"),
        };
        Names::new(list, separator, Limits::default()).map(name).collect()
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn names_are_read_however_lines_end() {
        for list in ["a b\nç\n", "a b\nç", "a b\r\n\r\nç\r\n", "a b\rç\r", "a b\rç", "\u{feff}a b\nç\n"] {
            assert_eq!(read(list.as_bytes(), b'\n'), ["a b", "ç"], "{list:?}");
        }
        assert_eq!(read(b"a\rb\nc\n", b'\n'), ["a\rb", "c"], "a file may be called so");
        assert_eq!(read(b"a\nb\0c\r\0", 0), ["a\nb", "c\r"]);
        let begun = Names::new(&b"\xef\xbb\n\xff\n"[..], b'\n', Limits::default());
        let begun = begun.map(|name| name.unwrap().0).collect::<Vec<_>>();
        assert_eq!(begun, [&b"\xef\xbb"[..], b"\xff"], "the beginning of a mark is a name");
        assert!(read(b"", b'\n').is_empty() && read(b"\xef\xbb\xbf", b'\n').is_empty());
    }

    #[test]
    fn a_mark_makes_it_utf_16() {
        for text in ["a b\nç\n🦉", "a b\r\nç\r\n🦉\r\n", "a b\rç\r🦉\r"] {
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(read(&utf16(&format!("\u{feff}{text}"), bytes), b'\n'), ["a b", "ç", "🦉"], "{text:?}");
            }
        }
        let mut torn = utf16("\u{feff}a\nb", u16::to_le_bytes);
        torn.pop();
        assert_eq!(read(&torn, b'\n'), ["a", "! it is UTF-16 text that ends inside a character"]);
    }

    #[test]
    fn utf_16_without_a_mark_is_told_by_its_nul_bytes() {
        let bare = utf16("a\nb\n", u16::to_le_bytes);
        for list in [&bare[..], b"a\0b\0", b"\xff\xfe\0\0a\0\0\0"] {
            let names = read(list, b'\n');
            assert!(names[0].starts_with("! it has NUL bytes; use -0"), "{names:?}");
        }
        assert_eq!(read(b"a.png\0b.png\0", b'\n'), ["a.png\0b.png\0"], "whoever opens it says that it is a list");
    }

    #[test]
    fn a_name_is_read_as_soon_as_it_is_written() {
        for name in ["a", "\u{feff}a"] {
            let (reader, mut writer) = io::pipe().unwrap();
            let mut names = Names::new(reader, b'\n', Limits::default());
            io::Write::write_all(&mut writer, format!("{name}\n").as_bytes()).unwrap();
            assert_eq!(names.next().unwrap().unwrap().0, b"a");
        }
    }
}
