//! Work done on several threads, results taken in the order of the work. The number of items between the first that
//! is not yet taken and the last that is begun is bounded, and with it memory.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where one result will be: the result, or the panic that came of it.
type Place<R> = Receiver<thread::Result<R>>;

/// Results in the order of the items they came from. A panic on a thread comes out where its result would have.
#[derive(Debug)]
pub struct Ordered<R> {
    queue: Receiver<Place<R>>,
    /// The next result's place, once it is known that there is one.
    next: Option<Place<R>>,
}

impl<R: Send + 'static> Ordered<R> {
    /// Runs `work` on each of `items` on `workers` threads, at most `window` items ahead of the taker. Dropping the
    /// result stops the threads after what they are at.
    pub fn map<T: Send + 'static>(
        items: impl Iterator<Item = T> + Send + 'static,
        workers: usize,
        window: usize,
        work: impl Fn(T) -> R + Send + Sync + 'static,
    ) -> Self {
        let (places, queue) = sync_channel::<Place<R>>(window.max(1));
        let (jobs, inbox) = sync_channel(workers.max(1));
        thread::spawn(move || hand_out(items, &places, &jobs));
        let (inbox, work) = (Arc::new(Mutex::new(inbox)), Arc::new(work));
        for _ in 0..workers.max(1) {
            let (inbox, work) = (Arc::clone(&inbox), Arc::clone(&work));
            thread::spawn(move || {
                loop {
                    let job = inbox.lock().ok().and_then(|inbox| inbox.recv().ok());
                    let Some((item, answer)) = job else { return };
                    let result = catch_unwind(AssertUnwindSafe(|| work(item)));
                    let _ = SyncSender::send(&answer, result); // an error: nobody takes results any more
                }
            });
        }
        Self { queue, next: None }
    }

    /// The next result if it is ready, without waiting.
    pub fn next_ready(&mut self) -> Option<R> {
        let place = self.next.take().or_else(|| self.queue.try_recv().ok())?;
        match place.try_recv() {
            Ok(result) => Some(result.unwrap_or_else(|panic| resume_unwind(panic))),
            Err(TryRecvError::Empty) => {
                self.next = Some(place);
                None
            }
            Err(TryRecvError::Disconnected) => None,
        }
    }
}

impl<R: Send + 'static> Iterator for Ordered<R> {
    type Item = R;

    /// The next result, waited for.
    fn next(&mut self) -> Option<R> {
        let place = self.next.take().or_else(|| self.queue.recv().ok())?;
        place.recv().ok().map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// Gives each item a place in the queue and hands it to a worker.
fn hand_out<T, R>(
    mut items: impl Iterator<Item = T>,
    places: &SyncSender<Place<R>>,
    jobs: &SyncSender<(T, SyncSender<thread::Result<R>>)>,
) {
    loop {
        let item = catch_unwind(AssertUnwindSafe(|| items.next()));
        let (answer, place) = sync_channel(1);
        let job = match item {
            Ok(None) => return,
            Ok(Some(item)) => Some(item),
            Err(panic) => {
                let _ = answer.send(Err(panic)); // the place is empty, so there is room
                None
            }
        };
        let taken = places.send(place).is_ok();
        let handed = job.is_some_and(|item| taken && jobs.send((item, answer)).is_ok());
        if !handed {
            return; // the items panicked, or nobody takes results any more
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_keep_their_order() {
        let slow_when_odd = |n: u64| {
            thread::sleep(Duration::from_micros(n % 2 * 500));
            n * n
        };
        let results: Vec<u64> = Ordered::map(0..200, 4, 8, slow_when_odd).collect();
        assert_eq!(results, (0..200).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_than_the_window_is_begun() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&begun);
        let mut results = Ordered::map(0..1000, 2, 4, move |_| counter.fetch_add(1, Ordering::SeqCst));
        results.next();
        thread::sleep(Duration::from_millis(50));
        assert!(begun.load(Ordering::SeqCst) <= 1 + 4 + 1 + 2, "{begun:?}");
    }

    #[test]
    fn ready_results_are_not_waited_for() {
        let mut results = Ordered::map(0..2, 1, 4, |n| {
            thread::sleep(Duration::from_millis(n * 200));
            n
        });
        assert_eq!(results.next(), Some(0));
        assert_eq!(results.next_ready(), None);
        assert_eq!(results.next(), Some(1));
        assert_eq!(results.next(), None);
    }

    #[test]
    fn panics_come_out_in_their_turn() {
        let work = |n: u32| if n == 3 { panic!("at three") } else { n };
        let mut results = Ordered::map(0..9, 2, 4, work);
        assert_eq!(results.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
        assert_eq!(results.collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        let items = (0..9).inspect(|n| assert!(*n < 2, "no more"));
        let mut results = Ordered::map(items, 2, 4, |n| n);
        assert_eq!((results.next(), results.next()), (Some(0), Some(1)));
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
    }
}
