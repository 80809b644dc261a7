//! What survives the process: stored sessions with their queues, and retained messages. The broker works in memory; one
//! thread of our own looks every [`WRITE_INTERVAL`] at what changed and writes it in one transaction. It never blocks the
//! reactor, and the reactor never waits for it but at start and stop.
//!
//! Why not the broker crate's own file storage: it makes a file of each queued message (44 µs a message, measured) and
//! waits for the disk at each retained one, in the publisher.
//!
//! What can be lost at a kill: whatever was queued, acknowledged or retained in the last [`WRITE_INTERVAL`] (longer only
//! if writing itself takes long: one write is followed by a pause of nine times its length, up to a second); and of a
//! client that is connected, what was on its way to its socket. A client that takes nothing is disconnected after
//! [`crate::BrokerLimits::stall_ms_max`], and what it missed is queued from then on.

mod backlog;
mod database;
mod writer;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backlog::Backlog;
use bytes::Bytes;
use database::Database;
pub use database::FILE;
pub(crate) use database::{Retained, StoredSession};
use mqtt5::QoS;
use mqtt5::broker::storage::{DynamicStorage, StorageBackend};
use tracing::{error, warn};
use writer::Writer;

use crate::counters::Counters;
use crate::error::BrokerError;

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

/// Limits of one stored session's queue; the oldest messages go when it is full.
#[derive(Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// Topics whose retained message changed; an empty payload clears it.
type RetainedChanges = HashMap<Arc<str>, (QoS, Bytes)>;

/// What changed since the last write. Bounded by the number of retained topics and of sessions, both limited.
#[derive(Default)]
struct Pending {
    retained: RetainedChanges,
    sessions: HashSet<String>,
    // Counts calls of `flush`, and how many of them are served; of the last that failed, its number and why.
    flushes_wanted: u64,
    flushes_done: u64,
    flush_failed: Option<(u64, String)>,
    // Those who flush want the file built again, too.
    purge: bool,
    stop: bool,
}

impl Pending {
    fn is_urgent(&self) -> bool {
        self.stop || self.flushes_wanted != self.flushes_done
    }
}

struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    counters: Arc<Counters>,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle the broker keeps. Its thread ends when [`Storage::stop`] is called or it is dropped.
pub(crate) struct Storage {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What was read from the storage folder, and the file that goes on being written.
pub(crate) struct Opened {
    pub(crate) retained: Vec<Retained>,
    pub(crate) sessions: Vec<StoredSession>,
    pub(crate) file: OpenedFile,
}

/// The open file and what its rows hold.
pub(crate) struct OpenedFile {
    folder: PathBuf,
    /// None while a full disk has no room for a new one.
    database: Option<Database>,
    backlogs: Vec<(String, Backlog)>,
}

/// Opens the storage folder and reads all of it. Blocks.
pub(crate) fn open(folder: &Path) -> Result<Opened, BrokerError> {
    let database = Database::open(folder)?;
    let unreadable =
        |error: rusqlite::Error| BrokerError::Storage { path: folder.into(), cause: error.to_string() };
    let (retained, sessions) = match &database {
        Some(database) => {
            (database.retained().map_err(unreadable)?, database.sessions().map_err(unreadable)?)
        }
        None => Default::default(),
    };
    let (sessions, backlogs): (Vec<_>, Vec<_>) = sessions.into_iter().unzip();
    let clients = sessions.iter().map(|stored: &StoredSession| stored.session.client_id.clone());
    let backlogs = clients.zip(backlogs).collect();
    let folder = folder.to_owned();
    Ok(Opened { retained, sessions, file: OpenedFile { folder, database, backlogs } })
}

impl Storage {
    /// Starts the writing thread.
    pub(crate) fn start(
        file: OpenedFile,
        memory: Arc<DynamicStorage>,
        limits: QueueLimits,
        counters: Arc<Counters>,
    ) -> Result<Self, BrokerError> {
        let shared = Arc::new(Shared { pending: Mutex::default(), changed: Condvar::new(), counters });
        let mut writer = Writer::new(file, memory, limits, Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(BrokerError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("broker-storage".into())
            .spawn(move || writer.run(&runtime))
            .map_err(BrokerError::Thread)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// A retained message was set, or cleared with an empty payload.
    pub(crate) fn retained_changed(&self, topic: &Arc<str>, qos: QoS, payload: Bytes) {
        self.shared.pending().retained.insert(Arc::clone(topic), (qos, payload));
    }

    /// A session began, ended or changed its subscriptions.
    pub(crate) fn session_changed(&self, client: &str) {
        self.shared.pending().sessions.insert(client.to_owned());
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
        let mut pending = self.shared.pending();
        pending.flushes_wanted += 1;
        pending.purge |= purge;
        let wanted = pending.flushes_wanted;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + FLUSH_MAX;
        while pending.flushes_done < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if pending.stop {
                return Err(StorageError::Stopped);
            }
            if left.is_zero() {
                return Err(StorageError::Late);
            }
            pending =
                self.shared.changed.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        match &pending.flush_failed {
            Some((failed, cause)) if *failed >= wanted => Err(StorageError::Failed(cause.clone())),
            _ => Ok(()),
        }
    }

    /// Writes everything and ends the thread. Blocks.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.flush() {
            error!(%error, "what changed in the broker last is not stored");
        }
        self.shared.pending().stop = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!("the broker's storage thread had died; what changed since then is not stored");
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.shared.pending().stop = true;
        self.shared.changed.notify_all();
    }
}

/// Sessions and queues as they were, put into the broker's memory before it starts.
pub(crate) async fn restore(memory: &DynamicStorage, stored: StoredSession) {
    let client = stored.session.client_id.clone();
    let handle = memory.queue_handle(&client);
    for mut message in stored.queue {
        message.recompute_expiry();
        handle.push(message);
    }
    let mut outcome = memory.store_session(stored.session).await;
    for message in stored.inflight {
        outcome = outcome.and(memory.store_inflight_message(message).await);
    }
    if let Err(cause) = outcome {
        warn!(client, %cause, "a stored session could not be restored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt5::broker::storage::MemoryBackend;

    fn storage(folder: &Path, prepare: impl FnOnce(&Database)) -> Storage {
        let opened = open(folder).unwrap();
        prepare(opened.file.database.as_ref().unwrap());
        let memory = Arc::new(DynamicStorage::Memory(MemoryBackend::new()));
        let limits = QueueLimits { messages_max: 10, bytes_max: 1_000 };
        Storage::start(opened.file, memory, limits, Arc::default()).unwrap()
    }

    #[test]
    fn a_flush_that_fails_says_so_and_one_that_works_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let broken = storage(folder.path(), Database::refuse_writes);
        broken.retained_changed(&"Pico/a/x".into(), QoS::AtLeastOnce, Bytes::from_static(b"1"));
        assert!(matches!(broken.flush(), Err(StorageError::Failed(_))));
        assert!(matches!(broken.purge(), Err(StorageError::Failed(_))));
        broken.stop();
        assert_eq!(broken.flush(), Err(StorageError::Stopped));
        drop(broken);
        let works = storage(folder.path(), |_| {});
        works.retained_changed(&"Pico/a/x".into(), QoS::AtLeastOnce, Bytes::from_static(b"2"));
        assert_eq!(works.flush(), Ok(()));
        works.stop();
        drop(works);
        assert_eq!(open(folder.path()).unwrap().retained[0].payload, b"2");
    }

    #[test]
    fn a_purge_leaves_nothing_of_what_was_removed_in_any_file() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(folder.path(), |_| {});
        let is_there = || {
            let files =
                std::fs::read_dir(folder.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()));
            files.flatten().any(|bytes| bytes.windows(10).any(|window| window == b"patient_47"))
        };
        let topic: Arc<str> = "Pico/patient_47/Ip_address".into();
        storage.retained_changed(&topic, QoS::AtLeastOnce, Bytes::from_static(b"192.0.2.7"));
        storage.flush().unwrap();
        assert!(is_there(), "the search finds what is there");
        storage.retained_changed(&topic, QoS::AtLeastOnce, Bytes::new());
        storage.purge().unwrap();
        assert!(!is_there());
        storage.stop();
    }
}
