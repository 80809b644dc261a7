//! Accepting clients: plain TCP, TLS, WebSocket. Each loop survives whatever a peer does; caps and deadlines are set here,
//! before a byte is read. What the bytes mean is the broker crate's business.

use crate::connections::{CONNECTION, Entry, Full};
use crate::engine::Engine;
use crate::error::BrokerError;
use crate::stream::GatheringStream;
use crate::websocket;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::transport::BrokerTransport;
use openssl::ssl::{Ssl, SslAcceptor};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;
use tracing::{debug, warn};

/// First pause after a failed accept; it doubles until [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Out of file descriptors: there is no use in trying more often.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is spoken at one address.
#[derive(Clone)]
pub(crate) enum Front {
    Plain,
    Tls(SslAcceptor),
    WebSocket,
}

impl Front {
    fn what(&self) -> &'static str {
        match self {
            Self::Plain => "MQTT",
            Self::Tls(_) => "MQTT over TLS",
            Self::WebSocket => "MQTT over WebSocket",
        }
    }
}

/// Binds the address.
pub(crate) async fn bind(front: &Front, address: SocketAddr) -> Result<TcpListener, BrokerError> {
    let failed = |source| BrokerError::Bind { what: front.what(), address, source };
    TcpListener::bind(address).await.map_err(failed)
}

/// Accepts until the engine stops.
pub(crate) async fn run(listener: TcpListener, front: Front, engine: Arc<Engine>) {
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

fn admit(socket: TcpStream, peer: SocketAddr, front: &Front, engine: &Arc<Engine>) {
    match engine.connections.enter(peer) {
        Ok(entry) => {
            let (front, serving) = (front.clone(), Arc::clone(engine));
            engine.serving.spawn(async move { serve(socket, front, entry, &serving).await });
        }
        Err(full) => {
            engine.counters.refused_connection();
            let cap = match full {
                Full::Total => engine.limits.connections_max,
                Full::Address => engine.limits.connections_per_address_max,
            };
            debug!(%peer, ?full, cap, "MQTT connection refused: too many");
        }
    }
}

async fn serve(socket: TcpStream, front: Front, entry: Entry, engine: &Engine) {
    // Small writes are gathered already; the system should not wait once more.
    if let Err(error) = socket.set_nodelay(true) {
        debug!(peer = %entry.connection.peer, %error, "cannot set TCP_NODELAY");
    }
    let peer = entry.connection.peer;
    let deadline = engine.limits.handshake_deadline();
    match front {
        Front::Plain => serve_stream(socket, entry, engine).await,
        Front::Tls(acceptor) => match tokio::time::timeout(deadline, tls(socket, &acceptor)).await {
            Ok(Ok(stream)) => serve_stream(stream, entry, engine).await,
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => debug!(%peer, "TLS handshake not done in time"),
        },
        Front::WebSocket => {
            let handshake = websocket::accept(socket, engine.limits.client_packet_bytes_max);
            match tokio::time::timeout(deadline, handshake).await {
                Ok(Ok(stream)) => serve_stream(stream, entry, engine).await,
                Ok(Err(error)) => debug!(%peer, %error, "WebSocket handshake failed"),
                Err(_) => debug!(%peer, "WebSocket handshake not done in time"),
            }
        }
    }
}

async fn tls(socket: TcpStream, acceptor: &SslAcceptor) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
    let mut stream = SslStream::new(Ssl::new(acceptor.context())?, socket)?;
    Pin::new(&mut stream).accept().await?;
    Ok(stream)
}

async fn serve_stream<S>(stream: S, entry: Entry, engine: &Engine)
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let connection = Arc::clone(&entry.connection);
    let peer = connection.peer;
    let stream = GatheringStream::new(stream, peer, Arc::clone(&connection.cut), engine.lingering.clone());
    let handler = ClientHandler::new(
        // The only transport of the broker crate that takes a stream of ours; it says nothing about what is below.
        BrokerTransport::WebSocket(Box::new(stream)),
        peer,
        Arc::clone(&engine.mqtt),
        Arc::clone(&engine.router),
        Arc::clone(&engine.gate) as Arc<dyn mqtt5::broker::auth::AuthProvider>,
        Some(Arc::clone(&engine.memory)),
        Arc::clone(&engine.mqtt_stats),
        Arc::clone(&engine.monitor),
        engine.shutdown.subscribe(),
    );
    let served = CONNECTION.scope(Arc::clone(&connection), handler.run());
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = tokio::time::sleep(engine.limits.connect_deadline()) => {
            if connection.admitted().is_none() {
                debug!(%peer, "no MQTT login in time");
                connection.cut.cut();
            }
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "MQTT connection ended");
    }
    drop(entry);
}
