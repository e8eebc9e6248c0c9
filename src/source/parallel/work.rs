//! The trait of work that the threads do on items.

/// An item that was looked up.
#[derive(Debug)]
pub enum Recalled<T, R> {
    /// Its result is known.
    Known(R),
    /// It needs work.
    Unknown(T),
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
