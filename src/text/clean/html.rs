//! References to characters in HTML.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::encodings::c1;

/// The characters of each name, one name per line, as Python has them (`html.entities.html5`).
static NAMES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let pairs = include_str!("entities.txt").lines().filter_map(|line| line.split_once(' '));
    let character = |code| u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
    pairs.map(|(name, codes)| (name, codes.split(' ').filter_map(character).collect())).collect()
});

/// Replaces references as a browser does (Python, `html.unescape`): many names need no semicolon.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    static REFERENCE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0c <&#;]{1,32};?)").unwrap());
    REFERENCE.replace_all(text, |found: &Captures| match found[1].strip_prefix('#') {
        Some(number) => numbered(number.trim_end_matches(';')),
        None => named(&found[1]),
    })
}

/// Replaces references that end with a semicolon, and names written in capitals (ftfy, `unescape_html`).
pub(super) fn unescape_whole(text: &str) -> Cow<'_, str> {
    static REFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new("&(#?[0-9A-Za-z]{1,24};)").unwrap());
    REFERENCE.replace_all(text, |found: &Captures| {
        let (whole, name) = (&found[0], &found[1]);
        if let Some(characters) = NAMES.get(name) {
            return characters.clone();
        }
        let unescaped = unescape(whole);
        if name.starts_with('#') && !unescaped.contains(';') {
            return unescaped.into_owned();
        }
        let is_capital = name == name.to_ascii_uppercase() && unescaped == whole;
        let small = NAMES.get(&*name.to_ascii_lowercase()).filter(|_| is_capital);
        small.map_or_else(|| whole.to_owned(), |characters| characters.to_uppercase())
    })
}

/// Replaces the longest beginning that is a name.
fn named(reference: &str) -> String {
    let ends = reference.char_indices().map(|(start, c)| start + c.len_utf8()).rev();
    let mut known = ends.filter_map(|end| Some(NAMES.get(&reference[..end])?.clone() + &reference[end..]));
    known.next().unwrap_or_else(|| format!("&{reference}"))
}

fn numbered(number: &str) -> String {
    let hexadecimal = number.strip_prefix(['x', 'X']);
    let code = hexadecimal.map_or_else(|| number.parse(), |digits| u32::from_str_radix(digits, 16));
    match code.unwrap_or(u32::MAX) {
        0 => char::REPLACEMENT_CHARACTER.into(),
        1..=8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef => String::new(),
        code if code <= 0x10ffff && code & 0xfffe == 0xfffe => String::new(),
        code => char::from_u32(code).map_or(char::REPLACEMENT_CHARACTER, c1).into(),
    }
}
