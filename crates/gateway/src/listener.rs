//! The listener for devices: accepts, admits or refuses, and starts a task a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::context::Context;
use crate::lease::Lease;

/// Connections that the kernel holds for us: a clinic's devices may all come back at the same moment.
const BACKLOG: u32 = 4_096;
/// What the kernel keeps of what we send to a device: acknowledgements, which are short. A device that does not read them
/// is noticed sooner, and costs less.
const SEND_BUFFER: u32 = 16 * 1024;
/// After a failed accept (no file descriptors, mostly) the listener waits; the wait doubles up to the maximum.
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the stop, each connection in a task of `tasks`.
pub(crate) async fn run(listener: TcpListener, context: Arc<Context>, tasks: TaskTracker) {
    let mut back_off = BACK_OFF_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = context.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                back_off = BACK_OFF_MIN;
                start(stream, peer, &context, &tasks);
            }
            Err(error) => {
                context.metrics.accept_errors.inc();
                tracing::error!(%error, wait = ?back_off, "cannot accept a device; trying again");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
}

fn start(stream: TcpStream, peer: SocketAddr, context: &Arc<Context>, tasks: &TaskTracker) {
    let lease = Lease::new(&context.stop);
    let admitted = if context.device_proxies.contains(peer.ip()) {
        context.admissions.admit_proxied(&lease)
    } else {
        context.admissions.admit(peer.ip(), &lease)
    };
    let admission = match admitted {
        Ok(admission) => admission,
        Err(refusal) => {
            context.metrics.ended(refusal.label());
            tracing::warn!(%peer, cause = %refusal, "connection refused");
            return;
        }
    };
    context.metrics.accepted.inc();
    tasks.spawn(connection::serve(stream, peer, admission, lease, Arc::clone(context)));
}
