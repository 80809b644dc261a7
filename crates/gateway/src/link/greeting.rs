//! A secured connection up to its `Hello`: who speaks, and how the clock of its boot is mapped.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use vitalwire_profile::DERIVED;
use vitalwire_protocol::batch::{Hello, Message, decode, encode_refused};

use super::course::{Opening, check_boot, name_of};
use super::refusal::{MESSAGE_LEN_MAX, Refusal};
use crate::arrival::Arrival;
use crate::cause::Cause;
use crate::clock::{DeviceClock, ServerClock};
use crate::identify::Identity;
use crate::tls::Secured;
use crate::topics::{Source, SourceRef};

/// Bytes taken out of TLS at once: a record. On the stack, so an idle connection holds none.
const READ_LEN: usize = 16 * 1024;

/// A secured connection and what it has sent so far.
pub(super) struct Link<'a> {
    pub(super) arrival: &'a Arrival<'a>,
    pub(super) identity: Arc<Identity>,
    pub(super) secured: Secured,
    /// Received and not yet a whole message: at most one message and one record.
    pub(super) inbox: BytesMut,
    /// When the connection's first byte came.
    pub(super) begun_us: i64,
}

/// What a `Hello` said.
pub(super) struct Greeted {
    pub(super) source: SourceRef,
    pub(super) opening: Opening,
    /// How the boot's clock was mapped before.
    pub(super) clock_before: Option<DeviceClock>,
    pub(super) firmware: String,
}

impl Link<'_> {
    pub(super) async fn receive(&mut self) -> Result<usize, Cause> {
        let inbox = &mut self.inbox;
        match self.secured.receive::<READ_LEN>(|bytes| inbox.extend_from_slice(bytes)).await {
            Ok(0) => Err(Cause::Closed { mid_message: !self.inbox.is_empty() }),
            Ok(len) => Ok(len),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells a device whose `Hello` was not accepted why, if that is the device's fault and it listens.
    pub(super) async fn refuse(&mut self, cause: &Cause) {
        let Some(refusal) = Refusal::of_hello(cause) else { return };
        let mut out = [0; MESSAGE_LEN_MAX];
        let text = refusal.text(cause);
        if let Ok(len) = encode_refused(&refusal.message(&text), &mut out) {
            let sent = self.secured.send(out.get(..len).unwrap_or_default());
            let _ = tokio::time::timeout(self.arrival.context.limits.ack_timeout, sent).await;
        }
    }

    /// Waits for the device's `Hello`.
    pub(super) async fn greet(&mut self, deadline: tokio::time::Instant) -> Result<Greeted, Cause> {
        let arrival = self.arrival;
        loop {
            if let Some((message, len)) = decode(&self.inbox)? {
                let greeted = match message {
                    Message::Hello(hello) => self.understand(&hello).await?,
                    other => return Err(Cause::OutOfTurn { what: name_of(&other) }),
                };
                self.inbox.advance(len);
                return Ok(greeted);
            }
            arrival.before(deadline, self.receive()).await?;
        }
    }

    async fn understand(&self, hello: &Hello<'_>) -> Result<Greeted, Cause> {
        if hello.profile == DERIVED {
            return Err(Cause::ServersProfile(hello.profile.to_owned()));
        }
        let profiles = &self.arrival.context.profiles;
        let profile =
            profiles.find(hello.profile).ok_or_else(|| Cause::UnknownProfile(hello.profile.to_owned()))?;
        let (intake, device) = (&self.arrival.context.intake, self.identity.id());
        let mapped = ServerClock::read();
        let clock_before = intake.clock_of(device, hello.boot).await;
        if !hello.past {
            let mapped_ms = clock_before.map(|clock| clock.set_at_ms());
            check_boot(hello.time_ms, intake.shown_ms(device, hello.boot).max(mapped_ms))?;
        }
        let clock = self.clock(hello, clock_before, mapped.utc_us).await;
        let source = Arc::new(Source::new(&self.identity.topics, &profile));
        let opening = Opening {
            boot: hello.boot,
            past: hello.past,
            time_ms: hello.time_ms,
            oldest: hello.oldest,
            clock,
            mapped,
            profile: profile.name().to_owned(),
            channels: source.channels().fold(0, |bits, (channel, _)| bits | 1 << channel.index),
            batch_ms: self.arrival.context.batch_ms,
        };
        Ok(Greeted { source, opening, clock_before, firmware: hello.firmware.to_owned() })
    }

    async fn clock(&self, hello: &Hello<'_>, known: Option<DeviceClock>, now_us: i64) -> DeviceClock {
        if hello.past {
            return known.unwrap_or_else(|| DeviceClock::of_past(hello.time_ms, now_us));
        }
        let clock = DeviceClock::new(hello.time_ms, self.begun_us, now_us);
        self.arrival.context.intake.note_clock(self.identity.id(), hello.boot, clock, now_us).await;
        clock
    }
}
