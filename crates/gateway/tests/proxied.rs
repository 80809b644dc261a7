//! Devices behind a real haproxy: the address that counts is the device's own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use vitalwire_access::Proxies;
use vitalwire_gateway::Limits;
use vitalwire_protocol::Variant;
use vitalwire_testing::clinic::{Clinic, closes, send};
use vitalwire_testing::haproxy::{Forward, Haproxy};
use vitalwire_testing::paper::JSON;

/// A clinic that believes the proxy at 127.0.0.1.
async fn clinic(limits: Limits) -> Clinic {
    let mut clinic = Clinic::closed();
    clinic.device_proxies = Proxies::from(vec!["127.0.0.1".parse().unwrap()]);
    clinic.start(limits, None).await;
    clinic
}

/// Linux has all of 127.0.0.0/8: a connection from another address of this machine.
async fn connect_from(host: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, host], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn wrong_keys_behind_haproxy_shut_out_their_sender_alone() {
    let limits = Limits {
        identify_failures_max: 5,
        identify_failure_forgiven_after: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let clinic = clinic(limits).await;
    let device = clinic.enrol("good").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/+/reading"]).await;
    let haproxy = Haproxy::start(&[Forward::Tcp(device.address)]).await;
    for _ in 0..10 {
        let mut stranger = connect_from(7, haproxy.listens[0]).await;
        send(&mut stranger, "0123456789abcdef".repeat(2).as_bytes()).await;
        closes(&mut stranger, "no key's frame").await;
    }
    // The device was never seen before: from the stranger's address it would not be identified either.
    let mut punished = connect_from(7, haproxy.listens[0]).await;
    send(&mut punished, &device.frame(Variant::Chained, JSON)).await;
    closes(&mut punished, "a newcomer at a punished address").await;
    let mut stream = connect_from(8, haproxy.listens[0]).await;
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    subscriber.until("vitalwire/v1/good/reading").await;
}

#[tokio::test]
async fn a_proxys_connection_without_a_header_is_closed_and_a_strangers_header_means_nothing() {
    let clinic = clinic(Limits::default()).await;
    let device = clinic.enrol("good").await;
    let mut without = device.connect().await;
    send(&mut without, &device.frame(Variant::Chained, JSON)).await;
    closes(&mut without, "a proxy's connection without a header").await;
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\xca\xfe\x07\x5b";
    let mut stranger = connect_from(9, device.address).await;
    send(&mut stranger, &[&header[..], &device.frame(Variant::Chained, JSON)].concat()).await;
    closes(&mut stranger, "a stranger's header").await;
    // A header cut at every byte, then the end of the connection.
    for len in 0..header.len() {
        let mut cut = device.connect().await;
        send(&mut cut, &header[..len]).await;
        let _ = cut.shutdown().await;
        closes(&mut cut, "a header that is cut off").await;
    }
    // From elsewhere all is as ever.
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/+/reading"]).await;
    let mut stream = connect_from(9, device.address).await;
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    subscriber.until("vitalwire/v1/good/reading").await;
}
