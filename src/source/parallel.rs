//! Runs work on several threads and returns results in the order of the items. The number of items in flight is
//! bounded, and with it memory. Items that wait for a server are fetched on separate threads first, so that they do not
//! block the workers. Known results use no thread at all.

mod fetchers;
mod hand_out;
#[cfg(test)]
mod tests;
mod threads;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{io, thread, vec};

use fetchers::Fetchers;
use hand_out::HandOut;
pub use threads::Ahead;
use threads::{Slot, WorkItem, start, take};
pub use work::{Recalled, Work};

/// Results in the order of their items. A panic on a thread appears in place of its result.
#[derive(Debug)]
pub struct Ordered<R> {
    queue: Receiver<Slot<R>>,
    /// Known results, returned first.
    known: vec::IntoIter<R>,
    /// The place of the next result, if there is one.
    next: Option<Receiver<thread::Result<R>>>,
    /// Tells the threads to stop: no more results are taken.
    is_over: Arc<AtomicBool>,
}

impl<R> Drop for Ordered<R> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The next result, or its place.
enum Next<R> {
    Known(R),
    Coming(Receiver<thread::Result<R>>),
}

impl<R: Send + 'static> Ordered<R> {
    /// Runs `work` on each of `items`. Dropping the results stops the threads after their current items.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn map<T: Send + 'static>(
        items: impl Iterator<Item = T> + Send + 'static,
        ahead: Ahead,
        work: impl Work<T, R>,
    ) -> io::Result<Self> {
        let work = Arc::new(work);
        let is_over = Arc::<AtomicBool>::default();
        let (places, queue) = sync_channel::<Slot<R>>(ahead.window.max(1));
        let (jobs, inbox) = sync_channel::<WorkItem<T, R>>(ahead.workers.max(1));
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..ahead.workers.max(1) {
            let (inbox, work, is_over) = (Arc::clone(&inbox), Arc::clone(&work), Arc::clone(&is_over));
            start(move || {
                work.begin();
                while let Some((item, answer)) = take(&inbox, &is_over) {
                    let result = catch_unwind(AssertUnwindSafe(|| work.run(item)));
                    let _ = answer.send(result); // an error: the results were dropped
                }
            })?;
        }
        let fetchers = Fetchers::new(ahead, Arc::clone(&work), jobs.clone(), Arc::clone(&is_over));
        let hand_out = HandOut { work, together: ahead.together.max(1), places, jobs, fetchers };
        start(move || hand_out.run(items))?;
        Ok(Self { queue, known: Vec::new().into_iter(), next: None, is_over })
    }

    /// Returns the next result if it is known, or else its place, which `ask` takes from the queue. A place holds at
    /// least one result.
    fn known_or(&mut self, ask: impl FnOnce(&Receiver<Slot<R>>) -> Option<Slot<R>>) -> Option<Next<R>> {
        if let Some(result) = self.known.next() {
            return Some(Next::Known(result));
        }
        if let Some(place) = self.next.take() {
            return Some(Next::Coming(place));
        }
        match ask(&self.queue)? {
            Slot::Coming(place) => Some(Next::Coming(place)),
            Slot::Known(results) => {
                self.known = results.into_iter();
                self.known.next().map(Next::Known)
            }
        }
    }

    /// Returns the next result, if it comes before the deadline.
    pub fn next_before(&mut self, deadline: Instant) -> Option<R> {
        let place = match self.known_or(|queue| queue.try_recv().ok())? {
            Next::Known(result) => return Some(result),
            Next::Coming(place) => place,
        };
        match place.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(result) => Some(result.unwrap_or_else(|panic| resume_unwind(panic))),
            Err(RecvTimeoutError::Timeout) => {
                self.next = Some(place);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

impl<R: Send + 'static> Iterator for Ordered<R> {
    type Item = R;

    /// Waits for the next result.
    fn next(&mut self) -> Option<R> {
        let place = match self.known_or(|queue| queue.recv().ok())? {
            Next::Known(result) => return Some(result),
            Next::Coming(place) => place,
        };
        place.recv().ok().map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}
