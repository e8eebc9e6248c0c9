//! The one thread that writes. It gathers entries into batches, so that callers never wait for the disk.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::entry::{Batch, CacheEntry};
use super::error::CacheError;
use super::keys::CacheKey;
use super::store::{Store, hour};

/// Entries of one transaction.
const BATCH: usize = 128;
/// The time an entry waits for others.
const WAIT: Duration = Duration::from_millis(500);
/// Messages that wait for a busy writer. Further messages are dropped.
const QUEUE: usize = 4096;
/// Entries that wait for another process to finish writing. Further entries are dropped.
const KEPT: usize = 4096;

enum Message {
    Put(Vec<CacheEntry>),
    Used(Vec<CacheKey>),
    Name(i64, String),
    Flush(Sender<()>),
}

/// The first failure, until someone asks for it.
pub(super) type FirstFailure = Arc<Mutex<Option<CacheError>>>;

/// Keeps `e` unless there was a failure before.
pub(super) fn note(failure: &FirstFailure, e: CacheError) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
}

/// The handle of the thread. Dropping it waits until everything is written.
#[derive(Debug)]
pub(super) struct CacheWriter {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl CacheWriter {
    /// Starts the thread that writes into `store`.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(store: Store, failure: FirstFailure) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = thread::Builder::new().spawn(move || write(store, &receiver, &failure))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub fn put(&self, entries: Vec<CacheEntry>) {
        self.send(Message::Put(entries));
    }

    /// Reports that these entries were used.
    pub fn used(&self, keys: Vec<CacheKey>) {
        if !keys.is_empty() {
            self.send(Message::Used(keys));
        }
    }

    /// Names a scope. The name is written with the next entry.
    pub fn name(&self, scope: i64, name: String) {
        self.send(Message::Name(scope, name));
    }

