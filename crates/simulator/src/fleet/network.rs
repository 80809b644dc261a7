//! TCP as the devices of a fleet use it: connect within a limit, close so that nothing on its way is lost.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A try to connect that takes longer has failed.
pub const CONNECT_MS_MAX: u64 = 5_000;
/// How long a device that closed its side waits for the gateway to close the other.
pub const CLOSE_WAIT_MS_MAX: u64 = 1_000;

/// A name may have several addresses: the first that answers is taken.
pub(super) async fn connected(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let stream = timeout(Duration::from_millis(CONNECT_MS_MAX), TcpStream::connect(addresses))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // A sample must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Ready when the gateway has closed its side (`None`) or the connection has failed. What it sends is read and ignored.
pub(super) async fn peer_closed(stream: &TcpStream) -> Option<io::Error> {
    let mut ignored = [0; 64];
    loop {
        if let Err(error) = stream.readable().await {
            return Some(error);
        }
        match stream.try_read(&mut ignored) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Some(error),
        }
    }
}

/// Closes so that nothing on its way is lost: first this side only, then all when the gateway has read to the end.
/// A gateway that takes too long gets the rest from the operating system.
pub(super) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let wait = Duration::from_millis(CLOSE_WAIT_MS_MAX);
        // Whichever way it ends, the socket is closed now.
        let _ = timeout(wait, peer_closed(&stream)).await;
    }
}
