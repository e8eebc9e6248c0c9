//! The cache's file: tables, reads, writes, and its size limit. Keys are opaque here, and `place.rs` checks who may
//! write the file.
//!
//! It is SQLite with a write-ahead log: many readers and one writer in any number of processes, atomic commits even
//! after a kill, and pages that can be given back. `used` is a time to the hour.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::error::CacheError;
use super::keys::Key;
use super::place;

type Result<T> = std::result::Result<T, CacheError>;

/// Bytes of a page: seven embeddings of 512 values.
const PAGE: u64 = 16 << 10;
/// Bytes of the limit that are reserved for the log.
const LOG: u64 = 8 << 20;
/// Pages of the log at which it is copied into the file.
const CHECKPOINT: u64 = 256;
/// Values up to this length lie beside their key.
const SMALL: usize = 64;
/// Entries removed in one transaction.
const LEAVING: u32 = 64;
/// The time to wait for another process's write.
const PATIENCE: Duration = Duration::from_secs(5);
/// The precision of the last use, in seconds.
const HOUR: i64 = 3600;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        key BLOB PRIMARY KEY, kind INTEGER NOT NULL, scope INTEGER NOT NULL, used INTEGER NOT NULL,
        size INTEGER NOT NULL, small BLOB, value INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entry_used ON entry (used);
    CREATE TABLE IF NOT EXISTS value (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS scope (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file's stamp -> the hash of its content.
    File,
    /// An image -> its embedding.
    Image,
    /// A label's prompts -> its embedding.
    Label,
    /// A text -> its embedding.
    Text,
}

impl Kind {
    const ALL: [Self; 4] = [Self::File, Self::Image, Self::Label, Self::Text];

    /// Returns its name: `file`, `image`, `label`, `text`.
    pub fn name(self) -> &'static str {
        ["file", "image", "label", "text"][self as usize]
    }
}

/// An entry to keep.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: Key,
    pub kind: Kind,
    /// The scope it belongs to; 0 for files.
    pub scope: i64,
    pub value: Vec<u8>,
}

/// The contents of one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    /// Entries used now, but not in the last hour.
    pub used: Vec<Key>,
    /// Names of scopes.
    pub names: Vec<(i64, String)>,
}

/// The entries found, and those of them not used in the last hour.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub values: Vec<Option<Vec<u8>>>,
    pub stale: Vec<Key>,
}

/// Entries of one kind and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The kind of the entries.
    pub kind: Kind,
    /// The checkpoint and arithmetic they belong to; None for files.
    pub scope: Option<String>,
    /// The number of entries.
    pub entries: u64,
    /// The bytes of their values.
    pub bytes: u64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
    /// The most pages the file may have.
    pages: u64,
}

