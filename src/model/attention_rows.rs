//! Which rows go through a tower's blocks together, and which rows attend to which: an image's positions, and the tokens
//! of prompts. The tower's mask decides; nothing is computed here.
//!
//! Under a causal mask a token's row depends only on the tokens before it. Prompts with equal beginnings share those
//! rows, and the tokens after the pooled one are left out. Without a mask each prompt has all its rows to itself.

use std::ops::Range;

use super::spec::{Mask, PromptPool};
use crate::kernels::Attends;

/// A prompt as a tower reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// The position that is pooled.
    pub end: usize,
    /// True if the pooled token is padding, which no row attends to, not even its own.
    pub padded: bool,
    /// The position of the pooled token: `end`, unless padding before it is left out.
    pub place: usize,
}

impl Prompt {
    /// Makes the prompt of `ids`, followed by one token of `padding` if there is any.
    pub fn new(pool: PromptPool, ids: &[u32], padding: Option<u32>) -> Self {
        let mut ids = ids.to_vec();
        ids.extend(padding);
        let end = pool.position(&ids);
        let padded = padding.is_some() && end + 1 == ids.len();
        if padding.is_some() && !padded {
            ids.pop();
        }
        Self { ids, end, padded, place: end }
    }

    /// Makes a prompt of `length` tokens: `ids`, then padding that no row attends to. The last token is pooled.
    pub fn masked(ids: &[u32], padding: u32, length: usize) -> Self {
        let filled = ids.len() < length;
        let ids: Vec<u32> = ids.iter().copied().chain(filled.then_some(padding)).collect();
        Self { end: ids.len() - 1, ids, padded: filled, place: length - 1 }
    }

    /// Returns the tokens that its rows may attend to under `mask`, without the pooled row's own if it is padding.
    fn seen(&self, mask: Mask) -> &[u32] {
        match mask {
            _ if self.padded => &self.ids[..self.end],
            Mask::Causal => &self.ids[..=self.end],
            Mask::None => &self.ids,
        }
    }
}

/// The rows of a batch.
#[derive(Debug)]
pub struct Rows {
    /// In all blocks but the last: every row.
    pub all: Attends,
    /// In the last block: for each item, its pooled row.
    pub pooled: Attends,
    /// Those rows.
    pub ends: Vec<usize>,
    /// The rows of each item that shares none of them.
    pub items: Vec<Range<usize>>,
    /// Of prompts: the token of each row and its position.
    pub tokens: Vec<(u32, usize)>,
}

impl Rows {
    fn new(mask: Mask) -> Self {
        let attends = || Attends::new(mask == Mask::Causal);
        Self { all: attends(), pooled: attends(), ends: Vec::new(), items: Vec::new(), tokens: Vec::new() }
    }

    /// Lays out images with these numbers of rows. The first row of each is pooled.
    ///
    /// # Panics
    /// Under a causal mask, where the first row sees no other.
    pub fn images(mask: Mask, lengths: impl Iterator<Item = usize>) -> Self {
        assert_eq!(mask, Mask::None, "the first row of an image attends to all");
        let (mut rows, mut first) = (Self::new(mask), 0);
        for length in lengths {
            let own = first as u32..(first + length) as u32;
            rows.all.push(length, own.clone());
            rows.pooled.push(1, own);
            rows.ends.push(first);
            rows.items.push(first..first + length);
            first += length;
        }
        rows
    }

    /// Lays out prompts of any lengths. With `share`, neighbours share all rows that they can, which is every row that
    /// can be shared if the prompts are sorted.
    pub fn prompts(mask: Mask, prompts: &[&Prompt], share: bool) -> Self {
        let mut rows = Self::new(mask);
        let mut before: &[u32] = &[];
        let mut path: Vec<u32> = Vec::new(); // the rows of `before`
        for prompt @ Prompt { ids, end, padded, place } in prompts {
            let prompt = prompt.seen(mask);
            let shared = if share { shared(mask, before, prompt) } else { 0 };
            path.truncate(shared);
            for (position, &token) in prompt.iter().enumerate().skip(shared) {
                path.push(rows.tokens.len() as u32);
                rows.tokens.push((token, position));
            }
            rows.items.push(rows.tokens.len() - (prompt.len() - shared)..rows.tokens.len());
            rows.all.push(prompt.len() - shared, path.iter().copied());
            rows.pooled.push(1, path.iter().copied());
            if *padded {
                rows.ends.push(rows.tokens.len());
                rows.tokens.push((ids[*end], *place));
                rows.all.push(1, path.iter().copied());
            } else {
                rows.ends.push(path[*end] as usize);
            }
            before = prompt;
        }
        rows
    }
}

impl Rows {
    /// Gives the tokens of each prompt the positions that `places` returns. No prompt shares rows with another.
    pub fn place(&mut self, places: impl Fn(&[u32]) -> Vec<usize>) {
        for item in &self.items {
            let rows = &mut self.tokens[item.clone()];
            let ids: Vec<u32> = rows.iter().map(|(id, _)| *id).collect();
            rows.iter_mut().zip(places(&ids)).for_each(|(row, position)| row.1 = position);
        }
    }
}

