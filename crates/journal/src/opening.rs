//! Opening the journal's files, and waiting for a disk that has no room for them: a server must start all the same, serve
//! what is live, and go on by itself when there is room.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout_at;

use crate::clock::Clock;
use crate::command::Command;
use crate::disk::refusal_at_start;
use crate::entry::{Outcome, Refusal};
use crate::error::{JournalError, Result};
use crate::health::HealthState;
use crate::ledger::Ledger;
use crate::limits::{JournalLimits, RETRY_MS};
use crate::readers::ReaderTable;
use crate::schema;
use crate::steady::Steady;

/// What the writer works on.
pub(crate) struct Opened {
    pub(crate) ledger: Ledger,
    pub(crate) steady: Steady,
}

/// What is needed to open it.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) limits: JournalLimits,
    pub(crate) clock: Clock,
    pub(crate) readers: Arc<ReaderTable>,
    /// Held as long as the writer lives, also while the files cannot be opened: a second one must not wait for them too.
    pub(crate) lock: Option<File>,
}

impl Place {
    pub(crate) fn open(&mut self) -> Result<Opened> {
        if self.lock.is_none() {
            self.lock = Some(schema::lock(&self.path)?);
        }
        schema::make(&self.path)?;
        let ledger = Ledger::open(&self.path, &self.limits)?;
        self.readers.load(&ledger)?;
        let now = (self.clock)();
        let steady = ledger.saved_clock(now)?.unwrap_or_else(|| Steady::new(now));
        Ok(Opened { ledger, steady })
    }

    /// `None` when it is the disk that keeps it from being opened: then it is worth to wait.
    pub(crate) fn open_or_wait(&mut self, health: &mut HealthState) -> Result<Option<Opened>> {
        match self.open() {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => match refusal_at_start(&error, &self.path) {
                Some(refusal) => {
                    health.failed(refusal, Instant::now());
                    Ok(None)
                }
                None => Err(error),
            },
        }
    }

    /// Tries until the files can be opened, and refuses everything meanwhile. `None` when no one needs them any more, or
    /// when another failure than the disk's came up.
    pub(crate) async fn wait(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        health: &mut HealthState,
    ) -> Option<Opened> {
        let mut due = Instant::now() + Duration::from_millis(RETRY_MS);
        loop {
            match timeout_at(due.into(), commands.recv()).await {
                Ok(None | Some(Command::Close)) => return None,
                Ok(Some(command)) => refuse(command, health, &self.path),
                Err(_) => {
                    due = Instant::now() + Duration::from_millis(RETRY_MS);
                    match self.open_or_wait(health) {
                        Ok(Some(opened)) => return Some(opened),
                        Ok(None) => {}
                        Err(error) => {
                            // It may be mended from outside, as the disk is.
                            let cause = error.to_string();
                            health.failed(Refusal::Failing { cause }, Instant::now());
                        }
                    }
                }
            }
        }
    }
}

/// Nothing is known of what is held, so nothing may be acknowledged.
fn refuse(command: Command, health: &HealthState, path: &Path) {
    let refusal = health.refusal().unwrap_or(Refusal::DiskFull);
    let error = || JournalError::NotOpen { path: path.to_owned(), refusal: refusal.clone() };
    // An answer that no one waits for any more is dropped.
    match command {
        Command::Append(append) => drop(append.answer.send(Outcome::Refused(refusal))),
        Command::GiveUp { answer, .. } => drop(answer.send(Err(refusal))),
        Command::LastSequence { answer, .. } => drop(answer.send(Ok(None))),
        Command::BootClock { answer, .. } => drop(answer.send(Ok(None))),
        Command::OpenReader { answer, .. } => drop(answer.send(Err(error()))),
        Command::ForgetReader { answer, .. } => drop(answer.send(Err(error()))),
        Command::Erase { answer, .. } => drop(answer.send(Err(error()))),
        Command::TakeUnmade { answer, .. } => drop(answer.send(Err(error()))),
        Command::KeepSums { answer, .. } => drop(answer.send(Err(error()))),
        Command::NoteClock { .. } | Command::Close => {}
        #[cfg(test)]
        Command::Execute { answer, .. } => drop(answer.send(())),
    }
}
