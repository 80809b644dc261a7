//! The port of metrics and health under peers that are slow, idle or many.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_gateway::Limits;
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::Clinic;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

async fn clinic(limits: Limits) -> (Clinic, SocketAddr) {
    let clinic = Clinic::with_limits(limits).await;
    let address = clinic.server().addresses().metrics.unwrap();
    (clinic, address)
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // A reset is an end, too.
    let _ = read.expect("the connection stays open");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let limits = Limits { metrics_request_timeout: Duration::from_millis(300), ..Limits::default() };
    let (_clinic, address) = clinic(limits).await;
    // Nothing; half a line; a head that goes on and on, a byte at a time, so that no pause is long.
    for start in [&b""[..], b"GET /hea", b"GET /healthz HTTP/1.1\r\nX: "] {
        let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        write.write_all(start).await.unwrap();
        let drip = async {
            loop {
                if write.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
            }
        };
        let ended = async {
            let mut bytes = [0; 1024];
            while read.read(&mut bytes).await.is_ok_and(|len| len > 0) {}
        };
        let ended = async { tokio::time::timeout(PATIENCE, ended).await.expect("it stays open") };
        if start.is_empty() {
            ended.await;
        } else {
            tokio::select! { () = ended => {}, () = drip => {} }
        }
    }
}

#[tokio::test]
async fn idle_connections_keep_no_one_from_asking() {
    let limits = Limits { metrics_connections_max: 4, ..Limits::default() };
    let (_clinic, address) = clinic(limits).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut asking = TcpStream::connect(address).await.unwrap();
    asking.write_all(REQUEST).await.unwrap();
    let answer = rest(&mut asking).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
    assert_eq!(rest(&mut idle[0]).await, "", "the oldest made room");
}

#[tokio::test]
async fn a_connection_carries_one_request() {
    let (_clinic, address) = clinic(Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&REQUEST.repeat(3)).await.unwrap();
    assert_eq!(rest(&mut stream).await.matches("HTTP/1.1 200 OK").count(), 1);
    let mut long = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let _ = long.write_all(head.as_bytes()).await;
    assert!(!rest(&mut long).await.contains("200 OK"));
}
