//! A client's byte stream as the broker sees it: reads go straight to the socket, small writes gather for
//! [`GATHER_DELAY`] and then leave in one system call. It knows no MQTT and starts no task while the client is served.
//!
//! The broker writes every packet on its own and then goes back to reading; the delay is driven by that read, so neither
//! a second task nor a second copy through a pipe is needed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::task::TaskTracker;

use crate::limits::BrokerLimits;
use crate::wake::Cut;

/// How long the first byte of a write waits for more; the runtime's timer rounds it up to one or two milliseconds. When
/// many readings fall into one wake-up it makes no difference to no delay at all (measured, examples/publish_load.rs);
/// when they come one by one it keeps the writes to a client below 1,000 a second.
pub(crate) const GATHER_DELAY: Duration = Duration::from_millis(1);
/// A buffer that grew beyond this is given back once it is written.
const GATHER_BYTES_KEPT: usize = 16 * 1024;

/// Where the gathered bytes stand. The timer belongs to `Gathering` and `Blocked`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outgoing {
    Empty,
    Gathering,
    Blocked,
}

/// See the module.
pub(crate) struct GatheringStream<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    // None only while dropping.
    socket: Option<S>,
    peer: SocketAddr,
    gathered: Vec<u8>,
    written: usize,
    outgoing: Outgoing,
    timer: Pin<Box<Sleep>>,
    gathered_bytes_max: usize,
    stall_max: Duration,
    linger_max: Duration,
    cut: Arc<Cut>,
    lingering: TaskTracker,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> GatheringStream<S> {
    /// `cut` ends the stream from outside; `lingering` tracks the task that writes the last bytes after a drop.
    pub(crate) fn new(
        socket: S,
        peer: SocketAddr,
        limits: &BrokerLimits,
        cut: Arc<Cut>,
        lingering: TaskTracker,
    ) -> Self {
        Self {
            socket: Some(socket),
            peer,
            gathered: Vec::new(),
            written: 0,
            outgoing: Outgoing::Empty,
            timer: Box::pin(tokio::time::sleep(GATHER_DELAY)),
            gathered_bytes_max: limits.gathered_bytes_max,
            stall_max: Duration::from_millis(limits.stall_ms_max),
            linger_max: Duration::from_millis(limits.linger_ms_max),
            cut,
            lingering,
        }
    }

    fn start_timer(&mut self, outgoing: Outgoing, after: Duration) {
        self.outgoing = outgoing;
        self.timer.as_mut().reset(Instant::now() + after);
    }

    /// Writes what is gathered when its time has come.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.outgoing {
            Outgoing::Empty => return Poll::Ready(Ok(())),
            Outgoing::Gathering => ready!(self.timer.as_mut().poll_elapsed(cx)),
            Outgoing::Blocked => {}
        }
        self.poll_write_out(cx)
    }

    /// Writes what is gathered now. Fails when the socket takes nothing for too long.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = self.socket.as_mut() else { return Poll::Ready(Err(closed())) };
        let mut blocked = false;
        while let Some(rest) = self.gathered.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *socket).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => {
                    self.written += len;
                    // Progress starts the stall clock again.
                    if self.outgoing == Outgoing::Blocked {
                        self.outgoing = Outgoing::Gathering;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    blocked = true;
                    break;
                }
            }
        }
        if !blocked {
            match Pin::new(socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.reset_buffer();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if self.outgoing != Outgoing::Blocked {
            self.start_timer(Outgoing::Blocked, self.stall_max);
        }
        ready!(self.timer.as_mut().poll_elapsed(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the client took no byte for {} ms", self.stall_max.as_millis()),
        )))
    }

    fn reset_buffer(&mut self) {
        self.outgoing = Outgoing::Empty;
        self.written = 0;
        if self.gathered.capacity() > GATHER_BYTES_KEPT {
            self.gathered = Vec::new();
        } else {
            self.gathered.clear();
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the broker closed this connection")
}

/// `Sleep` as a poll function, so that `ready!` reads well.
trait Elapsed {
    fn poll_elapsed(self, cx: &mut Context<'_>) -> Poll<()>;
}

impl Elapsed for Pin<&mut Sleep> {
    fn poll_elapsed(self, cx: &mut Context<'_>) -> Poll<()> {
        std::future::Future::poll(self, cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> AsyncRead for GatheringStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.poll_cut(cx) {
            // End of stream: the broker then leaves by its ordinary way out.
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(Err(error)) = self.poll_outgoing(cx) {
            return Poll::Ready(Err(error));
        }
        match self.socket.as_mut() {
            Some(socket) => Pin::new(socket).poll_read(cx, buf),
            None => Poll::Ready(Err(closed())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> AsyncWrite for GatheringStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.poll_cut(cx) {
            return Poll::Ready(Err(closed()));
        }
        if !self.gathered.is_empty() && self.gathered.len() + buf.len() > self.gathered_bytes_max {
            ready!(self.poll_write_out(cx))?;
        }
        self.gathered.extend_from_slice(buf);
        if self.outgoing == Outgoing::Empty {
            self.start_timer(Outgoing::Gathering, GATHER_DELAY);
        }
        Poll::Ready(Ok(buf.len()))
    }

    /// Does nothing on purpose: the broker flushes after each packet.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        match self.socket.as_mut() {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Drop for GatheringStream<S> {
    fn drop(&mut self) {
        let (Some(mut socket), false) = (self.socket.take(), self.cut.is_cut()) else { return };
        let (gathered, written) = (std::mem::take(&mut self.gathered), self.written);
        let linger_max = self.linger_max;
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        self.lingering.spawn(async move {
            let last_words = async {
                if let Some(rest) = gathered.get(written..).filter(|rest| !rest.is_empty()) {
                    socket.write_all(rest).await?;
                }
                socket.shutdown().await
            };
            // A peer that is gone already needs no last words.
            let _ = tokio::time::timeout(linger_max, last_words).await;
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> WebSocketTransport for GatheringStream<S> {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn pair(
        capacity: usize,
    ) -> (GatheringStream<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Cut>) {
        let (near, far) = tokio::io::duplex(capacity);
        let cut = Arc::new(Cut::default());
        let limits = BrokerLimits::default();
        (GatheringStream::new(near, PEER, &limits, Arc::clone(&cut), TaskTracker::new()), far, cut)
    }

    #[tokio::test(start_paused = true)]
    async fn writes_leave_together_after_the_delay() {
        let (mut stream, mut far, _cut) = pair(1024);
        stream.write_all(b"one ").await.unwrap();
        stream.write_all(b"two").await.unwrap();
        let mut out = [0; 16];
        assert!(tokio::time::timeout(Duration::from_micros(1), far.read(&mut out)).await.is_err());
        let mut in_buf = [0; 1];
        let (read, len) = tokio::join!(
            tokio::time::timeout(GATHER_DELAY * 3, stream.read(&mut in_buf)),
            far.read(&mut out)
        );
        assert!(read.is_err());
        assert_eq!(&out[..len.unwrap()], b"one two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut stream, _far, _cut) = pair(8);
        stream.write_all(&[0; 100]).await.unwrap();
        let started = Instant::now();
        let error = stream.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= stream.stall_max && started.elapsed() < stream.stall_max * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_buffer_makes_the_writer_wait_and_bounds_memory() {
        let (mut stream, _far, _cut) = pair(8);
        let big = vec![0; stream.gathered_bytes_max];
        stream.write_all(&big).await.unwrap();
        let blocked = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&big)).await;
        assert!(blocked.is_err());
        assert!(stream.gathered.len() <= stream.gathered_bytes_max);
    }

    #[tokio::test]
    async fn a_cut_stream_ends_at_once_and_takes_no_more() {
        let (mut stream, _far, cut) = pair(64);
        let reader = tokio::spawn(async move { (stream.read(&mut [0; 1]).await.unwrap(), stream) });
        tokio::task::yield_now().await;
        cut.cut();
        let (len, mut stream) = reader.await.unwrap();
        assert_eq!(len, 0);
        assert_eq!(stream.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn the_last_bytes_are_written_after_a_drop() {
        let (mut stream, mut far, _cut) = pair(64);
        stream.write_all(b"bye").await.unwrap();
        drop(stream);
        let mut out = Vec::new();
        far.read_to_end(&mut out).await.unwrap();
        assert_eq!(out, b"bye");
    }
}
