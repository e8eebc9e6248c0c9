//! UTF-8 that was read in another encoding, read again as ftfy 6.3 does (`fix_encoding`).

use std::sync::LazyLock;

use regex::Regex;
use regex::bytes::{Captures, Regex as Bytes};

use super::badness::is_bad;
use super::encodings::{ENCODINGS, Encoding, without_c1};

/// Characters that the later bytes of UTF-8 become.
const LATER: &str = "\u{80}-¿ÆØæøĄąĽľŁłŒœŖŗŚśŞ-šŤťŸ-žƒˆˇ˘˛-˝΄-ΆΈ-ΊΌΎΏЁ-ЌЎЏё-ќўџҐґ†‡‰‹›€№™";

/// Characters that may be UTF-8 in another encoding.
static PARTS: LazyLock<Regex> = LazyLock::new(|| {
    let later = format!(r"[{LATER}\x20–-―‘-‚“-„•…]");
    let two = "[Â-ßĀĂĆČĎĐĒĖĘĚĞĢĪİĶĹĻŁŃŅŇŌŐŘŚŞŠŢŪŮŰŲŹŻŽΒ-ΡΣ-ίВ-Я]";
    let three = "[à-ïāăąćčďēėęěģīįķĺļŕźΰ-οа-п]";
    Regex::new(&format!("(?:{two}{later}|{three}{later}{{2}}|[ðóđğšπσру]{later}{{3}})+")).unwrap()
});

/// No part follows one of these.
static BEFORE: LazyLock<Regex> = LazyLock::new(|| Regex::new(&format!("[{LATER}]")).unwrap());

/// UTF-8 in which spaces took the place of no-break spaces.
static SPACED: LazyLock<Bytes> = LazyLock::new(|| {
    let two = r"[\xc2\xc3\xc5\xce\xd0\xd9] ";
    let three = r"[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ";
    let four = r"\xf0 [\x80-\xbf][\x80-\xbf]|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf] ";
    Bytes::new(&format!("(?-u){two}|{three}|{four}")).unwrap()
});

/// `à` that lost its no-break space, and what follows if it begins a word.
static A_GRAVE: LazyLock<Bytes> = LazyLock::new(|| Bytes::new(r"(?-u)\xc3 ( |quele|quela|quilo|s )?").unwrap());

/// UTF-8 in which bytes are lost: 1A stands for them, or `?`.
static LOST: LazyLock<Bytes> = LazyLock::new(|| {
    let two = r"[\xc2-\xdf]\x1a|[\xc2\xc3]\?";
    let pair =
        r"\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]";
    let three = r"[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]";
    let four = r"[\xf0-\xf4](?:[\x1a?]LL|L[\x1a?]L|LL[\x1a?])".replace('L', r"[\x1a\x80-\xbf]");
    Bytes::new(&format!(r"(?-u){two}|{pair}|{three}|{four}|\x1a")).unwrap()
});

/// Java's NUL, and pairs of surrogates. As in Python, `$` is also before a last line feed.
static VARIANTS: LazyLock<Bytes> = LazyLock::new(|| {
    Bytes::new(r"(?-u)\xc0(?:\x80|\n\z)|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf](?:[\x80-\xbf]|\n\z)").unwrap()
});

/// Returns a text with its mojibake repaired.
pub(super) fn repair(mut text: String) -> String {
    while let Some(fixed) = repair_once(&text).filter(|fixed| *fixed != text) {
        text = fixed;
    }
    text
}

fn repair_once(text: &str) -> Option<String> {
    if text.is_ascii() || !is_bad(text) {
        return None;
    }
    let read_again = |encoding: &Encoding| decode(encoding, encoding.encode(text)?);
    if let Some(fixed) = ENCODINGS.iter().find_map(read_again) {
        return Some(fixed);
    }
    Some(repair_parts(text)).filter(|fixed| fixed != text).or_else(|| Some(without_c1(text)))
}

/// Repairs what looks like UTF-8 in a text that is not mojibake as a whole.
fn repair_parts(text: &str) -> String {
    let (mut fixed, mut kept, mut from) = (String::new(), 0, 0);
    while let Some(part) = PARTS.find_at(text, from) {
        let before = text[..part.start()].chars().next_back();
        if before.is_some_and(|c| BEFORE.is_match(c.encode_utf8(&mut [0; 4]))) {
            from = part.start() + part.as_str().chars().next().map_or(1, char::len_utf8);
            continue;
        }
        from = part.end();
        if part.len() < text.len() && is_bad(part.as_str()) {
            fixed += &text[kept..part.start()];
            fixed += &repair(part.as_str().to_owned());
            kept = from;
        }
    }
    fixed + &text[kept..]
}

/// Returns bytes as UTF-8 text, with the repairs that their original encoding allows.
fn decode(encoding: &Encoding, mut bytes: Vec<u8>) -> Option<String> {
    if encoding.spaced {
        bytes = with_no_break_spaces(&bytes);
    }
    if encoding.lossy {
        bytes = LOST.replace_all(&bytes, "\u{fffd}".as_bytes()).into_owned();
    }
    let bytes = VARIANTS.replace_all(&bytes, |found: &Captures| match found[0] {
        [_, a, b, _, c, d] => {
            let halves = [(a & 0xf, 16), (b & 0x3f, 10), (c & 0xf, 6), (d & 0x3f, 0)];
            let code: u32 = halves.iter().map(|(bits, shift)| u32::from(*bits) << shift).sum();
            char::from_u32(code + 0x10000).map(String::from).unwrap_or_default().into_bytes()
        }
        _ => vec![0],
    });
    String::from_utf8(bytes.into_owned()).ok()
}

/// Gives UTF-8 back its no-break spaces.
fn with_no_break_spaces(bytes: &[u8]) -> Vec<u8> {
    let bytes = A_GRAVE.replace_all(bytes, |found: &Captures| match found.get(1) {
        Some(_) => found[0].to_vec(),
        None => b"\xc3\xa0 ".to_vec(),
    });
    let no_break = |byte: &u8| if *byte == b' ' { 0xa0 } else { *byte };
    SPACED.replace_all(&bytes, |found: &Captures| found[0].iter().map(no_break).collect::<Vec<_>>()).into_owned()
}
