//! Which entries go, and when: by bytes and by age, oldest first, and never one that a holding reader has not read. A
//! following reader that misses some is told how many. It never removes what is not yet over a bound.
//!
//! The alternative at the bound of bytes, to drop unread entries, was left: they were acknowledged, so that no device
//! has them any more. What is refused instead is still in its device's outbox, and comes again.

use crate::ledger::{Ledger, signed};
use crate::readers::{ReaderKind, ReaderState, ReaderTable, Skipped};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;

/// How many entries go at once.
const SLICE_ENTRIES: i64 = 256;
/// What an entry takes beside its body, its index entry included: generously, as the room is made before it is needed.
const ENTRY_OVERHEAD_BYTES: u64 = 160;
/// Pages given back to the file system at once, when an eighth of the file is free.
const SHRINK_PAGES: u64 = 512;

/// What following readers missed, to be put in force when the transaction is committed.
pub(crate) type Misses = Vec<(Arc<ReaderState>, Skipped)>;

impl Ledger {
    /// Removes the oldest entries until bodies of so many bytes fit under the bound, within the transaction under way.
    /// Gives the reader for which it cannot.
    pub(crate) fn make_room(
        &mut self,
        bodies: u64,
        entries: u64,
        readers: &ReaderTable,
        misses: &mut Misses,
    ) -> rusqlite::Result<Option<String>> {
        let wanted = bodies + entries * ENTRY_OVERHEAD_BYTES;
        while self.used_bytes()? + wanted > self.limits.bytes_max {
            if !self.remove_slice(i64::MAX, readers, misses)? {
                let holder = readers.held_by();
                return Ok(Some(holder.map_or_else(|| "(none)".to_owned(), |reader| reader.name.clone())));
            }
        }
        Ok(None)
    }

    /// Removes entries received before `horizon_us`, at most so many slices; within the transaction under way.
    pub(crate) fn remove_aged(
        &mut self,
        horizon_us: i64,
        slices_max: u32,
        readers: &ReaderTable,
        misses: &mut Misses,
    ) -> rusqlite::Result<()> {
        for _ in 0..slices_max {
            if !self.remove_slice(horizon_us, readers, misses)? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn has_aged(&self, horizon_us: i64) -> rusqlite::Result<bool> {
        let mut select =
            self.connection.prepare_cached("SELECT received_us FROM entries ORDER BY position LIMIT 1")?;
        let oldest = select.query_row([], |row| row.get::<_, i64>(0)).optional()?;
        Ok(oldest.is_some_and(|received_us| received_us < horizon_us))
    }

    /// Whether anything went.
    fn remove_slice(
        &mut self,
        horizon_us: i64,
        readers: &ReaderTable,
        misses: &mut Misses,
    ) -> rusqlite::Result<bool> {
        let read_by_all = readers.held_by().map_or(i64::MAX, |reader| signed(reader.position()));
        let upto: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(position) FROM
                   (SELECT position, received_us FROM entries WHERE position <= ?1 ORDER BY position LIMIT ?2)
                 WHERE received_us < ?3",
            )?
            .query_row(params![read_by_all, SLICE_ENTRIES, horizon_us], |row| row.get(0))?;
        let Some(upto) = upto else { return Ok(false) };
        for reader in readers.all().into_iter().filter(|reader| reader.kind == ReaderKind::Following) {
            self.note_miss(&reader, upto, horizon_us, misses)?;
        }
        self.note_head()?;
        self.connection
            .prepare_cached("DELETE FROM entries WHERE position <= ?1 AND received_us < ?2")?
            .execute(params![upto, horizon_us])?;
        self.remove_old_gaps()?;
        Ok(true)
    }

    /// So that no position is used twice even when the last entry goes.
    pub(crate) fn note_head(&self) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE state SET head = max(head, ?1)")?
            .execute([signed(self.head)])
            .map(|_| ())
    }

    fn note_miss(
        &self,
        reader: &Arc<ReaderState>,
        upto: i64,
        horizon_us: i64,
        misses: &mut Misses,
    ) -> rusqlite::Result<()> {
        let known = misses.iter().position(|(missing, _)| missing.name == reader.name);
        let before = known.and_then(|at| misses.get(at)).map_or_else(|| reader.skipped(), |miss| miss.1);
        let position = signed(reader.position().max(if known.is_some() { before.last_to } else { 0 }));
        let missed: i64 = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM entries WHERE position > ?1 AND position <= ?2 AND received_us < ?3",
            )?
            .query_row(params![position, upto, horizon_us], |row| row.get(0))?;
        if missed == 0 {
            return Ok(());
        }
        let joins = before.last_to == position.unsigned_abs() && before.entries > 0;
        let skipped = Skipped {
            entries: before.entries + missed.unsigned_abs(),
            last_after: if joins { before.last_after } else { position.unsigned_abs() },
            last_to: upto.unsigned_abs(),
        };
        self.connection
            .prepare_cached(
                "UPDATE readers SET skipped = ?2, skipped_first = ?3, skipped_last = ?4 WHERE name = ?1",
            )?
            .execute(params![
                reader.name,
                signed(skipped.entries),
                signed(skipped.last_after),
                signed(skipped.last_to)
            ])?;
        misses.retain(|(missing, _)| missing.name != reader.name);
        misses.push((Arc::clone(reader), skipped));
        Ok(())
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

/// Tells following readers what is gone, after the commit.
pub(crate) fn put_in_force(misses: Misses) {
    for (reader, skipped) in misses {
        tracing::warn!(
            reader = reader.name,
            entries = skipped.entries,
            to = skipped.last_to,
            "a following reader missed entries that were removed at the journal's bound"
        );
        reader.set_skipped(skipped);
        reader.advance(skipped.last_to);
    }
}
