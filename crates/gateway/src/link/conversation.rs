//! Drives a conversation on the secure link: tells its `course` what the device, the journal and the clocks do, and does what
//! the course says. It decides nothing.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::Sleep;
use vitalwire_journal::{Health, Outcome};
use vitalwire_protocol::batch::{begins_as_batch, decode};

use super::course::{Action, Answer, Course, CourseLimits, Fate, Wait};
use super::greeting::{Greeted, Link};
use crate::cause::Cause;
use crate::clock::{DeviceClock, ServerClock};
use crate::intake::{Duplicate, Receipt};
use crate::lease::Ending;
use crate::measurement::Measurement;
use crate::session::Session;
use crate::topics::SourceRef;

/// Empty receive buffers up to this size are kept.
const INBOX_KEPT: usize = 512;

/// What is said between `Hello` and the end.
pub(super) struct Conversation<'l, 'a> {
    link: &'l mut Link<'a>,
    session: &'l Session,
    source: SourceRef,
    boot: u64,
    clock_before: Option<DeviceClock>,
    course: Course<Measurement>,
    /// On their way to the disk, in order.
    pending: VecDeque<Pending>,
    health: watch::Receiver<Health>,
    /// The answer to be sent.
    out: Vec<u8>,
}

impl<'l, 'a> Conversation<'l, 'a> {
    pub(super) fn new(link: &'l mut Link<'a>, session: &'l Session, greeted: Greeted) -> Self {
        let context = link.arrival.context;
        let limits = CourseLimits {
            idle_timeout: context.limits.link_idle_timeout,
            send_timeout: context.limits.ack_timeout,
        };
        let Greeted { source, opening, clock_before, .. } = greeted;
        let boot = opening.boot;
        let course = Course::new(&ServerClock::read(), opening, limits);
        let health = context.intake.health();
        let pending = VecDeque::new();
        Self { link, session, source, boot, clock_before, course, pending, health, out: Vec::new() }
    }

    /// Until the connection has to be closed. Steps are boxed: what thousands of conversations do is wait.
    pub(super) async fn run(&mut self) -> Cause {
        let arrival = self.link.arrival;
        let mut ended = pin!(arrival.lease.ended());
        let mut timer = pin!(tokio::time::sleep(arrival.context.limits.link_idle_timeout));
        loop {
            let now = ServerClock::read();
            while self.course.takes_messages() && self.hear(&now) {}
            match self.course.poll(&now, &mut self.out) {
                Action::Wait(wait) => self.wait(wait, ended.as_mut(), timer.as_mut()).await,
                Action::Take(measurement) => Box::pin(self.take(measurement)).await,
                Action::Send { what, by } => Box::pin(self.send(what, by)).await,
                Action::Tell(event) => arrival.context.tell(&self.link.identity, event),
                Action::AskHeld => Box::pin(self.ask_held()).await,
                Action::GiveUp { below } => Box::pin(self.give_up(below)).await,
                Action::Online => {
                    let local = self.link.secured.socket().local_addr().ok();
                    arrival.context.device_online(&self.link.identity, local);
                }
                Action::End(cause) => {
                    self.note_shown();
                    return cause;
                }
            }
        }
    }

    /// Tells of the next whole message; false when none has come. An empty inbox is left small.
    fn hear(&mut self, now: &ServerClock) -> bool {
        let inbox = &mut self.link.inbox;
        let (source, boot) = (&self.source, self.boot);
        match decode(inbox) {
            Ok(Some((message, len))) => {
                let bytes = inbox.get(..len).unwrap_or_default();
                self.course.handle_message(now, &message, |batch, place| {
                    let mut measurement =
                        Measurement::of_batch(source, boot, (batch, bytes), place.mapped, place.received_us);
                    measurement.may_be_held = place.may_be_held;
                    measurement
                });
                inbox.advance(len);
                return true;
            }
            Ok(None) if inbox.is_empty() && inbox.capacity() > INBOX_KEPT => *inbox = BytesMut::new(),
            Ok(None) => {}
            Err(error) => self.course.handle_bad_message(error, begins_as_batch(inbox)),
        }
        false
    }

