//! The threads that fetch what items name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::threads::{Ahead, WorkItem, start, take};
use super::work::{Recalled, Work};

/// The threads that fetch. They start on demand: one more whenever all are busy.
pub struct Fetchers<T, R, W> {
    errands: SyncSender<WorkItem<T, R>>,
    inbox: Arc<Mutex<Receiver<WorkItem<T, R>>>>,
    most: usize,
    started: usize,
    /// Items in fetching or waiting for it.
    busy: Arc<AtomicUsize>,
    work: Arc<W>,
    jobs: SyncSender<WorkItem<T, R>>,
    is_over: Arc<AtomicBool>,
}

impl<T: Send + 'static, R: Send + 'static, W: Work<T, R>> Fetchers<T, R, W> {
    pub fn new(ahead: Ahead, work: Arc<W>, jobs: SyncSender<WorkItem<T, R>>, is_over: Arc<AtomicBool>) -> Self {
        // MemoryBudget for the whole window: a waiting fetch must not block the items after it.
        let (errands, inbox) = sync_channel(ahead.window.max(1));
        let (inbox, busy) = (Arc::new(Mutex::new(inbox)), Arc::default());
        Self { errands, inbox, most: ahead.fetchers.max(1), started: 0, busy, work, jobs, is_over }
    }

    /// Sends an item to a fetching thread. If no thread can be started, this thread fetches it.
    pub fn send(&mut self, job: WorkItem<T, R>) {
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
fn fetch<T, R>((item, answer): WorkItem<T, R>, work: &impl Work<T, R>, jobs: &SyncSender<WorkItem<T, R>>) {
    // A failed send means that the results were dropped.
    match catch_unwind(AssertUnwindSafe(|| work.fetch(item))) {
        Ok(Recalled::Unknown(item)) => _ = jobs.send((item, answer)),
        Ok(Recalled::Known(result)) => _ = answer.send(Ok(result)),
        Err(panic) => _ = answer.send(Err(panic)),
    }
}
