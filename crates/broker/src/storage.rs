//! What survives the process: stored sessions, the log of what they have not had, and retained messages. The broker works in
//! memory; one thread of our own takes every [`WRITE_INTERVAL`] what changed and writes it in one transaction. It never blocks
//! the reactor, and the reactor never waits for it but at start and stop.
//!
//! What can be lost at a kill: what was logged, acknowledged or retained in the last [`WRITE_INTERVAL`] (longer only if writing
//! itself takes long: one write is followed by a pause of nine times its length, up to a second). A client whose last
//! acknowledgements were not written gets those messages again.

mod database;
mod offline;
mod rows;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use database::Database;
pub use database::FILE;
pub(crate) use database::Stored;
pub use offline::StoredSessions;
pub(crate) use rows::{DirectRow, InFlightRow, SessionRow};
use tracing::error;
use writer::Writer;

use crate::counters::Counters;
use crate::error::BrokerError;
use crate::shared::SharedCore;

/// How long a change may be in memory only, while writing is quick.
pub const WRITE_INTERVAL: Duration = Duration::from_millis(100);
/// The longest a stop waits for the last write.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Why what changed is not on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StorageError {
    /// It is tried again all the time.
    #[error("the broker cannot write its storage: {0}; is the disk full?")]
    Failed(String),
    #[error("the broker's storage did not write within {} s; is the disk slow?", FLUSH_MAX.as_secs())]
    Late,
    #[error("the broker stops")]
    Stopped,
}

/// What is asked of the thread.
#[derive(Default)]
struct Asked {
    // Counts calls of `flush`, and how many of them are served; of the last that failed, its number and why.
    flushes_wanted: u64,
    flushes_done: u64,
    flush_failed: Option<(u64, String)>,
    // Those who flush want the file built again, too.
    purge: bool,
    stop: bool,
}

impl Asked {
    fn is_urgent(&self) -> bool {
        self.stop || self.flushes_wanted != self.flushes_done
    }
}

struct Shared {
    asked: Mutex<Asked>,
    changed: Condvar,
    counters: Arc<Counters>,
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle the broker keeps. Its thread ends when [`Storage::stop`] is called or it is dropped.
pub(crate) struct Storage {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The open file.
pub(crate) struct OpenedFile {
    folder: PathBuf,
    /// None while a full disk has no room for a new one.
    database: Option<Database>,
}

/// Opens the storage folder and reads all of it. Blocks.
pub(crate) fn open(folder: &Path) -> Result<(Stored, OpenedFile), BrokerError> {
    let database = Database::open(folder)?;
    let unreadable =
        |error: rusqlite::Error| BrokerError::Storage { path: folder.into(), cause: error.to_string() };
    let stored = database.as_ref().map(Database::read).transpose().map_err(unreadable)?;
    Ok((stored.unwrap_or_default(), OpenedFile { folder: folder.to_owned(), database }))
}

impl Storage {
    /// Starts the writing thread.
    pub(crate) fn start(
        file: OpenedFile,
        core: Arc<SharedCore>,
        counters: Arc<Counters>,
    ) -> Result<Self, BrokerError> {
        let shared = Arc::new(Shared { asked: Mutex::default(), changed: Condvar::new(), counters });
        let mut writer = Writer::new(file, core, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("broker-storage".into())
            .spawn(move || writer.run())
            .map_err(BrokerError::Thread)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes everything that changed until now, and returns when it is on disk. Blocks.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        self.write_now(false)
    }

    /// The same, and then builds the file again, so that neither it nor its log holds anything that was removed. Blocks.
    pub(crate) fn purge(&self) -> Result<(), StorageError> {
        self.write_now(true)
    }

    fn write_now(&self, purge: bool) -> Result<(), StorageError> {
        let mut asked = self.shared.asked();
        asked.flushes_wanted += 1;
        asked.purge |= purge;
        let wanted = asked.flushes_wanted;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + FLUSH_MAX;
        while asked.flushes_done < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if asked.stop {
                return Err(StorageError::Stopped);
            }
            if left.is_zero() {
                return Err(StorageError::Late);
            }
            asked = self.shared.changed.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        match &asked.flush_failed {
            Some((failed, cause)) if *failed >= wanted => Err(StorageError::Failed(cause.clone())),
            _ => Ok(()),
        }
    }

    /// Writes everything and ends the thread. Blocks.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.flush() {
            error!(%error, "what changed in the broker last is not stored");
        }
        self.shared.asked().stop = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!("the broker's storage thread had died; what changed since then is not stored");
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.shared.asked().stop = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::Core;
    use crate::limits::BrokerLimits;
    use crate::message::Publication;

    struct Opened {
        core: Arc<SharedCore>,
        storage: Storage,
    }

    fn storage(folder: &Path, prepare: impl FnOnce(&Database)) -> Opened {
        let (stored, file) = open(folder).unwrap();
        prepare(file.database.as_ref().unwrap());
        let core = Arc::new(SharedCore::new(Core::restored(BrokerLimits::default().core(), stored, None), 0));
        let storage = Storage::start(file, Arc::clone(&core), Arc::default()).unwrap();
        Opened { core, storage }
    }

    impl Opened {
        fn retain(&self, topic: &str, payload: &'static [u8]) {
            let publication = Publication::new(topic.into(), Bytes::from_static(payload));
            self.core.lock().publish(Publication { retain: true, ..publication });
        }
    }

    #[test]
    fn a_flush_that_fails_says_so_and_one_that_works_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let broken = storage(folder.path(), Database::refuse_writes);
        broken.retain("Pico/a/x", b"1");
        assert!(matches!(broken.storage.flush(), Err(StorageError::Failed(_))));
        assert!(matches!(broken.storage.purge(), Err(StorageError::Failed(_))));
        broken.storage.stop();
        assert_eq!(broken.storage.flush(), Err(StorageError::Stopped));
        drop(broken);
        let works = storage(folder.path(), |_| {});
        works.retain("Pico/a/x", b"2");
        assert_eq!(works.storage.flush(), Ok(()));
        works.storage.stop();
        drop(works);
        assert_eq!(open(folder.path()).unwrap().0.retained[0].payload, b"2"[..]);
    }

    #[test]
    fn a_purge_leaves_nothing_of_what_was_removed_in_any_file() {
        let folder = tempfile::tempdir().unwrap();
        let opened = storage(folder.path(), |_| {});
        let is_there = || {
            let files =
                std::fs::read_dir(folder.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()));
            files.flatten().any(|bytes| bytes.windows(10).any(|window| window == b"patient_47"))
        };
        let topic = "Pico/patient_47/Ip_address";
        opened.retain(topic, b"192.0.2.7");
        opened.storage.flush().unwrap();
        assert!(is_there(), "the search finds what is there");
        opened.retain(topic, b"");
        opened.storage.purge().unwrap();
        assert!(!is_there());
        opened.storage.stop();
    }
}
