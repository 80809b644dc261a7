//! What comes before the first byte of MQTT: a proxy's header, the TLS handshake, the WebSocket handshake. It ends with a
//! stream and a place in the table of connections, under the address of who really connected.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use vitalwire_access::{Origins, PROXY_PREFIX_LEN, Proxies, ProxyError, ProxyPrefix};

use crate::connections::{Entry, Full, Place};
use crate::tls::{TlsAcceptor, TlsError};
use crate::wake::Cut;
use crate::websocket::{self, WebSocketBytes};

/// Why a connection did not come as far as MQTT.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    #[error("the handshake was not done within {0:?}")]
    Late(Duration),
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the WebSocket handshake failed: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Full(#[from] Full),
    #[error("plain MQTT is for this machine and the networks of --allow-plain-mqtt; others use TLS")]
    Stranger,
}

/// A connection that was accepted.
pub(crate) struct Newcomer {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: Admitted,
}

/// Its place in the table.
pub(crate) enum Admitted {
    /// Under its own address.
    Direct(Entry),
    /// A named proxy's: it will say for whom it connects.
    Proxied(Place),
}

impl Admitted {
    fn enter(self, peer: SocketAddr) -> Result<Entry, Full> {
        match self {
            Self::Direct(entry) => Ok(entry),
            Self::Proxied(place) => place.enter(peer),
        }
    }
}

impl Newcomer {
    /// What ends it when another connection needs the room. A proxy's has its place when it is known for whom it is.
    pub(crate) fn cut(&self) -> Option<Arc<Cut>> {
        match &self.place {
            Admitted::Direct(entry) => Some(Arc::clone(&entry.connection.cut)),
            Admitted::Proxied(_) => None,
        }
    }

    /// Plain MQTT follows.
    pub(crate) async fn greet_plain(mut self) -> Result<(TcpStream, Entry), GreetingError> {
        let entry = match self.place {
            Admitted::Direct(entry) => entry,
            Admitted::Proxied(place) => {
                let source = read_proxy_header(&mut self.socket).await?;
                place.enter(source.unwrap_or(self.peer))?
            }
        };
        Ok((self.socket, entry))
    }

    /// MQTT over TLS follows. A proxy's header stands before it, in the clear.
    pub(crate) async fn greet_tls(
        self,
        acceptor: &TlsAcceptor,
    ) -> Result<(SslStream<TcpStream>, Entry), GreetingError> {
        let (socket, entry) = self.greet_plain().await?;
        Ok((acceptor.accept(socket).await?, entry))
    }

    /// MQTT over WebSocket follows. A proxy says in `X-Forwarded-For` for whom it connects.
    pub(crate) async fn greet_web_socket(
        self,
        origins: &Origins,
        proxies: &Proxies,
        message_bytes_max: usize,
    ) -> Result<(WebSocketBytes, Entry), GreetingError> {
        let proxies = matches!(self.place, Admitted::Proxied(_)).then_some(proxies);
        let accepted = websocket::accept(self.socket, origins, proxies, message_bytes_max).await;
        let (stream, forwarded_for) = accepted.map_err(Box::new)?;
        // The port is the proxy's: of the other nothing is told.
        let peer = forwarded_for.map_or(self.peer, |address| SocketAddr::new(address, self.peer.port()));
        Ok((stream, self.place.enter(peer)?))
    }
}

/// Reads a proxy's header and no byte more.
async fn read_proxy_header(socket: &mut TcpStream) -> Result<Option<SocketAddr>, GreetingError> {
    let mut prefix = [0; PROXY_PREFIX_LEN];
    socket.read_exact(&mut prefix).await?;
    let prefix = ProxyPrefix::decode(&prefix)?;
    let mut rest = vec![0; prefix.rest_len()];
    socket.read_exact(&mut rest).await?;
    Ok(prefix.source(&rest)?)
}
