//! What the threads share: their numbers, the jobs they take, and the places of results.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::{io, thread};

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

/// The place of results: known ones, one that will come, or the panic instead of it.
#[derive(Debug)]
pub enum Slot<R> {
    Known(Vec<R>),
    Coming(Receiver<thread::Result<R>>),
}

/// An item, and the channel for its result.
pub type WorkItem<T, R> = (T, SyncSender<thread::Result<R>>);

/// Returns the next job of a shared queue, or None if no more results are taken.
pub fn take<J>(inbox: &Mutex<Receiver<J>>, is_over: &AtomicBool) -> Option<J> {
    let job = inbox.lock().ok().and_then(|inbox| inbox.recv().ok());
    job.filter(|_| !is_over.load(Ordering::Relaxed))
}

/// Starts a thread.
pub fn start(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(body).map(drop)
}
