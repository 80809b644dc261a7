//! The thread that writes: takes what changed out of the core and brings the database up to date. It never changes a session.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::error;

use super::database::Database;
use super::{OpenedFile, Shared, WRITE_INTERVAL};
use crate::error::BrokerError;
use crate::shared::SharedCore;

/// A write that took long is followed by a pause this many times as long: storage takes a tenth of a core at most.
const PAUSE_FACTOR: u32 = 9;
/// But never a longer pause than this.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Open(#[from] BrokerError),
    #[error("the disk is full, and the file could not be made yet")]
    NoRoom,
}

pub(super) struct Writer {
    folder: PathBuf,
    database: Option<Database>,
    core: Arc<SharedCore>,
    shared: Arc<Shared>,
    last_complaint: Option<Instant>,
}

impl Writer {
    pub(super) fn new(file: OpenedFile, core: Arc<SharedCore>, shared: Arc<Shared>) -> Self {
        let OpenedFile { folder, database } = file;
        Self { folder, database, core, shared, last_complaint: None }
    }

    pub(super) fn run(&mut self) {
        let mut next_write = Instant::now() + WRITE_INTERVAL;
        loop {
            let (flushes, purge) = self.wait(next_write);
            if self.shared.asked().stop {
                return;
            }
            let started = Instant::now();
            let written = self.write().and_then(|()| if purge { self.purge() } else { Ok(()) });
            if let Err(error) = &written {
                self.complain(error);
            }
            let mut asked = self.shared.asked();
            if let Err(error) = written {
                asked.flush_failed = Some((flushes, error.to_string()));
            }
            asked.flushes_done = asked.flushes_done.max(flushes);
            drop(asked);
            self.shared.changed.notify_all();
            self.shared.counters.storage_pass();
            next_write = Instant::now() + (started.elapsed() * PAUSE_FACTOR).clamp(WRITE_INTERVAL, PAUSE_MAX);
        }
    }

    /// Waits until the next write is due or wanted: for how many flushes, and whether one is a purge.
    fn wait(&self, next_write: Instant) -> (u64, bool) {
        let mut asked = self.shared.asked();
        while !asked.is_urgent() {
            let left = next_write.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            asked = self.shared.changed.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (asked.flushes_wanted, std::mem::take(&mut asked.purge))
    }

    fn write(&mut self) -> Result<(), WriteError> {
        let changes = self.core.lock().take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        let database = match &mut self.database {
            Some(database) => Ok(database),
            none => match Database::open(&self.folder) {
                Ok(Some(database)) => Ok(none.insert(database)),
                Ok(None) => Err(WriteError::NoRoom),
                Err(error) => Err(error.into()),
            },
        };
        let written = database.and_then(|database| Ok(database.write(&changes)?));
        if written.is_err() {
            // Tried again with the next write, unless it changed again meanwhile.
            self.core.lock().give_back(changes);
        }
        written
    }

    fn purge(&self) -> Result<(), WriteError> {
        // Without a file there is nothing to be overwritten.
        Ok(self.database.as_ref().map_or(Ok(()), Database::purge)?)
    }

    fn complain(&mut self, cause: &WriteError) {
        self.shared.counters.storage_error();
        if self.last_complaint.is_none_or(|last| last.elapsed() > Duration::from_secs(10)) {
            self.last_complaint = Some(Instant::now());
            error!(%cause, "the broker cannot write its storage; sessions and retained messages live in memory only \
                            until it can. Is the disk full?");
        }
    }
}