impl Store {
    /// Opens the file in `dir`, and creates it if it is missing. The file and its log stay below `limit` bytes.
    pub fn open(dir: &Path, limit: u64) -> Result<Self> {
        place::make(dir)?;
        let path = place::file(dir);
        let store = Self::connect(&path, limit)?;
        let failed = |e| CacheError::store(&path, e);
        if store.connection.is_readonly("main").map_err(failed)? {
            return Err(CacheError::io(&path, &io::ErrorKind::PermissionDenied.into()));
        }
        // While another process takes up the log, SQLite refuses at once instead of waiting.
        let deadline = Instant::now() + PATIENCE;
        while let Err(e) = store.prepare_tables() {
            if e.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || Instant::now() > deadline {
                return Err(failed(e));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(store)
    }

    /// Opens another connection to an existing file.
    pub fn again(path: &Path, limit: u64) -> Result<Self> {
        let store = Self::connect(path, limit)?;
        store.check_tables().map_err(|e| CacheError::store(path, e))?;
        Ok(store)
    }

    fn connect(path: &Path, limit: u64) -> Result<Self> {
        place::check_file(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |e| CacheError::store(path, e);
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let pages = limit.saturating_sub(LOG) / PAGE;
        let store = Self { path: path.to_path_buf(), connection, pages };
        store.distrust().map_err(failed)?;
        Ok(store)
    }

    /// Trusts only the rows of the file: triggers, views and functions in its schema do not run.
    fn distrust(&self) -> rusqlite::Result<()> {
        use DbConfig::*;
        let settings = [
            (SQLITE_DBCONFIG_DEFENSIVE, true),
            (SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
            (SQLITE_DBCONFIG_ENABLE_VIEW, false),
            (SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        ];
        for (setting, on) in settings {
            self.connection.set_db_config(setting, on)?;
        }
        // Not memory-mapped: a file that is cut short is then an error instead of a signal.
        self.connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -16384")
    }

    /// Sets the time to wait for another process's write.
    #[cfg(test)]
    pub fn wait_for(&self, patience: Duration) {
        self.connection.busy_timeout(patience).unwrap();
    }

    fn prepare_tables(&self) -> rusqlite::Result<()> {
        let Self { connection, pages, .. } = self;
        // Smaller than a reader's page cache: written entries are seldom read again.
        connection.execute_batch(&format!(
            "PRAGMA cache_size = -1024; PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = {CHECKPOINT}; PRAGMA max_page_count = {pages};
             PRAGMA journal_size_limit = {}",
            CHECKPOINT * PAGE
        ))?;
        self.check_tables()?;
        self.make_tables()
    }

    /// Checks that the file has no tables, or exactly the tables made here.
    fn check_tables(&self) -> rusqlite::Result<()> {
        let mut select =
            self.connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")?;
        let found = select.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let ours = TABLES.split(';').map(|sql| sql.trim().replace("IF NOT EXISTS ", "")).filter(|sql| !sql.is_empty());
        let is_ours = found.is_empty() || ours.eq(found);
        let foreign = || rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        is_ours.then_some(()).ok_or_else(|| rusqlite::Error::SqliteFailure(foreign(), None))
    }

    /// Creates all tables in one transaction, so that a kill does not leave some of them.
    fn make_tables(&self) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.commit()
    }

    /// Looks up keys, in one transaction.
    pub fn read(&mut self, keys: &[Key], now: i64) -> Result<Found> {
        self.try_read(keys, now).map_err(|e| CacheError::store(&self.path, e))
    }

    fn try_read(&mut self, keys: &[Key], now: i64) -> rusqlite::Result<Found> {
        let mut found = Found::default();
        let several = keys.len() > 1;
        let _transaction = several.then(|| self.connection.unchecked_transaction()).transpose()?;
        let mut select = self.connection.prepare_cached(
            "SELECT used, coalesce(small, bytes) FROM entry LEFT JOIN value ON id = value WHERE key = ?",
        )?;
        for key in keys {
            let mut rows = select.query(params![key.bytes()])?;
            let row = rows.next()?;
            let value = row.map(|row| Ok::<_, rusqlite::Error>((row.get::<_, i64>(0)?, row.get(1)?))).transpose()?;
            if value.as_ref().is_some_and(|(used, _)| used + HOUR <= now) {
                found.stale.push(*key);
            }
            found.values.push(value.map(|(_, bytes)| bytes));
        }
        Ok(found)
    }

    /// Writes a batch in one transaction, and removes the oldest entries when the file is nearly full.
    pub fn write(&mut self, batch: &Batch, now: i64) -> Result<()> {
        let mut done = self.try_write(batch, now);
        if done.as_ref().is_err_and(is_full) {
            done = self.forget(LEAVING).and_then(|_| self.try_write(batch, now));
        }
        done.and_then(|()| self.shrink()).map_err(|e| CacheError::store(&self.path, e))
    }

    fn try_write(&mut self, batch: &Batch, now: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut has = transaction.prepare("SELECT 1 FROM entry WHERE key = ?")?;
            let mut value = transaction.prepare("INSERT INTO value (bytes) VALUES (?)")?;
            let mut entry = transaction.prepare("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)")?;
            for Entry { key, kind, scope, value: bytes } in &batch.entries {
                if has.query_row(params![key.bytes()], |_| Ok(())).optional()?.is_some() {
                    continue; // the same key has the same value
                }
                let small = (bytes.len() <= SMALL).then_some(bytes);
                let id = if small.is_none() { Some(value.insert([bytes])?) } else { None };
                entry.execute(params![key.bytes(), *kind as i64, scope, now, bytes.len() as i64, small, id])?;
            }
            let mut used = transaction.prepare("UPDATE entry SET used = ? WHERE key = ?")?;
            for key in &batch.used {
                used.execute(params![now, key.bytes()])?;
            }
            let mut name = transaction.prepare("INSERT OR IGNORE INTO scope VALUES (?, ?)")?;
            for scope in &batch.names {
                name.execute(params![scope.0, scope.1])?;
            }
        }
        transaction.commit()
    }

    /// Removes the oldest entries until a sixteenth of the pages is free, and gives back pages above the limit.
    fn shrink(&mut self) -> rusqlite::Result<()> {
        // Another process may write between the two queries.
        while self.number("page_count")?.saturating_sub(self.number("freelist_count")?) > self.pages - self.pages / 16 {
            if self.forget(LEAVING)? == 0 {
                break;
            }
        }
        let over = self.number("page_count")?.saturating_sub(self.pages);
        if over > 0 { self.give_back(over) } else { Ok(()) }
    }

    /// Removes up to `count` entries with the oldest last use.
    fn forget(&mut self, count: u32) -> rusqlite::Result<usize> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rows = {
            let mut oldest = transaction.prepare("SELECT key, value FROM entry ORDER BY used LIMIT ?")?;
            let row = |row: &rusqlite::Row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<i64>>(1)?));
            oldest.query_map([count], row)?.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for (key, value) in &rows {
            transaction.prepare("DELETE FROM entry WHERE key = ?")?.execute([key])?;
            transaction.prepare("DELETE FROM value WHERE id = ?")?.execute([value])?;
        }
        transaction.commit()?;
        Ok(rows.len())
    }

    /// Shortens the file by its free pages, and empties the log.
    fn give_back(&self, pages: u64) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut steps = vacuum.query([])?; // a row for each page
        while steps.next()?.is_some() {}
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<u64> {
        self.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
    }

    /// Counts the entries by kind and scope.
    pub fn groups(&self) -> Result<Vec<Group>> {
        const SQL: &str = "SELECT kind, name, count(*), sum(size) FROM entry LEFT JOIN scope ON scope.id = entry.scope
            GROUP BY kind, entry.scope ORDER BY name, kind";
        let group = |row: &rusqlite::Row| {
            let kind = Kind::ALL.into_iter().find(|kind| *kind as i64 == row.get(0).unwrap_or(-1));
            let kind = kind.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, -1))?;
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Group { kind, scope: row.get(1)?, entries: number(2)?, bytes: number(3)? })
        };
        self.make_tables().map_err(|e| CacheError::store(&self.path, e))?;
        let groups = || self.connection.prepare(SQL)?.query_map([], group)?.collect::<rusqlite::Result<_>>();
        groups().map_err(|e| CacheError::store(&self.path, e))
    }

    /// Removes all entries and gives the space back.
    pub fn clear(&mut self) -> Result<()> {
        let clear = || {
            self.make_tables()?;
            // The names of scopes stay: other processes use them now.
            self.connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM entry; DELETE FROM value; COMMIT")?;
            self.give_back(self.number("freelist_count")?)
        };
        clear().map_err(|e| CacheError::store(&self.path, e))
    }
}

