//! Makes text safe for a terminal. File names, repositories, labels and servers' messages may hold characters that
//! control the terminal, change the order of text, or are invisible. None of them is printed.

use std::borrow::Cow;

/// The replacement of an unsafe character.
const SHOWN: char = char::REPLACEMENT_CHARACTER;

/// Returns `text` as one safe line.
pub fn printable(text: &str) -> String {
    replaced(text, |_| SHOWN.to_string()).into_owned()
}

/// Returns several safe lines.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Returns safe JSON with the same values: characters that JSON may hold and terminals act on are escaped.
pub fn escaped(json: &str) -> Cow<'_, str> {
    replaced(json, |c| match c {
        '\0'..='\u{1f}' => c.to_string(), // between values
        c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    })
}

fn replaced(text: &str, with: impl Fn(char) -> String) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let (mut safe, mut before) = (String::with_capacity(text.len()), ' ');
    for c in text.chars() {
        if acts(c) || joins(c) && (before.is_ascii() || acts(before)) {
            safe.push_str(&with(c));
        } else {
            safe.push(c);
        }
        before = c;
    }
    safe.into()
}

/// Returns whether a character controls a terminal, changes the direction of text, breaks lines, or is invisible.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction
            | '\u{2028}' | '\u{2029}' // lines
            // Other characters that Unicode lets a reader ignore (Default_Ignorable_Code_Point), and annotations.
            | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0d}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a character is invisible and still belongs to the one before it, in emoji and in scripts that join
/// letters. After an ASCII letter it can only deceive.
fn joins(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_is_printable() {
        for (text, shown) in [
            ("a\x1b[31m\nb", "a?[31m?b"),
            ("\x07\x08\r\t\x7f\0", "??????"),
            ("\u{9b}2J\u{85}", "?2J?"),
            ("gpj.\u{202e}x\u{2066}y\u{200f}\u{61c}", "gpj.?x?y??"),
            ("a\u{2028}b\u{2029}", "a?b?"),
            ("a\u{200b}b\u{feff}\u{ad}\u{e0041}\u{3164}", "a?b????"),
            ("op\u{200d}enai\u{fe0f}", "op?enai?"),
            ("\u{200d}\u{200b}\u{200d}", "???"),
        ] {
            assert_eq!(printable(text), shown.replace('?', "\u{fffd}"), "{text:?}");
        }
    }

    #[test]
    fn words_in_every_script_stay_as_they_are() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        let persian = "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}";
        for text in
            ["caf\u{e9}", "\u{732b}, \u{72ac}", family, "\u{2764}\u{fe0f}", persian, "\u{5e9}\u{5dc}", "a~ b", ""]
        {
            assert_eq!(printable(text), text);
            assert_eq!(escaped(text), text);
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(printable_lines("a\x1b\nb\r\n"), "a\u{fffd}\nb\u{fffd}\n");
    }

    #[test]
    fn escaped_json_has_the_same_values() {
        let value = serde_json::json!({"a\u{9b}": "\u{202e}\x7f\x1b\n\u{e0041}\u{1f468}\u{200d}\u{1f469}"});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let text = escaped(&json);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(
            text.contains("\\u009b") && text.contains("\\u202e\\u007f") && text.contains("\\udb40\\udc41"),
            "{text}"
        );
        assert_eq!(printable_lines(&text), text);
    }
}