/// Returns batches of about `rows` rows, as indices of prompts, so that prompts that may share rows are neighbours.
/// Equal prompts may share all their rows, but each has its own in the last block, so a batch has at most `rows`
/// prompts.
pub fn batches(mask: Mask, prompts: &[Prompt], rows: usize, share: bool) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by(|&a, &b| prompts[a].ids.cmp(&prompts[b].ids));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut left, mut before): (usize, &[u32]) = (0, &[]);
    for index in order {
        let prompt = &prompts[index].ids;
        let own = prompt.len() - if share { shared(mask, before, prompt) } else { 0 };
        match batches.last_mut() {
            Some(batch) if own <= left && batch.len() < rows => {
                left -= own;
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

/// Returns the number of rows that two prompts share: those of their common first tokens, if a row depends on nothing
/// after it.
fn shared(mask: Mask, a: &[u32], b: &[u32]) -> usize {
    match mask {
        Mask::None => 0,
        Mask::Causal => a.iter().zip(b).take_while(|(a, b)| a == b).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(ids: &[u32], end: usize) -> Prompt {
        Prompt { ids: ids.to_vec(), end, padded: false, place: end }
    }

    fn rows(mask: Mask, prompts: &[Prompt]) -> Rows {
        Rows::prompts(mask, &prompts.iter().collect::<Vec<_>>(), true)
    }

    #[test]
    fn a_token_after_the_same_tokens_is_one_row() {
        let ids: [&[u32]; 5] = [&[1, 2, 3, 9], &[1, 2, 3, 9, 7], &[1, 2, 4, 9], &[1, 5, 9], &[6, 2, 9]];
        let prompts: Vec<Prompt> = ids.iter().zip([3, 3, 3, 2, 2]).map(|(ids, end)| prompt(ids, end)).collect();
        let rows = rows(Mask::Causal, &prompts); // in the second, 7 follows its end
        let tokens = [(1, 0), (2, 1), (3, 2), (9, 3), (4, 2), (9, 3), (5, 1), (9, 2), (6, 0), (2, 1), (9, 2)];
        assert_eq!(rows.tokens, tokens);
        assert_eq!(rows.ends, [3, 3, 5, 7, 10]);
        assert_eq!((rows.all.queries(), rows.pooled.queries()), (11, 5));
    }

    #[test]
    fn without_a_mask_nothing_is_shared_or_left_out() {
        let rows = rows(Mask::None, &[prompt(&[1, 2, 3], 1), prompt(&[1, 2, 3], 0)]);
        assert_eq!(rows.tokens, [(1, 0), (2, 1), (3, 2), (1, 0), (2, 1), (3, 2)]);
        assert_eq!((rows.ends, rows.all.queries()), (vec![1, 3], 6));
        assert_eq!(batches(Mask::None, &vec![prompt(&[7; 10], 0); 3], 20, true), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn padding_is_a_row_that_no_other_prompt_shares() {
        let padded = |ids: &[u32]| Prompt { padded: true, ..prompt(ids, ids.len() - 1) };
        let prompts = [padded(&[1, 2, 8]), padded(&[1, 2, 8]), prompt(&[1, 2, 8], 2), prompt(&[1, 2, 3, 4], 3)];
        let rows = rows(Mask::Causal, &prompts);
        assert_eq!(rows.tokens, [(1, 0), (2, 1), (8, 2), (8, 2), (8, 2), (3, 2), (4, 3)]);
        assert_eq!(rows.ends, [2, 3, 4, 6]);
        assert_eq!((rows.all.queries(), rows.pooled.queries()), (7, 4));
    }

    #[test]
    fn padding_is_pooled_where_the_rule_finds_it_first() {
        let ids = [7, 3, 9, 5];
        let whole = prompt(&ids, 2);
        let padded = |padding| Prompt { padded: true, ..prompt(&[&ids[..], &[padding]].concat(), 4) };
        assert_eq!(Prompt::masked(&ids, 8, 64), Prompt { place: 63, ..padded(8) });
        assert_eq!(Prompt::masked(&ids, 8, 4), prompt(&ids, 3));
        let new = |pool, padding| Prompt::new(pool, &ids, padding);
        assert_eq!(new(PromptPool::LargestId, None), whole);
        assert_eq!(new(PromptPool::LargestId, Some(9)), whole);
        assert_eq!(new(PromptPool::LargestId, Some(10)), padded(10));
        assert_eq!(new(PromptPool::FirstOf(9), Some(9)), whole);
        assert_eq!(new(PromptPool::FirstOf(2), Some(2)), padded(2));
        assert_eq!(new(PromptPool::FirstOf(2), Some(10)).end, 0);
    }

    #[test]
    fn batches_are_sorted_and_bounded_and_hold_every_prompt_once() {
        let prompts: Vec<Prompt> = (0..100).map(|n| prompt(&[1, n * 7 % 3, n * 31 % 100, 9], 3)).collect();
        assert_eq!(batches(Mask::Causal, &prompts, 1000, true).len(), 1);
        let batches = batches(Mask::Causal, &prompts, 20, true);
        let mut all = batches.concat();
        assert!(all.windows(2).all(|pair| prompts[pair[0]].ids <= prompts[pair[1]].ids));
        for batch in &batches {
            let prompts: Vec<&Prompt> = batch.iter().map(|&index| &prompts[index]).collect();
            assert!(Rows::prompts(Mask::Causal, &prompts, true).tokens.len() <= 20);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
        assert_eq!(super::batches(Mask::Causal, &[prompt(&[0; 50], 49), prompt(&[1; 50], 49)], 20, true), [[0], [1]]);
        assert!(super::batches(Mask::Causal, &[], 20, true).is_empty());
        let equal = super::batches(Mask::Causal, &vec![prompt(&[1, 2, 9], 2); 50], 20, true);
        assert_eq!(equal.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 10]);
    }
}
