//! Order, bounds, late results and panics.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{Ahead, Ordered, Recalled, Work};

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
    struct Fetching(Arc<Mutex<HashSet<thread::ThreadId>>>);
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
