//! One connection of a device, from its first byte to its end. The first byte says what is spoken: TLS (`link`) or the
//! paper's AES-CBC frames (`frames`).
//!
//! Whatever a peer sends ends at most its own connection, with one line in the log that names the cause.
//!
//! What is logged of an identified device has a span. Before that there is none, and nothing is logged but the end: the log keeps the
//! memory of its largest number of spans for ever, so that a flood of strangers would leave it behind.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, error_span};
use vitalwire_access::{PROXY_PREFIX_LEN, ProxyPrefix};
use vitalwire_protocol::{Detected, detect};

use crate::admission::Admission;
use crate::arrival::Arrival;
use crate::cause::Cause;
use crate::context::Context;
use crate::identify::Identity;
use crate::lease::Lease;
use crate::{frames, link};

/// Serves one accepted connection until its end.
pub(crate) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    lease: Lease,
    context: Arc<Context>,
) {
    let deadline = tokio::time::Instant::now() + context.limits.first_frame_timeout;
    let mut arrival = Arrival { peer, lease: &lease, admission: &admission, context: &context };
    // Boxed, as all steps are.
    let source = match context.device_proxies.contains(peer.ip()) {
        true => Box::pin(arrival.before(deadline, source(&arrival, &mut stream))).await,
        false => Ok(peer),
    };
    let identified = match source {
        Ok(source) => {
            arrival.peer = source;
            Box::pin(identify(&arrival, stream, deadline)).await
        }
        Err(cause) => Err(cause),
    };
    match identified {
        Ok(identified) => {
            let span = span(peer, arrival.peer, identified.identity());
            let cause = identified.serve(&arrival, deadline).instrument(span.clone()).await;
            context.metrics.ended(cause.label());
            let _entered = span.entered();
            if cause.is_ordinary() {
                tracing::info!(%cause, "connection ended");
            } else {
                tracing::warn!(%cause, "connection ended");
            }
        }
        Err(cause) => {
            context.metrics.ended(cause.label());
            let source = (arrival.peer != peer).then(|| display(arrival.peer));
            if cause.is_ordinary() {
                tracing::info!(%peer, source, %cause, "connection ended");
            } else {
                tracing::warn!(%peer, source, %cause, "connection ended");
            }
        }
    }
}

/// Of the highest level, so that a warning says whose it is also where no more is logged.
fn span(peer: SocketAddr, source: SocketAddr, identity: &Identity) -> Span {
    let device = display(identity.id());
    let span = error_span!("connection", %peer, source = Empty, device, session = Empty);
    if source != peer {
        span.record("source", display(source));
    }
    span
}

/// Who is at the other end of a named proxy's connection: its header says it, which is read and no byte more.
async fn source(arrival: &Arrival<'_>, stream: &mut TcpStream) -> Result<SocketAddr, Cause> {
    let mut prefix = [0; PROXY_PREFIX_LEN];
    stream.read_exact(&mut prefix).await?;
    let prefix = ProxyPrefix::decode(&prefix)?;
    let mut rest = vec![0; prefix.rest_len()];
    stream.read_exact(&mut rest).await?;
    let source = prefix.source(&rest)?.unwrap_or(arrival.peer);
    arrival.admission.come_from(source.ip())?;
    Ok(source)
}

/// A connection whose device is known, in what it speaks.
enum Identified {
    Link(link::Proved),
    Frames(TcpStream, frames::Greeting),
}

/// Finds out what the peer speaks, and who it is.
async fn identify(
    arrival: &Arrival<'_>,
    mut stream: TcpStream,
    deadline: tokio::time::Instant,
) -> Result<Identified, Cause> {
    // Steps are boxed, here and in both protocols, so that a connection takes memory for its present one only: what
    // thousands of them do is wait.
    let identified = match arrival.before(deadline, first_byte(&stream)).await? {
        Detected::Tls => Identified::Link(Box::pin(link::identify(arrival, stream, deadline)).await?),
        _ => {
            let greeting = Box::pin(arrival.before(deadline, frames::identify(arrival, &mut stream))).await?;
            Identified::Frames(stream, greeting)
        }
    };
    arrival.admission.identified();
    arrival.context.metrics.identified.inc();
    Ok(identified)
}

impl Identified {
    fn identity(&self) -> &Identity {
        match self {
            Self::Link(proved) => &proved.identity,
            Self::Frames(_, greeting) => &greeting.identity,
        }
    }

    /// Speaks it to the end of the connection.
    async fn serve(self, arrival: &Arrival<'_>, deadline: tokio::time::Instant) -> Cause {
        match self {
            Self::Link(proved) => Box::pin(link::serve(arrival, proved, deadline)).await,
            Self::Frames(mut stream, greeting) => {
                Box::pin(frames::run_session(arrival, &mut stream, greeting)).await
            }
        }
    }
}

/// What the peer speaks; its first byte stays in the socket.
async fn first_byte(stream: &TcpStream) -> Result<Detected, Cause> {
    let mut byte = [0];
    match stream.peek(&mut byte).await? {
        0 => Err(Cause::NothingSent),
        _ => match (detect(byte[0]), byte) {
            (Detected::Unknown, [byte]) => Err(Cause::NotOurProtocol(byte)),
            (detected, _) => Ok(detected),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// Thousands wait at the same moment. A step that is rare or short is boxed, and these stay as they are: within what the
    /// allocator gives for them.
    #[test]
    fn a_connection_that_waits_is_small() {
        type Way = &'static Arrival<'static>;
        let whole =
            bytes(|stream, (peer, admission, lease), context| serve(stream, peer, admission, lease, context));
        let frames = bytes(|way: Way, stream: &'static mut TcpStream, greeting| {
            frames::run_session(way, stream, greeting)
        });
        let link = bytes(|way: Way, proved, deadline| link::serve(way, proved, deadline));
        assert!(whole <= 1_024 && frames <= 1_280 && link <= 2_560, "{whole} {frames} {link}");
    }
}
