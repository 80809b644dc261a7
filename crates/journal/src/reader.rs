//! A named reader of the journal: it reads in order, waits for more, and goes on where it stopped, after kill -9 too. It
//! never changes an entry.

use crate::entry::Stored;
use crate::error::{JournalError, Result};
use crate::query;
use crate::read_pool::ReadPool;
use crate::readers::{ReaderKind, ReaderState, Skipped};
use std::sync::Arc;
use tokio::sync::watch;

/// How far a reader is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderLag {
    /// Whose.
    pub name: String,
    /// What happens to what it has not read.
    pub kind: ReaderKind,
    /// Up to where it has read.
    pub position: u64,
    /// How many entries it has not read, at most: positions of removed entries count too.
    pub entries_max: u64,
    /// What it missed.
    pub skipped: Skipped,
}

/// One reader. Cheap to clone; clones share the position.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) state: Arc<ReaderState>,
    pub(crate) pool: Arc<ReadPool>,
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

    /// The entries after this position, in order, at most `limit` and [`crate::READ_ENTRIES_MAX`], and no more than
    /// [`crate::READ_BYTES_MAX`] lets in. Empty when there is none. It does not advance the reader.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Stored>> {
        self.pool.run(move |connection| query::entries_after(connection, after, limit)).await
    }

    /// The positions of the entries after this one, in order, at most `limit`; they have holes. Cheaper than
    /// [`Reader::read`] for a reader that knows most of what comes.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn positions(&self, after: u64, limit: usize) -> Result<Vec<u64>> {
        self.pool.run(move |connection| query::positions_after(connection, after, limit)).await
    }

    /// Waits until the position is committed; gives the newest one.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn wait_for(&self, position: u64) -> Result<u64> {
        let mut head = self.head.clone();
        let newest = head.wait_for(|head| *head >= position).await.map_err(|_| JournalError::Closed)?;
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

    /// When the oldest entry that it has not read was received: UTC microseconds. `None` when it has read all.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn oldest_unread_us(&self) -> Result<Option<i64>> {
        let position = self.position();
        self.pool.run(move |connection| query::oldest_after(connection, position)).await
    }
}

pub(crate) fn lag_of(state: &ReaderState, head: u64) -> ReaderLag {
    let position = state.position();
    ReaderLag {
        name: state.name.clone(),
        kind: state.kind,
        position,
        entries_max: head.saturating_sub(position),
        skipped: state.skipped(),
    }
}
