//! What the writer counts, for metrics. Numbers only: no device, no value.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::entry::Outcome;
use crate::retention::Removed;
use crate::steady::Suspension;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) committed: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) commit_us: AtomicU64,
    pub(crate) bytes_used: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) removed_by_age: AtomicU64,
    pub(crate) removed_by_size: AtomicU64,
    suspension: Mutex<Option<Suspension>>,
}

impl Counters {
    pub(crate) fn count(&self, outcomes: &[Outcome], took: Duration) {
        let of =
            |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count() as u64;
        self.committed
            .fetch_add(of(|outcome| matches!(outcome, Outcome::Committed { .. })), Ordering::Relaxed);
        self.duplicates.fetch_add(of(|outcome| matches!(outcome, Outcome::Duplicate)), Ordering::Relaxed);
        self.refused.fetch_add(of(|outcome| matches!(outcome, Outcome::Refused(_))), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn note_size(&self, used: u64, log: u64) {
        self.bytes_used.store(used, Ordering::Relaxed);
        self.log_bytes.store(log, Ordering::Relaxed);
    }

    pub(crate) fn note_removed(&self, removed: Removed) {
        self.removed_by_age.fetch_add(removed.by_age, Ordering::Relaxed);
        self.removed_by_size.fetch_add(removed.by_size, Ordering::Relaxed);
    }

    pub(crate) fn note_suspension(&self, suspension: Option<Suspension>) {
        *self.suspension.lock().unwrap_or_else(PoisonError::into_inner) = suspension;
    }

    pub(crate) fn suspension(&self) -> Option<Suspension> {
        *self.suspension.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
