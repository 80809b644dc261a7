//! A network between device and server that breaks: each connection is cut after so many bytes of both directions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Connections that were cut.
    pub(crate) cuts: Arc<AtomicU64>,
}

impl Proxy {
    /// Cuts the first connections after these numbers of bytes, and none that follow.
    pub(crate) async fn start(server: SocketAddr, budgets: Vec<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let (budgets, counted) = (Mutex::new(VecDeque::from(budgets)), Arc::clone(&cuts));
        tokio::spawn(async move {
            loop {
                let (device, _) = listener.accept().await.unwrap();
                let budget = budgets.lock().unwrap().pop_front();
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    if carry(device, server, budget.unwrap_or(u64::MAX)).await {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, cuts }
    }
}

/// Carries bytes until a side closes, or the budget is used up: then both sides see the connection break in the middle.
async fn carry(mut device: TcpStream, mut server: TcpStream, mut budget: u64) -> bool {
    let (mut up, mut down) = ([0; 512], [0; 512]);
    loop {
        let (from, len) = tokio::select! {
            len = device.read(&mut up) => (&up, len.map(|len| (len, true))),
            len = server.read(&mut down) => (&down, len.map(|len| (len, false))),
        };
        let Ok((len, is_up)) = len else { return false };
        let to = if is_up { &mut server } else { &mut device };
        if len == 0 {
            // One side is done; the other reads to its end.
            let _ = to.shutdown().await;
            let _ = tokio::io::copy_bidirectional(&mut device, &mut server).await;
            return false;
        }
        let carried = usize::try_from(budget).unwrap_or(usize::MAX).min(len);
        if to.write_all(&from[..carried]).await.is_err() {
            return false;
        }
        budget -= carried as u64;
        if budget == 0 {
            return true;
        }
    }
}
