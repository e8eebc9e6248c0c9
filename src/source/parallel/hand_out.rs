//! Lists the items, gives each a place in the queue, and sends those without a result to a thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::{mem, thread};

use super::fetchers::Fetchers;
use super::threads::{Slot, WorkItem};
use super::work::{Recalled, Work};

/// The ways out of the listing thread.
pub struct HandOut<T, R, W> {
    pub work: Arc<W>,
    /// The most items that are looked up together.
    pub together: usize,
    pub places: SyncSender<Slot<R>>,
    pub jobs: SyncSender<WorkItem<T, R>>,
    pub fetchers: Fetchers<T, R, W>,
}

impl<T: Send + 'static, R: Send + 'static, W: Work<T, R>> HandOut<T, R, W> {
    /// Hands out all items. Ends early after a panic, or if the results were dropped.
    pub fn run(mut self, mut items: impl Iterator<Item = T>) {
        loop {
            let mut some = Vec::new();
            let listed = catch_unwind(AssertUnwindSafe(|| self.list(&mut items, &mut some)));
            let recalled = catch_unwind(AssertUnwindSafe(|| self.work.recall(some)));
            let (recalled, listed) = recalled.map_or_else(|panic| (Vec::new(), Err(panic)), |some| (some, listed));
            if self.place_all(recalled).is_none() {
                return;
            }
            match listed {
                Ok(true) => {}
                Ok(false) => return,
                Err(panic) => {
                    _ = self.place_coming().map(|answer| answer.send(Err(panic)));
                    return;
                }
            }
        }
    }

    /// Lists items to look up together. Returns whether more may follow.
    fn list(&self, items: &mut impl Iterator<Item = T>, some: &mut Vec<T>) -> bool {
        while some.len() < self.together && some.last().is_none_or(|item| self.work.is_light(item)) {
            match items.next() {
                Some(item) => some.push(item),
                None => return false,
            }
        }
        true
    }

    /// Gives each item a place, or neighbours with known results one together. Returns None if the results were dropped.
    fn place_all(&mut self, items: Vec<Recalled<T, R>>) -> Option<()> {
        let mut known = Vec::new();
        for item in items {
            match item {
                Recalled::Known(result) => known.push(result),
                Recalled::Unknown(item) => {
                    self.place_known(mem::take(&mut known))?;
                    let answer = self.place_coming()?;
                    if self.work.is_remote(&item) {
                        self.fetchers.send((item, answer));
                    } else {
                        self.jobs.send((item, answer)).ok()?;
                    }
                }
            }
        }
        self.place_known(known)
    }

    fn place_known(&self, results: Vec<R>) -> Option<()> {
        if results.is_empty() { Some(()) } else { self.places.send(Slot::Known(results)).ok() }
    }

    /// Makes a place for a result that will come, and returns where to send it.
    fn place_coming(&self) -> Option<SyncSender<thread::Result<R>>> {
        let (answer, place) = sync_channel(1);
        self.places.send(Slot::Coming(place)).ok().map(|()| answer)
    }
}
