//! The memory that images in flight share, in bytes. An image waits while there is too little left, so nothing fails
//! for a moment's shortage. An image larger than a share goes alone.
//!
//! Each stage has its own share. A holder of a lease may wait for a later stage, but not for an earlier one. An image
//! that goes alone takes the shares of its stage and of all later ones, in order, and then never waits again. So there
//! is no deadlock.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{ErrorKind, ImageError, MAX_BYTES, MAX_PIXELS};

/// The purpose of an image's memory, in the order of an image's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes read during the walk: a member of a tar, standard input, a `data:` URI.
    Walk,
    /// Bytes from the network.
    Fetch,
    /// The bytes of a file.
    Read,
    /// Pixels, and the decoder's working memory.
    Decode,
}

/// Sixteenths of the whole for each stage. The rest is for one image that goes alone, on top of the shares it takes.
const SHARES: [u64; 4] = [1, 1, 1, 2];
const WHOLE: u64 = 16;

/// The memory of images in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct Room {
    bytes: u64,
    shares: [Arc<Pool>; 4],
    are_holes_counted: bool,
}

impl Room {
    /// Creates a room of so many bytes.
    pub fn of(bytes: u64) -> Self {
        let shares = SHARES.map(|parts| Arc::new(Pool::new(bytes / WHOLE * parts)));
        Self { bytes, shares, are_holes_counted: false }
    }

    /// Sets whether holes of files count: where addresses are limited, they take some.
    pub fn counting_holes(self, are_holes_counted: bool) -> Self {
        Self { are_holes_counted, ..self }
    }

    /// Returns the bytes to take for `length` bytes, of which `stored` are outside of holes.
    pub(super) fn counted(&self, length: u64, stored: u64) -> u64 {
        if self.are_holes_counted { length } else { stored.min(length) }
    }

    /// Returns the most bytes that one image may take from a stage on.
    pub fn most(&self, stage: Stage) -> u64 {
        self.bytes - self.shares[..stage as usize].iter().map(|share| share.most).sum::<u64>()
    }

    /// Waits for `bytes`, in the order of arrival. The caller must not hold a lease of this stage or a later one.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if no image may take so many. `what` is their purpose, for the message.
    pub fn take(&self, stage: Stage, bytes: u64, what: &str) -> Result<Lease, ImageError> {
        let parts = self.parts(stage, bytes, |pool, bytes| Some(Pool::take(pool, bytes)));
        parts.ok_or_else(|| too_little(bytes, self.most(stage), what))
    }

    /// Takes `bytes` if that needs no waiting.
    pub fn try_take(&self, stage: Stage, bytes: u64) -> Option<Lease> {
        self.parts(stage, bytes, Pool::try_take)
    }

    /// Takes `bytes` from a share, or all shares from that one on.
    fn parts(&self, stage: Stage, bytes: u64, take: impl Fn(&Arc<Pool>, u64) -> Option<Part>) -> Option<Lease> {
        let shares = &self.shares[stage as usize..];
        let most = self.most(stage);
        match bytes {
            bytes if bytes <= shares[0].most => {
                Some(Lease { parts: vec![take(&shares[0], bytes)?], bytes, alone: None })
            }
            bytes if bytes <= most => {
                let parts = shares.iter().map(|share| take(share, share.most)).collect::<Option<_>>()?;
                Some(Lease { parts, bytes, alone: Some(most) })
            }
            _ => None,
        }
    }
}

impl Default for Room {
    /// Creates a room without a limit.
    fn default() -> Self {
        Self::of(u64::MAX)
    }
}

/// Returns the failure of an image that needs more memory than one may have.
pub(super) fn too_little(bytes: u64, most: u64, what: &str) -> ImageError {
    let (bytes, most) = (bytes.div_ceil(1 << 20), most >> 20); // rounded apart, so that they differ
    let reason = format!(
        "needs {bytes} MiB of memory {what}, and this run may use {most} MiB for one image; give it more memory, or refuse \
         such images with --max-pixels or --max-bytes"
    );
    ImageError::new(ErrorKind::Memory, reason)
}

/// Bytes that several threads share.
#[derive(Debug)]
struct Pool {
    most: u64,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The waiting threads in order of arrival, and the bytes taken.
#[derive(Debug, Default)]
struct Queue {
    taken: u64,
    came: u64,
    served: u64,
}

impl Pool {
    fn new(most: u64) -> Self {
        Self { most, queue: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Part {
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
        Part { pool: Arc::clone(self), bytes }
    }

    fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Part> {
        let mut queue = self.lock();
        let free = queue.served == queue.came && queue.taken + bytes <= self.most;
        free.then(|| {
            queue.taken += bytes;
            Part { pool: Arc::clone(self), bytes }
        })
    }
}

/// Memory that is taken until this is dropped.
pub struct Lease {
    parts: Vec<Part>,
    bytes: u64,
    /// The rest of the memory, if this belongs to the one image that goes alone.
    alone: Option<u64>,
}

impl Lease {
    /// Returns how many bytes were asked for.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but `bytes`. An image that goes alone keeps them for its later stages.
    fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.bytes = bytes;
            if self.alone.is_none() {
                self.parts.iter_mut().for_each(|part| part.shrink(bytes));
            }
        }
    }
}

/// Bytes of one share.
struct Part {
    pool: Arc<Pool>,
    bytes: u64,
}

impl Part {
    fn shrink(&mut self, bytes: u64) {
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

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Lease({})", self.bytes)
    }
}

/// An image's bytes, with the memory they were counted in.
#[derive(Debug, Default)]
pub struct Bytes {
    data: Vec<u8>,
    lease: Option<Lease>,
}

impl Bytes {
    /// Creates bytes counted in `lease`, which gives back the excess.
    pub(crate) fn new(data: Vec<u8>, mut lease: Option<Lease>) -> Self {
        if let Some(lease) = &mut lease {
            lease.shrink(data.len() as u64);
        }
        Self { data, lease }
    }

