//! What is said on the secure link between `Welcome` and the end: batches are checked, given their place in time, published
//! at once and handed to the journal, and acknowledged when it has them.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, BytesMut};
use tokio::sync::watch;
use vitalwire_journal::{Health, Outcome, SPAN_US_MAX};
use vitalwire_protocol::batch::{
    Batch, Event, Message, Welcome, decode, encode_ack, encode_configure, encode_welcome,
};

use super::{Greeted, Link, name_of};
use crate::arrival::{DRAIN_MAX, DRAIN_WAIT};
use crate::cause::Cause;
use crate::clock::{ServerClock, utc_us};
use crate::event::DeviceEvent;
use crate::intake::Receipt;
use crate::lease::Ending;
use crate::measurement::Measurement;
use crate::reading::BatchSpan;
use crate::session::Session;

/// Bytes of the longest message that the server sends.
const ANSWER_LEN_MAX: usize = 64;
/// Batches on their way to the disk; with so many the device is not read until one is there.
const PENDING_MAX: usize = 64;
/// Events that a device may make in [`EVENTS_TIME`]; more are dropped, so that no device floods those who watch, and the
/// log. What they lose is no reading.
const EVENTS_MAX: u32 = 20;
const EVENTS_TIME: Duration = Duration::from_secs(10);
/// Empty receive buffers up to this size are kept.
const INBOX_KEPT: usize = 512;

/// What is said between `Welcome` and the end.
pub(super) struct Conversation<'l, 'a> {
    link: &'l mut Link<'a>,
    session: &'l Session,
    greeted: Greeted,
    /// Up to here every batch of this boot is held, or was given up by the device.
    held: u64,
    /// `held` when the connection began.
    held_before: u64,
    acknowledged: u64,
    /// The last batch of this connection.
    last: u64,
    /// On their way to the disk, in order.
    pending: VecDeque<Receipt>,
    /// The journal refused a batch: the device has to send it again.
    owed: bool,
    heard: Instant,
    /// Events since this moment.
    events: (Instant, u32),
}

impl<'l, 'a> Conversation<'l, 'a> {
    /// Answers the `Hello`.
    pub(super) async fn open(
        link: &'l mut Link<'a>,
        session: &'l Session,
        greeted: Greeted,
    ) -> Result<Self, Cause> {
        let context = link.arrival.context;
        let (intake, device) = (&context.intake, link.identity.id().clone());
        let mut held = intake.last_sequence(&device, greeted.boot).await?;
        if let Some(oldest) = greeted.oldest
            && oldest > held.unwrap_or(0) + 1
            && let Ok(given_up) = intake.give_up(&device, greeted.boot, oldest).await
        {
            link.tell_lost(oldest, held.unwrap_or(0));
            held = given_up;
        }
        let utc_ms = u64::try_from(utc_us(SystemTime::now()) / 1_000).unwrap_or(0);
        let mut answer = [0; ANSWER_LEN_MAX];
        let len = encode_welcome(&Welcome { utc_ms, sequence: held }, &mut answer)?;
        link.send(answer.get(..len).unwrap_or_default()).await?;
        if context.batch_ms.is_some() {
            let len = encode_configure(context.batch_ms, &[], &mut answer)?;
            link.send(answer.get(..len).unwrap_or_default()).await?;
        }
        let held = held.unwrap_or(0);
        Ok(Self {
            link,
            session,
            greeted,
            held,
            held_before: held,
            acknowledged: held,
            last: 0,
            pending: VecDeque::new(),
            owed: false,
            heard: Instant::now(),
            events: (Instant::now(), 0),
        })
    }

