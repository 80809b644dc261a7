//! The course of a conversation on the secure link after its `Hello`: what is held, owed, acknowledged and given up, what the
//! device is told and when, how many of its events are passed on, and every time-out.
//!
//! It has no socket, no clock and no task, as quinn-proto and neon's safekeeper have none: `conversation` tells it what
//! happened and when (`handle_…`), and does what [`Course::poll`] says. So tests step it through years and faults
//! (`course/pair.rs`). It never looks at a value: a batch is an `M` that it hands back at its turn.

mod action;
mod notices;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use vitalwire_journal::SPAN_US_MAX;
use vitalwire_protocol::batch::{
    Batch, BatchError, Event, Message, Welcome, encode_ack, encode_configure, encode_refused, encode_welcome,
    refusal_code,
};

pub(super) use self::action::{Action, Answer, Fate, Place, Wait};
use self::notices::Notices;
use super::refusal::{MESSAGE_LEN_MAX, Refusal};
use crate::arrival::{DRAIN_MAX, DRAIN_WAIT};
use crate::cause::Cause;
use crate::clock::{DeviceClock, ServerClock};
use crate::event::DeviceEvent;
use crate::lease::Ending;
use crate::reading::BatchSpan;

/// Batches on their way to the disk; with so many the device is not read until one is there.
pub(super) const PENDING_MAX: usize = 64;
/// A device's clock may seem to have gone back by so much, in milliseconds, before its boot counts as used twice.
const BACK_MS_MAX: u64 = 1_000;
/// Batches that are held and not acknowledged while others are on their way: a commit brings many together, and one
/// acknowledgement is enough for them.
const UNACKNOWLEDGED_MAX: u64 = 32;

/// What the device said in its `Hello`, and what is made of it.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) boot: u64,
    pub(super) past: bool,
    pub(super) time_ms: u64,
    pub(super) oldest: Option<u64>,
    pub(super) clock: DeviceClock,
    pub(super) mapped: ServerClock,
    pub(super) profile: String,
    /// A bit for each channel of the profile.
    pub(super) channels: u32,
    /// Asked of the device, if anything is: milliseconds of values in a batch.
    pub(super) batch_ms: Option<u32>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct CourseLimits {
    /// Without a byte from the device.
    pub(super) idle_timeout: Duration,
    /// Until an answer is written: past it the device does not read.
    pub(super) send_timeout: Duration,
}

/// A batch whose turn has not come.
#[derive(Debug)]
struct Waiting<M> {
    sequence: u64,
    oldest: Option<u64>,
    /// The device sent no batch between the one before and this.
    skips: bool,
    /// The journal was asked to note what is missing before it.
    asked: bool,
    batch: M,
}

#[derive(Debug)]
enum Phase {
    AskHeld,
    /// What the `Hello` gives up.
    GiveUp(u64),
    Welcome,
    Configure,
    Online,
    Open,
    /// The server stops: what the device has already sent is still taken.
    Drain {
        end: Instant,
        quiet_at: Instant,
    },
    End {
        cause: Cause,
        refusal: Option<Refusal>,
        /// The device may still listen.
        may_send: bool,
    },
    Over,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Course<M> {
    opening: Opening,
    limits: CourseLimits,
    phase: Phase,
    /// Up to here every batch of this boot is held, or was given up by the device.
    held: u64,
    /// `held` when the connection began.
    held_before: u64,
    acknowledged: u64,
    /// The last batch of this connection.
    last: u64,
    /// Batches on their way to the disk.
    pending: usize,
    waiting: Option<Waiting<M>>,
    /// The journal refused a batch: the device has to send it again.
    owed: bool,
    heard: Instant,
    /// The latest time that the device's clock is known to have shown, in milliseconds.
    shown_ms: u64,
    notices: Notices,
}

/// Whether a `Hello` of a present boot, at `time_ms` of its clock, can be of the same start of the device as what was heard of
/// this boot before, up to `known_ms`. A device's clock never goes back within a boot (PROTOCOL.md §4.2.7), whatever the server's does;
/// a device that draws the same number again begins its sequences again, and would be told that it may drop what no one holds.
pub(super) fn check_boot(time_ms: u64, known_ms: Option<u64>) -> Result<(), Cause> {
    match known_ms {
        Some(known_ms) if time_ms.saturating_add(BACK_MS_MAX) < known_ms => {
            Err(Cause::BootUsedTwice { time_ms, known_ms })
        }
        _ => Ok(()),
    }
}

impl<M> Course<M> {
    /// Begins after a `Hello`, which was received `now`.
    pub(super) fn new(now: &ServerClock, opening: Opening, limits: CourseLimits) -> Self {
        let shown_ms = opening.time_ms;
        Self {
            opening,
            limits,
            phase: Phase::AskHeld,
            held: 0,
            held_before: 0,
            acknowledged: 0,
            last: 0,
            pending: 0,
            waiting: None,
            owed: false,
            heard: now.instant(),
            shown_ms,
            notices: Notices::new(now.instant()),
        }
    }

