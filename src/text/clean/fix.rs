//! Corrects small mistakes in text as ftfy 6.3 does (`fix_text`): ligatures, wide letters, curly quotes, controls.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::encodings::without_c1;
use super::{html, mojibake};

/// The sequences that colour text in a terminal.
static ESCAPES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\x1b\[[\d;]*[a-zA-Z]").unwrap());

/// Returns a text without its mistakes. Keeps entities from the first line with a `<` on, since they may be intended.
pub(super) fn fix(text: &str) -> String {
    let mut entities = true;
    let lines = text.split_inclusive('\n').map(|line| {
        entities &= !line.contains('<');
        fix_line(line.to_owned(), entities)
    });
    lines.collect()
}

fn fix_line(mut line: String, entities: bool) -> String {
    loop {
        let text = if entities { html::unescape_whole(&line) } else { line.as_str().into() };
        let text = without_c1(&mojibake::repair(text.into_owned())).chars().fold(String::new(), push_plain);
        let text = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}'], "\n");
        let fixed = ESCAPES.replace_all(&text, "").chars().filter(|c| !is_control(*c)).nfc().collect();
        if fixed == line {
            return fixed;
        }
        line = fixed;
    }
}

/// Adds a character in its plain form.
fn push_plain(mut text: String, c: char) -> String {
    match c {
        'Ĳ' => text.push_str("IJ"),
        'ĳ' => text.push_str("ij"),
        'ŉ' => text.push_str("'n"),
        'Ǳ' => text.push_str("DZ"),
        'ǲ' => text.push_str("Dz"),
        'ǳ' => text.push_str("dz"),
        'Ǆ' => text.push_str("DŽ"),
        'ǅ' => text.push_str("Dž"),
        'ǆ' => text.push_str("dž"),
        'Ǉ' => text.push_str("LJ"),
        'ǈ' => text.push_str("Lj"),
        'ǉ' => text.push_str("lj"),
        'Ǌ' => text.push_str("NJ"),
        'ǋ' => text.push_str("Nj"),
        'ǌ' => text.push_str("nj"),
        'ﬀ' => text.push_str("ff"),
        'ﬁ' => text.push_str("fi"),
        'ﬂ' => text.push_str("fl"),
        'ﬃ' => text.push_str("ffi"),
        'ﬄ' => text.push_str("ffl"),
        'ﬅ' => text.push_str("ſt"),
        'ﬆ' => text.push_str("st"),
        '\u{3000}' => text.push(' '),
        '\u{ff01}'..='\u{ffef}' => text.extend(c.nfkc()),
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => text.push('\''),
        '\u{201c}'..='\u{201f}' => text.push('"'),
        _ => text.push(c),
    }
    text
}

/// Returns whether `c` is a control that shows nothing.
fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}
