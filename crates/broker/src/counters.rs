//! What the broker counts. Numbers only; it decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// One warning about full queues in this long, however many messages are dropped.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Counters {
    published: AtomicU64,
    dropped_queued: AtomicU64,
    failed_logins: AtomicU64,
    refused_connections: AtomicU64,
    storage_errors: AtomicU64,
    storage_passes: AtomicU64,
    last_drop_warning: Mutex<Option<Instant>>,
}

impl Counters {
    pub(crate) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed_login(&self) {
        self.failed_logins.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused_connection(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn storage_error(&self) {
        self.storage_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn storage_pass(&self) {
        self.storage_passes.fetch_add(1, Ordering::Relaxed);
    }

    /// The oldest messages of a full queue were dropped.
    pub(crate) fn dropped_queued(&self, client: &str, count: usize) {
        let total = self.dropped_queued.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        let mut last = self.last_drop_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            warn!(client, total, "the queue of an absent client is full; its oldest messages are dropped");
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            published: read(&self.published),
            dropped_queued: read(&self.dropped_queued),
            failed_logins: read(&self.failed_logins),
            refused_connections: read(&self.refused_connections),
            storage_errors: read(&self.storage_errors),
            storage_passes: read(&self.storage_passes),
        }
    }
}

/// The numbers at one moment.
pub(crate) struct Snapshot {
    pub(crate) published: u64,
    pub(crate) dropped_queued: u64,
    pub(crate) failed_logins: u64,
    pub(crate) refused_connections: u64,
    pub(crate) storage_errors: u64,
    pub(crate) storage_passes: u64,
}
