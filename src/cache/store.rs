//! The cache's file: reads and writes. `store/open.rs` makes its tables, and `store/size.rs` keeps its size limit. Keys
//! are opaque here, and `place.rs` checks who may write the file.
//!
//! It is SQLite with a write-ahead log: many readers and one writer in any number of processes, atomic commits even
//! after a kill, and pages that can be given back. `used` is a time to the hour.

mod open;
mod size;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::entry::{Batch, CacheEntry, EntryKind, Found, Group};
use super::error::CacheError;
use super::keys::CacheKey;

type Result<T> = std::result::Result<T, CacheError>;

/// Values up to this length lie beside their key.
const SMALL: usize = 64;
/// The precision of the last use, in seconds.
const HOUR: i64 = 3600;

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
    /// The most pages the file may have.
    pages: u64,
}

impl Store {
    /// Looks up keys, in one transaction.
    pub fn read(&mut self, keys: &[CacheKey], now: i64) -> Result<Found> {
        self.try_read(keys, now).map_err(|e| CacheError::store(&self.path, e))
    }

    fn try_read(&mut self, keys: &[CacheKey], now: i64) -> rusqlite::Result<Found> {
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
            done = self.forget().and_then(|_| self.try_write(batch, now));
        }
        done.and_then(|()| self.shrink()).map_err(|e| CacheError::store(&self.path, e))
    }

    fn try_write(&mut self, batch: &Batch, now: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut has = transaction.prepare("SELECT 1 FROM entry WHERE key = ?")?;
            let mut value = transaction.prepare("INSERT INTO value (bytes) VALUES (?)")?;
            let mut entry = transaction.prepare("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)")?;
            for CacheEntry { key, kind, scope, value: bytes } in &batch.entries {
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

    /// Counts the entries by kind and scope.
    pub fn groups(&self) -> Result<Vec<Group>> {
        const SQL: &str = "SELECT kind, name, count(*), sum(size) FROM entry LEFT JOIN scope ON scope.id = entry.scope
            GROUP BY kind, entry.scope ORDER BY name, kind";
        let group = |row: &rusqlite::Row| {
            let kind = EntryKind::ALL.into_iter().find(|kind| *kind as i64 == row.get(0).unwrap_or(-1));
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

/// Returns the time, to the hour, in seconds since 1970.
pub(super) fn hour() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
    now - now % HOUR
}
