//! Accepting clients: plain TCP, TLS, WebSocket. Each loop survives whatever a peer does; caps and deadlines are set here,
//! before a byte is read. What the bytes mean is `client`'s business.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument as _, debug, warn};
use vitalwire_access::{Networks, Origins, Proxies};

use crate::client;
use crate::connections::Entry;
use crate::engine::Engine;
use crate::error::BrokerError;
use crate::greeting::{Admitted, GreetingError, Newcomer};
use crate::tls::TlsAcceptor;
use crate::wake::Cut;

/// First pause after a failed accept; it doubles until [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Out of file descriptors: there is no use in trying more often.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is spoken at one address, and who may speak for others there.
pub(crate) struct Front {
    pub(crate) wire: Wire,
    pub(crate) proxies: Proxies,
}

/// What lies below MQTT.
pub(crate) enum Wire {
    /// Who may connect, beside this machine itself.
    Plain(Networks),
    Tls(TlsAcceptor),
    WebSocket(Origins),
}

impl Front {
    fn what(&self) -> &'static str {
        match self.wire {
            Wire::Plain(_) => "MQTT",
            Wire::Tls(_) => "MQTT over TLS",
            Wire::WebSocket(_) => "MQTT over WebSocket",
        }
    }

    /// What it sends would be readable on its way.
    fn is_closed_to(&self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        matches!(&self.wire, Wire::Plain(peers) if !ip.is_loopback() && !peers.contains(ip))
    }
}

pub(crate) async fn bind(front: &Front, address: SocketAddr) -> Result<TcpListener, BrokerError> {
    let failed = |source| BrokerError::Bind { what: front.what(), address, source };
    TcpListener::bind(address).await.map_err(failed)
}

/// Accepts until the engine stops.
pub(crate) async fn run(listener: TcpListener, front: Front, engine: Arc<Engine>) {
    let front = Arc::new(front);
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            () = engine.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = ACCEPT_PAUSE_MIN;
                admit(socket, peer, &front, &engine);
            }
            Err(error) => {
                // Of one connection (the peer has left again) or of the process (no descriptors): both pass.
                if !is_of_one_connection(&error) {
                    warn!(what = front.what(), %error, pause_ms = pause.as_millis(), "cannot accept clients for now");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn admit(socket: TcpStream, peer: SocketAddr, front: &Arc<Front>, engine: &Arc<Engine>) {
    if front.is_closed_to(peer) {
        not_served(engine, peer, front, &GreetingError::Stranger);
        return;
    }
    // All who come through a proxy have its address: what is allowed to one address is not for it.
    let place = engine.connections.reserve().and_then(|place| {
        if front.proxies.contains(peer.ip()) {
            Ok(Admitted::Proxied(place))
        } else {
            place.enter(peer).map(Admitted::Direct)
        }
    });
    match place {
        Ok(place) => {
            let (front, serving) = (Arc::clone(front), Arc::clone(engine));
            let newcomer = Newcomer { socket, peer, place };
            engine.serving.spawn(async move { serve(newcomer, &front, &serving).await });
        }
        Err(full) => not_served(engine, peer, front, &full.into()),
    }
}

async fn serve(newcomer: Newcomer, front: &Front, engine: &Arc<Engine>) {
    let peer = newcomer.peer;
    // Small writes are gathered already; the system should not wait once more.
    if let Err(error) = newcomer.socket.set_nodelay(true) {
        debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = greet_and_serve(newcomer, front, engine).await {
        not_served(engine, peer, front, &error);
    }
}

/// The greetings are boxed, so that a connection takes memory for its present step only.
async fn greet_and_serve(
    newcomer: Newcomer,
    front: &Front,
    engine: &Arc<Engine>,
) -> Result<(), GreetingError> {
    let cut = newcomer.cut();
    match &front.wire {
        Wire::Plain(_) => {
            let (stream, entry) = in_time(engine, cut, newcomer.greet_plain()).await?;
            serve_stream(stream, entry, engine).await;
        }
        Wire::Tls(acceptor) => {
            let (stream, entry) = in_time(engine, cut, Box::pin(newcomer.greet_tls(acceptor))).await?;
            serve_stream(stream, entry, engine).await;
        }
        Wire::WebSocket(origins) => {
            let packet_bytes_max = engine.limits.client_packet_bytes_max;
            let greeting = newcomer.greet_web_socket(origins, &front.proxies, packet_bytes_max);
            let (stream, entry) = in_time(engine, cut, Box::pin(greeting)).await?;
            serve_stream(stream, entry, engine).await;
        }
    }
    Ok(())
}

async fn in_time<T>(
    engine: &Engine,
    cut: Option<Arc<Cut>>,
    greeting: impl Future<Output = Result<T, GreetingError>>,
) -> Result<T, GreetingError> {
    let time = engine.limits.handshake_deadline();
    let made_room = poll_fn(|cx| match &cut {
        Some(cut) if cut.poll_cut(cx) => Poll::Ready(()),
        _ => Poll::Pending,
    });
    tokio::select! {
        greeted = greeting => greeted,
        () = made_room => Err(io::Error::other("another connection needed the room").into()),
        () = tokio::time::sleep(time) => Err(GreetingError::Late(time)),
        () = engine.stopping.cancelled() => Err(io::Error::other("the broker stops").into()),
    }
}

fn not_served(engine: &Engine, peer: SocketAddr, front: &Front, error: &GreetingError) {
    let what = front.what();
    match error {
        // The operator's settings and those of the proxy do not fit together.
        GreetingError::Proxy(_) => warn!(%peer, what, %error, "client refused"),
        GreetingError::Full(_) | GreetingError::Stranger => {
            engine.counters.refused_connection();
            debug!(%peer, what, %error, "client refused");
        }
        _ => debug!(%peer, what, %error, "client not served"),
    }
}

async fn serve_stream<S>(stream: S, entry: Entry, engine: &Arc<Engine>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connection = &entry.connection;
    let served = client::serve(stream, connection, engine).instrument(connection.span.clone());
    if let Err(error) = served.await {
        debug!(parent: &connection.span, %error, "MQTT connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_mqtt_is_for_this_machine_and_the_networks_that_are_allowed() {
        let closed_to = |peers: Networks, peer: &str| {
            let front = Front { wire: Wire::Plain(peers), proxies: Proxies::default() };
            front.is_closed_to(peer.parse().unwrap())
        };
        let allowed: Networks = "172.20.0.0/16".parse().unwrap();
        for peer in
            ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "172.20.0.30:1", "[::ffff:172.20.0.30]:1"]
        {
            assert!(!closed_to(allowed.clone(), peer), "{peer}");
        }
        for peer in ["172.21.0.1:1", "203.0.113.9:1", "[2001:db8::1]:1"] {
            assert!(closed_to(allowed.clone(), peer), "{peer}");
            assert!(closed_to(Networks::default(), peer), "{peer}");
        }
        assert!(closed_to(Networks::default(), "172.20.0.30:1"));
    }
}
