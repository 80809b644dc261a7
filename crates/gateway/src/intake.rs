//! The intake: the only way from a connection to the journal and to those who read along. What comes goes two ways: at once
//! to the feed, and into the journal, after whose commit the device is told that its readings are safe. What the publisher, a
//! reader of the feed, could not take, the backfill reads from the journal.

mod comparison;
mod derived;
mod group;
mod memory;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

pub(crate) use comparison::Duplicate;
pub(crate) use derived::{Derived, Moment};
pub(crate) use group::Group;
use tokio::sync::{Notify, watch};
use vitalwire_access::DeviceId;
use vitalwire_journal::{
    Entry, Health, HistoryFile, HistoryQuery, Journal, JournalError, JournalStats, Outcome, Reader,
    Receipt as JournalReceipt, Refusal, Stored,
};

use self::memory::{BatchNumber, Liveness, Memory};
use crate::clock::DeviceClock;
use crate::feed::{Feed, Promise};
use crate::measurement::Measurement;
use crate::metrics::Metrics;
use crate::reading::{Reading, Values};
use crate::ticket::{Claims, Delivery, Ticket};

/// See the module.
pub(crate) struct Intake {
    journal: Journal,
    feed: Feed,
    claims: Claims,
    health: watch::Receiver<Health>,
    metrics: Metrics,
    memory: Memory,
    /// The tickets of what is on its way to the disk: the backfill may find an entry before its connection has learnt of
    /// the commit. Bounded by what connections have on their way.
    under_way: Mutex<HashMap<BatchNumber, Arc<Ticket>>>,
    /// Told when nothing is.
    settled: Notify,
    /// Counts erasures. Held while something out of the journal is handed to the publisher, which must not be what was
    /// read before an erasure.
    erasures: tokio::sync::Mutex<u64>,
}

/// What becomes of a measurement in the journal: its sequence, and the outcome. It has to be waited for, whatever becomes of the
/// connection, for the backfill learns by it what was published.
#[must_use = "only what it resolves to says whether the measurement is durable"]
pub(crate) struct Receipt {
    intake: Arc<Intake>,
    number: BatchNumber,
    receipt: JournalReceipt,
    ticket: Arc<Ticket>,
    source: Source,
}

/// Where an entry comes from, to be counted.
#[derive(Clone, Copy, Debug)]
enum Source {
    Device,
    /// What the server derives.
    Server,
}

impl Future for Receipt {
    type Output = (u64, Outcome);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = std::task::ready!(Pin::new(&mut self.receipt).poll(context));
        self.intake.settle(&self.number, &self.ticket, &outcome, self.source);
        Poll::Ready((self.number.sequence, outcome))
    }
}

impl Intake {
    pub(crate) fn new(journal: Journal, feed: Feed, metrics: Metrics) -> Self {
        Self {
            health: journal.health(),
            journal,
            feed,
            claims: Claims::default(),
            metrics,
            memory: Memory::default(),
            under_way: Mutex::default(),
            settled: Notify::new(),
            erasures: tokio::sync::Mutex::default(),
        }
    }

    /// Takes what a device sent: tells the feed if it is new, and hands it to the journal. Waits while the journal's queue is
    /// full, so that the device is read no further.
    pub(crate) async fn take(self: &Arc<Self>, measurement: Measurement) -> Receipt {
        let entry = measurement.entry();
        let Measurement { reading, received_us, may_be_held, .. } = measurement;
        let number = BatchNumber { device: entry.device.clone(), boot: entry.boot, sequence: entry.sequence };
        self.count(&reading);
        let ticket = match self.memory.liveness(&number, reading.is_live(received_us)) {
            Liveness::Published => self.memory.ticket_again(&number),
            Liveness::Backlog => {
                self.feed.late(reading);
                Ticket::dropped()
            }
            Liveness::Fresh if may_be_held => Ticket::dropped(),
            Liveness::Fresh => {
                let ticket = Ticket::new();
                self.publish(reading, &ticket).await;
                if ticket.state() != Delivery::Dropped {
                    self.memory.note_live(&number);
                }
                ticket
            }
        };
        self.append(number, entry, ticket, Source::Device).await
    }

