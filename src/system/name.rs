//! File names from bytes, and canonical paths. The way back is `as_encoded_bytes`: on Unix the bytes themselves, on Windows UTF-8, with a
//! surrogate that has no partner as three bytes of its own.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// Returns the name with these bytes. On Windows names are text: bytes that are not UTF-8 become U+FFFD.
pub fn from_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    #[cfg(unix)] // names are bytes
    return Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(bytes));
    #[cfg(windows)] // names are UTF-16
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(name) => Cow::Borrowed(OsStr::new(name)),
        Cow::Owned(name) => Cow::Owned(name.into()),
    }
}

/// Returns the name with these bytes, without a copy where the system allows that.
pub fn from_vec(bytes: Vec<u8>) -> OsString {
    #[cfg(unix)] // names are bytes
    return std::os::unix::ffi::OsStringExt::from_vec(bytes);
    #[cfg(windows)] // names are UTF-16
    String::from_utf8(bytes).map_or_else(|e| from_bytes(e.as_bytes()).into_owned(), OsString::from)
}

/// Returns whether a path is a pattern, as no file can be called: on Windows, if it has `*` or `?`. Elsewhere shells expand
/// them, and names may have both.
pub fn is_pattern(path: &Path) -> bool {
    let verbatim = path.as_os_str().as_encoded_bytes().strip_prefix(br"\\?\");
    cfg!(windows) && verbatim.is_none() && path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?".contains(byte))
}

/// Returns the path from the root, without links. On Windows it has no `\\?\` in front, as far as it means the same
/// without it.
///
/// # Errors
/// The system's error.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    let whole = path.canonicalize()?;
    #[cfg(windows)] // odd names and other computers' folders need what is in front
    if let Some(plain) = whole.to_str().and_then(|whole| whole.strip_prefix(r"\\?\"))
        && std::path::absolute(plain).is_ok_and(|path| path.as_os_str() == plain)
    {
        return Ok(plain.into());
    }
    Ok(whole)
}
