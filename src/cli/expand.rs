//! Expands `~`, `~user` and `$VAR` in paths that variables hold as Python's
//! `os.path.expandvars(os.path.expanduser(path))` does. On Windows, `~user` and `%VAR%` stay as written.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use zsic::system::name::{from_bytes, from_vec};

/// The variable with the home directory.
const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

/// Expands `~`, `~user`, `$NAME` and `${NAME}`. Unknown names stay as written.
pub fn expand(path: &OsStr, variable: impl Fn(&OsStr) -> Option<OsString>) -> PathBuf {
    let path = expand_user(path.as_encoded_bytes(), &variable);
    PathBuf::from(from_vec(expand_variables(&path, &variable)))
}

fn expand_user(path: &[u8], variable: &impl Fn(&OsStr) -> Option<OsString>) -> Vec<u8> {
    let Some(rest) = path.strip_prefix(b"~") else { return path.to_vec() };
    let (name, rest) = rest.split_at(rest.iter().position(is_separator).unwrap_or(rest.len()));
    let home = match str::from_utf8(name) {
        Ok("") => variable(OsStr::new(HOME)).or_else(|| listed_home(None)),
        _ => listed_home(Some(&from_bytes(name))),
    };
    let Some(home) = home else { return path.to_vec() };
    let home = home.as_encoded_bytes();
    let end = home.iter().rposition(|b| !is_separator(b)).map_or(0, |last| last + 1);
    let whole = [&home[..end], rest].concat();
    if whole.is_empty() { b"/".to_vec() } else { whole }
}

/// Returns the home directory that the system lists for a user, or for this one.
fn listed_home(name: Option<&OsStr>) -> Option<OsString> {
    #[cfg(unix)]
    {
        use uzers::os::unix::UserExt;
        let user = match name {
            Some(name) => uzers::get_user_by_name(name),
            None => uzers::get_user_by_uid(uzers::get_current_uid()),
        };
        user.map(|user| user.home_dir().as_os_str().to_owned())
    }
    #[cfg(windows)] // it has no such list
    name.and(None)
}

fn is_separator(byte: &u8) -> bool {
    std::path::is_separator(char::from(*byte))
}

fn expand_variables(path: &[u8], variable: &impl Fn(&OsStr) -> Option<OsString>) -> Vec<u8> {
    let mut expanded = Vec::new();
    let mut rest = path;
    while let Some(at) = rest.iter().position(|&b| b == b'$') {
        expanded.extend(&rest[..at]);
        rest = &rest[at..];
        let name = name(rest);
        let value = name.and_then(|(name, _)| variable(&from_bytes(name)));
        let length = name.map_or(1, |(_, length)| length);
        expanded.extend(value.as_deref().map_or(&rest[..length], OsStr::as_encoded_bytes));
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

#[cfg(all(test, unix))] // its users and variables
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
