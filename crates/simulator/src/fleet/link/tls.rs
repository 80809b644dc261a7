//! TLS 1.3 with a pre-shared key over TCP, by the client that the firmware uses: `psk_dhe_ke` over P-256,
//! `TLS_AES_128_GCM_SHA256`, no certificates. The only module that names the TLS crate.
//!
//! Its record buffers are as small as the firmware's. The key is zeroized with its [`Link`]; what the crate derives from
//! it is not.

use std::io;
use std::sync::Arc;

use embedded_io::{ErrorKind, ErrorType};
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, MaxFragmentLength, TLS_RECORD_OVERHEAD, TlsConfig, TlsConnection,
    TlsContext, TlsError, TlsReader, TlsWriter,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, CryptoRngCore, RngCore};
use tokio::net::TcpStream;
use vitalwire_protocol::batch::SERVER_MESSAGE_LEN_MAX;

use super::Link;

/// Bytes of a record buffer: `max_fragment_length` and what the crate keeps free around it.
const BUFFER_LEN: usize = SERVER_MESSAGE_LEN_MAX + TLS_RECORD_OVERHEAD;

/// The buffers of one connection.
#[derive(Debug)]
pub(super) struct Buffers {
    read: [u8; BUFFER_LEN],
    write: [u8; BUFFER_LEN],
}

impl Default for Buffers {
    fn default() -> Self {
        Self { read: [0; BUFFER_LEN], write: [0; BUFFER_LEN] }
    }
}

pub(super) type Tls<'b> = TlsConnection<'b, Socket, Aes128GcmSha256>;
pub(super) type Reader<'t> = TlsReader<'t, Socket, Aes128GcmSha256>;
pub(super) type Writer<'t> = TlsWriter<'t, Socket, Aes128GcmSha256>;

/// The handshake. An error says that there is no such server, or that it knows another key or none.
pub(super) async fn handshake<'b>(
    stream: Arc<TcpStream>,
    link: &Link,
    buffers: &'b mut Buffers,
) -> Result<Tls<'b>, TlsError> {
    let config = TlsConfig::new()
        .with_max_fragment_length(MaxFragmentLength::Bits9)
        .with_psk(link.psk(), &[link.id().as_bytes()]);
    let mut tls = TlsConnection::new(Socket(stream), &mut buffers.read, &mut buffers.write);
    tls.open(TlsContext::new(&config, Provider(Random::new()))).await?;
    Ok(tls)
}

/// What the TLS crate needs besides itself. There is no certificate to verify: the key authenticates both sides.
struct Provider(Random);

impl CryptoProvider for Provider {
    type CipherSuite = Aes128GcmSha256;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.0
    }
}

/// A generator seeded by the operating system, with the traits of the version that the TLS crate uses.
struct Random(ChaCha20Rng);

impl Random {
    fn new() -> Self {
        Self(ChaCha20Rng::from_seed(rand::random()))
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Random {}

/// A TCP stream whose two directions are used at once.
#[derive(Clone)]
pub(super) struct Socket(Arc<TcpStream>);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl embedded_io_async::Read for Socket {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            self.0.readable().await.map_err(kind)?;
            match self.0.try_read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map_err(kind),
            }
        }
    }
}

impl embedded_io_async::Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        loop {
            self.0.writable().await.map_err(kind)?;
            match self.0.try_write(bytes) {
                Ok(0) if !bytes.is_empty() => return Err(ErrorKind::WriteZero),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written.map_err(kind),
            }
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn kind(error: io::Error) -> ErrorKind {
    error.kind().into()
}
