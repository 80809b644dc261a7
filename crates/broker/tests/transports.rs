//! The three ways in, with real clients: plain is used by every other test; here TLS and WebSocket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use support::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use vitalwire_broker::{Broker, BrokerLimits, generate_self_signed};
use vitalwire_testing::mosquitto::{Subscriber, client, run};
use vitalwire_testing::{PASSWORD, PATIENCE};

async fn start_all() -> (Running, String) {
    start_all_limited(BrokerLimits { handshake_ms_max: 60_000, ..Default::default() }).await
}

async fn start_all_limited(limits: BrokerLimits) -> (Running, String) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let identity = generate_self_signed(folder.path(), &names).unwrap();
    let certificate = identity.certificate.to_str().unwrap().to_owned();
    let mut config = config(folder.path(), limits);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.tls, config.websocket) = (Some((free, identity)), Some(free));
    let (users, _) = watch::channel(directory(usual()));
    let broker = Broker::start(config, logins(&users)).await.unwrap();
    (Running { broker, users, folder }, certificate)
}

#[tokio::test]
async fn debians_client_subscribes_over_tls_and_checks_the_certificate() {
    let (running, certificate) = start_all().await;
    let tls = running.broker.addresses().tls.unwrap();
    let options = ["--cafile", &certificate, "-q", "1", "-t", "Pico/#"];
    let mut subscriber = Subscriber::start(tls, "reader", &options).await;
    running.publish("Pico/dev_a/x", "over TLS", false).await;
    subscriber.line_with("Pico/dev_a/x over TLS").await;
    let mut plain = client("mosquitto_pub", tls, "reader");
    plain.args(["-t", "x", "-m", "y"]);
    assert!(!run(plain).await.status.success(), "plain MQTT at the TLS port");
    running.broker.stop().await;
}

#[tokio::test]
async fn half_a_handshake_is_closed_in_time() {
    let limits = BrokerLimits { handshake_ms_max: 300, ..Default::default() };
    let (running, _) = start_all_limited(limits).await;
    for address in [running.broker.addresses().tls.unwrap(), running.broker.addresses().websocket.unwrap()] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let closed = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 1])).await;
        assert_eq!(closed.expect("still open").unwrap_or(0), 0);
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn a_silent_handshake_is_ended_at_once_when_another_needs_the_room() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let identity = generate_self_signed(folder.path(), &["127.0.0.1".to_owned()]).unwrap();
    let limits =
        BrokerLimits { handshake_ms_max: 3_600_000, connections_per_address_max: 1, ..Default::default() };
    let mut config = config(folder.path(), limits);
    config.tls = Some((SocketAddr::from(([127, 0, 0, 1], 0)), identity));
    let (users, _) = watch::channel(directory(usual()));
    let broker = Broker::start(config, logins(&users)).await.unwrap();
    let mut silent = TcpStream::connect(broker.addresses().tls.unwrap()).await.unwrap();
    let _other = TcpStream::connect(broker.addresses().tls.unwrap()).await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, silent.read(&mut [0; 1])).await;
    assert_eq!(closed.expect("still open").unwrap_or(0), 0);
    broker.stop().await;
}

/// CONNECT of MQTT 3.1.1, clean, as `reader`.
fn connect_packet() -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b1100_0010, 0, 60, 0, 0, 0, 6];
    body.extend(b"reader");
    body.extend([0, u8::try_from(PASSWORD.len()).unwrap()]);
    body.extend(PASSWORD.as_bytes());
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

async fn web_socket(
    address: SocketAddr,
    path: &str,
    protocol: Option<&str>,
) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(protocol) = protocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    }
    let socket = TcpStream::connect(address).await.unwrap();
    Ok(tokio_tungstenite::client_async(request, socket).await?.0)
}

#[tokio::test]
async fn websocket_wants_its_path_and_subprotocol() {
    let (running, _) = start_all().await;
    let address = running.broker.addresses().websocket.unwrap();
    for (path, protocol, status) in [
        ("/", Some("mqtt"), 404),
        ("/mqtt/", Some("mqtt"), 404),
        ("/mqtt", None, 400),
        ("/mqtt", Some("mqttv3.1"), 400),
    ] {
        match web_socket(address, path, protocol).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), status, "{path} {protocol:?}")
            }
            other => panic!("{path} {protocol:?}: {other:?}"),
        }
    }
    assert!(web_socket(address, "/mqtt", Some("x, mqtt")).await.is_ok());
    running.broker.stop().await;
}

#[tokio::test]
async fn websocket_carries_packets_split_and_joined() {
    let (running, _) = start_all().await;
    let address = running.broker.addresses().websocket.unwrap();
    let mut socket = web_socket(address, "/mqtt", Some("mqtt")).await.unwrap();
    let mut packets = connect_packet();
    packets.extend([0x82, 11, 0, 1, 0, 6, b'P', b'i', b'c', b'o', b'/', b'#', 0]);
    for part in packets.chunks(5) {
        socket.send(Message::binary(part.to_vec())).await.unwrap();
    }
    let mut received = Vec::new();
    // CONNACK (4 bytes) and SUBACK (5).
    while received.len() < 9 {
        received.extend(next_bytes(&mut socket).await);
    }
    assert_eq!(received, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0]);
    running.publish("Pico/a", "1", false).await;
    running.publish("Pico/b", "2", false).await;
    let mut received = Vec::new();
    while received.len() < 22 {
        received.extend(next_bytes(&mut socket).await);
    }
    assert_eq!(received, b"\x30\x09\x00\x06Pico/a1\x30\x09\x00\x06Pico/b2");
    socket.send(Message::text("MQTT is not text")).await.unwrap();
    let ended =
        tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    ended.expect("still open after text");
    running.broker.stop().await;
}

async fn next_bytes(socket: &mut tokio_tungstenite::WebSocketStream<TcpStream>) -> Vec<u8> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("nothing came");
        if let Message::Binary(bytes) = message.unwrap().unwrap() {
            return bytes.to_vec();
        }
    }
}

#[tokio::test]
async fn a_packet_over_the_limit_ends_its_connection_alone() {
    let (running, _) = start_all().await;
    let mut other = Subscriber::start(running.plain(), "reader", &["-t", "Pico/#"]).await;
    let big = running.folder.path().join("big");
    std::fs::write(&big, vec![b'x'; 300 * 1024]).unwrap();
    let mut command = client("mosquitto_pub", running.plain(), "admin");
    command.args(["-q", "1", "-t", "home/x", "-f", big.to_str().unwrap()]);
    let refused = tokio::time::timeout(Duration::from_secs(2), command.output()).await;
    assert!(refused.is_err() || !refused.unwrap().unwrap().status.success());
    running.publish("Pico/dev_a/x", "still here", false).await;
    other.line_with("still here").await;
    running.broker.stop().await;
}
