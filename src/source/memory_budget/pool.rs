//! One share of the memory. Threads that wait for some are served in the order of arrival.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that several threads share.
#[derive(Debug)]
pub struct Share {
    pub most: u64,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The waiting threads in order of arrival, and the bytes taken.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub taken: u64,
    pub came: u64,
    served: u64,
}

impl Share {
    pub fn new(most: u64) -> Self {
        Self { most, queue: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(self: &Arc<Self>, bytes: u64) -> Portion {
        let mut queue = self.lock();
        let place = queue.came;
        queue.came += 1;
        while queue.served != place || queue.taken + bytes > self.most {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.served += 1;
        queue.taken += bytes;
        if queue.served != queue.came {
            self.changed.notify_all();
        }
        Portion { pool: Arc::clone(self), bytes }
    }

    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Portion> {
        let mut queue = self.lock();
        let free = queue.served == queue.came && queue.taken + bytes <= self.most;
        free.then(|| {
            queue.taken += bytes;
            Portion { pool: Arc::clone(self), bytes }
        })
    }
}

/// Bytes of one share.
pub struct Portion {
    pool: Arc<Share>,
    bytes: u64,
}

impl Portion {
    pub fn shrink(&mut self, bytes: u64) {
        self.give_back(self.bytes - bytes);
        self.bytes = bytes;
    }

    fn give_back(&self, bytes: u64) {
        let mut queue = self.pool.lock();
        queue.taken -= bytes;
        if queue.served != queue.came {
            self.pool.changed.notify_all();
        }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}
