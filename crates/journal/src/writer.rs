//! The one thread that writes: it gathers appends for some milliseconds, commits them together, and only then answers.
//! Between commits it does its chores: positions of readers, age, size, and trying a failing disk again. It never answers
//! `Committed` for what is not on the disk.

mod chores;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout_at;
use vitalwire_access::DeviceId;

use crate::boot_clock::BootClock;
use crate::clock::Clock;
use crate::command::{Append, Command};
use crate::counters::Counters;
use crate::entry::{Outcome, Refusal};
use crate::error::{JournalError, Result};
use crate::health::{HealthState, refusal_of};
use crate::ledger::{CLOCKS_WAITING_MAX, Ledger};
use crate::opening::{Opened, Place};
use crate::readers::ReaderTable;
use crate::retention::Removed;
use crate::steady::{Change, Steady};
use crate::sums::Stretch;

/// A commit ends with the entry whose body takes it past this many bytes, or past this part of the journal's bound: room
/// for it is made at once, by removing old entries.
const COMMIT_BYTES_MAX: u64 = 4 << 20;
const COMMIT_SHARE_OF_BOUND: u64 = 8;
/// How often the clocks are written to the file when nothing else asks for it.
const CLOCK_SAVE_US: u64 = 60_000_000;
/// How often removed entries are told in the log, after the first time.
const REMOVED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What the writer tells to others.
pub(crate) struct Announce {
    pub(crate) head: watch::Sender<u64>,
    pub(crate) health: HealthState,
    pub(crate) counters: Arc<Counters>,
}

/// The writer's thread: opens the files, unless they are open, and serves until it is told to close or no one is left to ask.
pub(crate) fn run(
    mut place: Place,
    opened: Option<Opened>,
    mut announce: Announce,
    mut commands: mpsc::Receiver<Command>,
) {
    let _span = tracing::info_span!("journal").entered();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        tracing::error!("the journal's writer cannot have a timer; the journal is closed");
        return;
    };
    runtime.block_on(async {
        let opened = match opened {
            Some(opened) => Some(opened),
            None => place.wait(&mut commands, &mut announce.health).await,
        };
        if let Some(opened) = opened {
            let mut writer = Writer::new(&place, opened, announce);
            writer.begin();
            writer.serve(&mut commands).await;
            writer.finish();
        }
    });
}

struct Writer {
    ledger: Ledger,
    clock: Clock,
    steady: Steady,
    /// The uptime at which `steady` was last written; `None` when it is to be written with the next transaction.
    steady_saved_us: Option<u64>,
    readers: Arc<ReaderTable>,
    announce: Announce,
    /// Removed and not yet told in the log, and when it was told last.
    removed: Removed,
    removed_told: Option<Instant>,
    chores_due: Instant,
}

impl Writer {
    fn new(place: &Place, opened: Opened, announce: Announce) -> Self {
        let Opened { ledger, steady } = opened;
        Self {
            ledger,
            clock: Arc::clone(&place.clock),
            steady,
            steady_saved_us: None,
            readers: Arc::clone(&place.readers),
            announce,
            removed: Removed::default(),
            removed_told: None,
            chores_due: Instant::now(),
        }
    }

