//! TLS with a pre-shared key, as devices open it: to our gateway, and of the peer's devices straight to the broker.
//! Never a server.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::{Context, Result, ensure};
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_openssl::SslStream;

use crate::enrolment::{device_id, secret};
use crate::mqtt::{self, Packet, Session};

/// A connection that the broker has accepted.
pub(crate) type Connection = SslStream<TcpStream>;

/// Who a device says it is, and the key that proves it.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) key: Vec<u8>,
}

impl Identity {
    /// Of the peer's device `index`.
    pub(crate) fn of_peer(index: usize) -> Self {
        Self { name: device_id(index), key: secret(index).0.to_vec() }
    }
}

/// Collects what a client says first, and never answers.
#[derive(Default)]
struct Mute(Vec<u8>);

impl Read for Mute {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Mute {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes connections; one context for all devices, as one context each would cost more than the connections.
pub(crate) struct Connector {
    context: SslContext,
    identity: Index<Ssl, Identity>,
}

impl Connector {
    pub(crate) fn new() -> Result<Self> {
        let identity = Ssl::new_ex_index()?;
        let mut builder = SslContextBuilder::new(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        builder.set_ciphersuites("TLS_AES_128_GCM_SHA256")?;
        builder.set_groups_list("X25519")?;
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_psk_client_callback(move |ssl, _hint, name_out, key_out| {
            let identity: Option<&Identity> = ssl.ex_data(identity);
            // 0 tells OpenSSL that there is no key; the handshake then fails.
            Ok(identity.and_then(|it| offer(it, name_out, key_out)).unwrap_or(0))
        });
        Ok(Self { context: builder.build(), identity })
    }

    /// Connects as device `index` from `source`, up to the broker's CONNACK.
    pub(crate) async fn connect(
        &self,
        index: usize,
        client_id: &str,
        source: SocketAddr,
        target: SocketAddr,
    ) -> Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(source)?;
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        let mut stream = self.shake(Identity::of_peer(index), stream).await?;
        stream.write_all(&mqtt::connect(client_id, None, Session::Clean)?).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        let welcome = mqtt::decode(&answer)?.map(|(packet, _)| packet);
        let is_welcome = matches!(welcome, Some(Packet::ConnAck { code: 0, .. }));
        ensure!(is_welcome, "the broker refused the device: {welcome:?}");
        Ok(stream)
    }

    /// Shakes hands over `stream`.
    pub(crate) async fn shake<S>(&self, identity: Identity, stream: S) -> Result<SslStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = SslStream::new(self.ssl(identity)?, stream)?;
        Pin::new(&mut stream).connect().await.context("the server refused the TLS handshake")?;
        Ok(stream)
    }

    /// The first flight of a handshake: what a client sends that then falls silent.
    pub(crate) fn first_flight(&self, identity: Identity) -> Result<Vec<u8>> {
        let mut stream = openssl::ssl::SslStream::new(self.ssl(identity)?, Mute::default())?;
        ensure!(stream.connect().is_err(), "a handshake cannot succeed without an answer");
        Ok(std::mem::take(&mut stream.get_mut().0))
    }

    fn ssl(&self, identity: Identity) -> Result<Ssl> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_ex_data(self.identity, identity);
        Ok(ssl)
    }
}

/// Writes the identity, ended by NUL, and the key; the key's length.
fn offer(identity: &Identity, name_out: &mut [u8], key_out: &mut [u8]) -> Option<usize> {
    let (name, end) = name_out.split_at_mut_checked(identity.name.len())?;
    name.copy_from_slice(identity.name.as_bytes());
    *end.first_mut()? = 0;
    key_out.get_mut(..identity.key.len())?.copy_from_slice(&identity.key);
    Some(identity.key.len())
}

/// 32 hexadecimal digits, fresh in every run.
pub(crate) fn random_password() -> Result<String> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
