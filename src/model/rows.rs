//! Which rows go through a tower's blocks together, and who attends to whom: an image's positions, and the tokens of
//! prompts, where a row serves all prompts that begin alike. What is computed with them is not here.
//!
//! The mask of prompts is causal: a token's row depends on the tokens before it only, so its bits are the same in every
//! prompt that begins so, and it is computed once. What follows the token that stands for a prompt is left out.

use crate::kernels::Attends;

/// A prompt as a tower reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// The position that stands for it.
    pub end: usize,
    /// True if that is padding: no row attends to it, nor does its own.
    pub padded: bool,
}

/// The rows of a batch.
#[derive(Debug)]
pub struct Rows {
    /// In all blocks but the last: every row.
    pub all: Attends,
    /// In the last block: for each item, the row that stands for it.
    pub pooled: Attends,
    /// Those rows.
    pub ends: Vec<usize>,
    /// Of prompts: the token of each row and its position.
    pub tokens: Vec<(u32, usize)>,
}

impl Rows {
    fn new(causal: bool) -> Self {
        let (all, pooled) = (Attends::new(causal), Attends::new(causal));
        Self { all, pooled, ends: Vec::new(), tokens: Vec::new() }
    }

    /// Items of `length` rows, the first of which stands for the item.
    pub fn images(count: usize, length: usize) -> Self {
        let mut rows = Self::new(false);
        for item in 0..count {
            let own = (item * length) as u32..((item + 1) * length) as u32;
            rows.all.push(length, own.clone());
            rows.pooled.push(1, own);
            rows.ends.push(item * length);
        }
        rows
    }

    /// Prompts of any lengths, each up to the position that stands for it. Neighbours share what they begin with: sorted,
    /// all do.
    pub fn prompts(prompts: &[&Prompt]) -> Self {
        let mut rows = Self::new(true);
        let mut before: &[u32] = &[];
        let mut path: Vec<u32> = Vec::new(); // the rows of `before`
        for Prompt { ids, end, padded } in prompts {
            let prompt = if *padded { &ids[..*end] } else { &ids[..=*end] };
            let shared = common(before, prompt);
            path.truncate(shared);
            for (position, &token) in prompt.iter().enumerate().skip(shared) {
                path.push(rows.tokens.len() as u32);
                rows.tokens.push((token, position));
            }
            rows.all.push(prompt.len() - shared, path.iter().copied());
            rows.pooled.push(1, path.iter().copied());
            if *padded {
                rows.ends.push(rows.tokens.len());
                rows.tokens.push((ids[*end], *end));
                rows.all.push(1, path.iter().copied());
            } else {
                rows.ends.push(path[*end] as usize);
            }
            before = prompt;
        }
        rows
    }
}

/// Prompts in batches of about `rows` rows, as indices, so that prompts that begin alike are neighbours. Equal ones share
/// all their rows, but each has one in the last block: there are no more than `rows` of them either.
pub fn batches(prompts: &[Prompt], rows: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by(|&a, &b| prompts[a].ids.cmp(&prompts[b].ids));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut left, mut before): (usize, &[u32]) = (0, &[]);
    for index in order {
        let prompt = &prompts[index].ids;
        match batches.last_mut() {
            Some(batch) if prompt.len() - common(before, prompt) <= left && batch.len() < rows => {
                left -= prompt.len() - common(before, prompt);
                batch.push(index);
            }
            _ => {
                left = rows.saturating_sub(prompt.len());
                batches.push(vec![index]);
            }
        }
        before = prompt;
    }
    batches
}

/// Tokens that both begin with.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(ids: &[u32], end: usize) -> Prompt {
        Prompt { ids: ids.to_vec(), end, padded: false }
    }

    #[test]
    fn a_token_after_the_same_tokens_is_one_row() {
        let ids: [&[u32]; 5] = [&[1, 2, 3, 9], &[1, 2, 3, 9, 7], &[1, 2, 4, 9], &[1, 5, 9], &[6, 2, 9]];
        let prompts: Vec<Prompt> = ids.iter().zip([3, 3, 3, 2, 2]).map(|(ids, end)| prompt(ids, end)).collect();
        let rows = Rows::prompts(&prompts.iter().collect::<Vec<_>>()); // of the second, 7 follows its end
        let tokens = [(1, 0), (2, 1), (3, 2), (9, 3), (4, 2), (9, 3), (5, 1), (9, 2), (6, 0), (2, 1), (9, 2)];
        assert_eq!(rows.tokens, tokens);
        assert_eq!(rows.ends, [3, 3, 5, 7, 10]);
        assert_eq!((rows.all.queries(), rows.pooled.queries()), (11, 5));
    }

    #[test]
    fn padding_is_a_row_that_no_other_prompt_shares() {
        let padded = |ids: &[u32]| Prompt { padded: true, ..prompt(ids, ids.len() - 1) };
        let prompts = [padded(&[1, 2, 8]), padded(&[1, 2, 8]), prompt(&[1, 2, 8], 2), prompt(&[1, 2, 3, 4], 3)];
        let rows = Rows::prompts(&prompts.iter().collect::<Vec<_>>());
        assert_eq!(rows.tokens, [(1, 0), (2, 1), (8, 2), (8, 2), (8, 2), (3, 2), (4, 3)]);
        assert_eq!(rows.ends, [2, 3, 4, 6]);
        assert_eq!((rows.all.queries(), rows.pooled.queries()), (7, 4));
    }

    #[test]
    fn batches_are_sorted_and_bounded_and_hold_every_prompt_once() {
        let prompts: Vec<Prompt> = (0..100).map(|n| prompt(&[1, n * 7 % 3, n * 31 % 100, 9], 3)).collect();
        assert_eq!(batches(&prompts, 1000).len(), 1);
        let batches = batches(&prompts, 20);
        let mut all = batches.concat();
        assert!(all.windows(2).all(|pair| prompts[pair[0]].ids <= prompts[pair[1]].ids));
        for batch in &batches {
            let prompts: Vec<&Prompt> = batch.iter().map(|&index| &prompts[index]).collect();
            assert!(Rows::prompts(&prompts).tokens.len() <= 20);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
        assert_eq!(super::batches(&[prompt(&[0; 50], 49), prompt(&[1; 50], 49)], 20), [[0], [1]]);
        assert!(super::batches(&[], 20).is_empty());
        let equal = super::batches(&vec![prompt(&[1, 2, 9], 2); 50], 20);
        assert_eq!(equal.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 10]);
    }
}
