//! Recognises small files in place of the real ones, as copying without the right tool leaves them: git-lfs pointers,
//! and links unpacked as text.

use std::fmt;

/// The most bytes of such a file.
pub(crate) const LONGEST: usize = 2048;

/// The kind of a file that stands in for content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// A git-lfs pointer.
    Lfs,
    /// A link of the hub's cache, unpacked as text.
    Link,
}

impl StandIn {
    /// Recognises a stand-in by a file's whole content.
    pub fn of(content: &[u8]) -> Option<Self> {
        if content.len() > LONGEST {
            return None;
        }
        let text = str::from_utf8(content).ok()?;
        let versions = ["version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"];
        if versions.iter().any(|version| text.starts_with(version)) {
            return Some(Self::Lfs);
        }
        // Written by git and unzip without links; by SMB's "minshall-french" links, under four lines and padded.
        let target = match text.strip_prefix("XSym\n") {
            Some(rest) => rest.lines().nth(2)?,
            None => text,
        };
        is_to_blob(target.trim_end()).then_some(Self::Link)
    }
}

/// Returns whether a snapshot's link leads here: `../../blobs/<hash>`, or the same from the root of a disk.
fn is_to_blob(target: &str) -> bool {
    let parts: Vec<&str> = target.split(['/', '\\']).collect();
    let [way @ .., "blobs", blob] = &parts[..] else { return false };
    let plain = blob.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let relative = way.len() >= 2 && way.iter().all(|part| *part == "..");
    let absolute = way.first().is_some_and(|first| first.is_empty() || first.ends_with(':')) && !target.contains('\n');
    plain && !blob.is_empty() && (relative || absolute)
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lfs => "is a git-lfs pointer instead of the file: run `git lfs pull` in its folder",
            Self::Link => {
                "is a link that was unpacked as text instead of the file: fetch the checkpoint again, or copy it \
                 with the content of its links"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_links_are_told_from_files() {
        let sha1 = "ce013625030ba8dba906f756967f9e9ca394464a";
        let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3946064\n";
        assert_eq!(StandIn::of(lfs.as_bytes()), Some(StandIn::Lfs));
        let xsym = format!("XSym\n0051\n{}\n../../blobs/{sha1}\n{}", "0".repeat(32), " ".repeat(900));
        let absolute = format!("/home/a b/hub/models--x--y/blobs/{sha1}");
        let relative = [format!("../../blobs/{sha1}"), format!("../../../blobs/{sha1}\n")];
        for link in relative.into_iter().chain([format!("..\\..\\blobs\\{sha1}"), absolute, xsym]) {
            assert_eq!(StandIn::of(link.as_bytes()), Some(StandIn::Link), "{link}");
        }
        for file in ["", "{}", "blobs/x", "../../blobs/", "../../blobs/a b", "../../other/x", "see ../../blobs/x"] {
            assert_eq!(StandIn::of(file.as_bytes()), None, "{file}");
        }
        assert_eq!(StandIn::of(lfs.repeat(99).as_bytes()), None);
    }
}
