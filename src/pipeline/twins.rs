//! Identical images in one run: each is decoded once and encoded once, while its result is still known.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::cache::ContentHash;
use crate::preprocess::Pixels;
use crate::source::ImageError;

/// A unit embedding.
pub(super) type Row = Arc<[f32]>;

/// The most bytes of remembered embeddings: one or two thousand of them. Older ones are computed again.
const REMEMBERED: usize = 4 << 20;
/// The same limit with a cache, which holds all others: room for those not written yet.
const RECENT: usize = 512 << 10;

/// The pixels of one content, decoded by the first thread that needs them. Threads that wait for its embedding keep it
/// alive.
#[derive(Default)]
pub(super) struct Claim(OnceLock<Result<Pixels, ImageError>>);

/// The state of an image before it is encoded.
pub(super) enum Ready {
    /// Its embedding.
    Known(Row),
    /// Its pixels, to be encoded.
    Pixels { pixels: Pixels, content: ContentHash, _claim: Arc<Claim> },
}

impl Ready {
    /// Returns pixels that no other thread shares.
    pub fn without_twins(content: ContentHash, pixels: Pixels) -> Self {
        Self::Pixels { pixels, content, _claim: Arc::default() }
    }
}

/// The contents in progress, and the recent ones.
pub(super) struct Twins(Mutex<Inner>);

struct Inner {
    /// The bytes of remembered embeddings.
    most: usize,
    at_work: HashMap<ContentHash, Weak<Claim>>,
    encoded: HashMap<ContentHash, Row>,
    order: VecDeque<ContentHash>,
    bytes: usize,
}

impl Twins {
    /// Creates an empty set. `is_kept` is whether a cache keeps embeddings too.
    pub fn new(is_kept: bool) -> Self {
        let most = if is_kept { RECENT } else { REMEMBERED };
        let (at_work, encoded, order) = Default::default();
        Self(Mutex::new(Inner { most, at_work, encoded, order, bytes: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the embedding of a content, if it is remembered.
    pub fn row(&self, content: &ContentHash) -> Option<Row> {
        self.lock().encoded.get(content).cloned()
    }

    /// Returns a content's embedding, the pixels that another thread decodes, or the result of `decode`.
    pub fn ready(
        &self,
        content: ContentHash,
        decode: impl FnOnce() -> Result<Pixels, ImageError>,
    ) -> Result<Ready, ImageError> {
        let claim = {
            let mut inner = self.lock();
            if let Some(row) = inner.encoded.get(&content) {
                return Ok(Ready::Known(Arc::clone(row)));
            }
            match inner.at_work.get(&content).and_then(Weak::upgrade) {
                Some(claim) => claim,
                None => {
                    let claim = Arc::<Claim>::default();
                    inner.at_work.insert(content, Arc::downgrade(&claim));
                    claim
                }
            }
        };
        let outcome = claim.0.get_or_init(decode).clone(); // waits for another thread, if one decodes it
        if outcome.is_err() {
            self.lock().at_work.remove(&content);
        }
        Ok(Ready::Pixels { pixels: outcome?, content, _claim: claim })
    }

    /// Ends the work on a content.
    pub fn done(&self, content: &ContentHash) {
        self.lock().at_work.remove(content);
    }

    /// Remembers a content's embedding.
    pub fn remember(&self, content: ContentHash, row: &Row) {
        let mut inner = self.lock();
        if inner.encoded.insert(content, Arc::clone(row)).is_none() {
            inner.order.push_back(content);
            inner.bytes += size_of_val::<[f32]>(row);
        }
        while inner.bytes > inner.most
            && let Some(oldest) = inner.order.pop_front()
        {
            let row = inner.encoded.remove(&oldest);
            inner.bytes -= row.map_or(0, |row| size_of_val::<[f32]>(&row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Preprocessor, ProcessorClass};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pixels() -> Pixels {
        let preprocessor = Preprocessor::from_json(json!({"size": 4, "crop_size": 4}), ProcessorClass::Clip).unwrap();
        preprocessor.run(&image::RgbImage::new(4, 4)).unwrap()
    }

    #[test]
    fn a_content_is_decoded_once_by_all_threads() {
        let (twins, decoded) = (Twins::new(false), AtomicUsize::new(0));
        let decode = || {
            decoded.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(50));
            Ok(pixels())
        };
        let content = ContentHash::of(b"a");
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| twins.ready(content, decode))).collect();
            let ready: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
            assert!(ready.iter().all(|r| matches!(r, Ready::Pixels { .. })));
        });
        assert_eq!(decoded.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_was_encoded_is_known_and_the_oldest_forgotten() {
        let content = |n: u8| ContentHash::of(&[n]);
        let never = || panic!("it is known");
        for (is_kept, bytes) in [(false, REMEMBERED / 4), (true, RECENT / 4)] {
            let twins = Twins::new(is_kept);
            let row: Row = vec![1f32; bytes / size_of::<f32>()].into();
            (0..5).for_each(|n| twins.remember(content(n), &row));
            assert!(twins.row(&content(0)).is_none() && twins.row(&content(1)).is_some());
            assert!(matches!(twins.ready(content(4), never), Ok(Ready::Known(_))));
        }
    }

    #[test]
    fn a_failure_is_told_to_each() {
        let twins = Twins::new(true);
        let fail = || Err(ImageError::not_finite());
        assert!(twins.ready(ContentHash::of(b"a"), fail).is_err());
        assert!(twins.ready(ContentHash::of(b"a"), fail).is_err());
        assert!(twins.0.lock().unwrap().at_work.is_empty());
    }
}
