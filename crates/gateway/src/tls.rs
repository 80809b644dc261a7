//! TLS 1.3 with pre-shared keys: the one module that names the TLS crate. It turns a connection into a secured one of
//! an authenticated device, and knows nothing of what is said inside.
//!
//! Only `psk_dhe_ke` (RFC 8446 §4.2.9), only two cipher suites with SHA-256, no tickets, no early data, no certificates: each
//! session has keys of its own, which no later leak of a device's key opens. An unknown identity gets a random key, so
//! that it fails exactly as a wrong key does, in its alert and in its time.
//!
//! A handshake takes some 36 KiB, so it begins only when the whole ClientHello is there: a peer that stops before that costs the bytes
//! that it sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::rand::rand_bytes;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode,
    SslVersion,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_openssl::SslStream;
use vitalwire_protocol::{CLIENT_HELLO_LEN_MAX, ClientHelloError, has_client_hello};
use vitalwire_registry::{
    Device, DeviceKey, Directory, FoundLink, LINK_ID_DIGITS, Link, LinkId, LinkKeys, Psk,
};
use zeroize::Zeroize;

/// Clients choose: AES where their processor has instructions for it, ChaCha20 where it has none, as in our firmware. Both have
/// SHA-256, to which a key without another note belongs (RFC 8446 §4.2.11).
const CIPHERS: &str = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/// The emulated device offers P-256; OpenSSL's clients offer X25519 first.
const GROUPS: &str = "X25519:P-256";
/// Bytes of a pre-shared key.
const PSK_LEN: usize = 32;
/// How long a goodbye may take; the peer may be gone.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(100);

/// Accepts secured connections.
pub(crate) struct Acceptor {
    context: SslContext,
    found: Index<Ssl, Found>,
}

/// What the handshake's callback found; trusted only after the handshake.
#[derive(Clone)]
struct Found {
    link: FoundLink,
    id: LinkId,
    /// Stands for an unknown identity, so that it costs what a known one does.
    is_decoy: bool,
}

/// A connection whose peer proved that it has a device's key.
#[derive(Debug)]
pub(crate) struct Secured {
    stream: Pin<Box<SslStream<Begun>>>,
}

/// A connection whose first bytes were read already.
#[derive(Debug)]
pub(crate) struct Begun {
    socket: TcpStream,
    /// Those bytes, as far as they are not read again yet.
    first: Vec<u8>,
}

/// The device at the other end, and by which of its links it came.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) link: FoundLink,
    pub(crate) id: LinkId,
}

