//! Work done on several threads, results taken in the order of the work. The number of items between the first that
//! is not yet taken and the last that is begun is bounded, and with it memory. Items that must be waited for (a server's
//! answer) are fetched on threads of their own first, so that they keep nobody from working.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// Where one result will be: the result, or the panic that came of it.
type Place<R> = Receiver<thread::Result<R>>;
/// An item, and where its result goes.
type Job<T, R> = (T, SyncSender<thread::Result<R>>);

/// How many threads do what, and how far they go ahead.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// Threads that work.
    pub workers: usize,
    /// Threads that fetch.
    pub fetchers: usize,
    /// Items between the first that is not yet taken and the last that is begun.
    pub window: usize,
}

/// What is done to each item.
pub trait Work<T, R>: Send + Sync + 'static {
    /// True for an item that must be fetched first.
    fn is_remote(&self, item: &T) -> bool;

    /// Waits for what an item names. Runs on a fetching thread.
    fn fetch(&self, item: T) -> T;

    /// The result. Runs on a working thread.
    fn run(&self, item: T) -> R;

    /// Called first on each working thread.
    fn begin(&self) {}
}

/// Results in the order of the items they came from. A panic on a thread comes out where its result would have.
#[derive(Debug)]
pub struct Ordered<R> {
    queue: Receiver<Place<R>>,
    /// The next result's place, once it is known that there is one.
    next: Option<Place<R>>,
}

