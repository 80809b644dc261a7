//! What the writer counts, for metrics. Numbers only: no device, no value.

use crate::entry::Outcome;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) committed: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) commit_us: AtomicU64,
    pub(crate) bytes_used: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
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
}