/// Why a handshake failed. It says no more than the alert does: the rest would tell who is enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the handshake failed (unknown link id, wrong key, or not TLS 1.3 with psk_dhe_ke): {0}")]
    Failed(openssl::ssl::Error),
    #[error("the handshake succeeded without a device's key")]
    NoLink,
    #[error("the handshake failed: {0}")]
    Hello(#[from] ClientHelloError),
    #[error("the connection was lost before the handshake: {0}")]
    Lost(#[from] io::Error),
    #[error("the TLS library failed: {0}")]
    Library(#[from] ErrorStack),
}

impl Begun {
    /// Waits until the whole ClientHello is there. The caller sets the deadline.
    pub(crate) async fn read(socket: TcpStream) -> Result<Self, HandshakeError> {
        let mut first = Vec::new();
        while !has_client_hello(&first)? {
            socket.readable().await?;
            let mut bytes = [0; CLIENT_HELLO_LEN_MAX];
            match socket.try_read(&mut bytes) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(len) => first.extend_from_slice(bytes.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { socket, first })
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let len = self.first.len().min(buffer.remaining());
        let rest = self.first.split_off(len);
        buffer.put_slice(&std::mem::replace(&mut self.first, rest));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Acceptor {
    pub(crate) fn new(directory: watch::Receiver<Arc<Directory>>) -> Result<Self, ErrorStack> {
        let found = Ssl::new_ex_index()?;
        let mut builder = SslContextBuilder::new(SslMethod::tls_server())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
        builder.set_ciphersuites(CIPHERS)?;
        builder.set_groups_list(GROUPS)?;
        builder.set_num_tickets(0)?;
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        // OpenSSL refuses psk_ke and early data unless told otherwise.
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_mode(SslMode::RELEASE_BUFFERS);
        // One read of the socket a wake-up, instead of one for each record's header, its body, and to learn that there is no more.
        builder.set_read_ahead(true);
        let (decoy, decoy_id) = decoy();
        builder.set_psk_server_callback(move |ssl, identity, out| {
            let directory = Arc::clone(&directory.borrow());
            let id = LinkId::from_digits(identity.unwrap_or_default());
            let asked = id.unwrap_or(decoy_id);
            let (link, is_decoy) = match directory.link(&asked, SystemTime::now()) {
                Some(link) => (link, false),
                None => (decoy.clone(), true),
            };
            offer_key(Found { link, id: asked, is_decoy }, found, ssl, out)
        });
        Ok(Self { context: builder.build(), found })
    }

    /// Shakes hands. The caller sets the deadline.
    pub(crate) async fn accept(&self, stream: Begun) -> Result<(Secured, Proven), HandshakeError> {
        let ssl = Ssl::new(&self.context)?;
        let mut stream = Box::pin(SslStream::new(ssl, stream)?);
        stream.as_mut().accept().await.map_err(HandshakeError::Failed)?;
        match stream.ssl().ex_data(self.found).cloned() {
            Some(Found { link, id, is_decoy: false }) => Ok((Secured { stream }, Proven { link, id })),
            // Cannot be: no one has a key that was drawn at random a moment ago.
            _ => Err(HandshakeError::NoLink),
        }
    }
}

/// A device that is none.
fn decoy() -> (FoundLink, LinkId) {
    let id = LinkId::from_digits(&[b'0'; LINK_ID_DIGITS]).expect("digits");
    let psk = Psk::derive(&[0; PSK_LEN], &id);
    let links = LinkKeys { current: Link { id, psk: psk.clone() }, previous: None };
    let device =
        Device { id: "decoy".parse().expect("a valid name"), key: DeviceKey::Tls(links), generation: 0 };
    (FoundLink { device: Arc::new(device), psk, is_current: true }, id)
}

/// Writes the key of what was found to `out`; a decoy's is random, drawn in both cases.
fn offer_key(
    found: Found,
    index: Index<Ssl, Found>,
    ssl: &mut SslRef,
    out: &mut [u8],
) -> Result<usize, ErrorStack> {
    let mut key = [0; PSK_LEN];
    rand_bytes(&mut key)?;
    if !found.is_decoy {
        key.copy_from_slice(found.link.psk.bytes());
    }
    ssl.set_ex_data(index, found);
    let len = out.get_mut(..PSK_LEN).map_or(0, |out| {
        out.copy_from_slice(&key);
        PSK_LEN
    });
    key.zeroize();
    Ok(len)
}

impl Secured {
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream.get_ref().socket
    }

    /// Waits for bytes and hands them to `take`; their number, 0 at the peer's end. The buffer is on the stack, so an
    /// idle connection holds none; a dropped future has taken nothing.
    pub(crate) async fn receive<const N: usize>(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        std::future::poll_fn(|context| self.poll_receive::<N>(context, &mut take)).await
    }

    fn poll_receive<const N: usize>(
        &mut self,
        context: &mut Context<'_>,
        take: &mut impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let mut bytes = [0; N];
        let mut buffer = ReadBuf::new(&mut bytes);
        std::task::ready!(self.stream.as_mut().poll_read(context, &mut buffer))?;
        take(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says goodbye, so that the peer knows that nothing was cut off, and lets it finish what it is sending: a connection that is
    /// closed over unread bytes is reset, and who is sending then may never read why it was refused.
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            self.stream.shutdown().await?;
            let socket = self.socket();
            let mut bytes = [0; CLIENT_HELLO_LEN_MAX];
            loop {
                socket.readable().await?;
                match socket.try_read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(1..) => {}
                    ended => return ended,
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }
}
