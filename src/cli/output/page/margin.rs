//! How far an answer is from another one: the smaller, the sooner somebody should look at the image.

use zsic::Scores;

/// From this score on, a label that competes with the background alone is accepted.
const EVEN: f32 = 0.5;

/// The rules that decide how certain an answer is.
#[derive(Debug, Clone, Copy)]
pub struct Margins<'a> {
    /// The least score of each answer, if any was given.
    pub thresholds: &'a [f32],
    /// Whether each label competes with the background alone.
    pub is_independent: bool,
}

impl Margins<'_> {
    /// Returns how much scores must change for another answer: the difference to the second label, to the background's share,
    /// or to the threshold, whichever is the least. An image that was rejected for several reasons is as far from an answer as
    /// the strongest of them says.
    pub fn of(&self, scores: &Scores) -> f32 {
        let all = scores.scores();
        let least = |label: usize| self.thresholds.get(label).copied().unwrap_or(0.0);
        let Some(verdict) = scores.verdict() else { return lead(all) };
        if self.is_independent {
            let distance = |(label, score): (usize, &f32)| (score - least(label).max(EVEN)).abs();
            return all.iter().enumerate().map(distance).fold(1.0, f32::min);
        }
        let Some(best) = scores.top(1).first().copied() else { return 1.0 };
        let unknown = verdict.unknown.map(|share| best.score - share);
        let threshold = self.thresholds.get(best.label).map(|least| best.score - least);
        let reasons = unknown.into_iter().chain(threshold);
        if verdict.accepted.iter().any(|answer| answer.label < all.len()) {
            reasons.map(f32::abs).fold(lead(all), f32::min)
        } else {
            reasons.map(|reason| -reason).fold(0.0, f32::max)
        }
    }
}

/// Returns how far the best score is ahead of the second. A label alone competes with its absence.
fn lead(scores: &[f32]) -> f32 {
    let of_two = |(first, second): (f32, f32), &score: &f32| {
        if score > first { (score, first) } else { (first, second.max(score)) }
    };
    match scores {
        [only] => (2.0 * only - 1.0).abs(),
        scores => {
            let (first, second) = scores.iter().fold((0.0, 0.0), of_two);
            first - second
        }
    }
}

#[cfg(test)]
mod tests {
    use zsic::Verdict;
    use zsic::score::Ranked;

    use super::*;

    fn of(scores: &[f32], verdict: Option<(&[usize], Option<f32>)>, thresholds: &[f32], is_independent: bool) -> f32 {
        let all = Scores::from_parts(vec![0.0; scores.len()], scores.to_vec());
        let all = match verdict {
            Some((accepted, unknown)) => {
                let ranked = |&label: &usize| Ranked { label, score: scores[label], logit: 0.0 };
                all.with_verdict(Verdict { accepted: accepted.iter().map(ranked).collect(), unknown })
            }
            None => all,
        };
        Margins { thresholds, is_independent }.of(&all)
    }

    fn close(a: f32, b: f32) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn without_rules_it_is_the_lead() {
        close(of(&[0.2, 0.7, 0.1], None, &[], false), 0.5);
        close(of(&[0.5, 0.5], None, &[], false), 0.0);
        close(of(&[0.9], None, &[], false), 0.8);
    }

    #[test]
    fn an_answer_is_as_certain_as_its_weakest_reason() {
        close(of(&[0.6, 0.1], Some((&[0], Some(0.3))), &[], false), 0.3);
        close(of(&[0.6, 0.1], Some((&[0], Some(0.3))), &[0.55, 0.0], false), 0.05);
        close(of(&[0.6, 0.4], Some((&[0], None)), &[0.1, 0.1], false), 0.2);
    }

    #[test]
    fn a_rejection_is_as_certain_as_its_strongest_reason() {
        close(of(&[0.01, 0.009], Some((&[], Some(0.981))), &[], false), 0.971);
        close(of(&[0.4, 0.1], Some((&[], Some(0.5))), &[0.9, 0.9], false), 0.5);
        close(of(&[0.49, 0.01], Some((&[], Some(0.5))), &[], false), 0.01);
    }

    #[test]
    fn labels_of_their_own_are_as_certain_as_the_one_in_doubt() {
        close(of(&[0.9, 0.45], Some((&[0], Some(0.1))), &[], true), 0.05);
        close(of(&[0.9, 0.1], Some((&[0], Some(0.1))), &[0.8, 0.8], true), 0.1);
    }
}
