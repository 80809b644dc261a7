//! A named reader of the journal: it reads in order, waits for more, and goes on where it stopped, after kill -9 too. It
//! never changes an entry.
//!
//! Positions grow, and there are holes between them: entries are removed by age, by size and with their device. Go on from
//! the position of the entry that came last, never from the one after it by counting.

use std::sync::Arc;

use tokio::sync::watch;

use crate::entry::Stored;
use crate::error::{JournalError, Result};
use crate::history_file::HistoryFile;
use crate::query;
use crate::readers::ReaderState;

/// How far a reader is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderLag {
    /// Whose.
    pub name: String,
    /// Up to where it has read.
    pub position: u64,
    /// How many entries it has not read, at most: the holes that removed entries leave count too.
    pub entries_max: u64,
}

impl ReaderLag {
    pub(crate) fn new(name: String, position: u64, head: u64) -> Self {
        Self { name, position, entries_max: head.saturating_sub(position) }
    }
}

/// One reader. Cheap to clone; clones share the position.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) state: Arc<ReaderState>,
    pub(crate) file: HistoryFile,
    pub(crate) head: watch::Receiver<u64>,
}

impl Reader {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Up to where it has read, as it said itself by [`Reader::advance`].
    #[must_use]
    pub fn position(&self) -> u64 {
        self.state.position()
    }

    /// The entries after this position: see [`HistoryFile::entries_after`]. It does not advance the reader.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Stored>> {
        self.file.entries_after(after, limit).await
    }

    /// The positions of the entries after this one, in order, at most `limit`; they have holes. Cheaper than
    /// [`Reader::read`] for a reader that knows most of what comes.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn positions(&self, after: u64, limit: usize) -> Result<Vec<u64>> {
        self.file.pool.run(move |connection| query::positions_after(connection, after, limit)).await
    }

    /// Waits until something after this position is committed; gives the newest position. What lies between may have been
    /// removed again: [`Reader::read`] then finds nothing.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn wait_past(&self, position: u64) -> Result<u64> {
        let mut head = self.head.clone();
        let newest = head.wait_for(|head| *head > position).await.map_err(|_| JournalError::Closed)?;
        Ok(*newest)
    }

    /// Says that all up to this position has been dealt with; never goes back, never blocks. It reaches the disk with the
    /// next commit, or within [`crate::JournalLimits::position_interval`]: after kill -9 the reader is given again what
    /// it read since then. What a reader does must therefore bear to be done twice.
    pub fn advance(&self, position: u64) {
        self.state.advance(position.min(*self.head.borrow()));
    }

    /// How far it is behind.
    #[must_use]
    pub fn lag(&self) -> ReaderLag {
        lag_of(&self.state, *self.head.borrow())
    }
}

pub(crate) fn lag_of(state: &ReaderState, head: u64) -> ReaderLag {
    ReaderLag::new(state.name.clone(), state.position(), head)
}
