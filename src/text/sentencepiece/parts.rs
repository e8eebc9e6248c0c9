//! Reads the pieces of a long `tokenizer.json` in parts, on all threads, without holding the file. It knows pieces that are
//! written on lines of their own, as published files have them, and leaves every other file to serde.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::from_slice;

use crate::checkpoint::WeightFile;
use crate::text::pieces::Text;
use crate::text::sentencepiece::list::PieceList;

/// The text that begins the list of pieces.
const KEY: &[u8] = b"\"vocab\": [";
/// The most bytes before the first piece, or after the last one. A map of characters takes a third of a megabyte.
const ENDS: u64 = 2 << 20;
/// Bytes that one thread reads at a time.
const PART: u64 = 512 << 10;
/// Parts that are in memory together.
const TOGETHER: usize = 32;
/// The least bytes of a piece, in most files.
const USUAL: usize = 64;
/// The most bytes of a piece.
const LONGEST: u64 = 64 << 10;

/// Digits that a whole number of 64 bits holds, and the powers of ten up to there.
const DIGITS: usize = 18;
const POWERS: [f64; DIGITS] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];

/// How pieces are written.
struct Form {
    /// Between a score and the next piece's text, from a line's end on.
    between: Vec<u8>,
    /// Between a piece's text and its score.
    inside: Vec<u8>,
}

/// Pieces that follow one another.
struct Part {
    pieces: PieceList,
    /// The start of the first, and the end of the last.
    start: u64,
    end: u64,
}

/// Returns the file without its pieces except the first one, and all pieces. Returns None if the file is written in
/// another way.
pub fn read(file: &WeightFile) -> Option<(Vec<u8>, PieceList)> {
    let length = file.len().ok()?;
    let mut short = bytes(file, 0, ENDS.min(length), Vec::new())?;
    let list = short.windows(KEY.len()).position(|key| key == KEY)? + KEY.len();
    let (form, first) = Form::of(&short[list..])?;
    short.truncate(list + first);
    let start = short.len() as u64;
    let starts: Vec<u64> = (start..length).step_by(PART as usize).collect();
    let part = |buffer: &mut Vec<u8>, &start: &u64| {
        *buffer = bytes(file, start, (PART + LONGEST).min(length - start), std::mem::take(buffer))?;
        form.part(buffer, start)
    };
    let (mut pieces, mut end) = (PieceList::with_capacity(length as usize / USUAL), start);
    for starts in starts.chunks(TOGETHER) {
        let parts: Option<Vec<Part>> = starts.par_iter().map_init(Vec::new, part).collect();
        for part in parts?.into_iter().filter(|part| part.end > part.start) {
            if part.start != end {
                return None;
            }
            end = part.end;
            pieces.append(part.pieces);
        }
    }
    let rest = (length - end <= ENDS).then(|| bytes(file, end, length - end, Vec::new()))??;
    short.extend(rest);
    Some((short, pieces))
}

/// Reads some of the file into `buffer`.
fn bytes(file: &WeightFile, start: u64, length: u64, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
    buffer.resize(length as usize, 0);
    file.read_exact_at(&mut buffer, start).ok()?;
    Some(buffer)
}

impl Form {
    /// Looks at the first two pieces. Returns how they are written, and where the first one ends.
    fn of(list: &[u8]) -> Option<(Self, usize)> {
        let text = list.iter().position(|b| *b == b'"')?;
        let inside = text + self::text(&list[text..])?.0;
        let score = inside + list[inside..].iter().position(|b| b"-0123456789".contains(b))?;
        let between = score + line_length(&list[score..])?;
        let next = between + list[between..].iter().position(|b| *b == b'"')?;
        let has = |from: usize, to: usize, signs: &[u8]| {
            list[from..to].iter().filter(|b| !b.is_ascii_whitespace()).eq(signs.iter())
        };
        let is_list = has(0, text, b"[") && has(inside, score, b",") && has(between, next, b"],[");
        let form = Self { between: list[between..next].to_vec(), inside: list[inside..score].to_vec() };
        is_list.then_some((form, between))
    }

    /// Reads the pieces that begin in the first [`PART`] bytes, which lie at `start` of the file. The line's end in `between` is in
    /// no text, so that a part may begin in the middle of one.
    fn part(&self, bytes: &[u8], start: u64) -> Option<Part> {
        let Self { between, inside } = self;
        let first = bytes.windows(between.len()).take(PART as usize).position(|found| found == between).unwrap_or(0);
        let (mut pieces, mut at) = (PieceList::with_capacity(PART as usize / USUAL), first);
        while at < PART as usize
            && let Some(rest) = bytes[at..].strip_prefix(&between[..])
        {
            let (length, is_plain) = text(rest)?;
            let (quoted, rest) = rest.split_at(length);
            let rest = rest.strip_prefix(&inside[..])?;
            let (score, length) = score(rest)?;
            let rest = &rest[length..];
            if is_plain {
                pieces.push_by_look(std::str::from_utf8(&quoted[1..quoted.len() - 1]).ok()?, score);
            } else {
                pieces.push_by_look(&from_slice::<Text>(quoted).ok()?.0, score);
            }
            at = bytes.len() - rest.len();
        }
        Some(Part { pieces, start: start + first as u64, end: start + at as u64 })
    }
}

/// Returns the length of the JSON text that `bytes` begin with, and whether it stands for itself.
fn text(bytes: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut is_plain) = (1, true);
    loop {
        match bytes.get(at)? {
            b'"' => return Some((at + 1, is_plain)),
            b'\\' => (at, is_plain) = (at + 2, false),
            0..b' ' => return None,
            _ => at += 1,
        }
    }
}

