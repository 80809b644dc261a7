//! The firmware's TLS client over a TCP stream of the operating system, with random numbers of the operating system. What it
//! does is `vitalwire_device::tls`.

use std::io;
use std::sync::Arc;

use embedded_io::{ErrorKind, ErrorType};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore};
use tokio::net::TcpStream;
use vitalwire_device::tls::{self, PreSharedKey};
pub(super) use vitalwire_device::tls::{Buffers, TlsError};

use super::Link;

pub(super) type Tls<'b> = tls::Tls<'b, Socket>;
pub(super) type Reader<'t> = tls::Reader<'t, Socket>;
pub(super) type Writer<'t> = tls::Writer<'t, Socket>;

/// The handshake. An error says that there is no such server, or that it knows another key or none.
pub(super) async fn handshake<'b>(
    stream: Arc<TcpStream>,
    link: &Link,
    buffers: &'b mut Buffers,
) -> Result<Tls<'b>, TlsError> {
    let key = PreSharedKey { id: link.id().as_bytes(), key: link.psk() };
    tls::handshake(Socket(stream), key, &mut Random::new(), buffers).await
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