    /// Takes a sample of a device that is told nothing: tells the feed, and adds it to its connection's group.
    pub(crate) async fn take_sample(self: &Arc<Self>, group: &mut Group, sample: Measurement) {
        if !group.takes(&sample) {
            Box::pin(self.journal_group(group)).await;
        }
        group.add(&sample, Instant::now());
        self.count(&sample.reading);
        self.publish(sample.reading, group.ticket()).await;
        if group.is_full() {
            Box::pin(self.journal_group(group)).await;
        }
    }

    /// Hands a group to the journal. Its device is told nothing, so no one waits for the commit.
    pub(crate) async fn journal_group(self: &Arc<Self>, group: &mut Group) {
        let Some((entry, ticket)) = group.take() else { return };
        self.journal_unacknowledged(entry, ticket, Source::Device).await;
    }

    async fn journal_unacknowledged(self: &Arc<Self>, entry: Entry, ticket: Arc<Ticket>, source: Source) {
        let number = BatchNumber { device: entry.device.clone(), boot: entry.boot, sequence: entry.sequence };
        tokio::spawn(self.append(number, entry, ticket, source).await);
    }

    /// Takes what was derived of one second: adds it to its patient's entry, and tells the feed unless it is of a backlog. That the
    /// backfill publishes when the entry is there.
    pub(crate) async fn take_derived(
        self: &Arc<Self>,
        derived: &mut Derived,
        moment: Moment,
        is_live: bool,
        now_us: i64,
    ) {
        if !derived.takes(&moment) {
            self.journal_derived(derived).await;
        }
        let reading = derived.add(moment, now_us);
        if is_live {
            self.publish(reading, derived.ticket()).await;
        } else {
            drop(derived.ticket().share());
        }
        if derived.is_full() {
            self.journal_derived(derived).await;
        }
    }

    /// Hands what waits of a patient to the journal. Nothing is promised of it, so no one waits for the commit.
    pub(crate) async fn journal_derived(self: &Arc<Self>, derived: &mut Derived) {
        let Some((entry, ticket)) = derived.take() else { return };
        self.journal_unacknowledged(entry, ticket, Source::Server).await;
    }

    async fn publish(&self, reading: Reading, ticket: &Arc<Ticket>) {
        self.feed.reading(reading, Promise { share: ticket.share(), is_durable: self.is_healthy() }).await;
    }

    fn count(&self, reading: &Reading) {
        self.metrics.readings.inc_by(reading.moments());
        if matches!(reading.values, Values::Batch(_)) {
            self.metrics.batches.inc();
        }
    }

    async fn append(
        self: &Arc<Self>,
        number: BatchNumber,
        entry: Entry,
        ticket: Arc<Ticket>,
        source: Source,
    ) -> Receipt {
        self.under_way().entry(number.clone()).or_insert_with(|| Arc::clone(&ticket));
        let receipt = self.journal.append(entry).await;
        Receipt { intake: Arc::clone(self), number, receipt, ticket, source }
    }

