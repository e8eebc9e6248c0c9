//! The images that a page shows, chosen while the run goes on.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use zsic::Scores;
use zsic::pipeline::Version;
use zsic::source::Name;

use super::margin::Margins;

/// The most pictures of a page: about 15 MB of thumbnails.
const PICTURES: usize = 2000;
/// The most failures that are listed.
const FAILURES: usize = 500;
/// The labels of a picture with their scores.
const BEST: usize = 5;

/// An image on the page. Labels are numbers.
pub struct Picture {
    pub name: Name,
    pub version: Version,
    /// The labels with the highest scores.
    pub best: Vec<(usize, f32)>,
    /// What it is given; none if it is unknown.
    pub answer: Vec<usize>,
    /// The background's share.
    pub unknown: Option<f32>,
    /// What it shows, if that is known; none if it shows none of the labels.
    pub truth: Option<Vec<usize>>,
    /// How far the answer is from another one.
    pub margin: f32,
}

impl Picture {
    /// Creates the picture of an image with these scores.
    pub fn of(name: &Name, version: Version, scores: &Scores, margins: Margins) -> Self {
        let best: Vec<(usize, f32)> = scores.top(BEST).iter().map(|ranked| (ranked.label, ranked.score)).collect();
        let answer = match scores.verdict() {
            Some(verdict) => verdict.accepted.iter().map(|answer| answer.label).collect(),
            None => best.first().map(|(label, _)| *label).into_iter().collect(),
        };
        let unknown = scores.verdict().and_then(|verdict| verdict.unknown);
        Self { name: name.clone(), version, best, answer, unknown, truth: None, margin: margins.of(scores) }
    }

    /// Returns the picture with what it shows.
    pub fn with_truth(self, truth: Vec<usize>) -> Self {
        Self { truth: Some(truth), ..self }
    }

    /// Returns whether the answer is what it shows, if that is known: of several labels, one that it shows.
    pub fn is_right(&self) -> Option<bool> {
        let truth = self.truth.as_ref()?;
        Some(match self.answer.first() {
            Some(answer) => truth.contains(answer),
            None => truth.is_empty(),
        })
    }
}

/// A picture in the order of choice: wrong ones first, then the least certain, then in the order of the inputs.
struct Ranked {
    is_right: bool,
    number: u64,
    picture: Picture,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let margins = self.picture.margin.total_cmp(&other.picture.margin);
        self.is_right.cmp(&other.is_right).then(margins).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// An image without scores, and why.
pub struct Failure {
    pub name: String,
    pub message: String,
}

/// The images chosen so far.
#[derive(Default)]
pub struct Chosen {
    pictures: BinaryHeap<Ranked>,
    failures: Vec<Failure>,
    images: u64,
    failed: u64,
}

impl Chosen {
    /// Adds an image. It takes the place of one that is more certain.
    pub fn add(&mut self, picture: Picture) {
        self.images += 1;
        self.pictures.push(Ranked { is_right: picture.is_right() == Some(true), number: self.images, picture });
        if self.pictures.len() > PICTURES {
            self.pictures.pop();
        }
    }

    /// Adds an image that failed.
    pub fn add_failure(&mut self, name: &Name, message: &str) {
        self.images += 1;
        self.failed += 1;
        if self.failures.len() < FAILURES {
            self.failures.push(Failure { name: name.to_string(), message: message.to_owned() });
        }
    }

    /// Returns the number of all images, failed ones included.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Returns the first failures, and how many there are in all.
    pub fn failures(&self) -> (&[Failure], u64) {
        (&self.failures, self.failed)
    }

    /// Returns the pictures, the least certain first, then in the order of the inputs.
    pub fn into_pictures(self) -> Vec<Picture> {
        let mut all = self.pictures.into_vec();
        all.sort_by(|a, b| a.picture.margin.total_cmp(&b.picture.margin).then(a.number.cmp(&b.number)));
        all.into_iter().map(|ranked| ranked.picture).collect()
    }
}

#[cfg(test)]
mod tests {
    use zsic::source::Input;

    use super::*;

    fn picture(name: &str, margin: f32, truth: Option<usize>) -> Picture {
        Picture {
            name: Input::from_arg(name).name(),
            version: Version::default(),
            best: vec![(0, 0.5)],
            answer: vec![0],
            unknown: None,
            truth: truth.map(|truth| vec![truth]),
            margin,
        }
    }

    fn names(chosen: Chosen) -> Vec<String> {
        chosen.into_pictures().iter().map(|picture| picture.name.as_str().to_owned()).collect()
    }

    #[test]
    fn the_least_certain_come_first_and_equals_in_their_order() {
        let mut chosen = Chosen::default();
        for (name, margin) in [("a", 0.5), ("b", 0.1), ("c", 0.5), ("d", 0.0), ("e", 1.0)] {
            chosen.add(picture(name, margin, None));
        }
        assert_eq!((chosen.images(), names(chosen)), (5, ["d", "b", "a", "c", "e"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn of_many_images_the_most_certain_are_left_out() {
        let mut chosen = Chosen::default();
        (0..PICTURES + 10).for_each(|n| chosen.add(picture(&n.to_string(), 1.0 - n as f32 * 1e-4, None)));
        let names = names(chosen);
        assert_eq!((names.len(), &*names[0], &*names[PICTURES - 1]), (PICTURES, "2009", "10"));
    }

    #[test]
    fn wrong_answers_stay_even_if_they_are_certain() {
        let mut chosen = Chosen::default();
        chosen.add(picture("wrong", 1.0, Some(1)));
        (0..PICTURES).for_each(|n| chosen.add(picture(&n.to_string(), n as f32 * 1e-4, Some(0))));
        let names = names(chosen);
        assert_eq!((names.len(), names.last().map(String::as_str)), (PICTURES, Some("wrong")));
        assert!(!names.contains(&(PICTURES - 1).to_string()));
    }
}
