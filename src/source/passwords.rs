//! Hides passwords of URLs in messages. Records keep URLs as given.

use std::borrow::Cow;

/// Returns `text` with `***` instead of the password of every URL in it: `http://user:***@host`. A user without a
/// password may be a token, and is hidden too.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("://") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find("://").map(|at| at + 3) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(end) = secret(rest) {
            let user = rest[..end].split_once(':').map(|(user, _)| format!("{user}:"));
            shown.push_str(&user.unwrap_or_default());
            shown.push_str("***");
            rest = &rest[end..];
        }
    }
    shown.push_str(rest);
    shown.into()
}

/// Returns where the user and password end in `rest`, the text after `://`.
fn secret(rest: &str) -> Option<usize> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '`');
    let place = &rest[..rest.find(is_end).unwrap_or(rest.len())];
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit() || byte == b']');
    let has_port = place.trim_end_matches(':').rsplit_once(':').is_none_or(|(_, port)| is_port(port));
    // A port that is not a number is half of a password with a slash or a blank in it.
    place.rfind('@').or_else(|| if has_port { None } else { rest.rfind('@') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_and_nothing_else_is() {
        for (text, shown) in [
            ("http://me:secret@h/x: no", "http://me:***@h/x: no"),
            ("HTTPS://me:se:c@ret@h:8/a@b?c", "HTTPS://me:***@h:8/a@b?c"),
            ("http://token@h/x", "http://***@h/x"),
            ("http://me:se/cret@h/x", "http://me:***@h/x"),
            ("http://me:se cr?et@h/x", "http://me:***@h/x"),
            ("\"ftp://me:secret@h\" and `http://you:secret@h`", "\"ftp://me:***@h\" and `http://you:***@h`"),
            ("http://h/x?u=http://me:secret@h", "http://h/x?u=http://me:***@h"),
            ("http://h:80/a:b@c", "http://h:80/a:b@c"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://h: refused by me@h", "http://h: refused by me@h"),
            ("a@b.jpg", "a@b.jpg"),
            ("http://", "http://"),
        ] {
            assert_eq!(without_passwords(text), shown, "{text}");
        }
    }
}
