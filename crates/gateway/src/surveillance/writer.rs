//! Writes alarms to the registry before they are told. While that cannot be, they are told all the same, wait in bounded memory, and
//! are written when it can be again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use vitalwire_access::DeviceId;
use vitalwire_registry::{AlarmWrite, RegistryError};

use super::core::{Batch, Told};
use crate::enrolment::Enrolment;

/// Changes that wait for the registry. At it the oldest go: they were told, and a restart does not know them.
const WAITING_MAX: usize = 100_000;
/// Written in one transaction.
const WRITES_MAX: usize = 5_000;
/// A registry that takes longer than this does not hold alarms up.
const PATIENCE: Duration = Duration::from_millis(500);
/// After a failure it is tried again so much later.
const RETRY: Duration = Duration::from_secs(1);

type Written = JoinHandle<Result<(), RegistryError>>;

/// See the module.
pub(super) struct Writer {
    enrolment: Enrolment,
    /// What was not written yet, the oldest first; the first `under_way` of them are being written.
    waiting: VecDeque<AlarmWrite>,
    under_way: usize,
    writing: Option<Written>,
    begun: Instant,
    /// Told when what is under way is written, or takes too long.
    told: Vec<Told>,
    is_failing: bool,
    retry: Option<Instant>,
    lost: u64,
}

impl Writer {
    pub(super) fn new(enrolment: Enrolment) -> Self {
        Self {
            enrolment,
            waiting: VecDeque::new(),
            under_way: 0,
            writing: None,
            begun: Instant::now(),
            told: Vec::new(),
            is_failing: false,
            retry: None,
            lost: 0,
        }
    }

    /// Whether all that was told is written, but for what is under way.
    pub(super) fn is_recorded(&self) -> bool {
        !self.is_failing
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a batch may come: what is to be told waits for the one before.
    pub(super) fn is_free(&self) -> bool {
        self.writing.is_none() || self.is_failing
    }

    /// Takes a batch; what of it is told already now.
    pub(super) fn take(&mut self, batch: Batch, now: Instant) -> Vec<Told> {
        self.waiting.extend(batch.writes);
        while self.waiting.len() > WAITING_MAX + self.under_way {
            let oldest = self.waiting.remove(self.under_way);
            if oldest.is_some() && self.lost == 0 {
                tracing::error!(
                    "so many changes of alarms wait for the registry that the oldest are not kept"
                );
            }
            self.lost += 1;
        }
        if self.is_failing || self.waiting.is_empty() {
            return batch.told;
        }
        self.told = batch.told;
        self.write(now);
        Vec::new()
    }

    /// Begins to write what waits, if nothing is under way and it is time.
    pub(super) fn write(&mut self, now: Instant) {
        if self.writing.is_some() || self.waiting.is_empty() || self.retry.is_some_and(|at| now < at) {
            return;
        }
        let writes: Vec<_> = self.waiting.iter().take(WRITES_MAX).cloned().collect();
        self.under_way = writes.len();
        (self.begun, self.retry) = (now, None);
        let enrolment = self.enrolment.clone();
        self.writing = Some(tokio::spawn(async move { enrolment.write_alarms(writes).await }));
    }

    /// Resolves when what is under way is written or not; never when nothing is. A dropped future has taken nothing.
    pub(super) async fn finished(&mut self) -> Result<(), RegistryError> {
        match &mut self.writing {
            // It ends without a result only with the runtime.
            Some(writing) => writing.await.unwrap_or(Ok(())),
            None => std::future::pending().await,
        }
    }

    /// Notes how it ended; what is told now.
    pub(super) fn settle(&mut self, result: Result<(), RegistryError>, now: Instant) -> Vec<Told> {
        self.writing = None;
        let under_way = std::mem::take(&mut self.under_way);
        match result {
            Ok(()) => {
                self.waiting.drain(..under_way.min(self.waiting.len()));
                if self.is_failing && self.waiting.is_empty() {
                    self.is_failing = false;
                    tracing::info!("alarms are written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "alarms cannot be written: they are told all the same; trying again");
                }
                self.retry = Some(now + RETRY);
            }
        }
        self.write(now);
        std::mem::take(&mut self.told)
    }

    /// What has waited for the registry for too long.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Told> {
        if self.writing.is_some() && now.saturating_duration_since(self.begun) >= PATIENCE && !self.is_failing
        {
            self.is_failing = true;
            tracing::warn!("the registry is slow: alarms are told before they are written");
            return std::mem::take(&mut self.told);
        }
        Vec::new()
    }

    /// Nothing of an erased device is told or written.
    pub(super) fn forget(&mut self, device: &DeviceId) {
        let mut batch = Batch { writes: Vec::new(), told: std::mem::take(&mut self.told) };
        batch.forget(device);
        self.told = batch.told;
        let mut place = 0;
        let under_way = self.under_way;
        self.waiting.retain(|write| {
            place += 1;
            // Those under way are counted; the registry leaves out what it does not know.
            place <= under_way || write.device.as_ref() != Some(device)
        });
    }
}
