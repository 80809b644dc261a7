//! The line between device and modem, in memory. It has the device's interface on one side and tokio's on the other.

use std::io;

use embedded_io::{ErrorKind, ErrorType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

/// Bytes on their way, at most; then the writer waits.
const LINE_LEN: usize = 512;

/// A line: what the device reads, what it writes, and the modem's end.
#[must_use]
pub fn line() -> (LineReader, LineWriter, DuplexStream) {
    let (device, modem) = duplex(LINE_LEN);
    let (reader, writer) = split(device);
    (LineReader(reader), LineWriter(writer), modem)
}

/// What the device hears.
#[derive(Debug)]
pub struct LineReader(ReadHalf<DuplexStream>);

/// What the device says.
#[derive(Debug)]
pub struct LineWriter(WriteHalf<DuplexStream>);

impl ErrorType for LineReader {
    type Error = ErrorKind;
}

impl ErrorType for LineWriter {
    type Error = ErrorKind;
}

impl embedded_io_async::Read for LineReader {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(bytes).await.map_err(kind)
    }
}

impl embedded_io_async::Write for LineWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).await.map_err(kind)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().await.map_err(kind)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn kind(error: io::Error) -> ErrorKind {
    error.kind().into()
}
