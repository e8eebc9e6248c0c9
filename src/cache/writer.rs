//! The one thread that writes: what is put is gathered and written in batches, so that nobody waits for the disk.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::CacheError;
use super::keys::Key;
use super::store::{Batch, Entry, Store};

/// Entries of one transaction.
const BATCH: usize = 128;
/// How long an entry waits for company.
const WAIT: Duration = Duration::from_millis(500);
/// Messages that wait for a busy writer; what comes on top is not kept.
const QUEUE: usize = 4096;

enum Message {
    Put(Vec<Entry>),
    Used(Vec<Key>),
    Name(i64, String),
    Flush(Sender<()>),
}

/// The first thing that went wrong, until somebody asks.
pub(super) type Failure = Arc<Mutex<Option<CacheError>>>;

/// Keeps `e` unless something went wrong before.
pub(super) fn note(failure: &Failure, e: CacheError) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
}

/// The way to the thread. Dropped, it waits until all is written.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which writes into `store`.
    pub fn start(store: Store, failure: Failure) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = thread::spawn(move || write(store, &receiver, &failure));
        Self { sender: Some(sender), thread: Some(thread) }
    }

    pub fn put(&self, entries: Vec<Entry>) {
        self.send(Message::Put(entries));
    }

    /// Says that these were used.
    pub fn used(&self, keys: Vec<Key>) {
        if !keys.is_empty() {
            self.send(Message::Used(keys));
        }
    }

    /// What a scope is called; written with the first entry that follows.
    pub fn name(&self, scope: i64, name: String) {
        self.send(Message::Name(scope, name));
    }

    /// Waits until all that was put is written.
    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if let Some(sender) = &self.sender
            && sender.send(Message::Flush(done)).is_ok()
        {
            _ = wait.recv(); // an error is a writer that has given up
        }
    }

    /// A cache may forget: nobody waits for a queue that is full or a writer that has given up.
    fn send(&self, message: Message) {
        _ = self.sender.as_ref().map(|sender| sender.try_send(message));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the thread does until nobody can put any more, or the disk refuses.
fn write(mut store: Store, messages: &Receiver<Message>, failure: &Failure) {
    let mut batch = Batch::default();
    let mut since = None;
    loop {
        let message = match since {
            None => messages.recv().map_err(RecvTimeoutError::from),
            Some(since) => messages.recv_timeout(WAIT.saturating_sub(Instant::elapsed(&since))),
        };
        let mut done = None;
        let ended = matches!(message, Err(RecvTimeoutError::Disconnected));
        let due = message.is_err();
        match message {
            Ok(Message::Put(mut entries)) => batch.entries.append(&mut entries),
            Ok(Message::Used(mut keys)) => batch.used.append(&mut keys),
            Ok(Message::Name(scope, name)) => batch.names.push((scope, name)),
            Ok(Message::Flush(sender)) => done = Some(sender),
            Err(_) => {}
        }
        let count = batch.entries.len() + batch.used.len();
        if count > 0 && (due || done.is_some() || count >= BATCH) {
            if let Err(e) = write_all(&mut store, std::mem::take(&mut batch)) {
                let busy = matches!(e, CacheError::Busy(_));
                note(failure, e);
                if !busy {
                    return;
                }
            }
            since = None;
        } else if count > 0 {
            since = since.or_else(|| Some(Instant::now()));
        }
        if ended {
            return;
        }
    }
}

/// Writes a batch in transactions that are not too long.
fn write_all(store: &mut Store, mut batch: Batch) -> Result<(), CacheError> {
    let names = std::mem::take(&mut batch.names);
    let mut names = Some(names);
    let mut entries = batch.entries.into_iter();
    let mut used = batch.used.into_iter();
    loop {
        let part = Batch {
            entries: entries.by_ref().take(BATCH).collect(),
            used: used.by_ref().take(BATCH).collect(),
            names: names.take().unwrap_or_default(),
        };
        if part.entries.is_empty() && part.used.is_empty() {
            return Ok(());
        }
        store.write(&part, super::hour())?;
    }
}
