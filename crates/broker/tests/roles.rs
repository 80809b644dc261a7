//! Who may do what, over real sockets: publish, subscribe, will and `$share` for each role.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use support::*;
use vitalwire_testing::mosquitto::{client, run};
use vitalwire_testing::{PASSWORD, PATIENCE, until};

fn options(address: SocketAddr, user: &str, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, address.ip().to_string(), address.port());
    options.set_credentials(user, PASSWORD);
    options
}

async fn next(events: &mut EventLoop) -> Result<Packet, ConnectionError> {
    loop {
        if let Event::Incoming(packet) =
            tokio::time::timeout(PATIENCE, events.poll()).await.expect("no packet")?
        {
            return Ok(packet);
        }
    }
}

async fn connected(options: MqttOptions) -> (AsyncClient, EventLoop) {
    let (client, mut events) = AsyncClient::new(options, 10);
    assert!(matches!(next(&mut events).await.unwrap(), Packet::ConnAck(_)));
    (client, events)
}

#[tokio::test]
async fn subscriptions_follow_the_role() {
    let running = start().await;
    let cases = [
        ("#", [true, false, false]),
        ("+/#", [true, false, false]),
        ("$SYS/#", [false, false, false]),
        ("$share/g/#", [true, false, false]),
        ("Pico/#", [true, true, false]),
        ("vitalwire/#", [true, true, false]),
        ("Pico/dev_a/#", [true, true, true]),
        ("Pico/dev_b/#", [true, true, false]),
        ("Pico/+/Ip_address", [true, true, false]),
        ("vitalwire/v1/dev_a/+", [true, true, true]),
        ("vitalwire/+/dev_a/+", [true, true, false]),
        ("$share/g/Pico/dev_a/#", [true, true, true]),
        ("$share/g/Pico/dev_b/#", [true, true, false]),
        ("other", [true, false, false]),
    ];
    for (column, user) in ["admin", "reader", "scoped"].into_iter().enumerate() {
        let (client, mut events) = connected(options(running.plain(), user, user)).await;
        for (filter, allowed) in cases {
            client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
            let Packet::SubAck(ack) = next(&mut events).await.unwrap() else { panic!("no SUBACK") };
            let granted = ack.return_codes == [SubscribeReasonCode::Success(QoS::AtLeastOnce)];
            let refused = ack.return_codes == [SubscribeReasonCode::NotAuthorized];
            assert!(granted || refused, "{user} {filter} {:?}", ack.return_codes);
            assert_eq!(granted, allowed[column], "{user} {filter}");
        }
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn publications_follow_the_role_and_a_refused_one_reaches_no_one() {
    let running = start().await;
    let (watcher, mut seen) = connected(options(running.plain(), "admin", "watcher")).await;
    watcher.subscribe("#", QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(next(&mut seen).await.unwrap(), Packet::SubAck(_)));
    for user in ["reader", "scoped", "admin"] {
        let (client, mut events) = connected(options(running.plain(), user, user)).await;
        for topic in ["Pico/dev_a/x", "vitalwire/v1/dev_a/status", "$SYS/x", "home/lamp"] {
            client.publish(topic, QoS::AtLeastOnce, true, user).await.unwrap();
            let Packet::PubAck(ack) = next(&mut events).await.unwrap() else { panic!("no PUBACK") };
            let allowed = ack.reason == rumqttc::v5::mqttbytes::v5::PubAckReason::Success;
            assert_eq!(allowed, user == "admin" && topic == "home/lamp", "{user} {topic} {:?}", ack.reason);
        }
    }
    // The first that the watcher sees is the only one that was allowed.
    let Packet::Publish(message) = next(&mut seen).await.unwrap() else { panic!("no message") };
    assert_eq!((&message.topic[..], &message.payload[..]), (&b"home/lamp"[..], &b"admin"[..]));
    assert_eq!(running.broker.retained("#"), [("home/lamp".to_owned(), "admin".into())]);
    running.broker.stop().await;
}

#[tokio::test]
async fn nothing_about_its_sender_reaches_a_subscriber() {
    let running = start().await;
    let (watcher, mut seen) = connected(options(running.plain(), "admin", "watcher")).await;
    watcher.subscribe("#", QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(next(&mut seen).await.unwrap(), Packet::SubAck(_)));
    running.publish("Pico/dev_a/Ip_address", "192.0.2.1", true).await;
    let (client, mut events) = connected(options(running.plain(), "admin", "sender")).await;
    client.publish("home/a", QoS::AtLeastOnce, true, "x").await.unwrap();
    assert!(matches!(next(&mut events).await.unwrap(), Packet::PubAck(_)));
    let mut with_will = options(running.plain(), "admin", "dying");
    with_will.set_last_will(LastWill::new("home/will", "gone", QoS::AtLeastOnce, true, None));
    let dying = connected(with_will).await;
    drop(dying);
    for topic in ["Pico/dev_a/Ip_address", "home/a", "home/will"] {
        let Packet::Publish(message) = next(&mut seen).await.unwrap() else { panic!("no message") };
        assert_eq!(&message.topic[..], topic.as_bytes());
        let properties = message.properties.unwrap_or_default();
        assert!(properties.user_properties.is_empty(), "{topic} {:?}", properties.user_properties);
    }
    // And the same from the retained store.
    let (late, mut seen) = connected(options(running.plain(), "admin", "late")).await;
    late.subscribe("#", QoS::AtMostOnce).await.unwrap();
    let mut messages = 0;
    while messages < 3 {
        if let Packet::Publish(message) = next(&mut seen).await.unwrap() {
            assert!(message.properties.unwrap_or_default().user_properties.is_empty());
            messages += 1;
        }
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn a_will_that_the_user_could_not_publish_is_refused_at_connect() {
    let running = start().await;
    for (user, topic, allowed) in [
        ("reader", "home/will", false),
        ("scoped", "Pico/dev_a/x", false),
        ("admin", "vitalwire/v1/dev_a/status", false),
        ("admin", "home/will", true),
    ] {
        let mut options = options(running.plain(), user, "with-will");
        options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, true, None));
        let (_client, mut events) = AsyncClient::new(options, 10);
        let admitted = next(&mut events).await.is_ok();
        assert_eq!(admitted, allowed, "{user} {topic}");
        drop(events);
        until("the client has left", || running.broker.stats().clients == 0).await;
    }
    let running_broker = &running.broker;
    let mut wills = running_broker.retained("#");
    while wills.is_empty() {
        tokio::task::yield_now().await;
        wills = running_broker.retained("#");
    }
    assert_eq!(wills, [("home/will".to_owned(), "gone".into())]);
    running.broker.stop().await;
}

#[tokio::test]
async fn more_subscriptions_than_the_limit_are_refused() {
    let limits = vitalwire_broker::BrokerLimits { subscriptions_per_client_max: 3, ..Default::default() };
    let running = start_limited(limits).await;
    let (client, mut events) = connected(options(running.plain(), "reader", "many")).await;
    for number in 0..5 {
        client.subscribe(format!("Pico/dev_{number}/#"), QoS::AtMostOnce).await.unwrap();
        let Packet::SubAck(ack) = next(&mut events).await.unwrap() else { panic!("no SUBACK") };
        let granted = ack.return_codes == [SubscribeReasonCode::Success(QoS::AtMostOnce)];
        assert_eq!(granted, number < 3, "{:?}", ack.return_codes);
    }
    running.broker.stop().await;
}

#[tokio::test]
async fn clients_are_told_the_limits_that_were_set_and_a_large_message_is_not_retained() {
    let limits = vitalwire_broker::BrokerLimits {
        client_publishes_max: 5,
        topic_aliases_max: 3,
        retained_bytes_max: 10,
        ..Default::default()
    };
    let running = start_limited(limits).await;
    let (client, mut events) = AsyncClient::new(options(running.plain(), "admin", "told"), 10);
    let Packet::ConnAck(ack) = next(&mut events).await.unwrap() else { panic!("no CONNACK") };
    let told = ack.properties.unwrap();
    assert_eq!((told.receive_max, told.topic_alias_max), (Some(5), Some(3)));
    for len in [10, 11] {
        let text = "x".repeat(len);
        client.publish(format!("home/{len}"), QoS::AtLeastOnce, true, text).await.unwrap();
        assert!(matches!(next(&mut events).await.unwrap(), Packet::PubAck(_)));
    }
    let retained = running.broker.retained("#");
    assert_eq!(retained, [("home/10".to_owned(), "x".repeat(10).into())]);
    running.broker.stop().await;
}

#[tokio::test]
async fn debians_client_is_told_that_a_subscription_is_refused() {
    let running = start().await;
    let mut command = client("mosquitto_sub", running.plain(), "scoped");
    command.args(["-t", "Pico/#", "-W", "5"]);
    let output = run(command).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("denied"), "{text}");
    running.broker.stop().await;
}
