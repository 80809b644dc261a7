//! The device's traits over tokio: its sockets and its clock.

use std::future::Future;
use std::time::Duration;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use vitalwire_device::clock::Clock;

/// A stream of tokio as a socket of the device.
pub struct Socket<S>(pub S);

/// What a stream reports.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SocketError(#[from] std::io::Error);

impl embedded_io_async::Error for SocketError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl<S> ErrorType for Socket<S> {
    type Error = SocketError;
}

impl<S: AsyncRead + Unpin> Read for Socket<S> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, SocketError> {
        Ok(self.0.read(bytes).await?)
    }
}

impl<S: AsyncWrite + Unpin> Write for Socket<S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, SocketError> {
        Ok(self.0.write(bytes).await?)
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        Ok(self.0.flush().await?)
    }
}

/// The runtime's clock, which a test may pause.
#[derive(Clone, Copy)]
pub struct RuntimeClock(Instant);

impl RuntimeClock {
    /// It reads 0 now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).expect("a test is shorter than that")
    }

    fn wait_until_us(&self, at_us: u64) -> impl Future<Output = ()> {
        tokio::time::sleep_until(self.0 + Duration::from_micros(at_us))
    }
}