    /// Looks at the clocks, and whether the disk takes anything: no device may send for a while.
    fn begin(&mut self) {
        self.announce.head.send_replace(self.ledger.head);
        self.announce.counters.note_suspension(self.steady.suspension);
        if let Some(suspension) = self.steady.suspension {
            tracing::warn!(trouble = %suspension.trouble, "still nothing is deleted by age");
        }
        self.look_at_clock();
        match self.probe() {
            Ok(()) => self.announce.health.recovered(),
            Err(error) => self.announce.health.failed(refusal_of(&error), Instant::now()),
        }
    }

    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut group = Vec::new();
        loop {
            let command = match timeout_at(self.chores_due.into(), commands.recv()).await {
                Err(_) => None,
                Ok(None) => return,
                Ok(Some(command)) => self.gather(command, commands, &mut group).await,
            };
            self.commit(&mut group);
            match command {
                // Bounded: a closed queue takes nothing new, and what is in it is still written.
                Some(Command::Close) => commands.close(),
                Some(command) => self.execute(command),
                None => {}
            }
            if Instant::now() >= self.chores_due {
                self.chores();
            }
        }
    }

    /// Fills the group; gives back the command that is no append and so ends it.
    ///
    /// It sleeps instead of being woken by each append: that costs more than the append itself. It sleeps also when one comes alone:
    /// the next may be near, and a commit costs much more than what it commits.
    async fn gather(
        &self,
        first: Command,
        commands: &mut mpsc::Receiver<Command>,
        group: &mut Vec<Append>,
    ) -> Option<Command> {
        let limits = &self.ledger.limits;
        let deadline = tokio::time::Instant::now() + limits.commit_interval;
        let bytes_max = COMMIT_BYTES_MAX.min(limits.bytes_max / COMMIT_SHARE_OF_BOUND);
        let (mut next, mut bytes, mut has_slept) = (Some(first), 0, false);
        loop {
            while let Some(command) = next {
                match command {
                    Command::Append(append) => {
                        bytes += append.entry.body.len() as u64;
                        group.push(append);
                    }
                    other => return Some(other),
                }
                if group.len() >= limits.commit_entries_max || bytes >= bytes_max {
                    return None;
                }
                next = commands.try_recv().ok();
            }
            if has_slept {
                return None;
            }
            tokio::time::sleep_until(deadline).await;
            has_slept = true;
            next = commands.try_recv().ok();
        }
    }

    fn commit(&mut self, group: &mut Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let _span = tracing::debug_span!("commit", entries = group.len()).entered();
        let now = Instant::now();
        let outcomes = match self.announce.health.refuses(now) {
            Some(refusal) => vec![Outcome::Refused(refusal); group.len()],
            None => self.write(group).unwrap_or_else(|refusal| {
                self.announce.health.failed(refusal.clone(), now);
                vec![Outcome::Refused(refusal); group.len()]
            }),
        };
        self.announce.counters.count(&outcomes, now.elapsed());
        // Readers first: who is told of a commit finds it there.
        let newest = self.ledger.head;
        self.announce.head.send_if_modified(|head| std::mem::replace(head, newest) != newest);
        for (append, outcome) in group.drain(..).zip(outcomes) {
            // No one may be waiting for it any more; it is written all the same.
            let _ = append.answer.send(outcome);
        }
    }

    fn write(&mut self, group: &[Append]) -> Result<Vec<Outcome>, Refusal> {
        let bytes = group.iter().map(|append| append.entry.body.len() as u64).sum();
        let entries = group.len() as u64;
        self.look_at_clock();
        let (readers, kept_us) = (Arc::clone(&self.readers), self.steady.journal_us());
        let mut removed = Removed::default();
        let result = self.transact(|ledger| {
            let written = readers.write(ledger)?;
            if let Some(reader) = ledger.make_room(bytes, entries, &readers, &mut removed)? {
                return Ok((written, Err(Refusal::BoundReached { reader })));
            }
            let outcomes: rusqlite::Result<Vec<Outcome>> =
                group.iter().map(|append| ledger.take(&append.entry, kept_us)).collect();
            Ok((written, Ok(outcomes?)))
        });
        let (written, outcomes) = result.map_err(|error| refusal_of(&error))?;
        ReaderTable::note_written(written);
        self.note_removed(removed);
        if outcomes.is_ok() {
            self.announce.health.recovered();
        }
        outcomes
    }

    /// A transaction that also writes the clocks, when that is due.
    fn transact<T>(&mut self, run: impl FnOnce(&mut Ledger) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let (steady, is_due) = (self.steady, self.is_clock_due());
        let value = self.ledger.transact(|ledger| {
            if is_due {
                ledger.save_clock(&steady)?;
            }
            run(ledger)
        })?;
        if is_due {
            self.steady_saved_us = Some(steady.last.uptime_us);
        }
        Ok(value)
    }

    fn is_clock_due(&self) -> bool {
        self.steady_saved_us
            .is_none_or(|saved_us| self.steady.last.uptime_us.abs_diff(saved_us) >= CLOCK_SAVE_US)
    }

    fn look_at_clock(&mut self) {
        let Some(change) = self.steady.look((self.clock)()) else { return };
        self.steady_saved_us = None;
        self.announce.counters.note_suspension(self.steady.suspension);
        match change {
            Change::Suspended(suspension) => tracing::warn!(
                trouble = %suspension.trouble,
                "nothing is deleted by age until the clock has been steady for a day, or `vitalwire journal confirm-clock` \
                 says that it is right"
            ),
            Change::Resumed => {
                tracing::info!("the clock has been steady for a day: entries are deleted by age again")
            }
        }
    }

    fn note_removed(&mut self, removed: Removed) {
        self.announce.counters.note_removed(removed);
        self.removed.add(removed);
    }

    /// One line for all that was removed since the last one.
    fn tell_removed(&mut self, now: Instant) {
        let is_due = self.removed_told.is_none_or(|told| now - told >= REMOVED_LOG_INTERVAL);
        if self.removed == Removed::default() || !is_due {
            return;
        }
        let Removed { by_age, by_size } = std::mem::take(&mut self.removed);
        self.removed_told = Some(now);
        tracing::info!(by_age, by_size, "the journal removed its oldest entries");
    }

    fn execute(&mut self, command: Command) {
        // An answer that no one waits for any more is dropped.
        match command {
            Command::Append(_) | Command::Close => {}
            Command::GiveUp { device, boot, below, answer } => {
                let _ = answer.send(self.give_up(&device, boot, below));
            }
            Command::LastSequence { device, boot, answer } => {
                let _ = answer.send(self.ledger.last_sequence(&device, boot).map_err(Into::into));
            }
            Command::NoteClock { device, boot, clock } => self.note_clock(device, boot, clock),
            Command::BootClock { device, boot, answer } => {
                let _ = answer.send(self.ledger.boot_clock(&device, boot).map_err(Into::into));
            }
            Command::OpenReader { name, answer } => {
                let _ = answer.send(self.readers.open(&mut self.ledger, &name));
            }
            Command::ForgetReader { name, answer } => {
                let _ = answer.send(self.readers.forget(&mut self.ledger, &name));
            }
            Command::Erase { device, answer } => {
                let _span = tracing::info_span!("erase", %device).entered();
                let _ = answer.send(self.ledger.erase(&device));
            }
            Command::TakeUnmade { settle_us, limit, answer } => {
                let now_us = self.steady.journal_us();
                let _ = answer.send(self.ledger.take_unmade(now_us, settle_us, limit).map_err(Into::into));
            }
            Command::KeepSums { sums, answer } => {
                let _ = answer.send(self.keep_sums(&sums));
            }
            #[cfg(test)]
            Command::Execute { sql, answer } => {
                self.ledger.connection.query_row(&sql, [], |_| Ok(())).expect("sound SQL");
                let _ = answer.send(());
            }
        }
    }

    fn give_up(&mut self, device: &DeviceId, boot: u64, below: u64) -> Result<Option<u64>, Refusal> {
        let now_us = (self.clock)().wall_us;
        self.ledger
            .transact(|ledger| ledger.give_up(device, boot, below, now_us))
            .map_err(|error| refusal_of(&error))
    }

    /// Not while the disk is full: what was acknowledged needs the room.
    fn keep_sums(&mut self, sums: &[(Stretch, Bytes)]) -> Result<()> {
        if let Some(refusal) = self.announce.health.refuses(Instant::now()) {
            return Err(JournalError::NotOpen { path: self.ledger.path.clone(), refusal });
        }
        let keep =
            |ledger: &mut Ledger| sums.iter().try_for_each(|(stretch, body)| ledger.keep_sum(stretch, body));
        Ok(self.ledger.transact(keep)?)
    }

    fn note_clock(&mut self, device: DeviceId, boot: u64, clock: BootClock) {
        self.ledger.note_clock(device, boot, clock);
        if self.ledger.clocks_waiting() >= CLOCKS_WAITING_MAX
            && let Err(error) = self.ledger.transact(|_| Ok(()))
        {
            self.announce.health.failed(refusal_of(&error), Instant::now());
            self.ledger.drop_clocks();
        }
    }

    /// Leaves a file without a log behind it, as far as the disk allows.
    fn finish(mut self) {
        // So that the next start knows when the clocks were last looked at.
        self.steady_saved_us = None;
        let left = if self.announce.health.is_ok() { self.keep() } else { Ok(()) };
        self.removed_told = None;
        self.tell_removed(Instant::now());
        if let Err(error) = left.and_then(|()| self.ledger.checkpoint("TRUNCATE")) {
            tracing::warn!(%error, "the journal's log is left beside its file; the next start reads it");
        }
    }
}