fn is_full(e: &rusqlite::Error) -> bool {
    e.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

#[cfg(test)]
mod tests {
    use super::super::keys::Parts;
    use super::*;

    fn key(number: u32) -> Key {
        Parts::of("test").and(&number.to_le_bytes()).key()
    }

    fn entry(number: u32, size: usize) -> Entry {
        Entry { key: key(number), kind: Kind::Image, scope: 7, value: vec![number as u8; size] }
    }

    fn batch(entries: impl Iterator<Item = Entry>) -> Batch {
        Batch { entries: entries.collect(), used: Vec::new(), names: vec![(7, "demo".to_owned())] }
    }

    #[test]
    fn what_is_written_is_read_by_another_connection() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), 64 << 20).unwrap();
        let sizes = [2048, SMALL, SMALL + 1, 0];
        store.write(&batch((0..4).map(|i| entry(i, sizes[i as usize]))), 0).unwrap();
        store.write(&batch([entry(0, 9)].into_iter()), 0).unwrap(); // there already
        let mut reader = Store::again(&place::file(dir.path()), 64 << 20).unwrap();
        let keys: Vec<Key> = (0..5).map(key).collect();
        let found = reader.read(&keys, HOUR - 1).unwrap();
        let read: Vec<_> = found.values.iter().map(|value| value.as_ref().map(Vec::len)).collect();
        assert_eq!(read, [Some(2048), Some(SMALL), Some(SMALL + 1), Some(0), None]);
        assert!(found.stale.is_empty() && found.values[2] == Some(vec![2; SMALL + 1]));
        assert_eq!(reader.read(&keys, HOUR).unwrap().stale, keys[..4]);
        let bytes = sizes.iter().sum::<usize>() as u64;
        let group = Group { kind: Kind::Image, scope: Some("demo".to_owned()), entries: 4, bytes };
        assert_eq!(reader.groups().unwrap(), [group]);
    }

    #[test]
    fn the_least_recently_used_go_and_the_file_stays_below_its_limit() {
        const LIMIT: u64 = 32 << 20;
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), LIMIT).unwrap();
        let mut largest = 0;
        for round in 0..250u32 {
            let kept =
                Batch { used: (0..64).map(key).collect(), ..batch((0..64).map(|i| entry(round * 64 + i, 2048))) };
            store.write(&kept, i64::from(round) * HOUR).unwrap();
            largest = largest.max(place::size(dir.path()));
        }
        assert!(largest > LIMIT / 2 && largest <= LIMIT, "{largest}");
        let has = |store: &mut Store, numbers: std::ops::Range<u32>| {
            let keys: Vec<Key> = numbers.map(key).collect();
            store.read(&keys, 0).unwrap().values.into_iter().flatten().count()
        };
        assert_eq!(has(&mut store, 0..64), 64, "used in every round");
        assert_eq!(has(&mut store, 249 * 64..250 * 64), 64, "the newest");
        assert_eq!(has(&mut store, 64..1024), 0, "the oldest");
        store.clear().unwrap();
        assert!(place::size(dir.path()) < 1 << 20 && has(&mut store, 0..16000) == 0);
    }

    #[test]
    fn a_lower_limit_makes_the_file_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), 256 << 20).unwrap();
        for round in 0..160u32 {
            store.write(&batch((0..128).map(|i| entry(round * 128 + i, 2048))), 0).unwrap();
        }
        assert!(place::size(dir.path()) > 40 << 20);
        drop(store);
        let mut store = Store::open(dir.path(), 32 << 20).unwrap();
        store.write(&batch([entry(99_999, 2048)].into_iter()), HOUR).unwrap();
        assert!(place::size(dir.path()) <= 32 << 20, "{}", place::size(dir.path()));
        assert!(store.read(&[key(99_999)], 0).unwrap().values[0].is_some());
    }

    #[test]
    fn what_is_no_cache_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(place::file(dir.path()), vec![7; 100_000]).unwrap();
        assert_eq!(Store::open(dir.path(), 64 << 20).unwrap_err(), CacheError::Damaged(place::file(dir.path())));
    }
}
