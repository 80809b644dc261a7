//! What a software device does between its network's calls: measures when it is time, makes batches, keeps them, and knows
//! what to say. No I/O but the flash's, no waiting.

use std::sync::Arc;
use std::time::Instant;

use vitalwire_device::batcher::{Batcher, BatcherError, ChannelSetup};
use vitalwire_device::outbox::{OLDEST_LEN_MAX, Outbox};
use vitalwire_device::session::{HELLO_LEN_MAX, Identity, Incoming, Outgoing, Session, SessionError};

use super::super::source::Source;
use super::super::{DeviceClock, FleetObserver};
use super::{LinkOptions, SimulatedFlash};

/// Decimals of every channel, as the paper's frames have them.
const SCALE: i8 = -3;
const PER_UNIT: f64 = 1_000.0;

/// Why a device cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CoreError {
    #[error("its flash: {0}")]
    Flash(#[from] std::io::Error),
    #[error(transparent)]
    Batcher(#[from] BatcherError),
}

/// What a device is made of.
pub(super) struct Plan<'p> {
    pub(super) place: usize,
    pub(super) id: &'p str,
    pub(super) source: Source,
    pub(super) clock: DeviceClock,
    /// When the first sample is due, and from sample to sample, in microseconds of the clock.
    pub(super) start_us: u64,
    pub(super) interval_us: u32,
    /// Nothing is measured from here on.
    pub(super) end_us: Option<u64>,
    pub(super) options: LinkOptions,
    pub(super) observer: Arc<FleetObserver>,
}

pub(super) struct Core {
    place: usize,
    source: Source,
    clock: DeviceClock,
    start_us: u64,
    end_us: Option<u64>,
    options: LinkOptions,
    observer: Arc<FleetObserver>,
    outbox: Outbox<Vec<u8>, SimulatedFlash>,
    batcher: Batcher<Vec<i32>>,
    session: Option<Session>,
    /// The latest sample, and when it was due; and samples of the present batch.
    sample: Option<(u64, [f64; 7])>,
    samples: u64,
    is_over: bool,
}

impl Core {
    pub(super) fn new(plan: Plan<'_>) -> Result<Self, CoreError> {
        let Plan { place, id, source, clock, start_us, interval_us, end_us, options, observer } = plan;
        let flash = options.flash.open(id)?;
        let outbox = Outbox::mount(clock.boot, vec![0; options.memory_len], flash);
        let channels = [0, 1, 2, 3, 4, 5, 6].map(|index| ChannelSetup { index, interval_us, scale: SCALE });
        let len_max = outbox.message_len_max();
        let memory = vec![0; len_max / size_of::<i32>()];
        let batcher = Batcher::new(memory, len_max, &channels, options.batch_ms, start_us)?;
        observer.clock_started(place, clock);
        Ok(Self {
            place,
            source,
            clock,
            start_us,
            end_us,
            options,
            observer,
            outbox,
            batcher,
            session: None,
            sample: None,
            samples: 0,
            is_over: false,
        })
    }

    /// Bytes of a buffer for any message of this device.
    pub(super) fn message_len_max(&self) -> usize {
        (self.outbox.message_len_max() + OLDEST_LEN_MAX).max(HELLO_LEN_MAX)
    }

    fn now_ms(&self, now: Instant) -> u64 {
        self.clock.us_at(now) / 1_000
    }

