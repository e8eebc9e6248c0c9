//! Expands `~`, `~user` and `$VAR` in paths that variables hold as Python's
//! `os.path.expandvars(os.path.expanduser(path))` does.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use uzers::os::unix::UserExt;
use uzers::{User, get_current_uid, get_user_by_name, get_user_by_uid};

/// Expands `~`, `~user`, `$NAME` and `${NAME}`. Unknown names stay as written.
pub fn expand(path: &OsStr, variable: impl Fn(&OsStr) -> Option<OsString>) -> PathBuf {
    let path = expand_user(path.as_bytes(), &variable);
    PathBuf::from(OsString::from_vec(expand_variables(&path, &variable)))
}

fn expand_user(path: &[u8], variable: &impl Fn(&OsStr) -> Option<OsString>) -> Vec<u8> {
    let Some(rest) = path.strip_prefix(b"~") else { return path.to_vec() };
    let (name, rest) = rest.split_at(rest.iter().position(|&b| b == b'/').unwrap_or(rest.len()));
    let listed = |user: User| user.home_dir().as_os_str().to_owned();
    let home = match str::from_utf8(name) {
        Ok("") => variable(OsStr::new("HOME")).or_else(|| get_user_by_uid(get_current_uid()).map(listed)),
        _ => get_user_by_name(OsStr::from_bytes(name)).map(listed),
    };
    let Some(home) = home else { return path.to_vec() };
    let home = home.as_bytes();
    let end = home.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
    let whole = [&home[..end], rest].concat();
    if whole.is_empty() { b"/".to_vec() } else { whole }
}

fn expand_variables(path: &[u8], variable: &impl Fn(&OsStr) -> Option<OsString>) -> Vec<u8> {
    let mut expanded = Vec::new();
    let mut rest = path;
    while let Some(at) = rest.iter().position(|&b| b == b'$') {
        expanded.extend(&rest[..at]);
        rest = &rest[at..];
        let name = name(rest);
        let value = name.and_then(|(name, _)| variable(OsStr::from_bytes(name)));
        let length = name.map_or(1, |(_, length)| length);
        expanded.extend(value.as_deref().map_or(&rest[..length], OsStr::as_bytes));
        rest = &rest[length..];
    }
    expanded.extend(rest);
    expanded
}

/// Returns the name after a `$`, and its length with the signs around it.
fn name(text: &[u8]) -> Option<(&[u8], usize)> {
    if text.get(1) == Some(&b'{') {
        let end = text.iter().position(|&b| b == b'}')?;
        return Some((&text[2..end], end + 1));
    }
    let letters = text[1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    (letters > 0).then(|| (&text[1..=letters], 1 + letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values come from Python 3.11.
    #[test]
    fn paths_are_expanded_as_python_expands_them() {
        let variable = |name: &OsStr| match name.to_str() {
            Some("HOME") => Some("/home/a/".into()),
            Some("V") => Some("$HOME".into()),
            Some("é") => Some("accent".into()),
            Some("EMPTY") => Some("".into()),
            _ => None,
        };
        for (path, expanded) in [
            ("~", "/home/a"),
            ("~/x", "/home/a/x"),
            ("~root/x", "/root/x"),
            ("~no-such-user/x", "~no-such-user/x"),
            ("x/~", "x/~"),
            ("$HOME/x", "/home/a//x"),
            ("${HOME}x", "/home/a/x"),
            ("$HOMEx", "$HOMEx"),
            ("$NONE/${NONE}/${}", "$NONE/${NONE}/${}"),
            ("$V/$V", "$HOME/$HOME"),
            ("a$$HOME", "a$/home/a/"),
            ("$", "$"),
            ("${HOME", "${HOME"),
            ("$é/${é}", "$é/accent"),
            ("[$EMPTY]", "[]"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(expand(OsStr::new(path), variable).as_os_str(), expanded, "{path}");
        }
    }
}
