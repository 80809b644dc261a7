//! What the broker counts. Numbers only; it decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Counters {
    failed_logins: AtomicU64,
    refused_connections: AtomicU64,
    storage_errors: AtomicU64,
    storage_passes: AtomicU64,
}

impl Counters {
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

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            failed_logins: read(&self.failed_logins),
            refused_connections: read(&self.refused_connections),
            storage_errors: read(&self.storage_errors),
            storage_passes: read(&self.storage_passes),
        }
    }
}

/// The numbers at one moment.
pub(crate) struct Snapshot {
    pub(crate) failed_logins: u64,
    pub(crate) refused_connections: u64,
    pub(crate) storage_errors: u64,
    pub(crate) storage_passes: u64,
}
