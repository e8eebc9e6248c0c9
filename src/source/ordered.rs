//! Runs work on several threads and returns results in the order of the items. The number of items in flight is
//! bounded, and with it memory. Items that wait for a server are fetched on separate threads first, so that they do not
//! block the workers. Known results use no thread at all.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{io, thread, vec};

/// The place of results: known ones, one that will come, or the panic instead of it.
#[derive(Debug)]
enum Place<R> {
    Known(Vec<R>),
    Coming(Receiver<thread::Result<R>>),
}

/// An item that was looked up.
#[derive(Debug)]
pub enum Recalled<T, R> {
    /// Its result is known.
    Known(R),
    /// It needs work.
    Unknown(T),
}

/// An item, and the channel for its result.
type Job<T, R> = (T, SyncSender<thread::Result<R>>);

/// The numbers of threads, and how far they may run ahead.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// Threads that work.
    pub workers: usize,
    /// The most threads that fetch. Each is started when an item needs it.
    pub fetchers: usize,
    /// The most items in flight: from the first whose result is not taken to the last one begun. Known items that came
    /// together count as one.
    pub window: usize,
    /// The number of items looked up together: one, if an item may take long to come.
    pub together: usize,
}

/// The work on each item.
pub trait Work<T, R>: Send + Sync + 'static {
    /// Returns whether an item may be looked up together with others: its result may be known, and it takes little
    /// memory.
    fn is_light(&self, _item: &T) -> bool {
        false
    }

    /// Looks up the results of items that came together. Each stays in its place.
    fn recall(&self, items: Vec<T>) -> Vec<Recalled<T, R>> {
        items.into_iter().map(Recalled::Unknown).collect()
    }

    /// Returns whether an item must be fetched first.
    fn is_remote(&self, _item: &T) -> bool {
        false
    }

    /// Fetches what an item names, and its result too if that would block a worker. Runs on a fetching thread.
    fn fetch(&self, item: T) -> Recalled<T, R> {
        Recalled::Unknown(item)
    }

    /// Returns the result. Runs on a worker.
    fn run(&self, item: T) -> R;

    /// Runs first on each worker.
    fn begin(&self) {}
}

impl<T, R, F: Fn(T) -> R + Send + Sync + 'static> Work<T, R> for F {
    fn run(&self, item: T) -> R {
        self(item)
    }
}

