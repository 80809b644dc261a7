//! The journal as its users hold it: a handle that is cheap to clone, over one writing thread and a few reading ones.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use vitalwire_access::DeviceId;

use crate::boot_clock::BootClock;
use crate::clock::{Clock, system_clock};
use crate::command::{Append, Command};
use crate::counters::Counters;
use crate::entry::{Entry, Outcome, Refusal, SEQUENCE_MAX, Stored};
use crate::erase::Erased;
use crate::error::{JournalError, Result};
use crate::health::{Health, HealthState};
use crate::history_file::HistoryFile;
use crate::limits::{BYTES_MIN, JournalLimits};
use crate::opening::Place;
use crate::query::{Gap, HistoryQuery};
use crate::read_pool::ReadPool;
use crate::reader::{Reader, ReaderLag, lag_of};
use crate::readers::ReaderTable;
use crate::steady::Suspension;
use crate::sums::Stretch;
use crate::writer::{self, Announce};

/// Resolves after the commit. Dropping it does not take the entry back.
#[derive(Debug)]
#[must_use = "only what it resolves to says whether the entry is durable"]
pub struct Receipt(oneshot::Receiver<Outcome>);

impl Receipt {
    fn known(outcome: Outcome) -> Self {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(outcome);
        Self(receiver)
    }
}

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|outcome| outcome.unwrap_or(Outcome::Refused(Refusal::Closed)))
    }
}

/// Numbers for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStats {
    /// The newest position.
    pub head: u64,
    /// Entries committed since the journal was opened.
    pub committed: u64,
    /// Entries dropped as duplicates.
    pub duplicates: u64,
    /// Entries refused by the writer.
    pub refused: u64,
    /// Groups written, or tried.
    pub commits: u64,
    /// The time they took together, in microseconds.
    pub commit_us: u64,
    /// What the entries and their indexes take, as of the last look (every `position_interval`).
    pub bytes_used: u64,
    /// What the write-ahead log takes, as of the same look.
    pub log_bytes: u64,
    /// Entries removed by age since the journal was opened.
    pub removed_by_age: u64,
    /// Entries removed by size since the journal was opened.
    pub removed_by_size: u64,
    /// Why and since when nothing is removed by age.
    pub suspension: Option<Suspension>,
    /// Appends waiting for the writer.
    pub queued: usize,
    /// How far each reader is behind.
    pub readers: Vec<ReaderLag>,
}

struct Shared {
    /// Bounded by `queue_entries_max`: when full, `append` waits, so that a gateway stops reading from its devices.
    commands: mpsc::Sender<Command>,
    pool: Arc<ReadPool>,
    readers: Arc<ReaderTable>,
    head: watch::Receiver<u64>,
    health: watch::Receiver<Health>,
    counters: Arc<Counters>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The journal. Clones share one writer; when the last one is dropped, the writer commits what was queued and ends.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal, or makes it. The folder must be there. It blocks on the disk.
    ///
    /// A disk that is full or fails is no error: the journal begins as [`Health::Full`] or [`Health::Failing`], takes no
    /// entries, and goes on by itself when the disk works again.
    ///
    /// # Errors
    /// When another process has it open, others may read the file, or it is no journal.
    pub fn open(path: &Path, limits: &JournalLimits) -> Result<Self> {
        Self::open_with_clock(path, limits, system_clock())
    }

