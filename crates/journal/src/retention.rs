//! Which entries go, and when: by bytes and by age, in the order in which they came, and never one that a reader has not
//! read. It never removes what is not yet over a bound.
//!
//! The alternative at the bound of bytes, to drop unread entries, was left: they were acknowledged, so that no device
//! has them any more. What is refused instead is still in its device's outbox, and comes again.

use rusqlite::{OptionalExtension, params};

use crate::ledger::{Ledger, signed};
use crate::readers::ReaderTable;

/// How many entries go at once.
const SLICE_ENTRIES: i64 = 256;
/// What an entry takes beside its body, its index entry included: generously, as the room is made before it is needed.
const ENTRY_OVERHEAD_BYTES: u64 = 160;
/// Pages given back to the file system at once, when an eighth of the file is free.
const SHRINK_PAGES: u64 = 512;

/// Why entries were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemovedBy {
    Age,
    Size,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) by_age: u64,
    pub(crate) by_size: u64,
}

impl Removed {
    pub(crate) fn add(&mut self, more: Self) {
        self.by_age += more.by_age;
        self.by_size += more.by_size;
    }
}

impl Ledger {
    /// Removes the oldest entries until bodies of so many bytes fit under the bound, within the transaction under way.
    /// Gives the reader for which it cannot.
    pub(crate) fn make_room(
        &mut self,
        bodies: u64,
        entries: u64,
        readers: &ReaderTable,
        removed: &mut Removed,
    ) -> rusqlite::Result<Option<String>> {
        let wanted = bodies + entries * ENTRY_OVERHEAD_BYTES;
        while self.used_bytes()? + wanted > self.limits.bytes_max {
            let gone = self.remove_slice(i64::MAX, RemovedBy::Size, readers)?;
            if gone == 0 {
                let slowest = readers.slowest();
                return Ok(Some(slowest.map_or_else(|| "(none)".to_owned(), |reader| reader.name.clone())));
            }
            removed.by_size += gone;
        }
        Ok(None)
    }

    /// Removes entries that came before `horizon_us` of the journal's clock, at most so many slices; within the transaction
    /// under way.
    pub(crate) fn remove_aged(
        &mut self,
        horizon_us: i64,
        slices_max: u32,
        readers: &ReaderTable,
        removed: &mut Removed,
    ) -> rusqlite::Result<()> {
        for _ in 0..slices_max {
            let gone = self.remove_slice(horizon_us, RemovedBy::Age, readers)?;
            removed.by_age += gone;
            if gone == 0 {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn has_aged(&self, horizon_us: i64) -> rusqlite::Result<bool> {
        let mut select = self
            .connection
            .prepare_cached("SELECT coalesce(kept_us, received_us) FROM entries ORDER BY position LIMIT 1")?;
        let oldest = select.query_row([], |row| row.get::<_, i64>(0)).optional()?;
        Ok(oldest.is_some_and(|kept_us| kept_us < horizon_us))
    }

    /// The entries that came first go, up to one that is younger or not read yet; how many went.
    fn remove_slice(
        &mut self,
        horizon_us: i64,
        by: RemovedBy,
        readers: &ReaderTable,
    ) -> rusqlite::Result<u64> {
        let read_by_all = readers.slowest().map_or(i64::MAX, |reader| signed(reader.position()));
        let slice = "(SELECT position, coalesce(kept_us, received_us) AS kept_us FROM entries
                      WHERE position <= ?1 ORDER BY position LIMIT ?2)";
        let upto: Option<i64> = self
            .connection
            .prepare_cached(&format!(
                "SELECT max(position) FROM {slice}
                 WHERE position < coalesce((SELECT min(position) FROM {slice} WHERE kept_us >= ?3), ?4)"
            ))?
            .query_row(params![read_by_all, SLICE_ENTRIES, horizon_us, i64::MAX], |row| row.get(0))?;
        let Some(upto) = upto else { return Ok(0) };
        self.note_head()?;
        self.touch_through(upto)?;
        let gone =
            self.connection.prepare_cached("DELETE FROM entries WHERE position <= ?1")?.execute([upto])?
                as u64;
        let column = match by {
            RemovedBy::Age => "removed_by_age",
            RemovedBy::Size => "removed_by_size",
        };
        self.connection
            .prepare_cached(&format!("UPDATE state SET {column} = {column} + ?1"))?
            .execute([signed(gone)])?;
        self.remove_old_gaps()?;
        Ok(gone)
    }

    /// So that no position is used twice even when the last entry goes.
    pub(crate) fn note_head(&self) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE state SET head = max(head, ?1)")?
            .execute([signed(self.head)])
            .map(|_| ())
    }

    /// A gap that was filled is of no more interest than the entries of its time.
    fn remove_old_gaps(&self) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM gaps WHERE closed_us < (SELECT received_us FROM entries ORDER BY position LIMIT 1)",
            )?
            .execute([])
            .map(|_| ())
    }

    /// Gives pages back when many are free, some at a time: fewer are used again by the next entries.
    pub(crate) fn shrink(&self) -> rusqlite::Result<()> {
        let free = self.free_pages()?;
        if free > SHRINK_PAGES && free > crate::ledger::pragma(&self.connection, "page_count")? / 8 {
            self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({SHRINK_PAGES})"))?;
        }
        Ok(())
    }
}
