//! A checkpoint's name, commit and hashes, from its path in the hub's cache: `models--owner--name` holds `blobs/`
//! named by their hashes, and `snapshots/<commit>/`.

use std::path::Path;

/// The prefix of a checkpoint's folder.
const PREFIX: &str = "models--";
/// The replacement of the slash in a name there.
pub(crate) const SEPARATOR: &str = "--";

/// Returns the folder of a name in the cache: `models--owner--name`.
pub fn folder(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('/', SEPARATOR))
}

/// Returns the name that a folder of the cache stands for.
pub fn name(folder: &str) -> Option<String> {
    Some(folder.strip_prefix(PREFIX)?.replacen(SEPARATOR, "/", 1))
}

/// Returns the name and the commit of a directory in the cache, or None for any other.
pub fn published(directory: &Path) -> Option<(String, String)> {
    let snapshots = directory.parent()?;
    let name = name(snapshots.parent()?.file_name()?.to_str()?)?;
    let commit = directory.file_name()?.to_str()?;
    (snapshots.file_name()? == "snapshots").then(|| (name, commit.to_owned()))
}

/// Returns what a directory is called: the name that it has on the hub, if it is in the cache, or its own.
pub fn called(directory: &Path) -> String {
    let own = || directory.file_name().map(|name| name.to_string_lossy().into_owned());
    published(directory).map(|(name, _)| name).or_else(own).unwrap_or_default()
}

/// Returns the name of a blob of the cache, which is the hash of its bits. Returns None for any other file.
pub fn blob(file: &Path) -> Option<&str> {
    file.file_name()?.to_str().filter(|_| file.parent().and_then(Path::file_name).is_some_and(|dir| dir == "blobs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_names_and_commits() {
        let found = published(Path::new("/c/models--openai--clip-vit-base-patch32/snapshots/abc"));
        assert_eq!(found, Some(("openai/clip-vit-base-patch32".to_owned(), "abc".to_owned())));
        assert_eq!(published(Path::new("/c/models--a--b/other/abc")), None);
        assert_eq!(published(Path::new("/c/a--b/snapshots/abc")), None);
        for name in ["openai/clip", "gpt2"] {
            assert_eq!(super::name(&folder(name)).as_deref(), Some(name));
        }
        assert_eq!(folder("openai/clip"), "models--openai--clip");
        assert_eq!(super::name("datasets--a--b"), None);
    }

    #[test]
    fn blobs_lie_in_a_folder_of_their_own() {
        assert_eq!(blob(Path::new("/c/models--a--b/blobs/abc")), Some("abc"));
        assert_eq!(blob(Path::new("../../blobs/abc")), Some("abc"));
        assert_eq!(blob(Path::new("/c/models--a--b/snapshots/abc")), None);
    }
}
