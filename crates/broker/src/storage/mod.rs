//! What survives the process: stored sessions with their queues, and retained messages. The broker works in memory; one
//! thread of our own looks every [`WRITE_INTERVAL`] at what changed and writes it in one transaction. It never blocks the
//! reactor, and the reactor never waits for it but at start and stop.
//!
//! Why not the broker crate's own file storage: it makes a file of each queued message (44 µs a message, measured) and
//! waits for the disk at each retained one, in the publisher.
//!
//! What can be lost at a kill: whatever was queued, acknowledged or retained in the last [`WRITE_INTERVAL`] (longer only
//! if writing itself takes long: one write is followed by a pause of [`PAUSE_FACTOR`] times its length, up to
//! [`PAUSE_MAX`]); and of a client that is connected, what was on its way to its socket. A client that takes nothing is
//! disconnected after 10 s, and what it missed is queued from then on.

mod backlog;
mod database;

use crate::counters::Counters;
use crate::error::BrokerError;
use backlog::Backlog;
use bytes::Bytes;
use database::Database;
pub(crate) use database::{Retained, StoredSession};
use mqtt5::QoS;
use mqtt5::broker::storage::{ClientSession, DynamicStorage, InflightMessage, QueuedMessage, StorageBackend};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// How long a change may be in memory only, while writing is quick.
pub const WRITE_INTERVAL: Duration = Duration::from_millis(100);
/// A write that took long is followed by a pause this many times as long: storage takes a tenth of a core at most.
const PAUSE_FACTOR: u32 = 9;
/// But never a longer pause than this.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest a stop waits for the last write.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// Looks in a row that pass over a queue from which a handler was just taking messages.
const POSTPONED_MAX: u32 = 3;

