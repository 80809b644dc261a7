//! Readings lie in an archive, too: the gateway's journal. What a session missed there is made again from it, so that nothing
//! is kept for a client that is away.
//!
//! A reading is published before the archive has it. Its messages share a [`Place`], which says where it came to stand; so a
//! session that reads the archive knows which of the messages that it could have had at once it has had already.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// On its way.
const UNKNOWN: u64 = 0;
/// It will not be there.
const NOWHERE: u64 = u64::MAX;

/// Where one entry stands in the archive. Positions count from 1 and grow; there may be holes.
#[derive(Debug, Default)]
pub struct Place(AtomicU64);

impl Place {
    /// The entry is there now.
    pub fn settle(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }

    /// The entry will not be there, unless it was said that it is.
    pub fn give_up(&self) {
        let _ = self.0.compare_exchange(UNKNOWN, NOWHERE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether it is known where it stands, or that it stands nowhere.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.load(Ordering::Acquire) != UNKNOWN
    }

    /// Whether it will not be there.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.0.load(Ordering::Acquire) == NOWHERE
    }

    /// Where it stands, when it does.
    pub(crate) fn position(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|at| *at != UNKNOWN && *at != NOWHERE)
    }
}

/// A message that was made again.
#[derive(Debug, Clone)]
pub struct Archived {
    /// Of its entry.
    pub position: u64,
    /// As it was published.
    pub topic: Arc<str>,
    /// As it was published.
    pub payload: Bytes,
}

/// What was read of the archive at once.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// In the order of their entries; those of an entry in the order in which they were published.
    pub messages: Vec<Archived>,
    /// All entries up to here were read.
    pub through: u64,
    /// Entries between that are not there any more, at most.
    pub gone: u64,
}

/// Asked of each topic: whether a message there is wanted at all.
pub type Wanted = Box<dyn Fn(&str) -> bool + Send>;
/// What a read comes to.
pub type Reading = Pin<Box<dyn Future<Output = Page> + Send>>;

/// See the module.
pub trait Archive: Send + Sync {
    /// The position of the newest entry; nothing while that is not known.
    fn head(&self) -> Option<u64>;

    /// The messages of entries after this position that are wanted, of a few entries at a time. Waits while the archive cannot be
    /// read. When there is nothing more, `through` is where it ends.
    fn read(&self, after: u64, wanted: Wanted) -> Reading;
}

/// A broker without an archive keeps all that is missed itself.
pub(crate) type MaybeArchive = Option<Arc<dyn Archive>>;

impl fmt::Debug for dyn Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}
