//! One connection of a device, from its first byte to its end. The first byte says what is spoken: TLS (`link`) or the
//! paper's AES-CBC frames (`frames`).
//!
//! Whatever a peer sends ends at most its own connection, with one line in the log that names the cause.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tracing::Span;
use tracing::field::display;
use vitalwire_access::{PROXY_PREFIX_LEN, ProxyPrefix};
use vitalwire_protocol::{Detected, detect};

use crate::admission::Admission;
use crate::arrival::Arrival;
use crate::cause::Cause;
use crate::context::Context;
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
    let cause = match arrival.before(deadline, source(&arrival, &mut stream)).await {
        Ok(source) => {
            if source != peer {
                Span::current().record("source", display(source));
                arrival.peer = source;
            }
            speak(&arrival, stream, deadline).await
        }
        Err(cause) => cause,
    };
    context.metrics.ended(cause.label());
    if cause.is_ordinary() {
        tracing::info!(%cause, "connection ended");
    } else {
        tracing::warn!(%cause, "connection ended");
    }
}

/// Who is at the other end: for the connection of a named proxy its header says it, which is read and no byte more.
async fn source(arrival: &Arrival<'_>, stream: &mut TcpStream) -> Result<SocketAddr, Cause> {
    if !arrival.context.device_proxies.contains(arrival.peer.ip()) {
        return Ok(arrival.peer);
    }
    let mut prefix = [0; PROXY_PREFIX_LEN];
    stream.read_exact(&mut prefix).await?;
    let prefix = ProxyPrefix::decode(&prefix)?;
    let mut rest = vec![0; prefix.rest_len()];
    stream.read_exact(&mut rest).await?;
    let source = prefix.source(&rest)?.unwrap_or(arrival.peer);
    arrival.admission.come_from(source.ip())?;
    Ok(source)
}

/// Finds out what the peer speaks, and speaks it to the end of the connection.
async fn speak(arrival: &Arrival<'_>, stream: TcpStream, deadline: tokio::time::Instant) -> Cause {
    // Steps are boxed, here and in both protocols, so that a connection takes memory for its present one only: what
    // thousands of them do is wait.
    match arrival.before(deadline, first_byte(&stream)).await {
        Ok(Detected::Tls) => Box::pin(link::serve(arrival, stream, deadline)).await,
        Ok(_) => match Box::pin(arrival.before(deadline, frames::identify(arrival, &stream))).await {
            Ok(greeting) => {
                arrival.admission.identified();
                Box::pin(frames::run_session(arrival, &stream, greeting)).await
            }
            Err(cause) => cause,
        },
        Err(cause) => cause,
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
