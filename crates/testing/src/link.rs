//! A device on the secure link for tests: an OpenSSL client, because the real devices' client is another crate, and
//! two that agree prove more than one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use vitalwire_protocol::batch::{
    Batch, ChannelData, Hello, MESSAGE_LEN_MAX, Message, Samples, decode, encode_batch, encode_hello,
};
use vitalwire_registry::Link;

use crate::PATIENCE;

/// Milliseconds of the test devices' clocks when they say `Hello`.
pub const HELLO_MS: u64 = 100_000;

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// With this cipher suite alone.
    Tls13(&'static str),
    /// Which the server must refuse.
    Tls12,
}

/// A device that is enrolled for the secure link.
#[derive(Clone)]
pub struct LinkDevice {
    /// Its name.
    pub id: String,
    /// What it shakes hands with.
    pub link: Link,
    /// Where its server listens.
    pub address: SocketAddr,
    /// What its `Hello` names.
    pub profile: &'static str,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Up to which batch the server holds the boot.
    Welcome(Option<u64>),
    /// Up to which batch.
    Ack(u64),
    /// Milliseconds of a batch.
    Configure(Option<u32>),
    /// Why it takes no more: the code, and the batch that it refuses.
    Refused(u16, Option<u64>),
    /// The connection is closed.
    Closed,
}

/// A connection whose handshake succeeded.
pub struct Connection {
    /// For what no method here does.
    pub stream: Pin<Box<SslStream<Tap>>>,
    inbox: Vec<u8>,
}

/// A socket that records what is written to it, and can hold it back.
pub struct Tap {
    /// The connection.
    pub socket: TcpStream,
    /// All that was written.
    pub written: Vec<u8>,
    /// What is written is recorded and not sent.
    pub holds_back: bool,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let len = if self.holds_back {
            bytes.len()
        } else {
            std::task::ready!(Pin::new(&mut self.socket).poll_write(context, bytes))?
        };
        self.written.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// What the tests' clients speak unless it matters.
pub const TLS: Version = Version::Tls13("TLS_AES_128_GCM_SHA256");

/// A client's settings for this PSK.
pub fn client_context(identity: &str, key: [u8; 32], version: Version) -> SslContext {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    let wanted = if version == Version::Tls12 { SslVersion::TLS1_2 } else { SslVersion::TLS1_3 };
    builder.set_min_proto_version(Some(wanted)).unwrap();
    builder.set_max_proto_version(Some(wanted)).unwrap();
    match version {
        Version::Tls12 => {
            builder.set_cipher_list("PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305").unwrap()
        }
        Version::Tls13(suite) => builder.set_ciphersuites(suite).unwrap(),
    }
    let identity = identity.to_owned();
    builder.set_psk_client_callback(move |_, _, id, out| {
        id[..identity.len()].copy_from_slice(identity.as_bytes());
        id[identity.len()] = 0;
        out[..32].copy_from_slice(&key);
        Ok(32)
    });
    builder.build()
}

/// Shakes hands over this connection.
pub async fn shake(stream: TcpStream, context: &SslContext) -> Result<Connection, openssl::ssl::Error> {
    let tap = Tap { socket: stream, written: Vec::new(), holds_back: false };
    let mut stream = Box::pin(SslStream::new(Ssl::new(context).unwrap(), tap).unwrap());
    stream.as_mut().connect().await?;
    Ok(Connection { stream, inbox: Vec::new() })
}

impl LinkDevice {
    /// The settings of this device's client.
    pub fn context(&self) -> SslContext {
        client_context(&self.link.id.to_string(), *self.link.psk.bytes(), TLS)
    }

    /// Connects and shakes hands.
    pub async fn shake(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let shaken = tokio::time::timeout(PATIENCE, shake(stream, &self.context())).await;
        shaken.expect("the handshake ends").expect("the handshake succeeds")
    }