    /// Returns whether the bytes belong to the one image that goes alone. Their holder must not wait for others.
    pub fn is_alone(&self) -> bool {
        self.spare().is_some()
    }

    /// Returns the memory left beside them, if they go alone.
    pub fn spare(&self) -> Option<u64> {
        let lease = self.lease.as_ref()?;
        Some(lease.alone? - lease.bytes)
    }

    /// Returns the bytes alone.
    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        Self { data, lease: None }
    }
}

/// The limits of an image: caps, equal in every run, and the available memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most bytes of its file.
    pub max_bytes: u64,
    /// The most pixels.
    pub max_pixels: u64,
    /// The memory it is held in.
    pub room: Room,
}

impl Default for Limits {
    /// Returns the usual caps, and a room without a limit.
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, max_pixels: MAX_PIXELS, room: Room::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn what_is_taken_never_exceeds_the_share() {
        let room = Room::of(160);
        let (now, highest) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for n in 0..8u64 {
                let (room, now, highest) = (&room, &now, &highest);
                scope.spawn(move || {
                    for i in 0..200 {
                        let bytes = 1 + (n * 7 + i) % 20;
                        let lease = room.take(Stage::Decode, bytes, "to be decoded").unwrap();
                        highest.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        assert!(highest.load(Ordering::SeqCst) <= 20, "{highest:?}");
        assert_eq!(room.shares[Stage::Decode as usize].lock().taken, 0);
    }

    #[test]
    fn a_large_image_goes_alone_and_none_is_larger_than_the_room() {
        let room = Room::of(160);
        let first = room.take(Stage::Read, 90, "").unwrap();
        assert_eq!(Bytes::new(vec![0; 30], Some(first)).spare(), Some(140 - 30));
        let first = room.take(Stage::Read, 11, "").unwrap();
        for stage in [Stage::Fetch, Stage::Read, Stage::Decode] {
            assert!(room.try_take(stage, 21).is_none(), "one at a time");
        }
        assert!(room.try_take(Stage::Decode, 1).is_none(), "nor any beside it");
        assert!(room.try_take(Stage::Fetch, 10).is_some(), "what comes before is not in its way");
        drop(first);
        assert!(room.try_take(Stage::Fetch, 150).is_some());
        for (stage, most) in [(Stage::Walk, 160), (Stage::Fetch, 150), (Stage::Read, 140), (Stage::Decode, 130)] {
            assert!(room.take(stage, most, "").is_ok(), "with the shares of its stage and of later ones");
            assert_eq!(room.take(stage, most + 1, "").unwrap_err().kind, ErrorKind::Memory);
        }
    }

    #[test]
    fn whoever_goes_alone_waits_for_others_and_they_for_it() {
        let room = Room::of(160);
        thread::scope(|scope| {
            for n in 0..8u64 {
                let room = &room;
                scope.spawn(move || {
                    for i in 0..200 {
                        let stage = [Stage::Walk, Stage::Fetch, Stage::Read][((n + i) % 3) as usize];
                        let bytes = if (n + i) % 7 == 0 { 100 } else { 5 };
                        let file = Bytes::new(Vec::new(), Some(room.take(stage, bytes, "").unwrap()));
                        let pixels = if (n + i) % 5 == 0 { 120 } else { 15 };
                        let pixels = (!file.is_alone()).then(|| room.take(Stage::Decode, pixels, "").unwrap());
                        thread::yield_now();
                        drop((file, pixels));
                    }
                });
            }
        });
        assert!(room.try_take(Stage::Walk, 160).is_some());
    }

    #[test]
    fn what_is_needed_and_what_there_is_differ_in_print() {
        for (bytes, most) in [((5 << 20) + 2, (5 << 20) + 1), ((5 << 20) + 1, 5 << 20), (6 << 20, (6 << 20) - 1)] {
            let said = too_little(bytes, most, "to be read").message;
            let figures: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
            assert!(figures.len() == 2 && figures[0] > figures[1], "{said}");
        }
    }

    #[test]
    fn whoever_came_first_is_served_first() {
        let room = Arc::new(Room::of(1600));
        let half = room.take(Stage::Decode, 150, "").unwrap();
        let large = thread::spawn({
            let room = Arc::clone(&room);
            move || drop(room.take(Stage::Decode, 200, "").unwrap())
        });
        while room.shares[Stage::Decode as usize].lock().came < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(room.try_take(Stage::Decode, 1).is_none(), "nobody overtakes it");
        drop(half);
        large.join().unwrap();
        assert!(room.try_take(Stage::Decode, 200).is_some());
    }

    #[test]
    fn bytes_give_back_what_they_do_not_need() {
        let room = Room::of(1600);
        let lease = room.take(Stage::Walk, 100, "").unwrap();
        let bytes = Bytes::new(vec![0; 40], Some(lease));
        assert!(room.try_take(Stage::Walk, 61).is_none() && room.try_take(Stage::Walk, 60).is_some());
        drop(bytes);
        assert!(room.try_take(Stage::Walk, 100).is_some());
    }
}
