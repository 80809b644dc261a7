//! The named readers and their positions: in memory, where advancing is free, and in the file, where the writer puts them
//! with its next commit. After kill -9 a reader may therefore be given again what it had read since: at least once.
//!
//! What a reader has not read stays: at its bound the journal refuses new entries, which the devices then keep.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use crate::error::{JournalError, Result};
use crate::ledger::{Ledger, signed};
use crate::limits::READERS_MAX;

#[derive(Debug)]
pub(crate) struct ReaderState {
    pub(crate) name: String,
    position: AtomicU64,
    /// The position that the file has.
    written: AtomicU64,
}

impl ReaderState {
    fn new(name: String, position: u64) -> Self {
        Self { name, position: AtomicU64::new(position), written: AtomicU64::new(position) }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Never goes back.
    pub(crate) fn advance(&self, position: u64) {
        self.position.fetch_max(position, Ordering::AcqRel);
    }
}

/// All readers of a journal, shared by the writer and the readers themselves.
#[derive(Debug, Default)]
pub(crate) struct ReaderTable(Mutex<BTreeMap<String, Arc<ReaderState>>>);

impl ReaderTable {
    pub(crate) fn all(&self) -> Vec<Arc<ReaderState>> {
        self.table().values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ReaderState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader that lags most.
    pub(crate) fn slowest(&self) -> Option<Arc<ReaderState>> {
        self.all().into_iter().min_by_key(|reader| reader.position())
    }

    /// Takes in what the file knows.
    pub(crate) fn load(&self, ledger: &Ledger) -> Result<()> {
        for (name, position) in read(&ledger.connection)? {
            self.table().insert(name.clone(), Arc::new(ReaderState::new(name, position)));
        }
        Ok(())
    }

    /// Finds the reader, or makes one that begins with the oldest entry; on the disk when this returns.
    pub(crate) fn open(&self, ledger: &mut Ledger, name: &str) -> Result<Arc<ReaderState>> {
        if let Some(state) = self.table().get(name) {
            return Ok(Arc::clone(state));
        }
        if self.table().len() >= READERS_MAX {
            return Err(JournalError::TooManyReaders);
        }
        ledger.transact(|ledger| {
            ledger.connection.execute("INSERT INTO readers (name, position) VALUES (?1, 0)", [name])
        })?;
        let state = Arc::new(ReaderState::new(name.to_owned(), 0));
        self.table().insert(name.to_owned(), Arc::clone(&state));
        Ok(state)
    }

    pub(crate) fn forget(&self, ledger: &mut Ledger, name: &str) -> Result<()> {
        let removed = ledger
            .transact(|ledger| ledger.connection.execute("DELETE FROM readers WHERE name = ?1", [name]))?;
        self.table().remove(name);
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

/// The readers as the file has them.
pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut select = connection.prepare("SELECT name, position FROM readers ORDER BY name")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    rows.collect()
}
