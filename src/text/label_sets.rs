//! Label sets: the classes of well-known datasets.

const IMAGENET_1K: &str = include_str!("../../data/labels/imagenet-1k.csv");
const CIFAR_10: &str = include_str!("../../data/labels/cifar-10.txt");
const CIFAR_100: &str = include_str!("../../data/labels/cifar-100.txt");

/// The classes of a dataset, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSet {
    /// One of [`LabelSet::NAMES`].
    pub name: &'static str,
    /// A label for each class. No two are the same.
    pub labels: Vec<&'static str>,
    /// The WordNet id of each class, in rising order; empty if the dataset has none.
    pub wordnet: Vec<&'static str>,
}

impl LabelSet {
    /// The names of all sets.
    pub const NAMES: [&str; 3] = ["imagenet-1k", "cifar-10", "cifar-100"];

    /// Returns the set with this name.
    pub fn named(name: &str) -> Option<Self> {
        let name = Self::NAMES.into_iter().find(|known| *known == name)?;
        let (wordnet, labels) = match name {
            "cifar-10" => (Vec::new(), rows(CIFAR_10).collect()),
            "cifar-100" => (Vec::new(), rows(CIFAR_100).collect()),
            _ => rows(IMAGENET_1K).skip(1).filter_map(id_and_label).unzip(),
        };
        Some(Self { name, labels, wordnet })
    }

    /// Returns the number of the class with a WordNet id, such as `n01440764`.
    pub fn index_of(&self, wordnet: &str) -> Option<usize> {
        self.wordnet.binary_search(&wordnet).ok()
    }
}

/// Returns the lines of a file, without comments.
fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// Splits the row `index,id,label`.
fn id_and_label(row: &'static str) -> Option<(&'static str, &'static str)> {
    row.split_once(',')?.1.split_once(',')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sets() -> [LabelSet; 3] {
        LabelSet::NAMES.map(|name| LabelSet::named(name).unwrap())
    }

    #[test]
    fn labels_are_complete_and_unique() {
        for (set, count) in sets().iter().zip([1000, 10, 100]) {
            let different: HashSet<_> = set.labels.iter().map(|label| label.to_lowercase()).collect();
            assert_eq!((set.labels.len(), different.len()), (count, count), "{}", set.name);
            assert!(set.labels.iter().all(|label| !label.is_empty() && *label == label.trim()), "{}", set.name);
        }
        assert_eq!(sets().map(|set| set.name), LabelSet::NAMES);
        assert_eq!(LabelSet::named("imagenet"), None);
    }

    #[test]
    fn rows_are_in_the_order_of_the_datasets() {
        let numbers = rows(IMAGENET_1K).skip(1).map(|row| row.split(',').next().unwrap().parse::<usize>().unwrap());
        assert!(numbers.eq(0..1000));
        let [imagenet, ten, hundred] = sets();
        assert!(imagenet.wordnet.is_sorted() && ten.labels.is_sorted() && hundred.labels.is_sorted());
    }

    #[test]
    fn classes_are_found_by_their_wordnet_ids() {
        let [imagenet, ten, _] = sets();
        for (id, index, label) in [
            ("n01440764", 0, "tench"),
            ("n02012849", 134, "crane bird"),
            ("n03773504", 657, "missile"),
            ("n04008634", 744, "projectile"),
            ("n04355933", 836, "sunglass"),
            ("n04356056", 837, "sunglasses"),
            ("n15075141", 999, "toilet paper"),
        ] {
            assert_eq!(imagenet.index_of(id).map(|index| (index, imagenet.labels[index])), Some((index, label)));
        }
        assert_eq!((imagenet.index_of("n00000000"), ten.index_of("n01440764")), (None, None));
    }
}
