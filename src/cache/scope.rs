//! One checkpoint in one arithmetic: finds and keeps embeddings of images and texts. The caller encodes them.

use super::Cache;
use super::entry::{CacheEntry, EntryKind};
use super::keys::{self, CacheKey, ContentHash};
use crate::classifier::EncodedLabel;
use crate::preprocess::Decoding;
use crate::{Embeddings, Label, Result};

/// The cached embeddings of a checkpoint in one arithmetic.
#[derive(Debug, Clone)]
pub struct Scope {
    cache: Cache,
    key: Option<CacheKey>,
    dim: usize,
}

impl Scope {
    /// Returns a scope that finds nothing and keeps nothing.
    pub fn none() -> Self {
        Self { cache: Cache::off(), key: None, dim: 0 }
    }

    pub(super) fn new(cache: Cache, key: CacheKey, dim: usize) -> Self {
        Self { cache, key: Some(key), dim }
    }

    /// Returns whether there is a cache. Without one, hashing an image is wasted work.
    pub fn is_on(&self) -> bool {
        self.key.is_some()
    }

    /// Returns the cache behind this scope.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Returns the embedding `[D]` of an image by the hash of its bytes.
    pub fn image(&self, content: &ContentHash, decode: Decoding) -> Option<Vec<f32>> {
        self.images(std::slice::from_ref(content), decode).pop().flatten()
    }

    /// Does the same as [`Self::image`] for many images, in one transaction.
    pub fn images(&self, contents: &[ContentHash], decode: Decoding) -> Vec<Option<Vec<f32>>> {
        let Some(scope) = &self.key else { return vec![None; contents.len()] };
        let keys: Vec<CacheKey> = contents.iter().map(|content| keys::image(scope, content, decode)).collect();
        self.cache.read(&keys).into_iter().map(|value| self.parse(&value?)).collect()
    }

    /// Keeps the embedding `[D]` of an image, unless it is not finite.
    pub fn put_image(&self, content: &ContentHash, decode: Decoding, embedding: &[f32]) {
        if let Some(scope) = &self.key {
            let key = keys::image(scope, content, decode);
            self.cache.put(self.entry(key, EntryKind::Image, &[], embedding).into_iter().collect());
        }
    }

    /// Returns the embedding of each label: from the cache, or from `encode`, which gets the missing labels in their
    /// order. New embeddings are kept if `encode` returns true beside them. If no label is missing, `encode` is not
    /// called. `truncate` is whether it cuts long prompts.
    ///
    /// # Errors
    /// The error of `encode`.
    pub fn labels(
        &self,
        labels: &[Label],
        truncate: bool,
        encode: impl FnOnce(&[Label]) -> Result<(Vec<EncodedLabel>, bool)>,
    ) -> Result<Vec<EncodedLabel>> {
        const TOKENS: usize = 32;
        let key = |label: &Label| Some(keys::texts("label", self.key.as_ref()?, truncate, &label.prompts));
        let keys: Vec<Option<CacheKey>> = labels.iter().map(key).collect();
        let parse = |value: Vec<u8>| {
            let (tokens, row) = value.split_first_chunk::<TOKENS>()?;
            Some(EncodedLabel { tokens: *tokens, embedding: self.parse(row)? })
        };
        let found = self.find(&keys).into_iter().map(|value| value.and_then(parse)).collect();
        let entry = |key, label: &EncodedLabel| self.entry(key, EntryKind::Label, &label.tokens, &label.embedding);
        self.fill(&keys, found, labels, encode, entry)
    }

    /// Returns the embeddings [N, D] of texts as written; see [`Self::labels`].
    ///
    /// # Errors
    /// The error of `encode`.
    pub fn texts(
        &self,
        texts: &[String],
        truncate: bool,
        encode: impl FnOnce(&[String]) -> Result<(Embeddings, bool)>,
    ) -> Result<Vec<Vec<f32>>> {
        let key = |text| Some(keys::texts("text", self.key.as_ref()?, truncate, [text]));
        let keys: Vec<Option<CacheKey>> = texts.iter().map(key).collect();
        let found = self.find(&keys).into_iter().map(|value| self.parse(&value?)).collect();
        let encode = |texts: &[String]| {
            let (embeddings, keep) = encode(texts)?;
            Ok((embeddings.rows().map(<[f32]>::to_vec).collect(), keep))
        };
        self.fill(&keys, found, texts, encode, |key, row| self.entry(key, EntryKind::Text, &[], row))
    }

    /// Fills the gaps of `found` with the results of `encode`, and keeps them if it says so.
    fn fill<I: Clone, T>(
        &self,
        keys: &[Option<CacheKey>],
        mut found: Vec<Option<T>>,
        items: &[I],
        encode: impl FnOnce(&[I]) -> Result<(Vec<T>, bool)>,
        entry: impl Fn(CacheKey, &T) -> Option<CacheEntry>,
    ) -> Result<Vec<T>> {
        let gaps: Vec<usize> = (0..items.len()).filter(|&i| found[i].is_none()).collect();
        if !gaps.is_empty() {
            let missing: Vec<I> = gaps.iter().map(|&i| items[i].clone()).collect();
            let (made, keep) = encode(&missing)?;
            let entries = gaps.iter().zip(&made).filter(|_| keep).filter_map(|(&i, made)| entry(keys[i]?, made));
            self.cache.put(entries.collect());
            gaps.iter().zip(made).for_each(|(&i, made)| found[i] = Some(made));
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn find(&self, keys: &[Option<CacheKey>]) -> Vec<Option<Vec<u8>>> {
        match keys.iter().copied().collect::<Option<Vec<CacheKey>>>() {
            Some(keys) => self.cache.read(&keys),
            None => vec![None; keys.len()],
        }
    }

    fn entry(&self, key: CacheKey, kind: EntryKind, before: &[u8], embedding: &[f32]) -> Option<CacheEntry> {
        let scope = self.key?.number();
        let value = before.iter().copied().chain(embedding.iter().flat_map(|x| x.to_le_bytes())).collect();
        let right = embedding.len() == self.dim && embedding.iter().all(|x| x.is_finite());
        right.then_some(CacheEntry { key, kind, scope, value })
    }

    /// Parses a stored row. Returns None for another length.
    fn parse(&self, bytes: &[u8]) -> Option<Vec<f32>> {
        let (values, rest) = bytes.as_chunks::<4>();
        let right = values.len() == self.dim && rest.is_empty();
        let row: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        (right && row.iter().all(|value| value.is_finite())).then_some(row)
    }
}
