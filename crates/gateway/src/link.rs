//! The secure link of one device: the handshake, its `Hello`, and the session it takes. What is said then is decided by `course`
//! and driven by `conversation`.

mod conversation;
mod course;
mod refusal;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tracing::Span;
use tracing::field::display;
use vitalwire_protocol::batch::{Hello, Message, decode, encode_refused};

use self::conversation::Conversation;
use self::course::{Opening, check_boot, name_of};
use self::refusal::Refusal;
use crate::arrival::Arrival;
use crate::cause::Cause;
use crate::clock::{DeviceClock, ServerClock, utc_us};
use crate::identify::{IdentifyError, Identity};
use crate::session::{Entered, Session};
use crate::tls::{Proven, Secured};
use crate::topics::{Source, SourceRef};

/// Bytes taken out of TLS at once: a record. On the stack, so an idle connection holds none.
const READ_LEN: usize = 16 * 1024;

/// Serves a connection whose first byte is TLS's; the cause of its end.
pub(crate) async fn serve(arrival: &Arrival<'_>, stream: TcpStream, deadline: tokio::time::Instant) -> Cause {
    let begun_us = utc_us(SystemTime::now());
    // Acknowledgements are short and wanted at once.
    let _ = stream.set_nodelay(true);
    let context = arrival.context;
    let (secured, proven) = match Box::pin(arrival.before(deadline, context.acceptor.accept(stream))).await {
        Ok(accepted) => accepted,
        Err(cause) => return cause,
    };
    let identity = match context.identifier.confirm_link(&proven.link.device, proven.id, arrival.peer) {
        Ok(identity) => identity,
        Err(error) => return error.into(),
    };
    arrival.admission.identified();
    context.metrics.identified.inc();
    Span::current().record("device", display(identity.id()));
    note_use(arrival, &identity, &proven);
    let mut link = Link { arrival, identity, secured, inbox: BytesMut::new(), begun_us };
    let cause = match Box::pin(link.greet(deadline)).await {
        Ok(greeted) => link.run_session(greeted).await,
        Err(cause) => {
            Box::pin(link.refuse(&cause)).await;
            cause
        }
    };
    if let Some(event) = cause.event() {
        context.tell(&link.identity, event);
    }
    Box::pin(link.secured.close()).await;
    cause
}

/// The first use of a new key ends the overlap with the old one.
fn note_use(arrival: &Arrival<'_>, identity: &Identity, proven: &Proven) {
    arrival.context.enrolment.note_device_login(identity.id().clone(), proven.id, arrival.peer);
    let rotating = proven.link.device.key.links().is_some_and(|links| links.previous.is_some());
    if rotating && proven.link.is_current {
        arrival.context.enrolment.confirm_rotation(identity.id().clone(), proven.id);
    }
}

/// A secured connection and what it has sent so far.
struct Link<'a> {
    arrival: &'a Arrival<'a>,
    identity: Arc<Identity>,
    secured: Secured,
    /// Received and not yet a whole message: at most one message and one record.
    inbox: BytesMut,
    /// When the connection's first byte came.
    begun_us: i64,
}

/// What a `Hello` said.
struct Greeted {
    source: SourceRef,
    opening: Opening,
    /// How the boot's clock was mapped before.
    clock_before: Option<DeviceClock>,
    firmware: String,
}

impl Link<'_> {
    async fn receive(&mut self) -> Result<usize, Cause> {
        let inbox = &mut self.inbox;
        match self.secured.receive::<READ_LEN>(|bytes| inbox.extend_from_slice(bytes)).await {
            Ok(0) => Err(Cause::Closed { mid_message: !self.inbox.is_empty() }),
            Ok(len) => Ok(len),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells a device whose `Hello` was not accepted why, if that is the device's fault and it listens.
    async fn refuse(&mut self, cause: &Cause) {
        let Some(refusal) = Refusal::of_hello(cause) else { return };
        let mut out = [0; refusal::MESSAGE_LEN_MAX];
        let text = refusal.text(cause);
        if let Ok(len) = encode_refused(&refusal.message(&text), &mut out) {
            let sent = self.secured.send(out.get(..len).unwrap_or_default());
            let _ = tokio::time::timeout(self.arrival.context.limits.ack_timeout, sent).await;
        }
    }

    /// Waits for the device's `Hello`.
    async fn greet(&mut self, deadline: tokio::time::Instant) -> Result<Greeted, Cause> {
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

    /// Takes the device's session from whoever has it, and serves it; the cause of its end.
    async fn run_session(&mut self, greeted: Greeted) -> Cause {
        let arrival = self.arrival;
        let context = arrival.context;
        let session = context.sessions.replace(self.identity.credential(), arrival.lease).await;
        if session.entered == Entered::TookOver {
            context.metrics.takeovers.inc();
        }
        let identity = Arc::clone(&self.identity);
        Span::current().record("session", session.number());
        let cause = self.hold_session(&session, greeted).await;
        // Also when it never was online itself: the connection that it replaced said nothing at its end.
        if session.is_held() {
            context.device_offline(&identity);
        }
        cause
    }

    async fn hold_session(&mut self, session: &Session, greeted: Greeted) -> Cause {
        let arrival = self.arrival;
        let context = arrival.context;
        if !context.identifier.is_current(self.identity.credential()) {
            return IdentifyError::Revoked.into();
        }
        // A newer one has replaced it while it waited, and must not find its own status overwritten.
        if let Some(ending) = arrival.lease.cause() {
            return ending.into();
        }
        tracing::info!(
            profile = greeted.source.profile.name(),
            firmware = greeted.firmware,
            "device connected"
        );
        Conversation::new(self, session, greeted).run().await
    }
}
