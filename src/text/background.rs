//! The background: names of common things, which compete with labels so that a picture of none of the labels is noticed.

const BACKGROUND: &str = include_str!("../../data/background.txt");

/// Returns the names of common things, places and materials, category after category.
pub fn background() -> impl Iterator<Item = &'static str> {
    BACKGROUND.lines().filter(|line| !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn entries_are_plain_and_unique() {
        let entries: Vec<_> = background().collect();
        assert!((900..=1200).contains(&entries.len()), "{}", entries.len());
        assert_eq!(entries.iter().collect::<HashSet<_>>().len(), entries.len());
        let is_plain = |entry: &str| !entry.is_empty() && entry == entry.trim().to_lowercase();
        assert!(entries.iter().all(|entry| is_plain(entry)));
    }

    #[test]
    fn categories_have_the_same_size() {
        let lines: Vec<_> = BACKGROUND.lines().skip_while(|line| line.starts_with('#')).collect();
        let sizes: HashSet<_> = lines.split(|line| line.starts_with('#')).map(<[_]>::len).collect();
        assert_eq!(sizes, HashSet::from([40]));
    }
}
