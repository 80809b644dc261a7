//! Readers behind a proxy: a real haproxy before all three ways in, and web pages that may connect or may not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use vitalwire_access::{Origins, Proxies};
use vitalwire_broker::{Broker, BrokerConfig, generate_self_signed};
use vitalwire_testing::haproxy::{Forward, Haproxy};
use vitalwire_testing::mosquitto::{client, run};
use vitalwire_testing::{PASSWORD, PATIENCE};

const PROXY: &str = "127.0.0.1";

fn named(address: &str) -> Proxies {
    vec![address.parse().unwrap()].into()
}

/// All three ways in, with the proxy believed at each of them.
async fn start_behind(proxy: &str) -> Running {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let identity = generate_self_signed(folder.path(), &["localhost".to_owned()]).unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = BrokerConfig {
        plain: Some(free),
        tls: Some((free, identity)),
        websocket: Some(free),
        proxies: named(proxy),
        websocket_proxies: named(proxy),
        origins: Origins::from(vec!["https://ward.example".parse().unwrap()]),
        ..BrokerConfig::new(folder.path().join("mqtt"))
    };
    let (users, _) = watch::channel(directory(usual()));
    let broker = Broker::start(config, logins(&users)).await.unwrap();
    Running { broker, users, folder }
}

/// Haproxy before the broker; where it listens for plain MQTT, for TLS and for WebSocket.
async fn haproxy(running: &Running) -> (Haproxy, [SocketAddr; 3]) {
    let addresses = running.broker.addresses();
    let haproxy = Haproxy::start(&[
        Forward::Tcp(addresses.plain.unwrap()),
        Forward::Tcp(addresses.tls.unwrap()),
        Forward::Http(addresses.websocket.unwrap()),
    ])
    .await;
    let listens = haproxy.listens.clone().try_into().unwrap();
    (haproxy, listens)
}

/// Whether `mosquitto_pub` gets in from this address of ours.
async fn logs_in(address: SocketAddr, from: &str, password: &str, more: &[&str]) -> bool {
    let mut command = tokio::process::Command::new("mosquitto_pub");
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-A", from]);
    command.args(["-u", "reader", "-P", password, "-q", "1", "-t", "home/x", "-m", "1"]).args(more);
    command.kill_on_drop(true).stdin(Stdio::null());
    run(command).await.status.success()
}

#[tokio::test]
async fn behind_haproxy_wrong_passwords_lock_out_their_sender_alone() {
    let running = start_behind(PROXY).await;
    let (_haproxy, [plain, tls, _]) = haproxy(&running).await;
    for _ in 0..6 {
        assert!(!logs_in(plain, "127.0.0.7", "wrong horse", &[]).await);
    }
    assert!(!logs_in(plain, "127.0.0.7", PASSWORD, &[]).await, "this reader is locked out");
    assert!(logs_in(plain, "127.0.0.8", PASSWORD, &[]).await, "another one behind the same proxy");
    let cafile = cafile(&running);
    let over_tls = ["--cafile", cafile.as_str(), "--insecure"];
    assert!(!logs_in(tls, "127.0.0.7", PASSWORD, &over_tls).await, "locked out over TLS, too");
    assert!(logs_in(tls, "127.0.0.8", PASSWORD, &over_tls).await);
    running.broker.stop().await;
}

/// The broker's own certificate.
fn cafile(running: &Running) -> String {
    let mut files = std::fs::read_dir(running.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let certificate =
        files.find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("BEGIN CERTIFICATE")));
    certificate.unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_named_proxy_without_a_header_is_refused_and_no_one_else_may_send_one() {
    let running = start_behind(PROXY).await;
    // From the proxy's address, without a header.
    let mut without = client("mosquitto_pub", running.plain(), "reader");
    without.args(["-t", "home/x", "-m", "1"]);
    assert!(!run(without).await.status.success());
    // From another address, with a header that names a third.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
    let mut stranger = socket.connect(running.plain()).await.unwrap();
    stranger
        .write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\xca\xfe\x07\x5b")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut answer)).await;
    closed.expect("still open").unwrap_or(0);
    assert!(!answer.starts_with(&[0x20]), "a CONNACK");
    // From another address, without one, all is as ever.
    assert!(logs_in(running.plain(), "127.0.0.9", PASSWORD, &[]).await);
    running.broker.stop().await;
}

/// The status line of a WebSocket handshake with these headers.
async fn handshake(address: SocketAddr, headers: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n{headers}\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, socket.read_exact(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

#[tokio::test]
async fn pages_of_other_web_sites_are_refused_before_they_can_try_a_password() {
    // No proxy at our address, so that the page's browser is here.
    let running = start_behind("192.0.2.1").await;
    let address = running.broker.addresses().websocket.unwrap();
    for (headers, status) in [
        ("", "101"),
        ("Origin: https://ward.example\r\n", "101"),
        ("Origin: http://127.0.0.1:5500\r\n", "101"),
        ("Origin: http://localhost\r\n", "101"),
        ("Origin: https://evil.example\r\n", "403"),
        ("Origin: https://ward.example.evil.example\r\n", "403"),
        ("Origin: null\r\n", "403"),
        ("Origin: https://ward.example\r\nOrigin: https://evil.example\r\n", "403"),
    ] {
        assert_eq!(handshake(address, headers).await, status, "{headers:?}");
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn a_websocket_proxy_tells_the_address_and_one_that_does_not_is_refused() {
    let running = start_behind(PROXY).await;
    let (_haproxy, [_, _, web]) = haproxy(&running).await;
    assert_eq!(handshake(web, "").await, "101", "haproxy adds X-Forwarded-For");
    let direct = running.broker.addresses().websocket.unwrap();
    assert_eq!(handshake(direct, "").await, "400");
    assert_eq!(handshake(direct, "X-Forwarded-For: unknown\r\n").await, "400");
    assert_eq!(handshake(direct, "X-Forwarded-For: 198.51.100.7\r\n").await, "101");
    running.broker.stop().await;
}