    /// Notes an entry's fate and lets the backfill know who published it.
    fn settle(&self, number: &BatchNumber, ticket: &Arc<Ticket>, outcome: &Outcome, source: Source) {
        let metrics = &self.metrics;
        let [journaled, unjournaled] = match source {
            Source::Device => [&metrics.journaled, &metrics.unjournaled],
            Source::Server => [&metrics.journaled_derived, &metrics.unjournaled_derived],
        };
        match outcome {
            Outcome::Committed { position } => {
                ticket.place().settle(*position);
                if ticket.state() != Delivery::Dropped {
                    self.claims.claim(*position, Arc::clone(ticket));
                }
                journaled.inc();
            }
            Outcome::Duplicate => {
                ticket.place().give_up();
                self.metrics.duplicates.inc();
            }
            Outcome::Refused(refusal) => {
                ticket.place().give_up();
                unjournaled.inc();
                tracing::debug!(refusal = refusal.label(), "the journal refused an entry");
                if ticket.state() != Delivery::Delivered {
                    self.memory.note_refused(number, ticket);
                }
            }
        }
        let mut under_way = self.under_way();
        if under_way.get(number).is_some_and(|known| Arc::ptr_eq(known, ticket)) {
            under_way.remove(number);
        }
        if under_way.is_empty() {
            self.settled.notify_waiters();
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<BatchNumber, Arc<Ticket>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What connections ask of the journal.
impl Intake {
    /// Whether the journal takes entries.
    pub(crate) fn is_healthy(&self) -> bool {
        *self.health.borrow() == Health::Ok
    }

    /// Whether the journal takes entries, to be watched.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// See [`Journal::last_sequence`].
    pub(crate) async fn last_sequence(
        &self,
        device: &DeviceId,
        boot: u64,
    ) -> Result<Option<u64>, JournalError> {
        self.journal.last_sequence(device, boot).await
    }

    /// See [`Journal::give_up`].
    pub(crate) async fn give_up(
        &self,
        device: &DeviceId,
        boot: u64,
        below: u64,
    ) -> Result<Option<u64>, Refusal> {
        self.journal.give_up(device, boot, below).await
    }

    /// Notes how a boot's clock was mapped; the journal keeps it across restarts.
    pub(crate) async fn note_clock(&self, device: &DeviceId, boot: u64, clock: DeviceClock, mapped_us: i64) {
        self.memory.note_clock(device, boot, clock);
        self.journal.note_clock(device, boot, clock.kept(mapped_us)).await;
    }

    /// Notes that the clock of a device's present boot has shown this, in milliseconds.
    pub(crate) fn note_shown(&self, device: &DeviceId, boot: u64, shown_ms: u64) {
        self.memory.note_shown(device, boot, shown_ms);
    }

    /// The latest time that the clock of this boot is known to have shown, in milliseconds, if it is the latest boot.
    pub(crate) fn shown_ms(&self, device: &DeviceId, boot: u64) -> Option<u64> {
        self.memory.shown_ms(device, boot)
    }

    /// How the clock of this boot was mapped, if that is remembered: of the latest boot also while the journal cannot be read.
    pub(crate) async fn clock_of(&self, device: &DeviceId, boot: u64) -> Option<DeviceClock> {
        match self.memory.clock_of(device, boot) {
            Some(clock) => Some(clock),
            None => self.journal.boot_clock(device, boot).await.ok().flatten().map(DeviceClock::from_kept),
        }
    }
}

/// What the backfill asks.
impl Intake {
    /// The journal's reader of this name; entries that it has not read are kept.
    pub(crate) async fn reader(&self, name: &str) -> Result<Reader, JournalError> {
        self.journal.reader(name).await
    }

    /// What became of the entry at `position`, which is known without a look at it; `None` when that is not known.
    pub(crate) fn claim_at(&self, position: u64) -> Option<Arc<Ticket>> {
        self.claims.find(position)
    }

    /// Takes the ticket of an entry in the journal; `None` when no one published it.
    pub(crate) fn take_ticket(&self, stored: &Stored) -> Option<Arc<Ticket>> {
        let Stored { position, entry } = stored;
        let number = BatchNumber { device: entry.device.clone(), boot: entry.boot, sequence: entry.sequence };
        let under_way = || self.under_way().get(&number).cloned();
        // The claim comes before it is no longer under way, so that it is found the second time.
        self.claims.take(*position).or_else(under_way).or_else(|| self.claims.take(*position))
    }

    /// Forgets the tickets of the entries up to `position`.
    pub(crate) fn forget_claims_through(&self, position: u64) {
        self.claims.forget_through(position);
    }

    /// How many erasures there were. While the guard is held there is none.
    pub(crate) async fn erasures(&self) -> tokio::sync::MutexGuard<'_, u64> {
        self.erasures.lock().await
    }
}

/// What the server and its jobs ask.
impl Intake {
    /// The journal, to be asked by those that only read.
    pub(crate) fn file(&self) -> HistoryFile {
        self.journal.file()
    }

    /// The journal, for one who keeps sums beside its entries.
    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// See [`Journal::head`].
    pub(crate) fn journal_position(&self) -> u64 {
        self.journal.head()
    }

    pub(crate) fn journal_stats(&self) -> JournalStats {
        self.journal.stats()
    }

    /// Forgets a device and erases what the journal holds of it; how many entries that were.
    pub(crate) async fn erase(&self, device: &DeviceId) -> Result<u64, JournalError> {
        self.memory.forget(device);
        Ok(self.journal.erase(device).await?.entries)
    }

    /// Whether a query over all time finds anything of a device.
    pub(crate) async fn holds(&self, device: &DeviceId) -> Result<bool, JournalError> {
        let all = HistoryQuery {
            device: device.clone(),
            from_us: i64::MIN,
            to_us: i64::MAX,
            limit: 1,
            after: None,
        };
        let file = self.journal.file();
        Ok(!file.history(all).await?.is_empty() || !file.gaps(device, 1).await?.is_empty())
    }

    /// From here on nothing that was read from the journal before is handed to the publisher.
    pub(crate) async fn note_erasure(&self) {
        *self.erasures.lock().await += 1;
    }

    /// Waits until it is known of everything whether the journal has it.
    pub(crate) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.under_way().is_empty() {
                return;
            }
            settled.await;
        }
    }

