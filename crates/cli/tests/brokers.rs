//! What we rely on of a broker of others, by the real `vitalwire serve --mqtt-url` at Debian's mosquitto and RabbitMQ; each difference of
//! docs/brokers.md is a line here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::time::Duration;

use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS};
use support::{Data, Serve};
use tempfile::TempDir;
use vitalwire_registry::{DeviceKey, MasterKey, Registry};
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};
use vitalwire_testing::mosquitto::{Mosquitto, client, run};
use vitalwire_testing::rabbitmq::RabbitMq;
use vitalwire_testing::{PASSWORD, PATIENCE, free_port};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Mosquitto,
    RabbitMq,
}
use Kind::{Mosquitto as MOSQUITTO, RabbitMq as RABBITMQ};

/// What is run at both brokers: at mosquitto each by itself, at RabbitMQ, which takes many seconds to start, one after the other.
macro_rules! at_both {
    ($($name:ident),* $(,)?) => {
        mod mosquitto {
            $(#[tokio::test] async fn $name() { super::$name(&mut super::Broker::start(super::MOSQUITTO).await).await; })*
        }

        #[tokio::test]
        async fn rabbitmq() {
            let mut broker = Broker::start(RABBITMQ).await;
            $(
                println!("at RabbitMQ: {}", stringify!($name));
                $name(&mut broker).await;
            )*
        }
    };
}

at_both!(
    a_killed_server_leaves_its_devices_offline,
    a_wrong_password_is_told_and_costs_no_reading,
    a_right_that_is_missing,
    a_client_id_is_taken_over_by_anyone_with_a_password,
    the_longest_message_passes,
    a_status_is_retained_and_survives_the_broker,
    a_session_keeps_what_its_client_misses_also_over_a_restart,
);

enum Running {
    Mosquitto(Mosquitto),
    RabbitMq(RabbitMq),
}

/// A broker with the users `watcher` and `other`, who may do all, and `mute`, who may only read.
struct Broker {
    kind: Kind,
    folder: TempDir,
    port: u16,
    running: Option<Running>,
    settings: &'static str,
}

impl Broker {
    async fn start(kind: Kind) -> Self {
        Self::start_with(kind, "").await
    }

    /// With more lines of settings; mosquitto's only.
    async fn start_with(kind: Kind, settings: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Self { kind, folder, port: free_port(), running: None, settings };
        broker.run().await;
        broker
    }

    async fn run(&mut self) {
        let folder = self.folder.path();
        self.running = Some(match self.kind {
            MOSQUITTO => {
                let passwords = folder.join("passwords");
                for (number, user) in ["watcher", "other", "mute"].iter().enumerate() {
                    let mut made = std::process::Command::new("mosquitto_passwd");
                    made.arg("-b").args((number == 0).then_some("-c")).arg(&passwords).args([user, PASSWORD]);
                    assert!(made.status().expect("mosquitto is installed").success());
                }
                let rights = folder.join("rights");
                let all = "topic readwrite #\n";
                std::fs::write(
                    &rights,
                    format!("user watcher\n{all}user other\n{all}user mute\ntopic read #\n"),
                )
                .unwrap();
                let settings = format!("acl_file {}\n{}", rights.display(), self.settings);
                Running::Mosquitto(Mosquitto::start_with(folder, self.port, &settings).await)
            }
            RABBITMQ => {
                Running::RabbitMq(RabbitMq::start(folder, self.port, &["watcher", "other"], &["mute"]).await)
            }
        });
    }

    fn stop(&mut self) {
        match self.running.take().unwrap() {
            Running::Mosquitto(mosquitto) => mosquitto.stop(),
            Running::RabbitMq(rabbit) => rabbit.stop(),
        }
    }

    async fn restart(&mut self) {
        self.stop();
        self.run().await;
    }

    fn client(&self, id: &str, user: &str) -> Client {
        Client::new(self.port, id, user, PASSWORD, false)
    }

    /// Without a session.
    fn passing(&self) -> Client {
        Client::new(self.port, &format!("test-{:016x}", rand::random::<u64>()), "watcher", PASSWORD, true)
    }
}

/// An MQTT 3.1.1 client that does one thing at a time.
struct Client {
    client: AsyncClient,
    events: EventLoop,
}

impl Client {
    fn new(port: u16, id: &str, user: &str, password: &str, is_clean: bool) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_credentials(user, password).set_clean_session(is_clean);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, events) = AsyncClient::new(options, 100);
        Self { client, events }
    }

    /// What comes until it is wanted.
    async fn until<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(Event) -> Option<T>,
    ) -> Result<T, ConnectionError> {
        let found = async {
            loop {
                let event = self.events.poll().await?;
                if let Some(found) = wanted(event) {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect(what)
    }

    /// Whether there was a session.
    async fn connect(&mut self) -> Result<bool, ConnectionError> {
        self.until("CONNACK", |event| match event {
            Event::Incoming(Packet::ConnAck(ack)) => Some(ack.session_present),
            _ => None,
        })
        .await
    }

    async fn subscribe(&mut self, filter: &str) {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        let is_subscribed = |event| matches!(event, Event::Incoming(Packet::SubAck(_))).then_some(());
        self.until("SUBACK", is_subscribed).await.unwrap();
    }

    async fn publish(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        retain: bool,
    ) -> Result<(), ConnectionError> {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await.unwrap();
        self.until("PUBACK", |event| matches!(event, Event::Incoming(Packet::PubAck(_))).then_some(())).await
    }

    /// The next message.
    async fn next(&mut self) -> (String, String) {
        let message = self.until("a message", |event| match event {
            Event::Incoming(Packet::Publish(publish)) => {
                Some((publish.topic, String::from_utf8_lossy(&publish.payload).into_owned()))
            }
            _ => None,
        });
        message.await.unwrap()
    }

    /// Ends as an ordinary client does.
    async fn leave(mut self) {
        self.client.disconnect().await.unwrap();
        while self.events.poll().await.is_ok() {}
    }

    async fn is_ended(&mut self) {
        let ended = async { while self.events.poll().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the connection ends");
    }
}

/// A data folder with a device, and a server on it.
struct Ward {
    device: String,
    data: Data,
    serve: Option<Serve>,
}

impl Ward {
    fn new() -> Self {
        let data = Data::new();
        // Of another name each time, for what is retained stays.
        let device = format!("d{:08x}", rand::random::<u32>());
        data.must(&["device", "add", &device]);
        Self { device, data, serve: None }
    }

    fn at(broker: &Broker) -> Self {
        let mut ward = Self::new();
        ward.serve(broker, "watcher", PASSWORD);
        ward
    }

    fn serve(&mut self, broker: &Broker, user: &str, password: &str) {
        // The one before first, whose folder it is.
        self.serve = None;
        self.serve = Some(Serve::start_with(&self.data.folder(), |command| {
            command.arg("--mqtt-url").arg(format!("mqtt://{user}@127.0.0.1:{}", broker.port));
            command.env("VITALWIRE_MQTT_PASSWORD", password);
        }));
    }

    fn status(&self) -> String {
        format!("vitalwire/v1/{}/status", self.device)
    }

    fn reading(&self) -> String {
        format!("vitalwire/v1/{}/reading", self.device)
    }

    fn device(&self) -> LinkDevice {
        let folder = self.data.folder();
        let key = MasterKey::load(&vitalwire_registry::master_key_path(&folder, None)).unwrap();
        let registry = Registry::open(&folder, &key).unwrap();
        let DeviceKey::Tls(links) = registry.device_key(&self.device.parse().unwrap()).unwrap() else {
            panic!("no link")
        };
        let address = self.serve.as_ref().unwrap().address("devices").parse().unwrap();
        LinkDevice { id: self.device.clone(), link: links.current, address, profile: "pico" }
    }

    /// Waits until the server has or misses its broker.
    async fn until_connected(&self, is_connected: bool) {
        let wanted = format!("vitalwire_broker_connected {}", u8::from(is_connected));
        self.until_metric(&wanted).await;
    }

    async fn until_metric(&self, wanted: &str) {
        let address = self.serve.as_ref().unwrap().address("metrics").to_owned();
        let holds = async {
            while !metrics(&address).await.lines().any(|line| line == wanted) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, holds).await.unwrap_or_else(|_| panic!("never: {wanted}"));
    }
}

async fn metrics(address: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn batch(sequence: u64) -> Vec<u8> {
    batch_of(sequence, HELLO_MS, &[(0, 50_000, &[36_600])], None)
}

/// The batch's number.
fn sequence(reading: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(reading).unwrap()["sequence"].as_u64().unwrap()
}

/// The first message below the filter, or the marker that is published when it was subscribed to.
async fn first_or_marker(broker: &Broker, filter: &str) -> String {
    let mut subscriber = broker.passing();
    subscriber.connect().await.unwrap();
    subscriber.subscribe("marker").await;
    subscriber.subscribe(filter).await;
    let mut publisher = broker.passing();
    publisher.publish("marker", "nothing", false).await.unwrap();
    subscriber.next().await.1
}

async fn a_status_is_retained_and_survives_the_broker(broker: &mut Broker) {
    let ward = Ward::at(broker);
    let mut before = broker.passing();
    before.connect().await.unwrap();
    before.subscribe(&ward.status()).await;
    let (connection, _) = ward.device().greet(1).await;
    assert_eq!(before.next().await.1, "online");
    assert_eq!(first_or_marker(broker, &ward.status()).await, "online");
    // RabbitMQ has retained messages for a topic, not for a filter that matches it.
    let by_filter = if broker.kind == MOSQUITTO { "online" } else { "nothing" };
    assert_eq!(first_or_marker(broker, "vitalwire/v1/+/status").await, by_filter);
    drop((connection, before));
    let mut publisher = broker.passing();
    publisher.publish("kept", "yes", true).await.unwrap();
    broker.restart().await;
    assert_eq!(first_or_marker(broker, "kept").await, "yes");
    // And the server comes back by itself.
    let (_connection, _) = ward.device().greet(2).await;
    let mut after = broker.passing();
    after.connect().await.unwrap();
    after.subscribe(&ward.status()).await;
    while after.next().await.1 != "online" {}
}

async fn a_killed_server_leaves_its_devices_offline(broker: &mut Broker) {
    let ward = Ward::at(broker);
    let mut status = broker.passing();
    status.connect().await.unwrap();
    status.subscribe(&ward.status()).await;
    let (_connection, _) = ward.device().greet(1).await;
    assert_eq!(status.next().await.1, "online");
    ward.serve.as_ref().unwrap().signal("KILL");
    assert_eq!(status.next().await.1, "offline");
    assert_eq!(first_or_marker(broker, &ward.status()).await, "offline", "the will is retained");
}

async fn a_session_keeps_what_its_client_misses_also_over_a_restart(broker: &mut Broker) {
    let ward = Ward::at(broker);
    let mut reader = broker.client("reader", "watcher");
    assert!(!reader.connect().await.unwrap());
    reader.subscribe(&ward.reading()).await;
    let (mut connection, _) = ward.device().greet(1).await;
    connection.send(&batch(1)).await;
    assert_eq!(sequence(&reader.next().await.1), 1);
    reader.leave().await;
    for number in 2..=1_500 {
        connection.send(&batch(number)).await;
    }
    connection.acknowledged(1_500).await;
    // The last of them is at the broker when a passing subscriber has it.
    let mut witness = broker.passing();
    witness.connect().await.unwrap();
    witness.subscribe(&ward.reading()).await;
    connection.send(&batch(1_501)).await;
    while sequence(&witness.next().await.1) != 1_501 {}
    drop(witness);
    broker.restart().await;
    let mut reader = broker.client("reader", "watcher");
    assert!(reader.connect().await.unwrap(), "the session is there");
    let mut expected = 2;
    while expected <= 1_501 {
        let number = sequence(&reader.next().await.1);
        // The first may come again: a client that leaves may not have acknowledged it.
        assert!(number <= expected, "{expected} is missing before {number}");
        expected = expected.max(number + 1);
    }
}

async fn a_wrong_password_is_told_and_costs_no_reading(broker: &mut Broker) {
    let refused =
        Client::new(broker.port, "x", "watcher", "a wrong password", true).connect().await.unwrap_err();
    let ConnectionError::ConnectionRefused(code) = refused else { panic!("{refused}") };
    let wanted = match broker.kind {
        MOSQUITTO => ConnectReturnCode::NotAuthorized,
        RABBITMQ => ConnectReturnCode::BadUserNamePassword,
    };
    assert_eq!(code, wanted);
    let nameless = Client::new(broker.port, "x", "", "", true).connect().await.unwrap_err();
    assert!(matches!(nameless, ConnectionError::ConnectionRefused(_)), "{nameless}");
    let mut ward = Ward::new();
    let mut reader = broker.passing();
    reader.connect().await.unwrap();
    reader.subscribe(&ward.reading()).await;
    ward.serve(broker, "watcher", "a wrong password");
    let (mut connection, _) = ward.device().greet(1).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    ward.until_connected(false).await;
    ward.serve(broker, "watcher", PASSWORD);
    assert_eq!(sequence(&reader.next().await.1), 1);
}

async fn a_right_that_is_missing(broker: &mut Broker) {
    let mut ward = Ward::new();
    let mut reader = broker.passing();
    reader.connect().await.unwrap();
    reader.subscribe(&ward.reading()).await;
    if broker.kind == MOSQUITTO {
        // It acknowledges to MQTT 3.1.1 what it then drops. Often it closes the connection as well, before that is read or after.
        let address = ([127, 0, 0, 1], broker.port).into();
        let mut publisher = client("mosquitto_pub", address, "mute");
        publisher.args(["-d", "-q", "1", "-m", "{}", "-t", &ward.reading()]);
        let said = support::stdout(&run(publisher).await);
        assert!(said.contains("received PUBACK (Mid: 1, RC:0)"), "{said}");
    } else {
        let mut mute = Client::new(broker.port, "m", "mute", PASSWORD, true);
        mute.connect().await.unwrap();
        mute.publish(&ward.reading(), "{}", false).await.unwrap_err();
    }
    ward.serve(broker, "mute", PASSWORD);
    let (mut connection, _) = ward.device().greet(1).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    if broker.kind == RABBITMQ {
        ward.until_connected(false).await;
    }
    drop(connection);
    ward.serve(broker, "watcher", PASSWORD);
    let (mut connection, _) = ward.device().greet(2).await;
    connection.send(&batch(7)).await;
    // At mosquitto the first reading may count as delivered. At RabbitMQ it waited, and follows what is live.
    let late = if broker.kind == MOSQUITTO { 7 } else { 1 };
    while sequence(&reader.next().await.1) != late {}
}

async fn a_client_id_is_taken_over_by_anyone_with_a_password(broker: &mut Broker) {
    let mut first = broker.client("same", "watcher");
    first.connect().await.unwrap();
    first.subscribe("private").await;
    let mut second = broker.client("same", "other");
    let has_session = second.connect().await.unwrap();
    first.is_ended().await;
    drop(first);
    let mut publisher = broker.passing();
    publisher.publish("private", "for watcher", false).await.unwrap();
    publisher.publish("marker", "nothing", false).await.unwrap();
    assert!(has_session, "{:?}", broker.kind);
    assert_eq!(second.next().await.1, "for watcher");
}

async fn the_longest_message_passes(broker: &mut Broker) {
    let mut reader = broker.passing();
    reader.connect().await.unwrap();
    reader.subscribe("long").await;
    let payload = "7".repeat(120 * 1024);
    broker.passing().publish("long", payload.clone(), false).await.unwrap();
    assert!(reader.next().await.1 == payload);
}

/// What a session of mosquitto's holds by default; RabbitMQ's has no limit.
#[tokio::test]
async fn mosquitto_by_default_keeps_a_thousand_messages_a_session_and_drops_the_newest() {
    let broker = Broker::start_with(MOSQUITTO, "max_queued_messages 1000\n").await;
    let mut reader = broker.client("reader", "watcher");
    reader.connect().await.unwrap();
    reader.subscribe("t").await;
    reader.leave().await;
    let mut publisher = broker.passing();
    for number in 0..1_500 {
        publisher.publish("t", number.to_string(), false).await.unwrap();
    }
    let mut reader = broker.client("reader", "watcher");
    reader.connect().await.unwrap();
    let mut seen = Vec::new();
    publisher.publish("t", "last", false).await.unwrap();
    loop {
        match reader.next().await.1.as_str() {
            "last" => break,
            number => seen.push(number.parse::<usize>().unwrap()),
        }
    }
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
}
