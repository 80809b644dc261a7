//! The thread that writes: looks at what changed in the broker's memory, keeps every queue within its limits, and brings
//! the database up to date. It never changes a session.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use mqtt5::broker::storage::{DynamicStorage, InflightMessage, QueuedMessage, StorageBackend};
use tracing::error;

use super::backlog::{Backlog, RowChange};
use super::database::{self, Database};
use super::{OpenedFile, QueueLimits, RetainedChanges, Shared, WRITE_INTERVAL};
use crate::error::BrokerError;

/// A write that took long is followed by a pause this many times as long: storage takes a tenth of a core at most.
const PAUSE_FACTOR: u32 = 9;
/// But never a longer pause than this.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Looks in a row that pass over a queue from which a handler was just taking messages.
const POSTPONED_MAX: u32 = 3;

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

/// What is to be written now.
struct Taken {
    retained: RetainedChanges,
    sessions: HashSet<String>,
    /// Those who asked for these flushes wait.
    flushes: u64,
    purge: bool,
}

pub(super) struct Writer {
    folder: PathBuf,
    database: Option<Database>,
    memory: Arc<DynamicStorage>,
    limits: QueueLimits,
    shared: Arc<Shared>,
    known: HashMap<String, Known>,
    last_complaint: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        file: OpenedFile,
        memory: Arc<DynamicStorage>,
        limits: QueueLimits,
        shared: Arc<Shared>,
    ) -> Self {
        let known =
            file.backlogs.into_iter().map(|(client, backlog)| (client, Known::new(backlog))).collect();
        let OpenedFile { folder, database, .. } = file;
        Self { folder, database, memory, limits, shared, known, last_complaint: None }
    }

    pub(super) fn run(&mut self, runtime: &tokio::runtime::Runtime) {
        let mut next_write = Instant::now() + WRITE_INTERVAL;
        loop {
            self.wait(next_write);
            runtime.block_on(self.trim());
            let Some(Taken { retained, sessions, flushes, purge }) = self.take_pending(next_write) else {
                continue;
            };
            if self.shared.pending().stop {
                return;
            }
            let started = Instant::now();
            let written = runtime.block_on(self.write(&retained, &sessions));
            let failed = match written {
                Ok(()) if purge => self.purge().err(),
                Ok(()) => None,
                Err(error) => {
                    self.give_back(retained, sessions);
                    Some(error)
                }
            };
            if let Some(error) = &failed {
                self.complain(error);
            }
            let mut pending = self.shared.pending();
            if let Some(error) = failed {
                pending.flush_failed = Some((flushes, error.to_string()));
            }
            pending.flushes_done = pending.flushes_done.max(flushes);
            drop(pending);
            self.shared.changed.notify_all();
            self.shared.counters.storage_pass();
            next_write = Instant::now() + (started.elapsed() * PAUSE_FACTOR).clamp(WRITE_INTERVAL, PAUSE_MAX);
        }
    }

    /// Waits until the next write is due or wanted, but not longer than until the next trim.
    fn wait(&self, next_write: Instant) {
        let deadline = next_write.min(Instant::now() + WRITE_INTERVAL);
        let mut pending = self.shared.pending();
        while !pending.is_urgent() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            pending =
                self.shared.changed.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes what is to be written, when it is time.
    fn take_pending(&self, next_write: Instant) -> Option<Taken> {
        let mut pending = self.shared.pending();
        let due = pending.is_urgent() || Instant::now() >= next_write;
        due.then(|| Taken {
            retained: std::mem::take(&mut pending.retained),
            sessions: std::mem::take(&mut pending.sessions),
            flushes: pending.flushes_wanted,
            purge: std::mem::take(&mut pending.purge),
        })
    }

    /// Keeps every queue within its limit of messages, also those that are not stored.
    async fn trim(&self) {
        for client in self.memory.session_client_ids().await.unwrap_or_default() {
            let queue = self.memory.queue_handle(&client);
            let over = queue.count().saturating_sub(self.limits.messages_max);
            if over > 0 {
                self.shared.counters.dropped_queued(&client, queue.take(over).await.len());
                queue.finish_drain();
            }
        }
    }

    /// After a failed write: what it held is tried again with the next one, unless it changed again meanwhile.
    fn give_back(&mut self, retained: RetainedChanges, sessions: HashSet<String>) {
        self.known.values_mut().for_each(Known::lost);
        let mut pending = self.shared.pending();
        for (topic, message) in retained {
            pending.retained.entry(topic).or_insert(message);
        }
        pending.sessions.extend(sessions);
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

    async fn write(
        &mut self,
        retained: &RetainedChanges,
        changed: &HashSet<String>,
    ) -> Result<(), WriteError> {
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
        let database = match &mut self.database {
            Some(database) => database,
            none => none.insert(Database::open(&self.folder)?.ok_or(WriteError::NoRoom)?),
        };
        let written = database.write(|rows| {
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
        });
        Ok(written?)
    }

    /// Trims every stored session's queue to its limits and collects those that changed.
    async fn changed_queues(&mut self) -> Vec<(String, Vec<RowChange>, Vec<QueuedMessage>)> {
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
