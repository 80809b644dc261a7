//! What comes from devices goes two ways: at once to the publisher, and into the journal, after whose commit the device
//! is told that its readings are safe. What the publisher could not take, the backfill reads from the journal.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vitalwire_access::DeviceId;
use vitalwire_journal::{Entry, Health, Journal, Outcome, Receipt};

use crate::clock::DeviceClock;
use crate::metrics::Metrics;
use crate::ticket::{Claims, Delivery, Ticket};

/// A batch whose last value is older than this when it comes is not published at once: it is a backlog, which the
/// backfill publishes in order and at its own pace.
pub(crate) const LIVE_AGE_US_MAX: i64 = 10_000_000;
/// Batches of a device that the journal refused before the broker had them, remembered at once. At it, what was published
/// of the device is forgotten: what it sends again is published again.
const REFUSED_MAX: usize = 4_096;

/// The way into the journal.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) journal: Journal,
    pub(crate) claims: Arc<Claims>,
    metrics: Metrics,
    memory: Mutex<HashMap<DeviceId, Memory>>,
    /// The tickets of what is on its way to the disk, by device, boot and sequence: the backfill may find an entry
    /// before its connection has learnt of the commit. Bounded by what connections have on their way.
    under_way: Mutex<HashMap<(DeviceId, u64, u64), Arc<Ticket>>>,
    /// Counts erasures. Held while something out of the journal is handed to the publisher, which must not be what was
    /// read before an erasure.
    pub(crate) erasures: tokio::sync::Mutex<u64>,
}

/// What is remembered of a device across its connections.
#[derive(Debug, Default)]
struct Memory {
    live: Option<LiveRange>,
    /// The clock of its latest boot.
    clock: Option<(u64, DeviceClock)>,
}

/// Batches of a boot that were published at once: from `first` to `last`, without gaps. Remembered a device, so that
/// a batch that a device sends again after a lost connection is not published again.
#[derive(Debug)]
struct LiveRange {
    boot: u64,
    first: u64,
    last: u64,
    /// Of these the journal refused some before the broker had them, and the broker may never get them.
    refused: BTreeMap<u64, Arc<Ticket>>,
}

/// A batch's identity in the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNumber<'a> {
    pub(crate) device: &'a DeviceId,
    pub(crate) boot: u64,
    pub(crate) sequence: u64,
}

/// Whether a batch is to be published at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It is new.
    Fresh,
    /// It was published before; the device sends it again because it was not acknowledged.
    Published,
    /// It is too old, or out of turn.
    Backlog,
}

/// An entry on its way to the disk.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Device, boot and sequence.
    number: (DeviceId, u64, u64),
    receipt: Receipt,
    ticket: Arc<Ticket>,
}

impl Ingest {
    pub(crate) fn new(journal: Journal, metrics: Metrics) -> Self {
        let (claims, memory, under_way) = (Arc::default(), Mutex::default(), Mutex::default());
        Self { journal, claims, metrics, memory, under_way, erasures: tokio::sync::Mutex::default() }
    }

    /// Whether the journal takes entries.
    pub(crate) fn is_healthy(&self) -> bool {
        *self.journal.health().borrow() == Health::Ok
    }

    /// Hands an entry to the journal; waits while its queue is full, so that its device is read no further.
    pub(crate) async fn append(&self, entry: Entry, ticket: Arc<Ticket>) -> Pending {
        let number = (entry.device.clone(), entry.boot, entry.sequence);
        self.under_way().entry(number.clone()).or_insert_with(|| Arc::clone(&ticket));
        Pending { number, receipt: self.journal.append(entry).await, ticket }
    }

    /// Waits for an entry's fate and lets the backfill know who published it.
    pub(crate) async fn settle(&self, pending: Pending) -> (u64, Outcome) {
        let Pending { number, receipt, ticket } = pending;
        let outcome = receipt.await;
        match &outcome {
            Outcome::Committed { position } => {
                if ticket.state() != Delivery::Dropped {
                    self.claims.claim(*position, Arc::clone(&ticket));
                }
                self.metrics.journaled.inc();
            }
            Outcome::Duplicate => drop(self.metrics.duplicates.inc()),
            Outcome::Refused(refusal) => {
                self.metrics.unjournaled.inc();
                tracing::debug!(refusal = refusal.label(), "the journal refused an entry");
                if ticket.state() != Delivery::Delivered {
                    self.note_refused(&number, &ticket);
                }
            }
        }
        let sequence = number.2;
        let mut under_way = self.under_way();
        if under_way.get(&number).is_some_and(|known| Arc::ptr_eq(known, &ticket)) {
            under_way.remove(&number);
        }
        drop(under_way);
        (sequence, outcome)
    }

    /// Takes the ticket of an entry in the journal; `None` when no one published it.
    pub(crate) fn take_ticket(&self, position: u64, entry: &Entry) -> Option<Arc<Ticket>> {
        let number = (entry.device.clone(), entry.boot, entry.sequence);
        let under_way = || self.under_way().get(&number).cloned();
        // The claim comes before it is no longer under way, so that it is found the second time.
        self.claims.take(position).or_else(under_way).or_else(|| self.claims.take(position))
    }

    pub(crate) fn liveness(&self, number: BatchNumber<'_>, last_us: i64, now_us: i64) -> Liveness {
        let devices = self.memory();
        let live = devices.get(number.device).and_then(|memory| memory.live.as_ref());
        match live.filter(|range| range.boot == number.boot) {
            Some(range) if (range.first..=range.last).contains(&number.sequence) => Liveness::Published,
            Some(range) if number.sequence < range.first => Liveness::Backlog,
            _ if now_us.saturating_sub(last_us) > LIVE_AGE_US_MAX => Liveness::Backlog,
            _ => Liveness::Fresh,
        }
    }