    /// The latest time that the device's clock is known to have shown in this boot, in milliseconds; `None` when the boot is over, for
    /// what it would show now is only supposed.
    pub(super) fn shown_ms(&self) -> Option<u64> {
        (!self.opening.past).then_some(self.shown_ms)
    }

    /// Whether it can take a message.
    pub(super) fn takes_messages(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Drain { .. })
            && self.waiting.is_none()
            && self.notices.is_empty()
            && self.pending < PENDING_MAX
    }

    /// The journal holds the boot up to `held`.
    pub(super) fn handle_held(&mut self, held: Option<u64>) {
        self.held = held.unwrap_or(0);
        let given_up = self.opening.oldest.filter(|oldest| *oldest > self.held + 1);
        self.phase = given_up.map_or(Phase::Welcome, Phase::GiveUp);
    }

    /// The journal noted what was given up, and holds the boot up to a number; or it cannot now.
    pub(super) fn handle_given_up(&mut self, now: &ServerClock, below: u64, noted: Option<Option<u64>>) {
        match noted {
            Some(held) => {
                self.notices
                    .push(now.instant(), DeviceEvent::BatchesLost { below, last: self.last.max(self.held) });
                self.held = self.held.max(held.unwrap_or(0));
            }
            // A `Hello` says it again in the next connection.
            None => self.owed |= self.waiting.is_some(),
        }
        if matches!(self.phase, Phase::GiveUp(_)) {
            self.phase = Phase::Welcome;
        }
    }

    /// Bytes of the device came.
    pub(super) fn handle_bytes(&mut self, now: &ServerClock) {
        self.heard = now.instant();
        if let Phase::Drain { quiet_at, .. } = &mut self.phase {
            *quiet_at = now.instant() + DRAIN_WAIT;
        }
    }

    /// The device's next message; `make` makes of a good batch what is handed back when it is its turn.
    pub(super) fn handle_message<'b>(
        &mut self,
        now: &ServerClock,
        message: &Message<'b>,
        make: impl FnOnce(&Batch<'b>, Place) -> M,
    ) {
        match message {
            Message::Batch(batch) => match self.examine(now, batch) {
                Ok(place) => self.wait_for_turn(batch, make(batch, place)),
                Err((cause, refusal)) => self.end(cause, refusal),
            },
            Message::Event(Event { code, text, time_ms }) => {
                let told = DeviceEvent::Told { code: *code, time_ms: *time_ms, text: (*text).to_owned() };
                self.notices.push(now.instant(), told);
            }
            Message::Unknown { kind } => tracing::debug!(kind, "a later version's message is skipped"),
            other => {
                let cause = Cause::OutOfTurn { what: name_of(other) };
                self.end(cause, Some(Refusal { code: refusal_code::BAD_MESSAGE, sequence: None }));
            }
        }
    }

