//! The modem's links: each has a task that brings what comes on one real socket to the modem, in pieces of a segment.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::RECEIVED_LEN_MAX;

/// How long a link that the modem closed waits for the other side to close, too.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the other side may take no byte before sending has failed.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of a datagram, at most: more does not pass the modem in one `+IPD`.
const DATAGRAM_LEN_MAX: usize = RECEIVED_LEN_MAX;

/// What a task brings. Its channel is bounded: when it is full the task waits, and TCP's window closes.
pub(super) enum News {
    /// Bytes came; UDP says from whom.
    Data { link: usize, id: u64, bytes: Vec<u8>, from: Option<SocketAddr> },
    /// The other side closed.
    Closed { link: usize, id: u64 },
    /// Someone connected.
    Incoming { stream: TcpStream, from: SocketAddr },
    /// Connecting ended, or did not begin because the host has no address.
    Connected { link: usize, stream: io::Result<TcpStream>, known: bool },
    /// What else takes its time has ended.
    Ready,
}

/// A task that ends with what it works for.
pub(super) type Task = AbortOnDropHandle<()>;

pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(work))
}

/// A link in use. Dropping it cuts the connection.
pub(super) struct Link {
    /// Tells one use of a link's number from the next.
    pub(super) id: u64,
    /// Who connected, if it was the other side.
    pub(super) incoming: Option<SocketAddr>,
    transport: Transport,
    task: Task,
}

enum Transport {
    Tcp { write: OwnedWriteHalf, close: oneshot::Sender<OwnedWriteHalf> },
    Udp { socket: Arc<UdpSocket>, port: u16, remote: Option<SocketAddr> },
}

impl Link {
    /// A TCP link; `link` is its number.
    pub(super) fn tcp(
        link: usize,
        id: u64,
        stream: TcpStream,
        incoming: Option<SocketAddr>,
        news: mpsc::Sender<News>,
    ) -> Self {
        // An error makes it slower, nothing else.
        let _slower = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let (close, closing) = oneshot::channel();
        let task = start(receive_stream(link, id, read, news, closing));
        Self { id, incoming, transport: Transport::Tcp { write, close }, task }
    }

    /// A UDP link; `port` is the modem's.
    pub(super) fn udp(link: usize, id: u64, socket: UdpSocket, port: u16, news: mpsc::Sender<News>) -> Self {
        let socket = Arc::new(socket);
        let task = start(receive_datagrams(link, id, Arc::clone(&socket), news));
        Self { id, incoming: None, transport: Transport::Udp { socket, port, remote: None }, task }
    }

    /// The UDP port of the modem, and where it really is.
    pub(super) fn udp_port(&self) -> Option<(u16, SocketAddr)> {
        match &self.transport {
            Transport::Tcp { .. } => None,
            Transport::Udp { socket, port, .. } => Some((*port, socket.local_addr().ok()?)),
        }
    }

    /// Answers go to who sent last.
    pub(super) fn heard_from(&mut self, from: SocketAddr) {
        if let Transport::Udp { remote, .. } = &mut self.transport {
            *remote = Some(from);
        }
    }

    /// Says whether all was sent.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            match &mut self.transport {
                Transport::Tcp { write, .. } => write.write_all(bytes).await.is_ok(),
                Transport::Udp { socket, remote, .. } => match remote {
                    Some(remote) => socket.send_to(bytes, *remote).await.is_ok(),
                    None => false,
                },
            }
        };
        timeout(SEND_TIME_MAX, sent).await.unwrap_or(false)
    }

    /// Closes it so that what was sent arrives; the task that is given takes care of it.
    pub(super) fn close(self) -> Option<Task> {
        match self.transport {
            Transport::Tcp { write, close } => close.send(write).is_ok().then_some(self.task),
            Transport::Udp { .. } => None,
        }
    }
}

async fn receive_stream(
    link: usize,
    id: u64,
    mut read: OwnedReadHalf,
    news: mpsc::Sender<News>,
    mut closing: oneshot::Receiver<OwnedWriteHalf>,
) {
    let mut bytes = vec![0; RECEIVED_LEN_MAX];
    loop {
        let piece = tokio::select! {
            received = read.read(&mut bytes) => match received {
                Ok(len) if len > 0 => {
                    let bytes = bytes.get(..len).unwrap_or_default().to_vec();
                    News::Data { link, id, bytes, from: None }
                }
                _ => News::Closed { link, id },
            },
            Ok(write) = &mut closing => return close(read, write).await,
        };
        let last = matches!(piece, News::Closed { .. });
        if news.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// A socket that is closed with bytes unread takes back what it has sent. So the rest is read first.
async fn close(mut read: OwnedReadHalf, mut write: OwnedWriteHalf) {
    if write.shutdown().await.is_ok() {
        let rest = async {
            let mut ignored = [0; 1_024];
            while read.read(&mut ignored).await.is_ok_and(|len| len > 0) {}
        };
        // Whichever way it ends, the socket is closed now.
        let _ended = timeout(CLOSE_TIME_MAX, rest).await;
    }
}

async fn receive_datagrams(link: usize, id: u64, socket: Arc<UdpSocket>, news: mpsc::Sender<News>) {
    let mut bytes = vec![0; DATAGRAM_LEN_MAX];
    loop {
        // An error is of an answer that did not arrive.
        let Ok((len, from)) = socket.recv_from(&mut bytes).await else { continue };
        let bytes = bytes.get(..len).unwrap_or_default().to_vec();
        if news.send(News::Data { link, id, bytes, from: Some(from) }).await.is_err() {
            return;
        }
    }
}

/// Takes connections until it is dropped.
pub(super) async fn accept(listener: TcpListener, news: mpsc::Sender<News>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if news.send(News::Incoming { stream, from }).await.is_err() {
                    return;
                }
            }
            // Out of files, or the other side was faster: the next one may work.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Connects to the first of the addresses that answers.
pub(super) async fn connect(
    link: usize,
    to: Result<SocketAddr, (String, u16)>,
    time_max: Duration,
    news: mpsc::Sender<News>,
) {
    let addresses = match to {
        Ok(address) => Ok(vec![address]),
        Err(host) => tokio::net::lookup_host(host).await.map(Iterator::collect),
    };
    let known = addresses.is_ok();
    let stream = match addresses {
        Ok(addresses) => timeout(time_max, TcpStream::connect(addresses.as_slice()))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        Err(error) => Err(error),
    };
    // An error means that the modem is gone.
    let _gone = news.send(News::Connected { link, stream, known }).await;
}
