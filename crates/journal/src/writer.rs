//! The one thread that writes: it gathers appends for a few milliseconds, commits them together, and only then answers.
//! Between commits it does its chores: positions of readers, age, size, and trying a failing disk again. It never answers
//! `Committed` for what is not on the disk.

use crate::counters::Counters;
use crate::entry::{Entry, Outcome, Refusal};
use crate::erase::Erased;
use crate::error::Result;
use crate::health::{HealthState, refusal_of};
use crate::ledger::Ledger;
use crate::readers::{ReaderKind, ReaderState, ReaderTable, Start};
use crate::retention::{self, Misses};
use crate::schema::beside;
use std::fs::File;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;
use vitalwire_access::DeviceId;

/// How much age may remove in one transaction, so that appends do not wait for it for long.
const AGE_SLICES_MAX: u32 = 16;
/// A commit ends with the entry whose body takes it past this many bytes, or past this part of the journal's bound: room
/// for it is made at once, by removing old entries.
const COMMIT_BYTES_MAX: u64 = 4 << 20;
const COMMIT_SHARE_OF_BOUND: u64 = 8;
/// What is written to see whether a disk that was full has room again.
const PROBE_BYTES: u32 = 65_536;

/// What the writer can be asked for. Each answer is sent when the thing is on the disk.
pub(crate) enum Command {
    Append(Append),
    GiveUp {
        device: DeviceId,
        boot: u64,
        below: u64,
        answer: oneshot::Sender<Result<Option<u64>, Refusal>>,
    },
    LastSequence {
        device: DeviceId,
        boot: u64,
        answer: oneshot::Sender<Result<Option<u64>>>,
    },
    OpenReader {
        name: String,
        kind: ReaderKind,
        start: Start,
        answer: oneshot::Sender<Result<Arc<ReaderState>>>,
    },
    ForgetReader {
        name: String,
        answer: oneshot::Sender<Result<()>>,
    },
    Erase {
        device: DeviceId,
        answer: oneshot::Sender<Result<Erased>>,
    },
    Close,
    #[cfg(test)]
    Execute {
        sql: String,
        answer: oneshot::Sender<()>,
    },
}

pub(crate) struct Append {
    pub(crate) entry: Entry,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

pub(crate) struct Writer {
    pub(crate) ledger: Ledger,
    pub(crate) readers: Arc<ReaderTable>,
    pub(crate) head: watch::Sender<u64>,
    pub(crate) health: HealthState,
    pub(crate) counters: Arc<Counters>,
    /// Held as long as the writer lives.
    pub(crate) lock: File,
    pub(crate) chores_due: Instant,
}

impl Writer {
    /// Serves until it is told to close, or no one is left to ask.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
            tracing::error!("the journal's writer cannot have a timer; the journal is closed");
            return;
        };
        runtime.block_on(self.serve(&mut commands));
        self.finish();
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
    async fn gather(
        &self,
        first: Command,
        commands: &mut mpsc::Receiver<Command>,
        group: &mut Vec<Append>,
    ) -> Option<Command> {
        let limits = &self.ledger.limits;
        let deadline = tokio::time::Instant::now() + limits.commit_interval;
        let bytes_max = COMMIT_BYTES_MAX.min(limits.bytes_max / COMMIT_SHARE_OF_BOUND);
        let (mut next, mut bytes) = (Some(first), 0);
        while let Some(command) = next {
            match command {
                Command::Append(append) => {
                    bytes += append.entry.body.len() as u64;
                    group.push(append);
                }
                other => return Some(other),
            }
            if group.len() >= limits.commit_entries_max || bytes >= bytes_max {
                break;
            }
            next = match commands.try_recv() {
                Ok(command) => Some(command),
                Err(_) => timeout_at(deadline, commands.recv()).await.ok().flatten(),
            };
        }
        None
    }

    fn commit(&mut self, group: &mut Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let now = Instant::now();
        let outcomes = match self.health.refuses(now) {
            Some(refusal) => vec![Outcome::Refused(refusal); group.len()],
            None => self.write(group).unwrap_or_else(|refusal| {
                self.health.failed(refusal.clone(), now);
                vec![Outcome::Refused(refusal); group.len()]
            }),
        };
        self.counters.count(&outcomes, now.elapsed());
        // Readers first: who is told of a commit finds it there.
        self.head.send_if_modified(|head| std::mem::replace(head, self.ledger.head) != self.ledger.head);
        for (append, outcome) in group.drain(..).zip(outcomes) {
            // No one may be waiting for it any more; it is written all the same.
            let _ = append.answer.send(outcome);
        }
    }

