//! The secure link of one device: the handshake, its `Hello`, and the session it takes. What is said then is decided by `course`
//! and driven by `conversation`.

mod conversation;
mod course;
mod greeting;
mod refusal;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tracing::Span;

use self::conversation::Conversation;
use self::greeting::{Greeted, Link};
use crate::arrival::Arrival;
use crate::cause::Cause;
use crate::clock::utc_us;
use crate::identify::{IdentifyError, Identity};
use crate::session::{ConnectionState, Entered, Session};
use crate::tls::{Begun, Proven, Secured};

/// A connection whose device has proved who it is.
pub(crate) struct Proved {
    pub(crate) identity: Arc<Identity>,
    proven: Proven,
    secured: Secured,
    begun_us: i64,
}

/// Shakes hands over a connection whose first byte is TLS's.
pub(crate) async fn identify(
    arrival: &Arrival<'_>,
    stream: TcpStream,
    deadline: tokio::time::Instant,
) -> Result<Proved, Cause> {
    let begun_us = utc_us(SystemTime::now());
    // Acknowledgements are short and wanted at once.
    let _ = stream.set_nodelay(true);
    let context = arrival.context;
    let begun = arrival.before(deadline, Begun::read(stream)).await?;
    let (secured, proven) = Box::pin(arrival.before(deadline, context.acceptor.accept(begun))).await?;
    let identity = context.identifier.confirm_link(&proven.link.device, proven.id, arrival.peer)?;
    Ok(Proved { identity, proven, secured, begun_us })
}

/// Serves it; the cause of its end.
pub(crate) async fn serve(arrival: &Arrival<'_>, proved: Proved, deadline: tokio::time::Instant) -> Cause {
    let context = arrival.context;
    let Proved { identity, proven, secured, begun_us } = proved;
    note_use(arrival, &identity, &proven);
    let mut link = Link { arrival, identity, secured, inbox: BytesMut::new(), begun_us };
    let cause = match Box::pin(link.greet(deadline)).await {
        Ok(greeted) => link.run_session(Box::new(greeted)).await,
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

impl Link<'_> {
    /// Takes the device's session, also from a connection that has it, and serves it; the cause of its end.
    async fn run_session(&mut self, greeted: Box<Greeted>) -> Cause {
        let arrival = self.arrival;
        let context = arrival.context;
        let session = Box::pin(context.sessions.replace(self.identity.credential(), arrival.lease)).await;
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

    async fn hold_session(&mut self, session: &Session, greeted: Box<Greeted>) -> Cause {
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
        session.note(ConnectionState {
            since: SystemTime::now(),
            peer: self.identity.peer,
            local: self.secured.socket().local_addr().ok(),
            profile: greeted.source.profile.name().to_owned(),
            firmware: Some(greeted.firmware.clone()),
        });
        let mut conversation = Conversation::new(self, session, *greeted);
        conversation.run().await
    }
}