    /// The device's next message breaks the protocol; it begins as a batch, or not.
    pub(super) fn handle_bad_message(&mut self, error: BatchError, is_batch: bool) {
        let sequence = is_batch.then(|| self.place_of_next());
        self.end(error.into(), Some(Refusal { code: refusal_code::BAD_MESSAGE, sequence }));
    }

    /// What became of the oldest batch that was taken and not yet settled.
    pub(super) fn handle_settled(&mut self, now: &ServerClock, sequence: u64, fate: Fate) {
        self.pending = self.pending.saturating_sub(1);
        if let Phase::Drain { quiet_at, .. } = &mut self.phase {
            // There is room for more again.
            *quiet_at = now.instant() + DRAIN_WAIT;
        }
        match fate {
            Fate::Held if sequence == self.held + 1 => self.held = sequence,
            Fate::Held => {}
            Fate::Owed => self.owed = true,
            Fate::OtherIsHeld => {
                let refusal =
                    Some(Refusal { code: refusal_code::OTHER_BATCH_HELD, sequence: Some(sequence) });
                // It came before whatever was refused meanwhile.
                match &mut self.phase {
                    Phase::End { cause, refusal: later @ Some(_), .. } => {
                        (*cause, *later) = (Cause::OtherBatchHeld { sequence }, refusal);
                    }
                    _ => self.end(Cause::OtherBatchHeld { sequence }, refusal),
                }
            }
        }
    }

    /// The journal takes entries again, which was waited for.
    pub(super) fn handle_journal_back(&mut self) {
        self.end(Cause::JournalBack, None);
    }

    /// The device or the network ended the connection, or it has to go.
    pub(super) fn handle_end(&mut self, now: &ServerClock, cause: Cause) {
        match (&self.phase, cause) {
            (Phase::Open, Cause::Ended(Ending::Stopped)) => {
                let end = now.instant() + DRAIN_MAX;
                self.phase = Phase::Drain { end, quiet_at: now.instant() + DRAIN_WAIT };
            }
            // What the server wanted to say it cannot say any more, and the end has its cause.
            (Phase::Drain { .. }, Cause::Closed { .. } | Cause::Lost(_)) => {
                self.end(Ending::Stopped.into(), None);
            }
            (_, cause) => self.end(cause, None),
        }
    }

    /// An answer could not be written: half of it may be on its way, and no one reads.
    pub(super) fn handle_send_failed(&mut self, failed: Cause) {
        match &mut self.phase {
            Phase::End { may_send, .. } => *may_send = false,
            _ => self.end(failed, None),
        }
    }

    /// What to do next; `out` gets what is to be sent.
    pub(super) fn poll(&mut self, now: &ServerClock, out: &mut Vec<u8>) -> Action<M> {
        self.check_time(now.instant());
        if let Some(notice) = self.notices.pop() {
            return Action::Tell(notice);
        }
        match &self.phase {
            Phase::AskHeld => Action::AskHeld,
            Phase::GiveUp(below) => Action::GiveUp { below: *below },
            Phase::Welcome => self.welcome(now, out),
            Phase::Configure => {
                self.phase = Phase::Online;
                let batch_ms = self.opening.batch_ms;
                self.send(now, out, Answer::Configure, |out| encode_configure(batch_ms, &[], out))
            }
            Phase::Online => {
                self.phase = Phase::Open;
                Action::Online
            }
            Phase::Open | Phase::Drain { .. } => self.poll_open(now, out),
            Phase::End { .. } => self.poll_end(now, out),
            Phase::Over => Action::Wait(self.wait()),
        }
    }

