//! A pointer that threads share.

/// A pointer through which tasks on other threads write, each to its own places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);

// SAFETY: each user of the pointer ensures that no two threads touch the same place.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Returns the pointer itself. (It is a method so that closures capture the whole.)
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