    /// Waits until everything is written.
    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if let Some(sender) = &self.sender
            && sender.send(Message::Flush(done)).is_ok()
        {
            _ = wait.recv(); // an error: the writer has given up
        }
    }

    /// Sends a message without waiting. A full queue, or a writer that has given up, drops it: a cache may forget.
    fn send(&self, message: Message) {
        _ = self.sender.as_ref().map(|sender| sender.try_send(message));
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        self.sender = None;
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Entries that wait to be written.
#[derive(Default)]
struct PendingEntries {
    batch: Batch,
    /// The time by which they are written.
    due: Option<Instant>,
    /// Whether another process blocked the last attempt.
    is_held_up: bool,
    /// Whether entries came since the last attempt.
    has_news: bool,
}

impl PendingEntries {
    fn count(&self) -> usize {
        self.batch.entries.len() + self.batch.used.len()
    }

    /// Takes up a message. Returns the sender of a flush, to be dropped when everything is written.
    fn take(&mut self, message: Message) -> Option<Sender<()>> {
        match message {
            Message::Put(mut entries) => self.batch.entries.append(&mut entries),
            Message::Used(mut keys) => self.batch.used.append(&mut keys),
            Message::Name(scope, name) => self.batch.names.push((scope, name)),
            Message::Flush(sender) => return Some(sender),
        }
        self.has_news = true;
        if self.count() > 0 {
            self.due = self.due.or_else(|| Some(Instant::now() + WAIT));
        }
        None
    }

    /// Returns whether it is time to write.
    fn is_due(&self) -> bool {
        let is_full = self.count() >= BATCH && !self.is_held_up;
        is_full || self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Writes all entries. While another process writes for too long, up to [`KEPT`] entries stay for a later attempt.
    /// `is_last` means that someone waits for the result.
    ///
    /// # Errors
    /// The reason why an entry is not kept. After any error but [`CacheError::Busy`], writing is over.
    fn write(&mut self, store: &mut Store, is_last: bool) -> Result<(), CacheError> {
        let written = write_all(store, &mut self.batch);
        let is_busy = matches!(written, Err(CacheError::Busy(_)));
        (self.is_held_up, self.has_news) = (is_busy, false);
        self.due = is_busy.then(|| Instant::now() + WAIT);
        let is_too_much = self.count() > KEPT;
        self.batch.entries.truncate(KEPT);
        self.batch.used.truncate(KEPT - self.batch.entries.len());
        if is_busy && !is_last && !is_too_much { Ok(()) } else { written }
    }
}

/// Runs the thread until all senders are gone or the disk refuses.
fn write(mut store: Store, messages: &Receiver<Message>, failure: &FirstFailure) {
    let mut waiting = PendingEntries::default();
    loop {
        let message = match waiting.due {
            None => messages.recv().map_err(RecvTimeoutError::from),
            Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let has_ended = matches!(message, Err(RecvTimeoutError::Disconnected));
        let flush = message.ok().and_then(|message| waiting.take(message));
        let is_last = flush.is_some() || has_ended && (waiting.has_news || !waiting.is_held_up);
        if waiting.count() > 0
            && (is_last || waiting.is_due() && !has_ended)
            && let Err(e) = waiting.write(&mut store, is_last)
        {
            let is_busy = matches!(e, CacheError::Busy(_));
            note(failure, e);
            if !is_busy {
                return;
            }
        }
        if has_ended {
            return;
        }
    }
}

/// Writes a batch in transactions of limited size, and removes the written entries from it.
fn write_all(store: &mut Store, batch: &mut Batch) -> Result<(), CacheError> {
    while !batch.entries.is_empty() || !batch.used.is_empty() {
        let mut part = Batch {
            entries: batch.entries.split_off(batch.entries.len().saturating_sub(BATCH)),
            used: batch.used.split_off(batch.used.len().saturating_sub(BATCH)),
            names: std::mem::take(&mut batch.names),
        };
        if let Err(e) = store.write(&part, hour()) {
            batch.entries.append(&mut part.entries);
            batch.used.append(&mut part.used);
            batch.names.append(&mut part.names);
            return Err(e);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::entry::EntryKind;
    use super::super::keys::KeyParts;
    use super::super::place;
    use super::*;

    fn entries(numbers: std::ops::Range<u32>) -> Vec<CacheEntry> {
        let key = |number: u32| KeyParts::of("test").and(&number.to_le_bytes()).key();
        numbers
            .map(|number| CacheEntry { key: key(number), kind: EntryKind::Image, scope: 7, value: vec![1; 100] })
            .collect()
    }

    #[test]
    fn what_another_process_holds_up_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 64 << 20).unwrap();
        store.wait_for(Duration::from_millis(20));
        let other = Connection::open(place::file(dir.path())).unwrap();
        let failure = FirstFailure::default();
        let failed = || failure.lock().unwrap().take();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let writer = CacheWriter::start(store, Arc::clone(&failure)).unwrap();
        writer.name(7, "demo".to_owned());
        writer.put(entries(0..300));
        thread::sleep(2 * WAIT); // tried more than once, and nothing is lost yet
        assert_eq!(failed(), None);
        writer.flush();
        assert!(matches!(failed(), Some(CacheError::Busy(_))), "the waiting caller gets the error");
        writer.put(entries(300..310));
        other.execute_batch("COMMIT").unwrap();
        drop(writer);
        assert_eq!(failed(), None);
        let groups = Store::again(&place::file(dir.path()), 64 << 20).unwrap().groups().unwrap();
        assert_eq!((groups.len(), groups[0].entries, groups[0].scope.as_deref()), (1, 310, Some("demo")));
    }

    #[test]
    fn what_waits_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), 64 << 20).unwrap();
        store.wait_for(Duration::from_millis(1));
        let other = Connection::open(place::file(dir.path())).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut waiting = PendingEntries::default();
        waiting.take(Message::Put(entries(0..KEPT as u32)));
        assert_eq!(waiting.write(&mut store, false), Ok(()));
        waiting.take(Message::Put(entries(KEPT as u32..KEPT as u32 + 1)));
        waiting.take(Message::Used(vec![entries(0..1)[0].key]));
        assert!(!waiting.is_due(), "not before a while");
        assert!(matches!(waiting.write(&mut store, false), Err(CacheError::Busy(_))), "something is lost");
        assert_eq!(waiting.count(), KEPT);
        other.execute_batch("COMMIT").unwrap();
        assert_eq!((waiting.write(&mut store, false), waiting.count(), waiting.is_held_up), (Ok(()), 0, false));
    }
}