    fn welcome(&mut self, now: &ServerClock, out: &mut Vec<u8>) -> Action<M> {
        (self.held_before, self.acknowledged) = (self.held, self.held);
        let utc_ms = u64::try_from(now.utc_us / 1_000).unwrap_or(0);
        let welcome = Welcome { utc_ms, sequence: (self.held > 0).then_some(self.held) };
        self.phase = if self.opening.batch_ms.is_some() { Phase::Configure } else { Phase::Online };
        self.send(now, out, Answer::Welcome, |out| encode_welcome(&welcome, out))
    }

    fn poll_open(&mut self, now: &ServerClock, out: &mut Vec<u8>) -> Action<M> {
        if let Some(action) = self.poll_waiting() {
            return action;
        }
        let many = self.held >= self.acknowledged + UNACKNOWLEDGED_MAX;
        if matches!(self.phase, Phase::Open) && (self.pending == 0 || many) && self.held > self.acknowledged {
            return self.acknowledge(now, out);
        }
        Action::Wait(self.wait())
    }

    /// The batch whose turn it is, after what is missing before it was given up.
    fn poll_waiting(&mut self) -> Option<Action<M>> {
        let waiting = self.waiting.as_mut()?;
        let sequence = waiting.sequence;
        if waiting.skips && self.pending > 0 {
            return Some(Action::Wait(self.wait()));
        }
        // What the journal refused the device still holds: a skipped number gives up nothing before it is sent again.
        let below =
            if waiting.skips && !self.owed { sequence } else { waiting.oldest.unwrap_or(0).min(sequence) };
        if below > self.held + 1 && !waiting.asked {
            waiting.asked = true;
            return Some(Action::GiveUp { below });
        }
        self.last = sequence;
        self.pending += 1;
        self.waiting.take().map(|waiting| Action::Take(waiting.batch))
    }

    fn poll_end(&mut self, now: &ServerClock, out: &mut Vec<u8>) -> Action<M> {
        if self.pending > 0 {
            return Action::Wait(self.wait());
        }
        if let Phase::End { may_send: true, refusal, cause } = &mut self.phase {
            // The device is told of what came before the end, if it still listens.
            if self.held > self.acknowledged {
                return self.acknowledge(now, out);
            }
            if let Some(refusal) = refusal.take() {
                let text = refusal.text(cause);
                return self
                    .send(now, out, Answer::Refused, |out| encode_refused(&refusal.message(&text), out));
            }
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::End { cause, .. } => Action::End(cause),
            _ => Action::Wait(self.wait()),
        }
    }

    fn acknowledge(&mut self, now: &ServerClock, out: &mut Vec<u8>) -> Action<M> {
        let held = self.held;
        self.acknowledged = held;
        self.send(now, out, Answer::Ack, |out| encode_ack(held, out))
    }

    fn send(
        &mut self,
        now: &ServerClock,
        out: &mut Vec<u8>,
        what: Answer,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, BatchError>,
    ) -> Action<M> {
        out.resize(MESSAGE_LEN_MAX, 0);
        match encode(out) {
            Ok(len) => {
                out.truncate(len);
                Action::Send { what, by: now.instant() + self.limits.send_timeout }
            }
            // A clock that shows a year beyond the protocol's.
            Err(error) => {
                self.phase = Phase::Over;
                Action::End(error.into())
            }
        }
    }

    fn wait(&self) -> Wait {
        let is_open = matches!(self.phase, Phase::Open);
        let until = match &self.phase {
            Phase::Open => Some(self.heard + self.limits.idle_timeout),
            Phase::Drain { end, quiet_at } if self.takes_messages() => Some(*end.min(quiet_at)),
            Phase::Drain { end, .. } => Some(*end),
            _ => None,
        };
        Wait {
            until,
            messages: self.takes_messages(),
            journal: is_open && self.owed && self.pending == 0,
            lease: is_open,
        }
    }

