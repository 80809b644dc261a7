//! Whether the journal can be written: a state that others watch, and when to try a failing disk again.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::ErrorCode;
use tokio::sync::watch;

use crate::entry::Refusal;
use crate::limits::RETRY_MS;

/// Whether the journal takes entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// It does not: there is no room.
    Full {
        /// Since when.
        since: SystemTime,
        /// The reader that keeps old entries from going when the journal is at its bound; `None` when the disk is full.
        held_by: Option<String>,
    },
    /// It does not: the disk or the database fails.
    Failing {
        /// Since when.
        since: SystemTime,
        /// What SQLite said.
        cause: String,
    },
}

/// The writer's side of it.
#[derive(Debug)]
pub(crate) struct HealthState {
    sender: watch::Sender<Health>,
    /// What appends are told, and when the disk is tried again.
    refused: Option<(Refusal, Instant)>,
}

pub(crate) fn refusal_of(error: &rusqlite::Error) -> Refusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Refusal::DiskFull,
        _ => Refusal::Failing { cause: error.to_string() },
    }
}

impl HealthState {
    pub(crate) fn new() -> (Self, watch::Receiver<Health>) {
        let (sender, receiver) = watch::channel(Health::Ok);
        (Self { sender, refused: None }, receiver)
    }

    /// What to answer without trying, while a failure is fresh.
    pub(crate) fn refuses(&self, now: Instant) -> Option<Refusal> {
        self.refused.as_ref().filter(|(_, retry)| now < *retry).map(|(refusal, _)| refusal.clone())
    }

    /// What appends are told.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refused.as_ref().map(|(refusal, _)| refusal.clone())
    }

    /// Whether something is wrong and it is time to look again.
    pub(crate) fn wants_retry(&self, now: Instant) -> bool {
        self.refused.as_ref().is_some_and(|(_, retry)| now >= *retry)
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.refused.is_none()
    }

    pub(crate) fn recovered(&mut self) {
        if self.refused.take().is_some() {
            tracing::info!("the journal takes entries again");
            self.sender.send_replace(Health::Ok);
        }
    }

    pub(crate) fn failed(&mut self, refusal: Refusal, now: Instant) {
        if self.refused.is_none() {
            tracing::error!(reason = refusal.label(), "the journal refuses entries: {refusal}");
        }
        // A bound is a matter of reading, not of the disk: to look again costs little.
        let wait = if matches!(refusal, Refusal::BoundReached { .. }) { 0 } else { RETRY_MS };
        self.sender.send_if_modified(|health| {
            let next = describe(&refusal, since(health));
            let changed = *health != next;
            *health = next;
            changed
        });
        self.refused = Some((refusal, now + Duration::from_millis(wait)));
    }
}

fn since(health: &Health) -> SystemTime {
    match health {
        Health::Ok => SystemTime::now(),
        Health::Full { since, .. } | Health::Failing { since, .. } => *since,
    }
}

fn describe(refusal: &Refusal, since: SystemTime) -> Health {
    match refusal {
        Refusal::DiskFull => Health::Full { since, held_by: None },
        Refusal::BoundReached { reader } => Health::Full { since, held_by: Some(reader.clone()) },
        other => Health::Failing { since, cause: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_moment_the_trouble_began() {
        let (mut health, watch) = HealthState::new();
        let now = Instant::now();
        health.failed(Refusal::DiskFull, now);
        let first = watch.borrow().clone();
        health.failed(Refusal::Failing { cause: "x".to_owned() }, now);
        assert_eq!(since(&watch.borrow()), since(&first));
        assert!(health.refuses(now).is_some());
        assert!(health.wants_retry(now + Duration::from_millis(RETRY_MS)));
        health.recovered();
        assert_eq!(*watch.borrow(), Health::Ok);
    }
}
