//! Erasing a device: its entries leave every query, and their bytes leave the files. What the file system, a snapshot or
//! a backup keeps of former blocks is beyond it.

use std::path::Path;

use rusqlite::params;
use vitalwire_access::DeviceId;

use crate::error::{JournalError, Result};
use crate::ledger::Ledger;

/// How many entries are overwritten in one transaction.
const SLICE_ENTRIES: i64 = 1_024;

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// How many entries.
    pub entries: u64,
    /// The bytes of their bodies.
    pub body_bytes: u64,
}

impl Ledger {
    /// Overwrites and removes all that belongs to the device, then rebuilds the file from what is left: deleting alone
    /// overwrites a row where it lies, but not the copies that SQLite left behind when it moved rows between pages.
    pub(crate) fn erase(&mut self, device: &DeviceId) -> Result<Erased> {
        let mut erased = Erased { entries: 0, body_bytes: 0 };
        self.forget_clocks(device);
        if let Some(number) = self.known_device(device)? {
            self.erase_sums(number)?;
            while self.erase_slice(number, &mut erased)? {}
            self.transact(|ledger| {
                for sql in [
                    "DELETE FROM sums WHERE device = ?1",
                    "DELETE FROM unsummed WHERE device = ?1",
                    "DELETE FROM gaps WHERE device = ?1",
                    "DELETE FROM boots WHERE device = ?1",
                    "DELETE FROM devices WHERE id = ?1",
                ] {
                    ledger.connection.execute(sql, [number])?;
                }
                ledger.note_head()
            })?;
        }
        self.forget_memory();
        self.rebuild().map_err(|error| JournalError::EraseIncomplete {
            entries: erased.entries,
            cause: error.to_string(),
        })?;
        Ok(erased)
    }

    fn erase_slice(&mut self, number: i64, erased: &mut Erased) -> Result<bool> {
        let (entries, bytes): (i64, i64) = self.transact(|ledger| {
            let of_slice = "(SELECT position FROM entries WHERE device = ?1 ORDER BY first_us LIMIT ?2)";
            let values = params![number, SLICE_ENTRIES];
            let size = ledger.connection.query_row(
                &format!(
                    "SELECT count(*), coalesce(sum(length(body)), 0) FROM entries WHERE position IN {of_slice}"
                ),
                values,
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            ledger.note_head()?;
            ledger.connection.execute(
                &format!("UPDATE entries SET body = zeroblob(length(body)) WHERE position IN {of_slice}"),
                values,
            )?;
            ledger
                .connection
                .execute(&format!("DELETE FROM entries WHERE position IN {of_slice}"), values)?;
            Ok(size)
        })?;
        erased.entries += entries.unsigned_abs();
        erased.body_bytes += bytes.unsigned_abs();
        Ok(entries > 0)
    }

    /// Writes every page again, and the log back over the file.
    fn rebuild(&mut self) -> rusqlite::Result<()> {
        self.checkpoint("TRUNCATE")?;
        // The scratch file holds what is left of all devices: beside the journal, not in a shared folder for such files
        // (which a minimal container lacks).
        let folder = self.path.parent().and_then(Path::to_str).filter(|folder| !folder.is_empty());
        if let Some(folder) = folder {
            self.connection.pragma_update(None, "temp_store_directory", folder)?;
        }
        self.connection.execute_batch("VACUUM")?;
        self.checkpoint("TRUNCATE")
    }

    /// Writes the log back. An error when a reader or the disk keeps it from being done in full.
    pub(crate) fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        let busy: i64 =
            self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))?;
        if busy == 0 {
            return Ok(());
        }
        Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("a reader keeps the journal's log in use".to_owned()),
        ))
    }
}