    /// As [`Journal::open`], with clocks of the caller's.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with_clock(path: &Path, limits: &JournalLimits, clock: Clock) -> Result<Self> {
        if limits.bytes_max < BYTES_MIN {
            return Err(JournalError::TooSmall { bytes_max: limits.bytes_max });
        }
        let readers = Arc::<ReaderTable>::default();
        let mut place = Place {
            path: path.to_owned(),
            limits: limits.clone(),
            clock,
            readers: Arc::clone(&readers),
            lock: None,
        };
        let (mut health, health_watch) = HealthState::new();
        let opened = place.open_or_wait(&mut health)?;
        let (commands, queue) = mpsc::channel(limits.queue_entries_max.max(1));
        let (head, head_watch) = watch::channel(opened.as_ref().map_or(0, |opened| opened.ledger.head));
        let counters = Arc::new(Counters::default());
        let announce = Announce { head, health, counters: Arc::clone(&counters) };
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || writer::run(place, opened, announce, queue))
            .map_err(|source| JournalError::File {
                action: "start a thread for",
                path: path.to_owned(),
                source,
            })?;
        let shared = Shared {
            commands,
            pool: Arc::new(ReadPool::new(path, limits.reads_max)),
            readers,
            head: head_watch,
            health: health_watch,
            counters,
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Hands an entry to the writer, in the order of calls; waits while the writer's queue is full. The receipt resolves
    /// after the commit.
    pub async fn append(&self, entry: Entry) -> Receipt {
        if let Err(refusal) = entry.check() {
            return Receipt::known(Outcome::Refused(refusal));
        }
        let (answer, receipt) = oneshot::channel();
        match self.shared.commands.send(Command::Append(Append { entry, answer })).await {
            Ok(()) => Receipt(receipt),
            Err(_) => Receipt::known(Outcome::Refused(Refusal::Closed)),
        }
    }

    /// The highest sequence up to which everything of this boot is held, or given up: what may be acknowledged. `None`
    /// when nothing is, and while a full or failing disk keeps the files from being opened: then nothing is known of
    /// what is held. Queued appends of before count.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn last_sequence(&self, device: &DeviceId, boot: u64) -> Result<Option<u64>> {
        let device = device.clone();
        self.ask(|answer| Command::LastSequence { device, boot, answer }).await?
    }

    /// Notes that the device holds nothing below `below` any more (its outbox overflowed): what is missing there stays on
    /// record as given up, and no longer holds the acknowledgement back. Gives the new last sequence.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn give_up(&self, device: &DeviceId, boot: u64, below: u64) -> Result<Option<u64>, Refusal> {
        if below > SEQUENCE_MAX {
            return Err(Refusal::SequenceOutOfRange { sequence: below });
        }
        let device = device.clone();
        let answer = self.ask(|answer| Command::GiveUp { device, boot, below, answer }).await;
        answer.unwrap_or(Err(Refusal::Closed))
    }

    /// Remembers how the clock of a device's boot was mapped, in the place of an earlier mapping. It reaches the disk within
    /// [`JournalLimits::position_interval`]; no one is told when.
    pub async fn note_clock(&self, device: &DeviceId, boot: u64, clock: BootClock) {
        let device = device.clone();
        // A journal that is closed remembers nothing.
        let _ = self.shared.commands.send(Command::NoteClock { device, boot, clock }).await;
    }

    /// How the clock of a device's boot was mapped last; `None` when it never was, or the boot is forgotten.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn boot_clock(&self, device: &DeviceId, boot: u64) -> Result<Option<BootClock>> {
        let device = device.clone();
        self.ask(|answer| Command::BootClock { device, boot, answer }).await?
    }

    /// The reader of this name: where it stopped, or at the oldest entry when it is new. What it has not read is not removed.
    ///
    /// # Errors
    /// When there are too many, or the file cannot be written.
    pub async fn reader(&self, name: &str) -> Result<Reader> {
        let name = name.to_owned();
        let state = self.ask(|answer| Command::OpenReader { name, answer }).await??;
        Ok(Reader { state, file: self.file(), head: self.shared.head.clone() })
    }

    /// Forgets a reader and its position: entries no longer wait for it.
    ///
    /// # Errors
    /// When there is none of this name, or the file cannot be written.
    pub async fn forget_reader(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.ask(|answer| Command::ForgetReader { name, answer }).await?
    }

    /// A device's entries by the time of their first sample.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<Stored>> {
        self.file().history(query).await
    }

    /// The gaps of a device's sequences: first those that were folded, then those noticed last first.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn gaps(&self, device: &DeviceId, limit: usize) -> Result<Vec<Gap>> {
        self.file().gaps(device, limit).await
    }

    /// Its file, to be asked by those that only read.
    #[must_use]
    pub fn file(&self) -> HistoryFile {
        HistoryFile { pool: Arc::clone(&self.shared.pool) }
    }

    /// Removes all that is held of a device, and rebuilds the file so that no byte of it is left there. Reads and appends
    /// wait meanwhile, as long as writing the whole file takes, and the disk needs room for a second copy. What the device sends
    /// afterwards is kept again: revoke it first.
    ///
    /// # Errors
    /// [`JournalError::EraseIncomplete`] when the rows are gone but the file could not be rebuilt.
    pub async fn erase(&self, device: &DeviceId) -> Result<Erased> {
        let _no_reads = self.shared.pool.keep_out().await?;
        let device = device.clone();
        self.ask(|answer| Command::Erase { device, answer }).await?
    }

    /// Stretches of time whose sum is missing, at most `limit`, minutes first. With `settle` those that are over, as far as it is
    /// known: whose first entry came the stretch's length and so much ago. For one who makes them: what an earlier call
    /// gave is given again unless [`Journal::keep_sums`] came first.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn take_unmade(&self, settle: Option<Duration>, limit: usize) -> Result<Vec<Stretch>> {
        let settle_us = settle.map(|settle| u64::try_from(settle.as_micros()).unwrap_or(u64::MAX));
        self.ask(|answer| Command::TakeUnmade { settle_us, limit, answer }).await?
    }

    /// Keeps what was made of stretches that [`Journal::take_unmade`] gave, of what was read after that. One into which an entry came
    /// since then, or from which one went, is not kept. Nothing is kept of an empty one: it says that nothing is there.
    ///
    /// # Errors
    /// When it cannot be written, or the journal is closed.
    pub async fn keep_sums(&self, sums: Vec<(Stretch, Bytes)>) -> Result<()> {
        self.ask(|answer| Command::KeepSums { sums, answer }).await?
    }

    /// The newest committed position; 0 when there was none yet. Not every number up to it is, or was, an entry's.
    #[must_use]
    pub fn head(&self) -> u64 {
        *self.shared.head.borrow()
    }

    /// The same, to be watched.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<u64> {
        self.shared.head.clone()
    }

    /// Whether entries are taken, to be watched.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.clone()
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        let counters = &self.shared.counters;
        let head = self.head();
        JournalStats {
            head,
            committed: counters.committed.load(Ordering::Relaxed),
            duplicates: counters.duplicates.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            commit_us: counters.commit_us.load(Ordering::Relaxed),
            bytes_used: counters.bytes_used.load(Ordering::Relaxed),
            log_bytes: counters.log_bytes.load(Ordering::Relaxed),
            removed_by_age: counters.removed_by_age.load(Ordering::Relaxed),
            removed_by_size: counters.removed_by_size.load(Ordering::Relaxed),
            suspension: counters.suspension(),
            queued: self.shared.commands.max_capacity() - self.shared.commands.capacity(),
            readers: self.shared.readers.all().iter().map(|reader| lag_of(reader, head)).collect(),
        }
    }

    /// Commits what is queued, writes the positions of readers, and leaves the file without a log. Other handles get
    /// `Closed` from then on.
    pub async fn close(self) {
        let _ = self.shared.commands.send(Command::Close).await;
        // Reads that run are waited for; the permits end with the pool.
        let reads = self.shared.pool.keep_out().await;
        self.shared.pool.close();
        drop(reads);
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.shared.commands.send(command(answer)).await.map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Assurance;

    fn entry(sequence: u64) -> Entry {
        Entry {
            device: "dev-1".parse().unwrap(),
            boot: 1,
            sequence,
            received_us: 0,
            first_us: 0,
            span_us: 0,
            uncertainty_us: 0,
            samples: 1,
            assurance: Assurance::Authenticated,
            body: vec![1; 20_000].into(),
        }
    }

    async fn set_pages_max(journal: &Journal, pages_max: u32) {
        let sql = format!("PRAGMA max_page_count = {pages_max}");
        journal.ask(|answer| Command::Execute { sql, answer }).await.unwrap();
    }

    #[tokio::test]
    async fn database_that_may_not_grow_refuses_and_recovers_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), &JournalLimits::default()).unwrap();
        assert_eq!(journal.append(entry(1)).await.await, Outcome::Committed { position: 1 });
        set_pages_max(&journal, 20).await;
        let mut refused = 2;
        while journal.append(entry(refused)).await.await != Outcome::Refused(Refusal::DiskFull) {
            refused += 1;
        }
        let mut health = journal.health();
        assert!(matches!(*health.borrow_and_update(), Health::Full { held_by: None, .. }));
        // The next try opens the file again, with the bound that the limits give.
        health.wait_for(|health| *health == Health::Ok).await.unwrap();
        assert_eq!(journal.append(entry(refused)).await.await, Outcome::Committed { position: refused });
        assert_eq!(journal.append(entry(refused)).await.await, Outcome::Duplicate);
        journal.close().await;
    }
}
