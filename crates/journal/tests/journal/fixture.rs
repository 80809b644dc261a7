//! A journal in a folder that goes away, and entries to put into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use vitalwire_access::DeviceId;
use vitalwire_journal::{Assurance, Entry, Health, Journal, JournalLimits, Outcome, Stored};

/// Beyond this a test has hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// 2026-11-24, so that nothing is old unless a test says so.
pub(crate) const T0_US: i64 = 1_795_000_000_000_000;

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) journal: Journal,
    pub(crate) limits: JournalLimits,
}

/// Without an age, as the entries of tests carry times of their own.
pub(crate) fn limits() -> JournalLimits {
    JournalLimits { age_max: None, position_interval: Duration::from_millis(20), ..JournalLimits::default() }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(limits())
    }

    pub(crate) fn with(limits: JournalLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&path_in(folder.path()), &limits).unwrap();
        Self { folder, journal, limits }
    }

    pub(crate) async fn reopened(self) -> Self {
        self.journal.close().await;
        let journal = Journal::open(&path_in(self.folder.path()), &self.limits).unwrap();
        Self { journal, ..self }
    }
}

pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("journal.db")
}

pub(crate) fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

pub(crate) fn entry(name: &str, boot: u64, sequence: u64) -> Entry {
    let at_us = T0_US + i64::try_from(sequence % 1_000_000).unwrap() * 1_000_000;
    Entry {
        device: device(name),
        boot,
        sequence,
        received_us: at_us + 50_000,
        first_us: at_us,
        span_us: 950_000,
        uncertainty_us: 2_000,
        samples: 20,
        assurance: Assurance::Authenticated,
        body: body(name, boot, sequence),
    }
}

/// Tells whose it is, so that a body that got to the wrong place is noticed.
pub(crate) fn body(name: &str, boot: u64, sequence: u64) -> Bytes {
    format!("<{name}/{boot}/{sequence}>").repeat(4).into_bytes().into()
}

/// Appends and waits for what becomes of it.
pub(crate) async fn append(journal: &Journal, entry: Entry) -> Outcome {
    journal.append(entry).await.await
}

pub(crate) async fn append_range(journal: &Journal, name: &str, sequences: std::ops::RangeInclusive<u64>) {
    let mut receipts = Vec::new();
    for sequence in sequences {
        receipts.push(journal.append(entry(name, 1, sequence)).await);
    }
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Committed { .. }));
    }
}

/// All that is stored, in order.
pub(crate) async fn everything(journal: &Journal) -> Vec<Stored> {
    let file = journal.file();
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let after = all.last().map_or(0, |stored| stored.position);
        let page = file.entries_after(after, 1_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub(crate) async fn wait_for_health(journal: &Journal, wanted: impl FnMut(&Health) -> bool) -> Health {
    let mut health = journal.health();
    let found = tokio::time::timeout(PATIENCE, health.wait_for(wanted)).await;
    found.expect("the health did not change in time").unwrap().clone()
}