/// Returns the number that fills a line, and its length. A number of few digits is computed as serde_json does, in half
/// the time.
fn score(line: &[u8]) -> Option<(f32, usize)> {
    let start = usize::from(line.first() == Some(&b'-'));
    let (mut whole, mut point, mut at) = (0u64, start, start);
    while let Some(b) = line.get(at) {
        match b {
            b'0'..=b'9' => whole = whole.wrapping_mul(10).wrapping_add(u64::from(b - b'0')),
            b'.' if point == start => point = at,
            _ => break,
        }
        at += 1;
    }
    let is_number = point > start && (line[start] != b'0' || point == start + 1) && line.get(at) == Some(&b'\n');
    match POWERS.get((at - point).saturating_sub(1)) {
        Some(power) if is_number && at > point + 1 && at - start <= DIGITS + 1 => {
            let value = whole as f64 / power;
            Some((if start == 1 { -value } else { value } as f32, at))
        }
        _ => {
            let length = line_length(line)?;
            Some((from_slice(&line[..length]).ok()?, length))
        }
    }
}

/// Returns the bytes before the end of the line.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::written::{WrittenPieces, read};
    use crate::checkpoint::Files;

    /// Returns a file of several parts, with texts that contain the marks between pieces.
    fn file() -> Value {
        let odd = ["\"", "\\", "],\n[", "\n      ],\n      [\n        \"", "\u{2581}é", "<s>", "<0x0A>", ""];
        let text = |n: usize| format!("{}{}", odd[n % odd.len()], if n < odd.len() { 0 } else { n % 40_000 });
        let pieces: Vec<Value> = (0..50_000).map(|n| json!([text(n), -(n as f64) / 7.0])).collect();
        json!({"x": "\"vocab\": [", "type": "Unigram", "vocab": pieces, "unk_id": 3, "byte_fallback": true})
    }

    /// Returns all that is known of the pieces in a file, and whether they were read in parts.
    fn known(json: &[u8]) -> Result<(String, bool), String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), json).unwrap();
        let files = Files::directory(dir.path());
        let in_parts = super::read(&files.open("tokenizer.json").unwrap()).is_some();
        let read = read::<WrittenPieces>(&files, |file| file).map_err(|e| e.to_string())?;
        let unknown = read.unk_id;
        let pieces = read.vocab()?;
        let lengths = pieces.lengths();
        Ok((format!("{unknown:?} {lengths:?} {:?} {:?} {:?}", pieces.ids, pieces.scores, pieces.kinds), in_parts))
    }

    #[test]
    fn pieces_read_in_parts_are_those_that_serde_reads() {
        let (short, long) = (serde_json::to_string(&file()).unwrap(), serde_json::to_string_pretty(&file()).unwrap());
        let expected = known(short.as_bytes()).unwrap();
        assert!(!expected.1 && long.len() > 3 * super::PART as usize);
        let parts = [known(long.as_bytes()), known(long.replace('\n', "\r\n").as_bytes())];
        for (read, in_parts) in parts.map(Result::unwrap) {
            assert!(in_parts && read == expected.0);
        }
        let (head, tail) = long.split_at(long.len() / 2);
        let tail = tail.split_once("],").unwrap();
        let other = format!("{head}{}],  {}", tail.0, tail.1); // one line is written in another way
        assert!(known(other.as_bytes()).unwrap() == (expected.0, false));
    }

    #[test]
    fn numbers_are_those_of_serde() {
        let digits = "123456789012345678901234567890";
        let mut numbers: Vec<String> =
            (1..25).map(|n| format!("-{}.{}", &digits[..1 + n % 3], &digits[n..2 * n.min(15)])).collect();
        numbers.extend(
            ["0.0", "-0.0", "0", "7", "-12", "1e-5", "-1.5E+2", "0.1", "-17.000370745768496", "3.4e39"]
                .map(str::to_owned),
        );
        numbers.extend((0..2000u32).map(|n| format!("{}", f64::from(f32::from_bits(0xc000_0000 + 40_503 * n)))));
        for number in numbers {
            let expected: f32 = serde_json::from_str(&number).unwrap_or_else(|e| panic!("{number}: {e}"));
            let (score, length) = super::score(format!("{number}\n").as_bytes()).unwrap();
            assert_eq!((score.to_bits(), length), (expected.to_bits(), number.len()), "{number}");
        }
        for number in ["01.5", "-", ".5", "5.", "1.2.3", "", "+1.0", "1.5 2", "NaN"] {
            assert_eq!(super::score(format!("{number}\n").as_bytes()), None, "{number}");
        }
    }

    #[test]
    fn damage_is_told_as_serde_tells_it() {
        let long = serde_json::to_string_pretty(&file()).unwrap();
        let score = "    [\n      \"x\",\n      ";
        let at = long[..long.len() / 2].rfind("\n    [\n").unwrap() + 1;
        for (wrong, told) in [
            (format!("{}{score}01\n    ],\n{}", &long[..at], &long[at..]), "is not valid JSON: invalid number"),
            (format!("{}{score}\"1\"\n    ],\n{}", &long[..at], &long[at..]), "is not the JSON expected here"),
            (format!("{}{score}1,\n        2\n    ],\n{}", &long[..at], &long[at..]), "is not"),
            (long[..long.len() - 2].to_owned(), "is cut off"),
            (long[..at].to_owned(), "is cut off"),
        ] {
            let error = known(wrong.as_bytes()).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
