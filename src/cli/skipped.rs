//! Messages about files that a walk skips.

use std::collections::BTreeMap;
use std::sync::Arc;

use zsic::source::{Name, Skipped, Tally};

use super::args::Common;
use super::messages::note;

/// The most endings in one message.
const NAMED: usize = 6;

/// Returns a tally that names each skipped file, if the user asked with `-v`.
pub fn tally(common: &Common) -> Arc<Tally> {
    let common = common.clone();
    Arc::new(Tally::telling(move |name: &Name, kind| {
        let reason = match kind {
            Skipped::Video(_) => "video is not supported",
            Skipped::Link => "the link leads nowhere",
            Skipped::LinkedFolder => "a link to a folder; --follow walks it",
            Skipped::Special => "not a file",
            Skipped::Ending(_) | Skipped::NoEnding | Skipped::OtherEnding => "not an image",
        };
        note(&common, 1, format!("{name}: skipped, {reason}"));
    }))
}

/// Returns the sentence that counts skipped files by ending, the most frequent first; None without skipped files. Files that end
/// in `read` were read as something else than images, and do not count.
pub fn sentence(kinds: &BTreeMap<Skipped, u64>, read: Option<&str>) -> Option<String> {
    let is_read = |kind: &Skipped| matches!(kind, Skipped::Ending(ending) if Some(ending.as_str()) == read);
    let kinds: BTreeMap<&Skipped, u64> =
        kinds.iter().filter(|(kind, _)| !is_read(kind)).map(|(kind, count)| (kind, *count)).collect();
    let folders = kinds.get(&Skipped::LinkedFolder).copied().unwrap_or_default();
    let total = kinds.values().sum::<u64>() - folders;
    let (mut endings, mut videos, mut video_endings, mut others) = (Vec::new(), 0, Vec::new(), 0);
    let (mut bare, mut links, mut special) = (0, 0, 0);
    for (kind, count) in kinds {
        match kind {
            Skipped::Ending(ending) => endings.push((count, ending)),
            Skipped::NoEnding => bare += count,
            Skipped::OtherEnding => others += count,
            Skipped::Link => links += count,
            Skipped::LinkedFolder => {}
            Skipped::Special => special += count,
            Skipped::Video(ending) => {
                videos += count;
                video_endings.extend((!ending.is_empty()).then(|| format!(".{ending}")));
            }
        }
    }
    endings.sort_by_key(|(count, _)| std::cmp::Reverse(*count)); // stable: equal counts stay in alphabetical order
    others += endings.iter().skip(NAMED).map(|(count, _)| count).sum::<u64>();
    let mut parts: Vec<String> =
        endings.iter().take(NAMED).map(|(count, ending)| format!("{count} .{ending}")).collect();
    let mut add = |count: u64, one: &str, many: &str| {
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    };
    add(others, "with another ending", "with other endings");
    add(bare, "without an ending", "without an ending");
    add(links, "link", "links");
    add(special, "pipe or device", "pipes or devices");
    video_endings.truncate(NAMED);
    let names = if video_endings.is_empty() { String::new() } else { format!(" ({})", video_endings.join(", ")) };
    let are_not = |what: &str| format!("{what}{names}; video is not supported");
    add(videos, &are_not("video"), &are_not("videos")); // last, for its longer text
    let files = if total == 1 { "file that is not an image" } else { "files that are not images" };
    let mut said = Vec::new();
    if total > 0 {
        said.push(format!("{total} {files}: {}", parts.join(", ")));
    }
    match folders {
        0 => {}
        1 => said.push("1 link to a folder (--follow walks it)".to_owned()),
        n => said.push(format!("{n} links to folders (--follow walks them)")),
    }
    (!said.is_empty()).then(|| format!("skipped {}", said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kinds: &[(Skipped, u64)]) -> String {
        sentence(&kinds.iter().cloned().collect(), None).unwrap_or_default()
    }

    fn ending(ending: &str) -> Skipped {
        Skipped::Ending(ending.to_owned())
    }

    #[test]
    fn files_are_counted_by_ending() {
        assert_eq!(said(&[]), "");
        assert_eq!(said(&[(ending("txt"), 1)]), "skipped 1 file that is not an image: 1 .txt");
        let kinds = [(ending("json"), 2), (Skipped::NoEnding, 1), (ending("txt"), 9)];
        assert_eq!(said(&kinds), "skipped 12 files that are not images: 9 .txt, 2 .json, 1 without an ending");
        let video = |ending: &str| Skipped::Video(ending.to_owned());
        let kinds = [(video("mov"), 1), (video("mp4"), 2), (video(""), 1), (Skipped::Special, 1), (ending("xmp"), 1)];
        let expected = "skipped 6 files that are not images: 1 .xmp, 1 pipe or device, 4 videos (.mov, .mp4); \
                        video is not supported";
        assert_eq!(said(&kinds), expected);
    }

    #[test]
    fn files_that_are_read_are_not_skipped() {
        let kinds = BTreeMap::from([(ending("cls"), 9), (ending("txt"), 1)]);
        assert_eq!(sentence(&kinds, Some("cls")).unwrap(), "skipped 1 file that is not an image: 1 .txt");
        assert_eq!(sentence(&BTreeMap::from([(ending("cls"), 9)]), Some("cls")), None);
    }

    #[test]
    fn links_to_folders_come_with_the_flag_that_walks_them() {
        assert_eq!(said(&[(Skipped::LinkedFolder, 1)]), "skipped 1 link to a folder (--follow walks it)");
        let expected = "skipped 1 file that is not an image: 1 .txt; 2 links to folders (--follow walks them)";
        assert_eq!(said(&[(Skipped::LinkedFolder, 2), (ending("txt"), 1)]), expected);
    }

    #[test]
    fn many_endings_make_no_long_line() {
        let kinds: Vec<_> = (0..90).map(|n| (ending(&format!("x{n:02}")), 1 + n % 3)).collect();
        let expected = "skipped 180 files that are not images: 3 .x02, 3 .x05, 3 .x08, 3 .x11, 3 .x14, 3 .x17, \
                        162 with other endings";
        assert_eq!(said(&kinds), expected);
    }
}