/// Limits of one stored session's queue; the oldest messages go when it is full.
#[derive(Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// What changed since the last write. Bounded by the number of retained topics and of sessions, both limited.
#[derive(Default)]
struct Pending {
    retained: HashMap<Arc<str>, (QoS, Bytes)>,
    sessions: HashSet<String>,
    // Counts calls of `flush`, and how many of them are served.
    flushes_wanted: u64,
    flushes_done: u64,
    stop: bool,
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

/// A storage that was read but not started yet.
pub(crate) struct Opened {
    database: Database,
    pub(crate) retained: Vec<Retained>,
    pub(crate) sessions: Vec<StoredSession>,
}

/// Opens the storage folder and reads all of it. Blocks.
pub(crate) fn open(folder: &Path) -> Result<Opened, BrokerError> {
    let database = Database::open(folder)?;
    let unreadable =
        |error: rusqlite::Error| BrokerError::Storage { path: folder.into(), cause: error.to_string() };
    let retained = database.retained().map_err(unreadable)?;
    let sessions = database.sessions().map_err(unreadable)?;
    Ok(Opened { database, retained, sessions })
}

impl Storage {
    /// Starts the writing thread. `backlogs` says what the rows of each session hold.
    pub(crate) fn start(
        database: OpenedDatabase,
        memory: Arc<DynamicStorage>,
        limits: QueueLimits,
        counters: Arc<Counters>,
    ) -> Result<Self, BrokerError> {
        let shared = Arc::new(Shared { pending: Mutex::default(), changed: Condvar::new(), counters });
        let mut writer = Writer {
            database: database.database,
            memory,
            limits,
            shared: Arc::clone(&shared),
            known: database
                .backlogs
                .into_iter()
                .map(|(client, backlog)| (client, Known::new(backlog)))
                .collect(),
            last_complaint: None,
        };
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
    pub(crate) fn flush(&self) {
        let mut pending = self.shared.pending();
        pending.flushes_wanted += 1;
        let wanted = pending.flushes_wanted;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + FLUSH_MAX;
        while pending.flushes_done < wanted && !pending.stop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                error!("the broker's storage did not write within {} s", FLUSH_MAX.as_secs());
                return;
            }
            pending =
                self.shared.changed.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes everything and ends the thread. Blocks.
    pub(crate) fn stop(&self) {
        self.flush();
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

/// The open file and what its rows hold.
pub(crate) struct OpenedDatabase {
    database: Database,
    backlogs: Vec<(String, Backlog)>,
}

impl Opened {
    /// Splits what was read from the file that goes on being written. Sessions are taken out by the caller, who gives
    /// each one's backlog back here.
    pub(crate) fn into_parts(
        self,
    ) -> (Vec<Retained>, Vec<(ClientSession, Vec<QueuedMessage>, Vec<InflightMessage>)>, OpenedDatabase) {
        let mut backlogs = Vec::with_capacity(self.sessions.len());
        let sessions = self
            .sessions
            .into_iter()
            .map(|stored| {
                backlogs.push((stored.session.client_id.clone(), stored.backlog));
                (stored.session, stored.queue, stored.inflight)
            })
            .collect();
        (self.retained, sessions, OpenedDatabase { database: self.database, backlogs })
    }
}

/// What the writer knows of a session that has rows.
struct Known {
    backlog: Backlog,
    // Queue length and sequence number at the last look: equal ones mean that nothing changed.
    seen: Option<(usize, u64)>,
    inflight: Option<Vec<(u16, u64)>>,
    // A handler was just taking messages; look again next time, but not for ever.
    postponed: u32,
}

impl Known {
    fn new(backlog: Backlog) -> Self {
        Self { backlog, seen: None, inflight: None, postponed: 0 }
    }

    fn lost(&mut self) {
        self.backlog.lost();
        self.seen = None;
        self.inflight = None;
    }
}

struct Writer {
    database: Database,
    memory: Arc<DynamicStorage>,
    limits: QueueLimits,
    shared: Arc<Shared>,
    known: HashMap<String, Known>,
    last_complaint: Option<Instant>,
}

impl Writer {
    fn run(&mut self, runtime: &tokio::runtime::Runtime) {
        let mut pause = WRITE_INTERVAL;
        loop {
            let (retained, sessions, flushes, stop) = self.wait(pause);
            if stop {
                return;
            }
            let started = Instant::now();
            let written = runtime.block_on(self.write(&retained, &sessions));
            if let Err(error) = written {
                self.complain(&error);
                self.give_back(retained, sessions);
            }
            let mut pending = self.shared.pending();
            pending.flushes_done = pending.flushes_done.max(flushes);
            drop(pending);
            self.shared.changed.notify_all();
            pause = (started.elapsed() * PAUSE_FACTOR).clamp(WRITE_INTERVAL, PAUSE_MAX);
        }
    }

    /// Waits for the next time to write and takes what is pending.
    #[expect(clippy::type_complexity, reason = "the parts of Pending, taken apart")]
    fn wait(&self, pause: Duration) -> (HashMap<Arc<str>, (QoS, Bytes)>, HashSet<String>, u64, bool) {
        let deadline = Instant::now() + pause;
        let mut pending = self.shared.pending();
        while !pending.stop && pending.flushes_wanted == pending.flushes_done {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            pending =
                self.shared.changed.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (
            std::mem::take(&mut pending.retained),
            std::mem::take(&mut pending.sessions),
            pending.flushes_wanted,
            pending.stop,
        )
    }

    /// After a failed write: what it held is tried again with the next one, unless it changed anew meanwhile.
    fn give_back(&mut self, retained: HashMap<Arc<str>, (QoS, Bytes)>, sessions: HashSet<String>) {
        self.known.values_mut().for_each(Known::lost);
        let mut pending = self.shared.pending();
        for (topic, message) in retained {
            pending.retained.entry(topic).or_insert(message);
        }
        pending.sessions.extend(sessions);
    }

    fn complain(&mut self, cause: &rusqlite::Error) {
        self.shared.counters.storage_error();
        if self.last_complaint.is_none_or(|last| last.elapsed() > Duration::from_secs(10)) {
            self.last_complaint = Some(Instant::now());
            error!(%cause, "the broker cannot write its storage; sessions and retained messages live in memory only \
                            until it can. Is the disk full?");
        }
    }

    async fn write(
        &mut self,
        retained: &HashMap<Arc<str>, (QoS, Bytes)>,
        changed: &HashSet<String>,
    ) -> rusqlite::Result<()> {
        let live: HashSet<String> =
            self.memory.session_client_ids().await.unwrap_or_default().into_iter().collect();
        let mut gone: Vec<String> =
            self.known.keys().filter(|client| !live.contains(*client)).cloned().collect();
        let mut sessions = Vec::new();
        for client in changed {
            match self.memory.get_session(client).await.ok().flatten() {
                Some(session) if session.expiry_interval != Some(0) => {
                    self.known.entry(client.clone()).or_insert_with(|| Known::new(Backlog::default()));
                    sessions.push(session);
                }
                _ if self.known.contains_key(client) => gone.push(client.clone()),
                _ => {}
            }
        }
        gone.iter().for_each(|client| drop(self.known.remove(client)));
        let queues = self.changed_queues().await;
        let inflights = self.changed_inflights().await;
        if retained.is_empty()
            && sessions.is_empty()
            && gone.is_empty()
            && queues.is_empty()
            && inflights.is_empty()
        {
            return Ok(());
        }
        self.database.write(|rows| {
            for client in &gone {
                database::delete_session(rows, client)?;
            }
            for session in &sessions {
                database::put_session(rows, session)?;
            }
            for (client, changes, queue) in &queues {
                database::change_queue(rows, client, changes, queue)?;
            }
            for (client, inflight) in &inflights {
                database::put_inflight(rows, client, inflight)?;
            }
            for (topic, (qos, payload)) in retained {
                database::put_retained(rows, topic, *qos, payload)?;
            }
            Ok(())
        })
    }

    /// Trims every stored session's queue to its limits and collects those that changed.
    async fn changed_queues(&mut self) -> Vec<(String, Vec<backlog::RowChange>, Vec<QueuedMessage>)> {
        let mut changed = Vec::new();
        for (client, known) in &mut self.known {
            let queue = self.memory.queue_handle(client);
            let seen = (queue.count(), queue.next_seq());
            if known.seen == Some(seen) {
                continue;
            }
            if queue.draining() && known.postponed < POSTPONED_MAX {
                known.postponed += 1;
                continue;
            }
            known.postponed = 0;
            let mut messages = queue.peek_all().await;
            let over = over_limit(&messages, self.limits);
            if over > 0 {
                let dropped = queue.take(over).await.len();
                queue.finish_drain();
                messages.drain(..over);
                self.shared.counters.dropped_queued(client, dropped);
            }
            known.seen = (over == 0).then_some(seen);
            if messages.is_empty() && known.backlog.is_empty() {
                continue;
            }
            let changes = known.backlog.advance(&messages);
            if !changes.is_empty() {
                changed.push((client.clone(), changes, messages));
            }
        }
        changed
    }

    async fn changed_inflights(&mut self) -> Vec<(String, Vec<InflightMessage>)> {
        let mut changed = Vec::new();
        for (client, known) in &mut self.known {
            let mut inflight = self.memory.get_inflight_messages(client).await.unwrap_or_default();
            inflight.sort_by_key(|message| message.packet_id);
            let marks = inflight.iter().map(|message| (message.packet_id, message.stored_at_secs)).collect();
            if known.inflight.as_ref().map_or(!inflight.is_empty(), |last| *last != marks) {
                changed.push((client.clone(), inflight));
            }
            known.inflight = Some(marks);
        }
        changed
    }
}

/// How many of the oldest messages must go.
fn over_limit(messages: &[QueuedMessage], limits: QueueLimits) -> usize {
    let mut bytes = 0_usize;
    let fit = messages
        .iter()
        .rev()
        .take(limits.messages_max)
        .take_while(|message| {
            bytes = bytes.saturating_add(message.footprint());
            bytes <= limits.bytes_max
        })
        .count();
    messages.len() - fit
}

/// Sessions and queues as they were, put into the broker's memory before it starts.
pub(crate) async fn restore(
    memory: &DynamicStorage,
    session: ClientSession,
    queue: Vec<QueuedMessage>,
    inflight: Vec<InflightMessage>,
) {
    let client = session.client_id.clone();
    let handle = memory.queue_handle(&client);
    for mut message in queue {
        message.recompute_expiry();
        handle.push(message);
    }
    let mut stored = memory.store_session(session).await;
    for message in inflight {
        stored = stored.and(memory.store_inflight_message(message).await);
    }
    if let Err(cause) = stored {
        warn!(client, %cause, "a stored session could not be restored");
    }
}