/// Results in the order of their items. A panic on a thread appears in place of its result.
#[derive(Debug)]
pub struct Ordered<R> {
    queue: Receiver<Place<R>>,
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
        let (places, queue) = sync_channel::<Place<R>>(ahead.window.max(1));
        let (jobs, inbox) = sync_channel::<Job<T, R>>(ahead.workers.max(1));
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
        let mut fetchers = Fetchers::new(ahead, Arc::clone(&work), jobs.clone(), Arc::clone(&is_over));
        start(move || hand_out(items, ahead.together.max(1), &*work, &places, &jobs, &mut fetchers))?;
        Ok(Self { queue, known: Vec::new().into_iter(), next: None, is_over })
    }

    /// Returns the next result if it is known, or else its place, which `ask` takes from the queue. A place holds at
    /// least one result.
    fn known_or(&mut self, ask: impl FnOnce(&Receiver<Place<R>>) -> Option<Place<R>>) -> Option<Next<R>> {
        if let Some(result) = self.known.next() {
            return Some(Next::Known(result));
        }
        if let Some(place) = self.next.take() {
            return Some(Next::Coming(place));
        }
        match ask(&self.queue)? {
            Place::Coming(place) => Some(Next::Coming(place)),
            Place::Known(results) => {
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

/// Returns the next job of a shared queue, or None if no more results are taken.
fn take<J>(inbox: &Mutex<Receiver<J>>, is_over: &AtomicBool) -> Option<J> {
    let job = inbox.lock().ok().and_then(|inbox| inbox.recv().ok());
    job.filter(|_| !is_over.load(Ordering::Relaxed))
}

/// Starts a thread.
fn start(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(body).map(drop)
}

/// The threads that fetch. They start on demand: one more whenever all are busy.
struct Fetchers<T, R, W> {
    errands: SyncSender<Job<T, R>>,
    inbox: Arc<Mutex<Receiver<Job<T, R>>>>,
    most: usize,
    started: usize,
    /// Items in fetching or waiting for it.
    busy: Arc<AtomicUsize>,
    work: Arc<W>,
    jobs: SyncSender<Job<T, R>>,
    is_over: Arc<AtomicBool>,
}

impl<T: Send + 'static, R: Send + 'static, W: Work<T, R>> Fetchers<T, R, W> {
    fn new(ahead: Ahead, work: Arc<W>, jobs: SyncSender<Job<T, R>>, is_over: Arc<AtomicBool>) -> Self {
        // Room for the whole window: a waiting fetch must not block the items behind it.
        let (errands, inbox) = sync_channel(ahead.window.max(1));
        let (inbox, busy) = (Arc::new(Mutex::new(inbox)), Arc::default());
        Self { errands, inbox, most: ahead.fetchers.max(1), started: 0, busy, work, jobs, is_over }
    }

    /// Sends an item to a fetching thread. If no thread can be started, this thread fetches it.
    fn send(&mut self, job: Job<T, R>) {
        let busy = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        if self.started < busy.min(self.most) {
            let (inbox, work, jobs) = (Arc::clone(&self.inbox), Arc::clone(&self.work), self.jobs.clone());
            let (is_over, busy) = (Arc::clone(&self.is_over), Arc::clone(&self.busy));
            let body = move || {
                while let Some(job) = take(&inbox, &is_over) {
                    fetch(job, &*work, &jobs);
                    busy.fetch_sub(1, Ordering::Relaxed);
                }
            };
            self.started += usize::from(start(body).is_ok());
        }
        if self.started > 0 {
            let _ = self.errands.send(job); // never an error: the inbox is here too
        } else {
            fetch(job, &*self.work, &self.jobs);
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Fetches an item, and passes on the result.
fn fetch<T, R>((item, answer): Job<T, R>, work: &impl Work<T, R>, jobs: &SyncSender<Job<T, R>>) {
    // A failed send means that the results were dropped.
    match catch_unwind(AssertUnwindSafe(|| work.fetch(item))) {
        Ok(Recalled::Unknown(item)) => _ = jobs.send((item, answer)),
        Ok(Recalled::Known(result)) => _ = answer.send(Ok(result)),
        Err(panic) => _ = answer.send(Err(panic)),
    }
}

/// Gives each item a place in the queue, and sends unknown ones to a thread.
fn hand_out<T: Send + 'static, R: Send + 'static, W: Work<T, R>>(
    mut items: impl Iterator<Item = T>,
    together: usize,
    work: &W,
    places: &SyncSender<Place<R>>,
    jobs: &SyncSender<Job<T, R>>,
    fetchers: &mut Fetchers<T, R, W>,
) {
    let coming = || {
        let (answer, place) = sync_channel(1);
        places.send(Place::Coming(place)).map(|()| answer)
    };
    loop {
        let mut some = Vec::new();
        let mut ended = false;
        let listed = catch_unwind(AssertUnwindSafe(|| {
            while some.len() < together && some.last().is_none_or(|item| work.is_light(item)) {
                match items.next() {
                    Some(item) => some.push(item),
                    None => {
                        ended = true;
                        return;
                    }
                }
            }
        }));
        let mut known = Vec::new();
        let recalled = catch_unwind(AssertUnwindSafe(|| work.recall(some)));
        let (recalled, failure) = match (recalled, listed) {
            (Ok(recalled), listed) => (recalled, listed.err()),
            (Err(panic), _) => (Vec::new(), Some(panic)),
        };
        for item in recalled {
            match item {
                Recalled::Known(result) => known.push(result),
                Recalled::Unknown(item) => {
                    if !known.is_empty() && places.send(Place::Known(std::mem::take(&mut known))).is_err() {
                        return; // the results were dropped
                    }
                    let Ok(answer) = coming() else { return };
                    if work.is_remote(&item) {
                        fetchers.send((item, answer));
                    } else if jobs.send((item, answer)).is_err() {
                        return;
                    }
                }
            }
        }
        if !known.is_empty() && places.send(Place::Known(known)).is_err() {
            return;
        }
        if let Some(panic) = failure {
            _ = coming().map(|answer| answer.send(Err(panic)));
            return;
        }
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Items above a thousand are fetched first, which takes that many microseconds. Multiples of a million are known.
    struct Test<F>(F);

    impl<R, F: Fn(u64) -> R + Send + Sync + 'static> Work<u64, R> for Test<F> {
        fn is_light(&self, item: &u64) -> bool {
            !item.is_multiple_of(5)
        }

        fn recall(&self, items: Vec<u64>) -> Vec<Recalled<u64, R>> {
            let is_known = |n: u64| n > 0 && n.is_multiple_of(1_000_000);
            let look = |n| if is_known(n) { Recalled::Known(self.0(n)) } else { Recalled::Unknown(n) };
            items.into_iter().map(look).collect()
        }

        fn is_remote(&self, item: &u64) -> bool {
            *item > 1000
        }

        fn fetch(&self, item: u64) -> Recalled<u64, R> {
            thread::sleep(Duration::from_micros(item));
            if item.is_multiple_of(3) { Recalled::Known(self.0(item)) } else { Recalled::Unknown(item) }
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
        Ordered::map(items, Ahead { workers, fetchers: 3, window, together: 1 }, Test(work)).unwrap()
    }

    #[test]
    fn what_is_known_keeps_its_place() {
        let items = || (0..500u64).map(|n| if n % 11 < 7 { n * 1_000_000 } else { n });
        for together in [1, 2, 64, 1000] {
            let ahead = Ahead { workers: 3, fetchers: 1, window: 4, together };
            let mut results = Ordered::map(items(), ahead, Test(|n| n)).unwrap();
            let mut got = Vec::new();
            while got.len() < 500 {
                let next = results.next_before(Instant::now() + Duration::from_millis(1));
                got.extend(next.or_else(|| results.next()));
            }
            assert!(got.into_iter().eq(items()) && results.next().is_none(), "{together}");
        }
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
    fn nothing_more_is_begun_when_nobody_takes_results() {
        let (begun, counter) = (Arc::new(AtomicUsize::new(0)), Arc::<AtomicUsize>::default());
        struct Slow(Arc<AtomicUsize>, Arc<AtomicUsize>);
        impl Work<u64, u64> for Slow {
            fn is_remote(&self, _: &u64) -> bool {
                true
            }
            fn fetch(&self, item: u64) -> Recalled<u64, u64> {
                self.0.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
                Recalled::Unknown(item)
            }
            fn run(&self, item: u64) -> u64 {
                self.1.fetch_add(1, Ordering::SeqCst);
                item
            }
        }
        let ahead = Ahead { workers: 1, fetchers: 2, window: 64, together: 1 };
        let work = Slow(Arc::clone(&begun), Arc::clone(&counter));
        let mut results = Ordered::map(0..1000u64, ahead, work).unwrap();
        assert_eq!(results.next(), Some(0));
        drop(results);
        let fetched = begun.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(200));
        assert!(begun.load(Ordering::SeqCst) <= fetched + 2 && counter.load(Ordering::SeqCst) <= fetched, "{begun:?}");
    }

    #[test]
    fn fetching_threads_are_started_as_they_are_needed() {
        struct Fetching(Arc<Mutex<std::collections::HashSet<thread::ThreadId>>>);
        impl Work<u64, u64> for Fetching {
            fn is_remote(&self, item: &u64) -> bool {
                *item > 0
            }
            fn fetch(&self, item: u64) -> Recalled<u64, u64> {
                self.0.lock().unwrap().insert(thread::current().id());
                thread::sleep(Duration::from_millis(5));
                Recalled::Unknown(item)
            }
            fn run(&self, item: u64) -> u64 {
                item
            }
        }
        for (remote, most, threads) in [(0, 16, 0..=0), (1, 16, 1..=1), (2, 16, 1..=2), (50, 3, 1..=3)] {
            let seen = Arc::default();
            let ahead = Ahead { workers: 1, fetchers: most, window: 64, together: 1 };
            let items = std::iter::repeat_n(0, 9).chain(1..=remote);
            let results = Ordered::map(items, ahead, Fetching(Arc::clone(&seen))).unwrap();
            assert_eq!(results.count() as u64, 9 + remote);
            assert!(threads.contains(&seen.lock().unwrap().len()), "{remote}");
        }
    }

    #[test]
    fn what_is_slow_to_come_keeps_nobody_from_working() {
        let done = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&done);
        let slow = 1_999_999;
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
