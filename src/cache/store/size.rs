//! Keeps the file below its limit: removes the entries with the oldest last use, and gives pages back.

use rusqlite::TransactionBehavior;

use super::Store;

/// Entries removed in one transaction.
const LEAVING: u32 = 64;

impl Store {
    /// Removes the oldest entries until a sixteenth of the pages is free, and gives back pages above the limit.
    pub(super) fn shrink(&mut self) -> rusqlite::Result<()> {
        // Another process may write between the two queries.
        while self.number("page_count")?.saturating_sub(self.number("freelist_count")?) > self.pages - self.pages / 16 {
            if self.forget()? == 0 {
                break;
            }
        }
        let over = self.number("page_count")?.saturating_sub(self.pages);
        if over > 0 { self.give_back(over) } else { Ok(()) }
    }

    /// Removes some entries with the oldest last use, and returns their number.
    pub(super) fn forget(&mut self) -> rusqlite::Result<usize> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rows = {
            let mut oldest = transaction.prepare("SELECT key, value FROM entry ORDER BY used LIMIT ?")?;
            let row = |row: &rusqlite::Row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<i64>>(1)?));
            oldest.query_map([LEAVING], row)?.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for (key, value) in &rows {
            transaction.prepare("DELETE FROM entry WHERE key = ?")?.execute([key])?;
            transaction.prepare("DELETE FROM value WHERE id = ?")?.execute([value])?;
        }
        transaction.commit()?;
        Ok(rows.len())
    }

    /// Shortens the file by its free pages, and empties the log.
    pub(super) fn give_back(&self, pages: u64) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut steps = vacuum.query([])?; // a row for each page
        while steps.next()?.is_some() {}
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    pub(super) fn number(&self, pragma: &str) -> rusqlite::Result<u64> {
        self.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
    }
}