    async fn wait(
        &mut self,
        wait: Wait,
        ended: Pin<&mut impl Future<Output = Ending>>,
        mut timer: Pin<&mut Sleep>,
    ) {
        // One that fires too early does no harm, and is cheaper than one that is set for each wait.
        if let Some(until) = wait.until.map(tokio::time::Instant::from_std)
            && (timer.is_elapsed() || timer.deadline() > until)
        {
            timer.as_mut().reset(until);
        }
        tokio::select! {
            sequence = settled(&mut self.pending), if !self.pending.is_empty() => {
                Box::pin(self.note_settled(sequence)).await;
            }
            received = self.link.receive(), if wait.messages => match received {
                Ok(_) => self.course.handle_bytes(&ServerClock::read()),
                Err(cause) => self.course.handle_end(&ServerClock::read(), cause),
            },
            ending = ended, if wait.lease => self.course.handle_end(&ServerClock::read(), ending.into()),
            () = recovered(&mut self.health), if wait.journal => self.course.handle_journal_back(),
            () = timer, if wait.until.is_some() => {}
        }
    }

    async fn ask_held(&mut self) {
        let intake = &self.link.arrival.context.intake;
        match intake.last_sequence(self.link.identity.id(), self.boot).await {
            Ok(held) => self.course.handle_held(held),
            Err(error) => self.course.handle_end(&ServerClock::read(), error.into()),
        }
    }

    async fn give_up(&mut self, below: u64) {
        let intake = &self.link.arrival.context.intake;
        let noted = intake.give_up(self.link.identity.id(), self.boot, below).await;
        if let Err(refusal) = &noted {
            tracing::debug!(refusal = refusal.label(), "a gap is not given up yet");
        }
        self.course.handle_given_up(&ServerClock::read(), below, noted.ok());
    }

    async fn send(&mut self, what: Answer, by: Instant) {
        let context = self.link.arrival.context;
        let sent = tokio::time::timeout_at(by.into(), self.link.secured.send(&self.out)).await;
        match sent {
            Ok(Ok(())) if what == Answer::Ack => drop(context.metrics.acknowledgements.inc()),
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.course.handle_send_failed(error.into()),
            Err(_) => self.course.handle_send_failed(Cause::SlowReader(context.limits.ack_timeout)),
        }
    }

    /// What the device's clock has shown is what it must not go back behind in this boot.
    fn note_shown(&self) {
        if let Some(shown_ms) = self.course.shown_ms() {
            self.link.arrival.context.intake.note_shown(self.link.identity.id(), self.boot, shown_ms);
        }
    }

    async fn take(&mut self, measurement: Measurement) {
        self.session.delivered(Instant::now());
        let (record, first_us) = (measurement.record.clone(), measurement.reading.first_us);
        let receipt = self.link.arrival.context.intake.take(measurement).await;
        self.pending.push_back(Pending { receipt, record, first_us });
    }

    /// What became of the oldest batch on its way to the disk.
    async fn note_settled(&mut self, (sequence, outcome): (u64, Outcome)) {
        let Some(Pending { record, first_us, .. }) = self.pending.pop_front() else { return };
        let fate = match outcome {
            Outcome::Committed { .. } => Fate::Held,
            Outcome::Refused(_) => Fate::Owed,
            Outcome::Duplicate => {
                let (device, boot) = (self.link.identity.id(), self.boot);
                let clock_before = self.clock_before;
                let duplicate = Duplicate { device, boot, sequence, record: &record, first_us, clock_before };
                let is_other = self.link.arrival.context.intake.holds_other(&duplicate).await;
                if is_other { Fate::OtherIsHeld } else { Fate::Held }
            }
        };
        self.course.handle_settled(&ServerClock::read(), sequence, fate);
    }
}

/// A batch on its way to the disk.
struct Pending {
    receipt: Receipt,
    /// For a comparison with what the journal has in its place, should it have something.
    record: Bytes,
    first_us: i64,
}

/// Waits until the journal takes entries. The sender lives as long as the journal does.
async fn recovered(health: &mut watch::Receiver<Health>) {
    let _ = health.wait_for(|health| *health == Health::Ok).await;
}

/// The outcome of the oldest batch that is on its way to the disk, which stays at the front; a dropped future has taken nothing.
async fn settled(pending: &mut VecDeque<Pending>) -> (u64, Outcome) {
    match pending.front_mut() {
        Some(oldest) => (&mut oldest.receipt).await,
        None => std::future::pending().await,
    }
}