    /// Shakes hands and says Hello; what the server holds of the boot.
    pub async fn greet(&self, boot: u64) -> (Connection, Option<u64>) {
        let mut connection = self.shake().await;
        let hello = Hello {
            boot,
            profile: self.profile,
            firmware: "test",
            time_ms: HELLO_MS,
            oldest: None,
            past: false,
        };
        connection.send(&hello_of(&hello)).await;
        match connection.answer().await {
            Answer::Welcome(held) => (connection, held),
            other => panic!("no welcome but {other:?}"),
        }
    }
}

/// A usual `Hello` of this boot.
pub fn hello(boot: u64) -> Vec<u8> {
    hello_of(&Hello { boot, profile: "pico", firmware: "test", time_ms: HELLO_MS, oldest: None, past: false })
}

/// This `Hello`, encoded.
pub fn hello_of(hello: &Hello<'_>) -> Vec<u8> {
    let mut out = [0; 256];
    let len = encode_hello(hello, &mut out).unwrap();
    out[..len].to_vec()
}

/// A batch of one second before `Hello`, whose body temperature is `sequence` thousandths above 36, twenty times.
pub fn batch(sequence: u64) -> Vec<u8> {
    let value = 36_000 + i32::try_from(sequence % 1_000).unwrap();
    batch_of(sequence, HELLO_MS - 1_000, &[(0, 50_000, &[value; 20])], None)
}

/// A batch of channels (index, interval in µs, values in thousandths).
pub fn batch_of(sequence: u64, time_ms: u64, channels: &[(u8, u32, &[i32])], oldest: Option<u64>) -> Vec<u8> {
    let samples: Vec<_> = channels
        .iter()
        .map(|(index, interval_us, values)| Samples {
            index: *index,
            interval_us: *interval_us,
            delay_us: 0,
            scale: -3,
            values,
        })
        .collect();
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = encode_batch(sequence, time_ms, oldest, &samples, &mut out).unwrap();
    out.truncate(len);
    out
}

/// All values of a batch's channel.
pub fn values_of(batch: &Batch<'_>, index: u8) -> Vec<i32> {
    let channel: ChannelData<'_> = batch.channels().find(|channel| channel.index == index).unwrap();
    channel.values.collect()
}

impl Connection {
    /// Sends; the connection must be open.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The record that would carry `bytes`; it is not sent.
    pub async fn record_of(&mut self, bytes: &[u8]) -> Vec<u8> {
        let before = self.tap().written.len();
        self.tap().holds_back = true;
        self.send(bytes).await;
        self.tap().holds_back = false;
        self.tap().written.split_off(before)
    }

    /// What goes around the encryption.
    pub fn tap(&mut self) -> &mut Tap {
        self.stream.get_mut()
    }

    /// Sends, and does not care when the peer has closed meanwhile.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The server's next message, or its end.
    pub async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("the server answers")
    }

    /// Reads acknowledgements until `sequence` is acknowledged.
    pub async fn acknowledged(&mut self, sequence: u64) {
        loop {
            match self.answer().await {
                Answer::Ack(acknowledged) if acknowledged >= sequence => return,
                Answer::Ack(_) | Answer::Configure(_) => {}
                other => panic!("{sequence} is not acknowledged but {other:?}"),
            }
        }
    }

    /// The server ends the connection without acknowledging anything more.
    pub async fn closes(&mut self, what: &str) {
        let answer = self.answer().await;
        assert_eq!(answer, Answer::Closed, "after {what}");
    }

    /// The server refuses what was sent, with this code for this batch, and ends the connection.
    pub async fn refuses(&mut self, what: &str, code: u16, sequence: Option<u64>) {
        let answer = self.answer().await;
        assert_eq!(answer, Answer::Refused(code, sequence), "after {what}");
        self.closes(what).await;
    }

    async fn next(&mut self) -> Answer {
        loop {
            if let Some((message, len)) = decode(&self.inbox).unwrap() {
                let answer = match message {
                    Message::Welcome(welcome) => Answer::Welcome(welcome.sequence),
                    Message::Ack { sequence } => Answer::Ack(sequence),
                    Message::Configure(configure) => Answer::Configure(configure.batch_ms),
                    Message::Refused(refused) => Answer::Refused(refused.code, refused.sequence),
                    other => panic!("the server sent {other:?}"),
                };
                self.inbox.drain(..len);
                return answer;
            }
            let mut bytes = [0; 4_096];
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return Answer::Closed,
                Ok(len) => self.inbox.extend_from_slice(&bytes[..len]),
            }
        }
    }
}

impl LinkDevice {
    /// Whether the server welcomes the device now. It ends the device's session, as any newer one does.
    pub async fn is_accepted(&self) -> bool {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let Ok(mut connection) = shake(stream, &self.context()).await else { return false };
        connection.try_send(&hello(0)).await;
        matches!(connection.answer().await, Answer::Welcome(_))
    }
}
