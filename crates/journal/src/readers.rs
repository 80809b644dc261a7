//! The named readers and their positions: in memory, where advancing is free, and in the file, where the writer puts them
//! with its next commit. After kill -9 a reader may therefore be given again what it had read since: at least once.

use crate::error::{JournalError, Result};
use crate::ledger::{Ledger, signed};
use crate::limits::READERS_MAX;
use rusqlite::params;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens to entries that a reader has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderKind {
    /// They stay, and at its bound the journal refuses new ones (which the devices then keep): for readers whose work
    /// must miss nothing, as the publisher.
    Holding,
    /// They may go when the journal is at its bound; what the reader missed is counted and told, never hidden. For
    /// readers that only want what is recent.
    Following,
}

impl ReaderKind {
    /// The name, as in messages.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Following => "following",
        }
    }
}

/// Where a reader begins that was never there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest entry.
    Oldest,
    /// With the next one that is appended.
    Next,
}

/// Entries that were removed before a following reader had read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// How many, since the reader was made.
    pub entries: u64,
    /// The last such range: the position after which it begins.
    pub last_after: u64,
    /// The last such range: its last position.
    pub last_to: u64,
}

#[derive(Debug)]
pub(crate) struct ReaderState {
    pub(crate) name: String,
    pub(crate) kind: ReaderKind,
    position: AtomicU64,
    /// The position that the file has.
    written: AtomicU64,
    skipped: Mutex<Skipped>,
}

impl ReaderState {
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Never goes back.
    pub(crate) fn advance(&self, position: u64) {
        self.position.fetch_max(position, Ordering::AcqRel);
    }

    pub(crate) fn skipped(&self) -> Skipped {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_skipped(&self, skipped: Skipped) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = skipped;
    }
}

/// All readers of a journal, shared by the writer and the readers themselves.
#[derive(Debug, Default)]
pub(crate) struct ReaderTable(Mutex<BTreeMap<String, Arc<ReaderState>>>);

impl ReaderTable {
    pub(crate) fn all(&self) -> Vec<Arc<ReaderState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<ReaderState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn insert(&self, state: Arc<ReaderState>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(state.name.clone(), state);
    }

    /// The holding reader that lags most.
    pub(crate) fn held_by(&self) -> Option<Arc<ReaderState>> {
        let holding = self.all().into_iter().filter(|reader| reader.kind == ReaderKind::Holding);
        holding.min_by_key(|reader| reader.position())
    }

    pub(crate) fn load(ledger: &Ledger) -> Result<Self> {
        let table = Self::default();
        let mut select = ledger
            .connection
            .prepare("SELECT name, holds, position, skipped, skipped_first, skipped_last FROM readers")?;
        let number = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let states = select.query_map([], |row| {
            let kind = if row.get(1)? { ReaderKind::Holding } else { ReaderKind::Following };
            let position = number(row, 2)?;
            let skipped =
                Skipped { entries: number(row, 3)?, last_after: number(row, 4)?, last_to: number(row, 5)? };
            Ok(ReaderState {
                name: row.get(0)?,
                kind,
                position: AtomicU64::new(position),
                written: AtomicU64::new(position),
                skipped: Mutex::new(skipped),
            })
        })?;
        for state in states {
            table.insert(Arc::new(state?));
        }
        drop(select);
        Ok(table)
    }

    /// Finds the reader, or makes it, on the disk when this returns.
    pub(crate) fn open(
        &self,
        ledger: &mut Ledger,
        name: &str,
        kind: ReaderKind,
        start: Start,
    ) -> Result<Arc<ReaderState>> {
        if let Some(state) = self.find(name) {
            if state.kind == kind {
                return Ok(state);
            }
            return Err(JournalError::ReaderKind { name: name.to_owned(), known: state.kind.label() });
        }
        if self.all().len() >= READERS_MAX {
            return Err(JournalError::TooManyReaders);
        }
        let position = match start {
            Start::Oldest => 0,
            Start::Next => ledger.head,
        };
        ledger.transact(|ledger| {
            ledger.connection.execute(
                "INSERT INTO readers (name, holds, position) VALUES (?1, ?2, ?3)",
                params![name, kind == ReaderKind::Holding, signed(position)],
            )
        })?;
        let state = Arc::new(ReaderState {
            name: name.to_owned(),
            kind,
            position: AtomicU64::new(position),
            written: AtomicU64::new(position),
            skipped: Mutex::new(Skipped { entries: 0, last_after: 0, last_to: 0 }),
        });
        self.insert(Arc::clone(&state));
        Ok(state)
    }

    pub(crate) fn forget(&self, ledger: &mut Ledger, name: &str) -> Result<()> {
        let removed = ledger
            .transact(|ledger| ledger.connection.execute("DELETE FROM readers WHERE name = ?1", [name]))?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if removed == 0 { Err(JournalError::ReaderUnknown { name: name.to_owned() }) } else { Ok(()) }
    }

    pub(crate) fn is_ahead_of_file(&self) -> bool {
        self.all().iter().any(|reader| reader.position() > reader.written.load(Ordering::Acquire))
    }

    /// Writes the positions that moved into the transaction under way; what was written is to be told to
    /// [`ReaderTable::note_written`] once it is committed.
    pub(crate) fn write(&self, ledger: &Ledger) -> rusqlite::Result<Vec<(Arc<ReaderState>, u64)>> {
        let mut written = Vec::new();
        for reader in self.all() {
            let position = reader.position();
            if position > reader.written.load(Ordering::Acquire) {
                ledger
                    .connection
                    .prepare_cached("UPDATE readers SET position = ?2 WHERE name = ?1")?
                    .execute(params![reader.name, signed(position)])?;
                written.push((reader, position));
            }
        }
        Ok(written)
    }

    pub(crate) fn note_written(written: Vec<(Arc<ReaderState>, u64)>) {
        for (reader, position) in written {
            reader.written.fetch_max(position, Ordering::AcqRel);
        }
    }
}