    /// When the next sample is due; `None` after the last.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let (_, due_us) = self.batcher.next_due();
        let is_over = self.is_over || self.end_us.is_some_and(|end_us| due_us >= end_us);
        (!is_over).then(|| self.clock.moment_of(due_us))
    }

    /// Measures what is due. Returns whether a batch was made. A sample is what the patient had when it was due.
    pub(super) fn measure(&mut self, now: Instant) -> bool {
        let (now_us, made) = (self.clock.us_at(now), self.outbox.next_sequence());
        while self.next_due().is_some() {
            let (index, due_us) = self.batcher.next_due();
            if due_us > now_us {
                break;
            }
            if self.batcher.is_complete() {
                self.make();
            }
            let value = self.value_at(due_us, index);
            self.batcher.record(value);
        }
        if self.batcher.is_complete() {
            self.make();
        }
        self.outbox.next_sequence() > made
    }

    fn value_at(&mut self, due_us: u64, index: u8) -> i32 {
        let values = match self.sample {
            Some((at_us, values)) if at_us == due_us => values,
            _ => {
                let seconds = (due_us - self.start_us) as f64 / 1e6;
                let (values, heart_rate) = self.source.values(seconds);
                self.sample = Some((due_us, values));
                self.samples += 1;
                self.observer.measured(self.place, values, heart_rate);
                values
            }
        };
        digits(values.get(usize::from(index)).copied().unwrap_or_default())
    }

    /// Makes a batch of what was measured, and keeps it.
    fn make(&mut self) {
        let mut message = vec![0; self.outbox.message_len_max()];
        let sequence = self.outbox.next_sequence();
        let made = self.batcher.make(sequence, &mut message);
        let made = made
            .expect("the batcher plans for this buffer, and clocks and sequences are far from their ends");
        let Some(made) = made else { return };
        let measured = (self.clock.moment_of(made.first_us), self.clock.moment_of(made.last_us));
        self.observer.made(self.place, sequence, std::mem::take(&mut self.samples), measured);
        let dropped = self.outbox.push(made.newest_ms(), message.get(..made.len).unwrap_or_default());
        if dropped.expect("the batcher keeps to the outbox's limit") > 0 {
            self.tell_settled(None);
        }
    }

    /// Nothing is measured any more; what was is made a batch.
    pub(super) fn end(&mut self, now: Instant) {
        self.measure(now);
        self.make();
        self.is_over = true;
    }

    /// Moves what is held to flash, for the next run.
    pub(super) fn save(&mut self) {
        self.outbox.save();
    }

    /// Whether nothing is left to do.
    pub(super) fn is_delivered(&self) -> bool {
        self.is_over && self.outbox.held() == 0
    }

    /// Begins a session: the length of the `Hello` in `out`.
    pub(super) fn begin(&mut self, now: Instant, out: &mut [u8]) -> Result<usize, SessionError> {
        let identity = Identity {
            profile: &self.options.profile,
            firmware: &self.options.firmware,
            started_ms: self.clock.origin_us / 1_000,
        };
        let now_ms = self.now_ms(now);
        let (session, len) = Session::begin(&mut self.outbox, &identity, self.options.limits, now_ms, out)?;
        self.session = Some(session);
        Ok(len)
    }

    /// The length of the next message in `out`, if one may go out now.
    pub(super) fn next_message(
        &mut self,
        now: Instant,
        out: &mut [u8],
    ) -> Result<Option<usize>, SessionError> {
        let now_ms = self.now_ms(now);
        let Some(session) = &mut self.session else { return Ok(None) };
        let outgoing = session.next_message(&mut self.outbox, now_ms, out)?;
        if let Some(Outgoing::Batch { sequence, .. }) = outgoing
            && self.outbox.delivered_boot() == self.outbox.boot()
        {
            self.observer.batch_sent(self.place, sequence, now);
        }
        Ok(outgoing.map(|outgoing| outgoing.len()))
    }

    /// Takes in what the server sent. Returns whether to measure otherwise from now on.
    pub(super) fn receive(&mut self, now: Instant, mut bytes: &[u8]) -> Result<bool, SessionError> {
        let now_ms = self.now_ms(now);
        let mut is_configured = false;
        while let Some(session) = &mut self.session {
            match session.receive(&mut self.outbox, now_ms, &mut bytes) {
                Ok(Some(Incoming::Configure(settings))) => {
                    self.batcher.configure(settings);
                    is_configured = true;
                }
                Ok(Some(Incoming::Welcome(_) | Incoming::Acknowledged { .. })) => {
                    self.tell_settled(Some(now))
                }
                Ok(None) => break,
                Err(error) => {
                    // What it gave up no one holds.
                    self.tell_settled(None);
                    return Err(error);
                }
            }
        }
        Ok(is_configured)
    }

    fn tell_settled(&mut self, acknowledged: Option<Instant>) {
        // Of earlier boots' batches the observer knows nothing.
        if acknowledged.is_some() && self.outbox.delivered_boot() != self.outbox.boot() {
            return;
        }
        let oldest = self.outbox.oldest_of_present_boot();
        self.observer.settled(self.place, oldest, acknowledged);
    }

    /// Whether this connection has delivered what it was for: what an earlier boot left.
    pub(super) fn is_finished(&mut self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_finished(&mut self.outbox))
    }

    /// When [`Self::check`] may fail.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline_ms = self.session.as_ref()?.deadline_ms()?;
        Some(self.clock.moment_of(deadline_ms.saturating_mul(1_000)))
    }

    /// Whether the server still is within its time.
    pub(super) fn check(&self, now: Instant) -> Result<(), SessionError> {
        self.session.as_ref().map_or(Ok(()), |session| session.check(self.now_ms(now)))
    }
}

/// A value as an integer of thousandths.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, and vital signs are far from it"
)]
fn digits(value: f64) -> i32 {
    (value * PER_UNIT).round() as i32
}