    fn write(&mut self, group: &[Append]) -> Result<Vec<Outcome>, Refusal> {
        let bytes = group.iter().map(|append| append.entry.body.len() as u64).sum();
        let entries = group.len() as u64;
        let readers = Arc::clone(&self.readers);
        let mut misses = Misses::new();
        let result = self.ledger.transact(|ledger| {
            let written = readers.write(ledger)?;
            if let Some(reader) = ledger.make_room(bytes, entries, &readers, &mut misses)? {
                return Ok((written, Err(Refusal::BoundReached { reader })));
            }
            let outcomes: rusqlite::Result<Vec<Outcome>> =
                group.iter().map(|append| ledger.take(&append.entry)).collect();
            Ok((written, Ok(outcomes?)))
        });
        let (written, outcomes) = result.map_err(|error| refusal_of(&error))?;
        ReaderTable::note_written(written);
        retention::put_in_force(misses);
        if outcomes.is_ok() {
            self.health.recovered();
        }
        outcomes
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
            Command::OpenReader { name, kind, start, answer } => {
                let _ = answer.send(self.readers.open(&mut self.ledger, &name, kind, start));
            }
            Command::ForgetReader { name, answer } => {
                let _ = answer.send(self.readers.forget(&mut self.ledger, &name));
            }
            Command::Erase { device, answer } => {
                let _ = answer.send(self.ledger.erase(&device));
            }
            #[cfg(test)]
            Command::Execute { sql, answer } => {
                self.ledger.connection.query_row(&sql, [], |_| Ok(())).expect("sound SQL");
                let _ = answer.send(());
            }
        }
    }

    fn give_up(&mut self, device: &DeviceId, boot: u64, below: u64) -> Result<Option<u64>, Refusal> {
        let now_us = now_us();
        self.ledger
            .transact(|ledger| ledger.give_up(device, boot, below, now_us))
            .unwrap_or_else(|error| Err(refusal_of(&error)))
    }

    /// What is due from time to time, whether there are appends or not.
    fn chores(&mut self) {
        let now = Instant::now();
        self.chores_due = now + self.ledger.limits.position_interval;
        if self.health.refuses(now).is_some() {
            return;
        }
        let retries = self.health.wants_retry(now);
        let done = if retries { self.retry() } else { Ok(None) }.and_then(|blocked| {
            self.keep()?;
            Ok(blocked)
        });
        match done {
            Ok(None) => self.health.recovered(),
            Ok(Some(reader)) => self.health.failed(Refusal::BoundReached { reader }, now),
            Err(error) => self.health.failed(refusal_of(&error), now),
        }
    }

    /// Sees whether what was wrong is over: opens the file again, writes the log back (which needs no room when the file
    /// has free pages, and frees the log), and writes something.
    fn retry(&mut self) -> rusqlite::Result<Option<String>> {
        if let Err(crate::JournalError::Database(error)) = self.ledger.reopen() {
            return Err(error);
        }
        self.ledger.checkpoint("RESTART")?;
        for bytes in [Some(PROBE_BYTES), None] {
            self.ledger.transact(|ledger| {
                ledger.connection.execute("UPDATE state SET probe = zeroblob(?1)", [bytes.unwrap_or(0)])
            })?;
        }
        let readers = Arc::clone(&self.readers);
        let mut misses = Misses::new();
        let (written, blocked) = self.ledger.transact(|ledger| {
            Ok((readers.write(ledger)?, ledger.make_room(u64::from(PROBE_BYTES), 0, &readers, &mut misses)?))
        })?;
        ReaderTable::note_written(written);
        retention::put_in_force(misses);
        Ok(blocked)
    }

    /// Positions, age and size.
    fn keep(&mut self) -> rusqlite::Result<()> {
        let age_us = self.ledger.limits.age_max.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let horizon_us = age_us.map_or(i64::MIN, |age_us| now_us().saturating_sub(age_us));
        let aged = age_us.is_some() && self.ledger.has_aged(horizon_us)?;
        if aged || self.readers.is_ahead_of_file() {
            let readers = Arc::clone(&self.readers);
            let mut misses = Misses::new();
            let written = self.ledger.transact(|ledger| {
                let written = readers.write(ledger)?;
                ledger.remove_aged(horizon_us, AGE_SLICES_MAX, &readers, &mut misses)?;
                Ok(written)
            })?;
            ReaderTable::note_written(written);
            retention::put_in_force(misses);
        }
        self.ledger.shrink()?;
        let log_bytes = std::fs::metadata(beside(&self.ledger.path, "-wal")).map_or(0, |log| log.len());
        if log_bytes > self.ledger.limits.wal_bytes_max {
            self.ledger.checkpoint("TRUNCATE")?;
        }
        self.counters.note_size(self.ledger.used_bytes()?, log_bytes);
        Ok(())
    }

    /// Leaves a file without a log behind it, as far as the disk allows.
    fn finish(mut self) {
        let left = if self.health.is_ok() { self.keep() } else { Ok(()) };
        if let Err(error) = left.and_then(|()| self.ledger.checkpoint("TRUNCATE")) {
            tracing::warn!(%error, "the journal's log is left beside its file; the next start reads it");
        }
        drop(self.ledger);
        drop(self.lock);
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