    pub(super) async fn run(&mut self) -> Cause {
        match self.converse().await {
            Ok(never) => match never {},
            Err(Cause::Ended(Ending::Stopped)) => Box::pin(self.finish()).await,
            // Half an acknowledgement may be on its way already, and no one reads.
            Err(cause @ (Cause::SlowReader(_) | Cause::Lost(_))) => {
                Box::pin(self.settle_pending()).await;
                cause
            }
            Err(cause) => {
                // The device is told of what came before the end, if it still listens.
                let _ = Box::pin(self.settle_all()).await;
                cause
            }
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, Cause> {
        let arrival = self.link.arrival;
        let idle_timeout = arrival.context.limits.link_idle_timeout;
        let mut health = arrival.context.intake.health();
        let ended = arrival.lease.ended();
        let timer = tokio::time::sleep(idle_timeout);
        tokio::pin!(ended, timer);
        loop {
            Box::pin(self.take_messages()).await?;
            tokio::select! {
                outcome = settled(&mut self.pending), if !self.pending.is_empty() => {
                    self.note(outcome);
                    // One acknowledgement for many: a commit brings them together.
                    if self.pending.is_empty() || self.held >= self.acknowledged + PENDING_MAX as u64 / 2 {
                        Box::pin(self.acknowledge()).await?;
                    }
                }
                received = self.link.receive(), if self.pending.len() < PENDING_MAX => {
                    received?;
                    self.heard = Instant::now();
                }
                ending = &mut ended => return Err(ending.into()),
                () = recovered(&mut health), if self.owed && self.pending.is_empty() => {
                    return Err(Cause::JournalBack);
                }
                () = &mut timer => {
                    if self.heard.elapsed() >= idle_timeout {
                        return Err(Cause::Idle(idle_timeout));
                    }
                    timer.as_mut().reset((self.heard + idle_timeout).into());
                }
            }
        }
    }

    /// On a stop, what the device has already sent is still taken and acknowledged. One that never stops sending is not
    /// waited for: it sends the rest again to whoever comes next.
    async fn finish(&mut self) -> Cause {
        let end = Instant::now() + DRAIN_MAX;
        let taken = loop {
            if let Err(cause) = self.take_messages().await {
                break Some(cause);
            }
            if self.pending.len() >= PENDING_MAX {
                self.settle_pending().await;
                continue;
            }
            let more = tokio::time::timeout(DRAIN_WAIT, self.link.receive()).await;
            if !matches!(more, Ok(Ok(_))) || Instant::now() >= end {
                break None;
            }
        };
        let settled = self.settle_all().await;
        taken.or(settled.err()).unwrap_or_else(|| Ending::Stopped.into())
    }

    /// Waits for everything that is on its way to the disk, whatever becomes of the connection, and acknowledges it.
    async fn settle_all(&mut self) -> Result<(), Cause> {
        self.settle_pending().await;
        self.acknowledge().await
    }

    async fn settle_pending(&mut self) {
        while !self.pending.is_empty() {
            let outcome = settled(&mut self.pending).await;
            self.note(outcome);
        }
    }

    /// Takes all whole messages out of the inbox, and leaves it small.
    async fn take_messages(&mut self) -> Result<(), Cause> {
        while self.pending.len() < PENDING_MAX {
            match self.next_step()? {
                None => break,
                Some(Step::Skip) => {}
                Some(Step::Event(event)) => self.event(event),
                Some(Step::Take { taken, oldest }) => {
                    self.give_up(oldest, taken.measurement.reading.sequence).await;
                    self.take(taken).await;
                }
            }
        }
        if self.link.inbox.is_empty() && self.link.inbox.capacity() > INBOX_KEPT {
            self.link.inbox = BytesMut::new();
        }
        Ok(())
    }

    /// Publishes what the device told or did, unless it does so too often.
    fn event(&mut self, event: DeviceEvent) {
        if self.events.0.elapsed() >= EVENTS_TIME {
            self.events = (Instant::now(), 0);
        }
        self.events.1 = self.events.1.saturating_add(1);
        if self.events.1 <= EVENTS_MAX {
            self.link.arrival.context.tell(&self.link.identity, event);
        }
    }

    /// Takes the next whole message out of the inbox.
    fn next_step(&mut self) -> Result<Option<Step>, Cause> {
        let Some((message, len)) = decode(&self.link.inbox)? else { return Ok(None) };
        let step = match message {
            Message::Batch(batch) => {
                let bytes = self.link.inbox.get(..len).unwrap_or_default();
                Step::Take { taken: self.examine(&batch, bytes)?, oldest: batch.oldest }
            }
            Message::Event(Event { code, text, time_ms }) => {
                Step::Event(DeviceEvent::Told { code, time_ms, text: text.to_owned() })
            }
            Message::Unknown { kind } => {
                tracing::debug!(device = %self.link.identity.id(), kind, "a later version's message is skipped");
                Step::Skip
            }
            other => return Err(Cause::OutOfTurn { what: name_of(&other) }),
        };
        self.link.inbox.advance(len);
        Ok(Some(step))
    }

    /// Checks a batch and gives it its place in time.
    fn examine(&self, batch: &Batch<'_>, bytes: &[u8]) -> Result<Taken, Cause> {
        let Greeted { boot, source, clock, .. } = &self.greeted;
        let sequence = batch.sequence;
        if sequence <= self.last {
            return Err(Cause::SequenceBack { sequence, last: self.last });
        }
        if let Some(channel) = batch.channels().find(|channel| source.channel(channel.index).is_none()) {
            let profile = source.profile.name().to_owned();
            return Err(Cause::UnknownChannel { profile, index: channel.index });
        }
        let span = BatchSpan::of(batch);
        let span_us = span.last_us - span.first_us;
        if span_us > SPAN_US_MAX {
            return Err(Cause::SpanTooLong { span_us });
        }
        let now = ServerClock::read();
        if now.is_set_since(&self.greeted.mapped) {
            return Err(Cause::ClockSet);
        }
        let received_us = now.utc_us;
        let device_us = batch.time_ms.saturating_mul(1_000).saturating_add(span.first_us);
        let mapped = clock.map(device_us, span_us, received_us);
        if mapped.jumped {
            tracing::warn!(device = %self.link.identity.id(), sequence, "the device's clock is ahead of its batch");
        }
        let mut measurement = Measurement::of_batch(source, *boot, (batch, bytes), mapped, received_us);
        measurement.may_be_held = sequence <= self.held_before;
        Ok(Taken { measurement, jumped: mapped.jumped })
    }

    async fn take(&mut self, taken: Taken) {
        let Taken { measurement, jumped } = taken;
        let sequence = measurement.reading.sequence;
        self.session.delivered(Instant::now());
        if jumped {
            self.event(DeviceEvent::ClockJump { sequence });
        }
        self.last = sequence;
        self.pending.push_back(self.link.arrival.context.intake.take(measurement).await);
    }

    /// The device holds nothing below `oldest`, nor, as it sends in order, between its last batch and this one. What
    /// is missing there is on record as given up, and no longer holds the acknowledgement back.
    async fn give_up(&mut self, oldest: Option<u64>, sequence: u64) {
        let skipped = sequence > self.last.max(self.held) + 1;
        if skipped {
            self.settle_pending().await;
        }
        // What the journal refused the device still holds: a skipped number gives up nothing before it is sent again.
        let below = if skipped && !self.owed { sequence } else { oldest.unwrap_or(0).min(sequence) };
        if below <= self.held + 1 {
            return;
        }
        self.link.tell_lost(below, self.last.max(self.held));
        let intake = &self.link.arrival.context.intake;
        match intake.give_up(self.link.identity.id(), self.greeted.boot, below).await {
            Ok(held) => self.held = self.held.max(held.unwrap_or(0)),
            Err(refusal) => {
                tracing::debug!(refusal = refusal.label(), "a gap is not given up yet");
                self.owed = true;
            }
        }
    }

    /// Notes what became of a batch.
    fn note(&mut self, (sequence, outcome): (u64, Outcome)) {
        match outcome {
            Outcome::Committed { .. } | Outcome::Duplicate if sequence == self.held + 1 => {
                self.held = sequence
            }
            Outcome::Committed { .. } | Outcome::Duplicate => {}
            Outcome::Refused(_) => self.owed = true,
        }
    }

    async fn acknowledge(&mut self) -> Result<(), Cause> {
        if self.held <= self.acknowledged {
            return Ok(());
        }
        let mut answer = [0; ANSWER_LEN_MAX];
        let len = encode_ack(self.held, &mut answer)?;
        self.link.send(answer.get(..len).unwrap_or_default()).await?;
        self.link.arrival.context.metrics.acknowledgements.inc();
        self.acknowledged = self.held;
        Ok(())
    }
}

/// What a message asks for.
enum Step {
    Take { taken: Taken, oldest: Option<u64> },
    Event(DeviceEvent),
    Skip,
}

/// A checked batch.
struct Taken {
    measurement: Measurement,
    jumped: bool,
}

/// Waits until the journal takes entries. The sender lives as long as the journal does.
async fn recovered(health: &mut watch::Receiver<Health>) {
    let _ = health.wait_for(|health| *health == Health::Ok).await;
}

/// The fate of the oldest batch that is on its way to the disk; a dropped future has taken nothing.
async fn settled(pending: &mut VecDeque<Receipt>) -> (u64, Outcome) {
    let Some(oldest) = pending.front_mut() else { return std::future::pending().await };
    let outcome = oldest.await;
    pending.pop_front();
    outcome
}