    /// Commits what is queued, and the backfill's position.
    pub(crate) async fn close(&self) {
        self.journal.clone().close().await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use vitalwire_journal::{BODY_BYTES_MAX, JournalLimits};
    use vitalwire_profile::Profile;
    use vitalwire_protocol::batch::{Message, Samples, decode, encode_batch};

    use super::*;
    use crate::clock::Mapped;
    use crate::topics::{self, DeviceTopics};

    /// An intake whose feed no one reads yet.
    pub(crate) fn intake_with_feed(folder: &tempfile::TempDir) -> (Arc<Intake>, Feed) {
        let intake = intake(folder);
        let feed = intake.feed.clone();
        (intake, feed)
    }

    /// An intake whose feed no one reads.
    pub(crate) fn intake(folder: &tempfile::TempDir) -> Arc<Intake> {
        let journal = Journal::open(&folder.path().join("journal.db"), &JournalLimits::default()).unwrap();
        Arc::new(Intake::new(journal, Feed::new(Metrics::new()), Metrics::new()))
    }

    impl Intake {
        /// Takes a measurement that its broker has.
        pub(crate) async fn take_as_published(self: &Arc<Self>, measurement: Measurement) {
            let (number, entry) = (number_of(&measurement), measurement.entry());
            let (_, outcome) = self.append(number, entry, Ticket::delivered(), Source::Device).await.await;
            assert!(matches!(outcome, Outcome::Committed { .. }));
        }
    }

    fn number_of(measurement: &Measurement) -> BatchNumber {
        let reading = &measurement.reading;
        BatchNumber { device: reading.device().clone(), boot: reading.boot, sequence: reading.sequence }
    }

    #[tokio::test]
    async fn what_neither_journal_nor_broker_took_is_published_when_it_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let intake = intake(&folder);
        let measurement = measurement_of("d", 1);
        let number = number_of(&measurement);
        let entry = |len: usize| Entry { body: vec![0; len].into(), ..measurement.entry() };
        // It waits for the broker when the journal refuses it; then its place is needed for newer ones.
        let ticket = Ticket::new();
        let share = ticket.share();
        intake.memory.note_live(&number);
        let receipt = intake.append(number.clone(), entry(BODY_BYTES_MAX + 1), ticket, Source::Device).await;
        assert!(matches!(receipt.await.1, Outcome::Refused(_)));
        drop(share);
        assert_eq!(intake.memory.liveness(&number, true), Liveness::Published);
        let again = intake.memory.ticket_again(&number);
        let appended = intake.append(number, entry(1), again, Source::Device).await.await.1;
        let Outcome::Committed { position } = appended else { panic!("not taken") };
        let stored = Stored { position, entry: entry(1) };
        assert!(intake.take_ticket(&stored).is_none(), "the backfill is to publish it");
    }

    /// A batch of one temperature, measured when it was received.
    pub(crate) fn measurement_of(device: &str, sequence: u64) -> Measurement {
        let topics = Arc::new(DeviceTopics::new(&device.parse().unwrap()));
        let source = Arc::new(topics::Source::new(&topics, &Arc::new(Profile::builtin("pico").unwrap())));
        let samples = Samples { index: 0, interval_us: 50_000, delay_us: 0, scale: -3, values: &[36_600] };
        let mut message = [0; 64];
        let len = encode_batch(sequence, 1_000, None, &[samples], &mut message).unwrap();
        let Ok(Some((Message::Batch(batch), _))) = decode(&message[..len]) else { panic!("a batch") };
        let mapped = Mapped { utc_us: 1_000_000, uncertainty_us: 0, jumped: false };
        Measurement::of_batch(&source, 1, (&batch, &message[..len]), mapped, 1_000_000)
    }
}