    /// The ticket of a batch that was published before and is sent again.
    pub(crate) fn ticket_again(&self, number: BatchNumber<'_>) -> Arc<Ticket> {
        let mut devices = self.memory();
        let live = devices.get_mut(number.device).and_then(|memory| memory.live.as_mut());
        let refused = live
            .filter(|range| range.boot == number.boot)
            .and_then(|range| range.refused.remove(&number.sequence));
        refused.unwrap_or_else(Ticket::delivered)
    }

    fn note_refused(&self, (device, boot, sequence): &(DeviceId, u64, u64), ticket: &Arc<Ticket>) {
        self.remember(device, |memory| {
            let Some(range) = memory.live.as_mut().filter(|range| range.boot == *boot) else { return };
            if range.refused.len() >= REFUSED_MAX {
                range.refused.retain(|_, ticket| ticket.state() != Delivery::Delivered);
            }
            if range.refused.len() >= REFUSED_MAX {
                memory.live = None;
            } else if (range.first..=range.last).contains(sequence) {
                range.refused.insert(*sequence, Arc::clone(ticket));
            }
        });
    }

    /// Notes that a batch was handed to the publisher at once.
    pub(crate) fn note_live(&self, number: BatchNumber<'_>) {
        let BatchNumber { device, boot, sequence } = number;
        self.remember(device, |memory| match &mut memory.live {
            Some(range) if range.boot == boot && range.last + 1 == sequence => range.last = sequence,
            live => {
                *live = Some(LiveRange { boot, first: sequence, last: sequence, refused: BTreeMap::new() })
            }
        });
    }

    /// Notes how a boot's clock was mapped.
    pub(crate) fn note_clock(&self, device: &DeviceId, boot: u64, clock: DeviceClock) {
        self.remember(device, |memory| memory.clock = Some((boot, clock)));
    }

    /// How the clock of this boot was mapped, if it is the latest that was.
    pub(crate) fn clock_of(&self, device: &DeviceId, boot: u64) -> Option<DeviceClock> {
        let (mapped, clock) = self.memory().get(device)?.clock?;
        (mapped == boot).then_some(clock)
    }

    /// Forgets a device.
    pub(crate) fn forget(&self, device: &DeviceId) {
        self.memory().remove(device);
    }

    fn remember(&self, device: &DeviceId, note: impl FnOnce(&mut Memory)) {
        let mut devices = self.memory();
        match devices.get_mut(device) {
            Some(memory) => note(memory),
            None => note(devices.entry(device.clone()).or_default()),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<(DeviceId, u64, u64), Arc<Ticket>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bounded by the number of devices ever enrolled while the process runs.
    fn memory(&self) -> MutexGuard<'_, HashMap<DeviceId, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitalwire_journal::{Assurance, BODY_BYTES_MAX, JournalLimits};

    #[tokio::test]
    async fn a_batch_that_comes_again_is_not_live_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), &JournalLimits::default()).unwrap();
        let ingest = Ingest::new(journal, Metrics::new());
        let device: DeviceId = "d".parse().unwrap();
        let of = |boot, sequence| BatchNumber { device: &device, boot, sequence };
        let liveness = |number| ingest.liveness(number, 0, 1_000_000);
        assert_eq!(liveness(of(1, 5)), Liveness::Fresh);
        ingest.note_live(of(1, 5));
        ingest.note_live(of(1, 6));
        assert_eq!([4, 5, 6, 7].map(|n| liveness(of(1, n))), {
            use Liveness::{Backlog, Fresh, Published};
            [Backlog, Published, Published, Fresh]
        });
        assert_eq!(liveness(of(2, 5)), Liveness::Fresh, "another boot");
        assert_eq!(ingest.liveness(of(1, 7), 0, LIVE_AGE_US_MAX + 1), Liveness::Backlog, "too old");
        // A batch that the publisher did not take leaves a hole: what came before it is no longer known.
        ingest.note_live(of(1, 8));
        assert_eq!([6, 7, 8].map(|n| liveness(of(1, n))), {
            use Liveness::{Backlog, Published};
            [Backlog, Backlog, Published]
        });
    }

    #[tokio::test]
    async fn what_neither_journal_nor_broker_took_is_published_when_it_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), &JournalLimits::default()).unwrap();
        let ingest = Ingest::new(journal, Metrics::new());
        let device: DeviceId = "d".parse().unwrap();
        let number = BatchNumber { device: &device, boot: 1, sequence: 1 };
        let entry = |len: usize| Entry {
            device: device.clone(),
            boot: 1,
            sequence: 1,
            received_us: 0,
            first_us: 0,
            span_us: 0,
            uncertainty_us: 0,
            samples: 1,
            assurance: Assurance::Authenticated,
            body: vec![0; len].into(),
        };
        // It waits for the broker when the journal refuses it; then its place is needed for newer ones.
        let ticket = Ticket::new();
        ticket.expect();
        ingest.note_live(number);
        let pending = ingest.append(entry(BODY_BYTES_MAX + 1), Arc::clone(&ticket)).await;
        assert!(matches!(ingest.settle(pending).await.1, Outcome::Refused(_)));
        ticket.drop_reading();
        assert_eq!(ingest.liveness(number, 0, 0), Liveness::Published);
        let again = ingest.ticket_again(number);
        let pending = ingest.append(entry(1), again).await;
        let Outcome::Committed { position } = ingest.settle(pending).await.1 else { panic!("not taken") };
        assert!(ingest.take_ticket(position, &entry(1)).is_none(), "the backfill is to publish it");
    }
}