    /// Ends what took too long.
    fn check_time(&mut self, now: Instant) {
        match &self.phase {
            Phase::Open if now >= self.heard + self.limits.idle_timeout => {
                self.end(Cause::Idle(self.limits.idle_timeout), None);
            }
            // One that never stops sending is not waited for: it sends the rest again to the next server.
            Phase::Drain { end, quiet_at } if now >= *end || (now >= *quiet_at && self.takes_messages()) => {
                self.end(Ending::Stopped.into(), None);
            }
            _ => {}
        }
    }

    fn end(&mut self, cause: Cause, refusal: Option<Refusal>) {
        if matches!(self.phase, Phase::End { .. } | Phase::Over) {
            return;
        }
        let may_send = !matches!(cause, Cause::SlowReader(_) | Cause::Lost(_));
        self.waiting = None;
        self.phase = Phase::End { cause, refusal, may_send };
    }

    fn wait_for_turn(&mut self, batch: &Batch<'_>, made: M) {
        let sequence = batch.sequence;
        let skips = sequence > self.last.max(self.held) + 1;
        self.waiting = Some(Waiting { sequence, oldest: batch.oldest, skips, asked: false, batch: made });
    }

    /// The number that the next batch of the device has, or a lower one that it does not use.
    fn place_of_next(&self) -> u64 {
        self.last.max(self.held_before) + 1
    }

    /// Checks a batch and gives it its place in time.
    fn examine(&mut self, now: &ServerClock, batch: &Batch<'_>) -> Result<Place, (Cause, Option<Refusal>)> {
        let sequence = batch.sequence;
        let refused = |code, sequence| Some(Refusal { code, sequence: Some(sequence) });
        if sequence <= self.last {
            let cause = Cause::SequenceBack { sequence, last: self.last };
            return Err((cause, refused(refusal_code::SEQUENCE_BACK, self.place_of_next())));
        }
        let is_known =
            |index: u8| self.opening.channels.checked_shr(index.into()).is_some_and(|bits| bits & 1 == 1);
        if let Some(channel) = batch.channels().find(|channel| !is_known(channel.index)) {
            let cause = Cause::UnknownChannel { profile: self.opening.profile.clone(), index: channel.index };
            return Err((cause, refused(refusal_code::UNKNOWN_CHANNEL, sequence)));
        }
        let span = BatchSpan::of(batch);
        let span_us = span.last_us - span.first_us;
        if span_us > SPAN_US_MAX {
            return Err((Cause::SpanTooLong { span_us }, refused(refusal_code::SPAN_TOO_LONG, sequence)));
        }
        if now.is_set_since(&self.opening.mapped) {
            return Err((Cause::ClockSet, None));
        }
        let device_us = batch.time_ms.saturating_mul(1_000).saturating_add(span.first_us);
        let mapped = self.opening.clock.map(device_us, span_us, now.utc_us);
        self.notices.note_clock(now.instant(), sequence, mapped.jumped);
        self.note_time(now, device_us.saturating_add(span_us) / 1_000);
        Ok(Place { mapped, received_us: now.utc_us, may_be_held: sequence <= self.held_before })
    }

    /// The device says that its clock has shown this. It is believed as far as the server's clock agrees.
    fn note_time(&mut self, now: &ServerClock, device_ms: u64) {
        let least_ms = self.opening.time_ms.saturating_add(now.least_ms_since(&self.opening.mapped));
        self.shown_ms = self.shown_ms.max(device_ms.min(least_ms));
    }
}

/// What a message is called that has no place where it came.
pub(super) fn name_of(message: &Message<'_>) -> &'static str {
    match message {
        Message::Hello(_) => "a second Hello",
        Message::Batch(_) => "a Batch before Hello",
        Message::Event(_) => "an Event before Hello",
        Message::Welcome(_) => "a Welcome",
        Message::Ack { .. } => "an Ack",
        Message::Configure(_) => "a Configure",
        Message::Refused(_) => "a Refused",
        Message::Unknown { .. } => "a message of another version before Hello",
    }
}
