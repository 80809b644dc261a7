//! What hostile browsers send: slow, long, compressed, and much of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vitalwire_dashboard::DashboardLimits;
use vitalwire_testing::PATIENCE;

use crate::support::{Answer, Live, Ward};

/// A frame of a client, masked with zeros: its first byte, and how long it says that it is.
fn frame(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(len.to_be_bytes());
    bytes.extend([0; 4]);
    bytes
}

async fn hasty() -> Ward {
    Ward::with(DashboardLimits { request_patience: Duration::from_millis(200), ..Default::default() }).await
}

/// All that comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    read.expect("the connection ends").unwrap_or_default();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_end_and_a_connection_that_says_nothing_end_in_time() {
    let ward = hasty().await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nHost: 127.0.0.1"] {
        let mut stream = TcpStream::connect(ward.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{begun:?}: {said}");
    }
    let mut stream = TcpStream::connect(ward.address()).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", ward.address()).as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"), "answered, then idle, then closed");
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_in_time() {
    let ward = hasty().await;
    let host = ward.address();
    for path in ["/api/v1/session", "/api/v1/nothing"] {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n\
             Content-Length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 408") || said.starts_with("HTTP/1.1 404"), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_compressed_bomb_is_bytes_like_others() {
    let ward = Ward::open().await;
    let host = ward.address().to_string();
    let origin = format!("http://{host}");
    // gzip of nothing, and of no sense: no one looks into it.
    for body in ["\u{1f}\u{8b}\u{8}\u{0}", &"x".repeat(60_000)] {
        for encoding in ["gzip", "br", "deflate", "zstd"] {
            let headers = [
                ("Host", host.as_str()),
                ("Origin", &origin),
                ("Content-Type", "application/json"),
                ("Content-Encoding", encoding),
            ];
            assert_eq!(
                ward.request("POST", "/api/v1/session", &headers, body).await.status,
                400,
                "{encoding}"
            );
        }
    }
}

#[tokio::test]
async fn frames_that_are_too_long_compressed_or_in_endless_pieces_end_their_connection_alone() {
    const PIECE: u16 = 60_000;
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let mut other = ward.live(&cookie).await;
    let piece = |first: u8| [frame(first, PIECE.into()), vec![1; PIECE.into()]].concat();
    for (what, bytes) in [
        ("a frame of a gigabyte", frame(0x82, 1 << 30)),
        ("a frame of all bytes that there are", frame(0x82, u64::MAX)),
        ("a frame that says that it is compressed", [frame(0xc2, 3), vec![1, 0, 0]].concat()),
        ("a message in pieces that are too long together", [piece(0x02), piece(0x00)].concat()),
        ("a ping that is too long", [frame(0x89, PIECE.into()), vec![1; PIECE.into()]].concat()),
    ] {
        let mut live: Live = ward.live(&cookie).await;
        live.socket.get_mut().write_all(&bytes).await.unwrap();
        assert_ne!(live.ended().await, Some(1000), "{what}");
    }
    other.until(5, |_| true).await;
    other.until(5, |_| true).await;
}

#[tokio::test]
async fn no_compression_is_agreed_on() {
    let ward = Ward::open().await;
    let (host, cookie) = (ward.address(), ward.log_in("watcher").await);
    let head = format!(
        "GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101") && !answer.contains("sec-websocket-extensions"), "{answer}");
}

#[tokio::test]
async fn of_a_thousand_live_connections_of_one_user_so_many_are_served_and_no_one_else_is_kept_out() {
    let ward = Ward::open().await;
    let (cookie, origin) = (ward.log_in("ana").await, format!("http://{}", ward.address()));
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..1_000 {
        match ward.try_live(&cookie, &origin).await {
            Ok(live) => open.push(live),
            Err(status) => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (32, 968));
    let mut other = ward.live(&ward.log_in("watcher").await).await;
    other.until(5, |_| true).await;
    for place in [0, open.len() - 1] {
        open[place].until(5, |_| true).await;
    }
}

#[tokio::test]
async fn what_it_does_is_counted() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    assert_eq!(
        ward.ask("POST", "/api/v1/session", "", r#"{"user":"ana","password":"wrong"}"#).await.status,
        401
    );
    let live = ward.live(&cookie).await;
    let metrics = ward.clinic.server().addresses().metrics.unwrap();
    let told = async |counted: &str| {
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = Answer::of(TcpStream::connect(metrics).await.unwrap(), request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        text.lines().any(|line| line == format!("vitalwire_dashboard_{counted}"))
    };
    for counted in
        ["viewers 1", "logins_total 1", "logins_failed_total 1", "requests_total{status=\"1xx\"} 1"]
    {
        assert!(told(counted).await, "{counted}");
    }
    drop(live);
    while !told("viewers 0").await {
        tokio::task::yield_now().await;
    }
}
