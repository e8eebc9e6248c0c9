//! Reads text files that people write, in any encoding that editors and shells use: UTF-8, or UTF-16. `-` is standard
//! input.

use std::fs::File;
use std::io::{self, Read, stdin};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};
use zsic::reason::os_reason;
use zsic::system::pipe::block_on;
use zsic::text::lines;

use super::available_memory;
use super::fatal::usage;

/// The most bytes of a text: a million labels have fewer.
const LONGEST: u64 = 256 << 20;
/// The copies in memory: a file's bytes, and the decoded text.
const COPIES: u64 = 2;
/// The message for a file that is not text.
const NUL: &str = "has NUL bytes, as UTF-16 and UTF-32 text has; save it as UTF-8";

/// Reads a text without its byte order mark.
///
/// # Errors
/// A usage error if it cannot be read, or is neither UTF-8 nor UTF-16; another error without enough memory.
pub fn read(path: &Path) -> Result<String> {
    let failed = |reason: String| usage(format!("{}: {reason}", name(path)));
    let most = LONGEST.min(available_memory::for_texts() / COPIES);
    let read = |file: File| Ok((file.metadata()?.len(), read_file(file, most)?));
    let read = if is_stdin(path) { stdin_once(most).map(|bytes| (0, bytes)) } else { File::open(path).and_then(read) };
    let (length, bytes) = read.map_err(|e| failed(format!("cannot be read: {}", os_reason(&e))))?;
    if length.max(bytes.len() as u64) > LONGEST {
        return Err(failed(format!("has more than {LONGEST} bytes, the most for a list of texts")));
    }
    if bytes.len() as u64 > most {
        let reason = "this run has no memory for more; give it more memory or a shorter file";
        return Err(anyhow!("{}: has more than {most} bytes, and {reason}", name(path)));
    }
    decode(bytes).map_err(failed)
}

/// Returns a file's name for messages.
pub fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Returns whether a path means standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read_stdin(most: u64) -> io::Result<Vec<u8>> {
    block_on(&stdin());
    read_file(stdin().lock(), most)
}

/// Returns what standard input holds, however often it is asked for.
fn stdin_once(most: u64) -> io::Result<Vec<u8>> {
    static READ: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    match &*read {
        Some(bytes) => Ok(bytes.clone()),
        None => Ok(read.insert(read_stdin(most)?).clone()),
    }
}

/// Reads a file, but at most one byte more than allowed.
fn read_file(file: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Decodes a text by its byte order mark. Without one it is UTF-8, or UTF-16 if its NUL bytes show that.
fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let text = match &bytes[..] {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err("is UTF-32 text; save it as UTF-8".to_owned()),
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes)?,
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes)?,
        text if is_utf16(text, 1) => utf16(text, u16::from_le_bytes)?,
        text if is_utf16(text, 0) => utf16(text, u16::from_be_bytes)?,
        _ => utf8(bytes)?,
    };
    if text.contains('\0') { Err(NUL.to_owned()) } else { Ok(text) }
}

/// Returns whether most characters have a NUL byte, all at even (0) or all at odd (1) places.
fn is_utf16(text: &[u8], place: usize) -> bool {
    let mut nuls = text.iter().enumerate().filter(|(_, byte)| **byte == 0);
    let count = nuls.clone().count();
    count > 0 && 4 * count >= text.len() && nuls.all(|(index, _)| index % 2 == place)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (units, rest) = bytes.as_chunks::<2>();
    match char::decode_utf16(units.iter().copied().map(unit)).collect() {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err("is UTF-16 text that ends inside a character; save it as UTF-8".to_owned()),
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = lines(&String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()])).count();
        format!("line {line} is not UTF-8 text; save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fox\r\nbär\n猫 🦉\n";

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_byte_order_mark_says_how_text_is_written() {
        for bytes in [
            TEXT.as_bytes().to_vec(),
            format!("\u{feff}{TEXT}").into_bytes(),
            utf16(&format!("\u{feff}{TEXT}"), u16::to_le_bytes),
            utf16(&format!("\u{feff}{TEXT}"), u16::to_be_bytes),
        ] {
            assert_eq!(decode(bytes.clone()).as_deref(), Ok(TEXT), "{bytes:?}");
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_told_by_its_nul_bytes() {
        for text in ["fox\r\nbär\nowl", "a", "żółw\nfox"] {
            assert_eq!(decode(utf16(text, u16::to_le_bytes)).as_deref(), Ok(text));
            assert_eq!(decode(utf16(text, u16::to_be_bytes)).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_text_is_told() {
        let utf32 = |mark: [u8; 4], bytes: fn(u32) -> [u8; 4]| {
            mark.into_iter().chain("fox".chars().flat_map(|c| bytes(c.into()))).collect::<Vec<u8>>()
        };
        let mut torn = utf16("\u{feff}fox", u16::to_le_bytes);
        torn.pop();
        let mut half = utf16("\u{feff}fox 🦉", u16::to_be_bytes);
        half.truncate(half.len() - 2);
        let bare: Vec<u8> = "fox".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (bytes, expected) in [
            (utf32([0xff, 0xfe, 0, 0], u32::to_le_bytes), "is UTF-32"),
            (utf32([0, 0, 0xfe, 0xff], u32::to_be_bytes), "is UTF-32"),
            (bare, "has NUL bytes"),
            (b"fox\0bear".to_vec(), "has NUL bytes"),
            (torn, "is UTF-16 text that ends"),
            (half, "is UTF-16 text that ends"),
            (b"fox\nb\xe4r\n".to_vec(), "line 2 is not UTF-8"),
        ] {
            let told = decode(bytes.clone()).unwrap_err();
            assert!(told.contains(expected), "{bytes:?}: {told}");
        }
    }
}