impl<R: Send + 'static> Ordered<R> {
    /// Does `work` on each of `items`. Dropping the result stops the threads after what they are at.
    pub fn map<T: Send + 'static>(
        items: impl Iterator<Item = T> + Send + 'static,
        ahead: Ahead,
        work: impl Work<T, R>,
    ) -> Self {
        let work = Arc::new(work);
        let (places, queue) = sync_channel::<Place<R>>(ahead.window.max(1));
        let (jobs, inbox) = sync_channel::<Job<T, R>>(ahead.workers.max(1));
        // A fetch that waits for a thread must not keep back the items behind it: there is room for the whole window.
        let (errands, fetching) = sync_channel::<Job<T, R>>(ahead.window.max(1));
        let fetching = Arc::new(Mutex::new(fetching));
        for _ in 0..ahead.fetchers {
            let (fetching, work, jobs) = (Arc::clone(&fetching), Arc::clone(&work), jobs.clone());
            thread::spawn(move || fetch(&fetching, &*work, &jobs));
        }
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..ahead.workers.max(1) {
            let (inbox, work) = (Arc::clone(&inbox), Arc::clone(&work));
            thread::spawn(move || {
                work.begin();
                while let Some((item, answer)) = take(&inbox) {
                    let result = catch_unwind(AssertUnwindSafe(|| work.run(item)));
                    let _ = answer.send(result); // an error: nobody takes results any more
                }
            });
        }
        thread::spawn(move || hand_out(items, &*work, &places, &jobs, &errands));
        Self { queue, next: None }
    }

    /// The next result, if one is begun and comes before the deadline.
    pub fn next_before(&mut self, deadline: Instant) -> Option<R> {
        let place = self.next.take().or_else(|| self.queue.try_recv().ok())?;
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

    /// The next result, waited for.
    fn next(&mut self) -> Option<R> {
        let place = self.next.take().or_else(|| self.queue.recv().ok())?;
        place.recv().ok().map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// The next job of a queue that several threads share.
fn take<J>(inbox: &Mutex<Receiver<J>>) -> Option<J> {
    inbox.lock().ok().and_then(|inbox| inbox.recv().ok())
}

/// Fetches until nothing is left to fetch, and hands on what came.
fn fetch<T: Send, R: Send>(errands: &Mutex<Receiver<Job<T, R>>>, work: &impl Work<T, R>, jobs: &SyncSender<Job<T, R>>) {
    while let Some((item, answer)) = take(errands) {
        match catch_unwind(AssertUnwindSafe(|| work.fetch(item))) {
            Ok(item) => _ = jobs.send((item, answer)), // an error: nobody takes results any more
            Err(panic) => _ = answer.send(Err(panic)),
        }
    }
}

/// Gives each item a place in the queue and hands it to a thread.
fn hand_out<T, R>(
    mut items: impl Iterator<Item = T>,
    work: &impl Work<T, R>,
    places: &SyncSender<Place<R>>,
    jobs: &SyncSender<Job<T, R>>,
    errands: &SyncSender<Job<T, R>>,
) {
    loop {
        let item = catch_unwind(AssertUnwindSafe(|| items.next()));
        let (answer, place) = sync_channel(1);
        let item = match item {
            Ok(None) => return,
            Ok(Some(item)) => Some(item),
            Err(panic) => {
                let _ = answer.send(Err(panic)); // the place is empty, so there is room
                None
            }
        };
        let taken = places.send(place).is_ok();
        let handed = item.is_some_and(|item| {
            let to = if work.is_remote(&item) { errands } else { jobs };
            taken && to.send((item, answer)).is_ok()
        });
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

    /// Items above a thousand are fetched first, which takes that many microseconds.
    struct Test<F>(F);

    impl<R, F: Fn(u64) -> R + Send + Sync + 'static> Work<u64, R> for Test<F> {
        fn is_remote(&self, item: &u64) -> bool {
            *item > 1000
        }

        fn fetch(&self, item: u64) -> u64 {
            thread::sleep(Duration::from_micros(item));
            item
        }

        fn run(&self, item: u64) -> R {
            self.0(item)
        }
    }

    fn map<R: Send + 'static>(
        items: impl Iterator<Item = u64> + Send + 'static,
        (workers, window): (usize, usize),
        work: impl Fn(u64) -> R + Send + Sync + 'static,
    ) -> Ordered<R> {
        Ordered::map(items, Ahead { workers, fetchers: 3, window }, Test(work))
    }

    #[test]
    fn results_keep_their_order() {
        let slow_when_odd = |n: u64| {
            thread::sleep(Duration::from_micros(n % 2 * 500));
            n * n
        };
        let items = || (0..200).map(|n| if n % 7 == 0 { 1001 + n } else { n });
        let results: Vec<u64> = map(items(), (4, 8), slow_when_odd).collect();
        assert_eq!(results, items().map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_than_the_window_is_begun() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&begun);
        let mut results = map(0..1000, (2, 4), move |_| counter.fetch_add(1, Ordering::SeqCst));
        results.next();
        thread::sleep(Duration::from_millis(50));
        assert!(begun.load(Ordering::SeqCst) <= 1 + 4 + 1 + 2, "{begun:?}");
    }

    #[test]
    fn what_is_slow_to_come_keeps_nobody_from_working() {
        let done = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&done);
        let slow = 2_000_000;
        let items = std::iter::once(slow).chain(0..20);
        let mut results = map(items, (1, 32), move |n| {
            counter.fetch_add(1, Ordering::SeqCst);
            n
        });
        let start = Instant::now();
        while done.load(Ordering::SeqCst) < 20 && start.elapsed() < Duration::from_secs(1) {
            assert_eq!(results.next_before(Instant::now() + Duration::from_millis(10)), None);
        }
        assert_eq!(done.load(Ordering::SeqCst), 20);
        assert_eq!(results.next(), Some(slow));
        assert_eq!(results.collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn results_that_are_late_are_not_waited_for() {
        let mut results = map(0..2, (1, 4), |n| {
            thread::sleep(Duration::from_millis(n * 200));
            n
        });
        assert_eq!(results.next(), Some(0));
        assert_eq!(results.next_before(Instant::now()), None);
        assert_eq!(results.next(), Some(1));
        assert_eq!((results.next(), results.next_before(Instant::now() + Duration::from_secs(60))), (None, None));
    }

    #[test]
    fn panics_come_out_in_their_turn() {
        let work = |n: u64| if n == 3 { panic!("at three") } else { n };
        let mut results = map(0..9, (2, 4), work);
        assert_eq!(results.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
        assert_eq!(results.collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        let items = (0..9).inspect(|n| assert!(*n < 2, "no more"));
        let mut results = map(items, (2, 4), |n| n);
        assert_eq!((results.next(), results.next()), (Some(0), Some(1)));
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
    }
}
