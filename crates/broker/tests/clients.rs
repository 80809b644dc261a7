//! Clients of others, in both versions: every QoS, retained messages, sessions that stay. Debian's, and one of Rust.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use support::*;
use vitalwire_testing::mosquitto::{Subscriber, client, run};
use vitalwire_testing::{PASSWORD, PATIENCE, until};

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];
/// Topic, QoS, retain flag and text of each message.
const FORMAT: [&str; 2] = ["-F", "got %t %q %r %p"];

async fn publish(running: &Running, options: &[&str]) {
    let mut command = client("mosquitto_pub", running.plain(), "admin");
    command.args(options);
    let output = run(command).await;
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn subscribe(running: &Running, version: &str, qos: &str, more: &[&str]) -> Subscriber {
    let options = [&["-V", version, "-q", qos, "-t", "home/#"], &FORMAT[..], more].concat();
    Subscriber::start(running.plain(), "admin", &options).await
}

#[tokio::test]
async fn debians_clients_exchange_messages_of_each_qos_and_version() {
    let running = start().await;
    let mut subscribers = Vec::new();
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            subscribers.push((qos, subscribe(&running, version, qos, &[]).await));
        }
    }
    for version in VERSIONS {
        for sent in ["0", "1", "2"] {
            let text = format!("{version}-{sent}");
            publish(&running, &["-V", version, "-q", sent, "-t", "home/a", "-m", &text]).await;
            for (granted, subscriber) in &mut subscribers {
                let qos = sent.min(*granted);
                assert_eq!(subscriber.line_with("got ").await, format!("got home/a {qos} 0 {text}"));
            }
        }
    }
    assert_eq!(running.broker.stats().sent, 36);
    running.broker.stop().await;
}

#[tokio::test]
async fn debians_clients_get_retained_messages_until_they_are_cleared() {
    let running = start().await;
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            publish(&running, &["-V", version, "-q", qos, "-r", "-t", "home/a", "-m", qos]).await;
            for version in VERSIONS {
                let mut late = subscribe(&running, version, "2", &[]).await;
                assert_eq!(late.line_with("got ").await, format!("got home/a {qos} 1 {qos}"));
            }
        }
        publish(&running, &["-V", version, "-q", "1", "-r", "-t", "home/a", "-n"]).await;
        assert_eq!(running.broker.retained("#"), []);
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn debians_clients_come_back_to_what_they_missed() {
    let running = start().await;
    for (version, stays) in [(VERSIONS[0], &["-c"][..]), (VERSIONS[1], &["-c", "-x", "60"])] {
        let options = [&["-i", "display"], stays].concat();
        subscribe(&running, version, "2", &options).await.kill().await;
        until("the client has left", || running.broker.stats().clients == 0).await;
        for qos in ["0", "1", "2"] {
            publish(&running, &["-V", version, "-q", qos, "-t", "home/a", "-m", qos]).await;
        }
        let back = [&["-V", version, "-q", "2", "-t", "home/none"], &FORMAT[..], &options].concat();
        let mut back = Subscriber::connect(running.plain(), "admin", &back);
        for qos in ["1", "2"] {
            assert_eq!(back.line_with("got ").await, format!("got home/a {qos} 0 {qos}"), "{version}");
        }
        back.kill().await;
        until("the client has left", || running.broker.stats().clients == 0).await;
        // A clean session, so that the next version begins anew.
        publish(&running, &["-V", version, "-i", "display", "-t", "home/a", "-m", "x"]).await;
    }
    running.broker.stop().await;
}

/// The same with rumqttc, whose two versions are two sets of types.
macro_rules! rumqttc_test {
    ($name:ident, $client:path, $qos:path, $packet:path, $stays:expr) => {
        #[tokio::test]
        async fn $name() {
            use $client::{AsyncClient, Event, EventLoop, MqttOptions};
            use $packet as Packet;
            use $qos as QoS;

            async fn next(events: &mut EventLoop) -> Packet {
                loop {
                    let event = tokio::time::timeout(PATIENCE, events.poll()).await.expect("no packet");
                    if let Event::Incoming(packet) = event.unwrap() {
                        return packet;
                    }
                }
            }
            /// Text, QoS and retain flag of the next message.
            async fn message(events: &mut EventLoop) -> (String, u8, bool) {
                loop {
                    if let Packet::Publish(got) = next(events).await {
                        return (String::from_utf8(got.payload.to_vec()).unwrap(), got.qos as u8, got.retain);
                    }
                }
            }
            let running = start().await;
            let connect = async |id: &str| {
                let address = running.plain();
                let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
                options.set_credentials("admin", PASSWORD);
                $stays(&mut options);
                let (client, mut events) = AsyncClient::new(options, 10);
                let Packet::ConnAck(ack) = next(&mut events).await else { panic!("no CONNACK") };
                (client, events, ack.session_present)
            };
            let (reader, mut seen, _) = connect("reader").await;
            reader.subscribe("home/#", QoS::ExactlyOnce).await.unwrap();
            assert!(matches!(next(&mut seen).await, Packet::SubAck(_)));
            let (sender, mut events, _) = connect("sender").await;
            let all = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
            let mut send = async |retain: bool| {
                for qos in all {
                    sender.publish("home/a", qos, retain, (qos as u8).to_string()).await.unwrap();
                }
                while !matches!(next(&mut events).await, Packet::PubComp(_)) {}
            };
            send(true).await;
            for qos in 0..3 {
                assert_eq!(message(&mut seen).await, (qos.to_string(), qos, false));
            }
            while !matches!(next(&mut seen).await, Packet::PubRel(_)) {}
            let (late, mut kept, _) = connect("late").await;
            late.subscribe("home/+", QoS::AtLeastOnce).await.unwrap();
            assert_eq!(message(&mut kept).await, ("2".to_owned(), 1, true));
            drop((reader, seen, late, kept));
            until("the readers have left", || running.broker.stats().clients == 1).await;
            send(false).await;
            let (_reader, mut seen, is_present) = connect("reader").await;
            assert!(is_present);
            // PUBCOMP of the last may not have been sent: then its PUBREL comes again, and no message.
            for qos in 1..3 {
                assert_eq!(message(&mut seen).await, (qos.to_string(), qos, false));
            }
            running.broker.stop().await;
        }
    };
}

rumqttc_test!(
    rumqttc_of_version_4_exchanges_messages_and_comes_back,
    rumqttc,
    rumqttc::QoS,
    rumqttc::Packet,
    |options: &mut rumqttc::MqttOptions| {
        options.set_clean_session(false);
    }
);
rumqttc_test!(
    rumqttc_of_version_5_exchanges_messages_and_comes_back,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::QoS,
    rumqttc::v5::mqttbytes::v5::Packet,
    |options: &mut rumqttc::v5::MqttOptions| {
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(60));
    }
);
