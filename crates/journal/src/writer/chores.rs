//! What the writer does between commits: positions of readers, age, size, the write-ahead log, and trying a failing disk
//! again.

use std::sync::Arc;
use std::time::Instant;

use super::Writer;
use crate::entry::Refusal;
use crate::error::JournalError;
use crate::health::refusal_of;
use crate::readers::ReaderTable;
use crate::retention::Removed;
use crate::schema::beside;

/// How much age may remove in one transaction, so that appends do not wait for it for long.
const AGE_SLICES_MAX: u32 = 16;
/// What is written to see whether a disk that was full has room again.
const PROBE_BYTES: u32 = 65_536;

impl Writer {
    /// What is due from time to time, whether there are appends or not.
    pub(super) fn chores(&mut self) {
        let now = Instant::now();
        self.chores_due = now + self.ledger.limits.position_interval;
        if self.announce.health.refuses(now).is_some() {
            return;
        }
        let _span = tracing::debug_span!("chores").entered();
        let retries = self.announce.health.wants_retry(now);
        let done = if retries { self.retry() } else { Ok(None) }.and_then(|blocked| {
            self.keep()?;
            Ok(blocked)
        });
        self.tell_removed(now);
        match done {
            Ok(None) => self.announce.health.recovered(),
            Ok(Some(reader)) => self.announce.health.failed(Refusal::BoundReached { reader }, now),
            Err(error) => self.announce.health.failed(refusal_of(&error), now),
        }
    }

    /// Sees whether what was wrong is over: opens the file again, writes the log back (which needs no room when the file
    /// has free pages, and frees the log), and writes something.
    fn retry(&mut self) -> rusqlite::Result<Option<String>> {
        if let Err(JournalError::Database(error)) = self.ledger.reopen() {
            return Err(error);
        }
        self.ledger.checkpoint("RESTART")?;
        self.probe()?;
        let readers = Arc::clone(&self.readers);
        let mut removed = Removed::default();
        let (written, blocked) = self.ledger.transact(|ledger| {
            Ok((readers.write(ledger)?, ledger.make_room(u64::from(PROBE_BYTES), 0, &readers, &mut removed)?))
        })?;
        ReaderTable::note_written(written);
        self.note_removed(removed);
        Ok(blocked)
    }

    /// Writes something, and takes it back.
    pub(super) fn probe(&mut self) -> rusqlite::Result<()> {
        for bytes in [PROBE_BYTES, 0] {
            self.ledger.transact(|ledger| {
                ledger.connection.execute("UPDATE state SET probe = zeroblob(?1)", [bytes])
            })?;
        }
        Ok(())
    }

    /// Positions, clocks, age and size.
    pub(super) fn keep(&mut self) -> rusqlite::Result<()> {
        self.look_at_clock();
        self.take_confirmation()?;
        let horizon_us = self.horizon_us();
        let aged = match horizon_us {
            Some(horizon_us) => self.ledger.has_aged(horizon_us)?,
            None => false,
        };
        if aged || self.readers.is_ahead_of_file() || self.is_clock_due() || self.ledger.clocks_waiting() > 0
        {
            let readers = Arc::clone(&self.readers);
            let mut removed = Removed::default();
            let written = self.transact(|ledger| {
                let written = readers.write(ledger)?;
                if let Some(horizon_us) = horizon_us {
                    ledger.remove_aged(horizon_us, AGE_SLICES_MAX, &readers, &mut removed)?;
                }
                Ok(written)
            })?;
            ReaderTable::note_written(written);
            self.note_removed(removed);
        }
        self.ledger.shrink()?;
        let log_bytes = std::fs::metadata(beside(&self.ledger.path, "-wal")).map_or(0, |log| log.len());
        if log_bytes > self.ledger.limits.wal_bytes_max {
            self.ledger.checkpoint("TRUNCATE")?;
        }
        self.announce.counters.note_size(self.ledger.used_bytes()?, log_bytes);
        Ok(())
    }

    /// Entries that came before this time of the journal's clock are too old; `None` when age removes nothing.
    fn horizon_us(&self) -> Option<i64> {
        let age_us = i64::try_from(self.ledger.limits.age_max?.as_micros()).unwrap_or(i64::MAX);
        self.steady.suspension.is_none().then(|| self.steady.journal_us().saturating_sub(age_us))
    }

    fn take_confirmation(&mut self) -> rusqlite::Result<()> {
        let Some(suspension) = self.steady.suspension else { return Ok(()) };
        if self.ledger.is_clock_confirmed(&suspension)? {
            self.steady.confirm();
            self.steady_saved_us = None;
            self.announce.counters.note_suspension(None);
            tracing::info!("an operator confirmed the clock: entries are deleted by age again");
        }
        Ok(())
    }
}
