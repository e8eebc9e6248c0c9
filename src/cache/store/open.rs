//! Opens the file, and makes its tables. Trusts nothing in it but rows.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Result, Store};
use crate::cache::error::CacheError;
use crate::cache::place;

/// Bytes of a page: seven embeddings of 512 values.
const PAGE: u64 = 16 << 10;
/// Bytes of the limit that are reserved for the log.
const LOG: u64 = 8 << 20;
/// Pages of the log at which it is copied into the file.
const CHECKPOINT: u64 = 256;
/// The time to wait for another process's write.
const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        key BLOB PRIMARY KEY, kind INTEGER NOT NULL, scope INTEGER NOT NULL, used INTEGER NOT NULL,
        size INTEGER NOT NULL, small BLOB, value INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entry_used ON entry (used);
    CREATE TABLE IF NOT EXISTS value (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS scope (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";

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
    pub(super) fn make_tables(&self) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.commit()
    }
}
