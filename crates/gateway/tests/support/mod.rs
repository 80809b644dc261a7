//! A clinic for tests: a real server on ports of the system's choice, devices on raw sockets, and an
//! independent MQTT client (rumqttc) that sees what subscribers see.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod faults;
pub mod link;
pub mod mosquitto;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use vitalwire_access::{DeviceId, Role, Scope};
use vitalwire_broker::{BrokerConfig, BrokerLimits};
use vitalwire_gateway::{BrokerChoice, JournalLimits, Limits, Server, ServerConfig};
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};
use vitalwire_registry::{DeviceKey, MasterKey, Registry};

use link::LinkDevice;

pub const JSON: &str = r#"{"Temp":"36.600","TempMcu":"23.700","PulseSig":"1.802","Acel_x":"0.000","Acel_y":"-0.12","Acel_z":"0.980","TempMpu":"23.400"}"#;
pub const PASSWORD: &str = "correct horse battery";
/// Generous: these machines are shared. Nothing here waits for it unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where a clinic's files are.
pub enum Folder {
    Own(TempDir),
    Anothers(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Anothers(path) => path,
        }
    }
}

pub struct Clinic {
    pub folder: Folder,
    pub registry: Registry,
    pub server: Option<Server>,
    /// What the server asks of devices on the secure link: milliseconds of a batch.
    pub batch_ms: Option<u32>,
}

impl Clinic {
    pub async fn open() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        let mut clinic = Self::closed();
        clinic.start(limits, None).await;
        clinic
    }

    /// A data folder with one reader, and no server yet.
    pub fn closed() -> Self {
        let folder = Folder::Own(tempfile::tempdir().unwrap());
        let key = MasterKey::create(&folder.path().join("master-key")).unwrap();
        let registry = Registry::create(&folder.path().join("data"), &key).unwrap();
        let reader = Role::Reader { devices: Scope::All };
        registry.add_user(&"watcher".parse().unwrap(), reader, &SecretString::from(PASSWORD)).unwrap();
        Self { folder, registry, server: None, batch_ms: None }
    }

    /// The clinic of another process.
    pub fn existing(folder: &Path) -> Self {
        let folder = Folder::Anothers(folder.to_owned());
        let key = MasterKey::load(&folder.path().join("master-key")).unwrap();
        let registry = Registry::open(&folder.path().join("data"), &key).unwrap();
        Self { folder, registry, server: None, batch_ms: None }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub async fn start(&mut self, limits: Limits, broker: Option<BrokerChoice>) {
        self.start_with(limits, broker, JournalLimits::default()).await;
    }

    pub async fn start_with(&mut self, limits: Limits, broker: Option<BrokerChoice>, journal: JournalLimits) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let embedded = || {
            BrokerChoice::Embedded(BrokerConfig {
                plain: Some(any),
                tls: None,
                websocket: None,
                storage: self.data().join("mqtt"),
                limits: BrokerLimits::default(),
            })
        };
        let config = ServerConfig {
            journal,
            batch_ms: self.batch_ms,
            data: self.data(),
            master_key: self.folder.path().join("master-key"),
            device_listen: any,
            broker: broker.unwrap_or_else(embedded),
            metrics_listen: Some(any),
            limits,
        };
        self.server = Some(Server::start(config).await.unwrap());
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// Enrols a device; the server knows it then.
    pub async fn enrol(&self, id: &str) -> Device {
        let id: DeviceId = id.parse().unwrap();
        let secret = self.registry.add_cbc_device(&id, None).unwrap();
        self.known().await;
        Device { id: id.to_string(), secret, address: self.server().addresses().devices }
    }

    /// Enrols a device for the secure link; the server knows it then.
    pub async fn enrol_link(&self, id: &str) -> LinkDevice {
        let id: DeviceId = id.parse().unwrap();
        let link = self.registry.add_tls_device(&id).unwrap();
        self.known().await;
        LinkDevice { id: id.to_string(), link, address: self.server().addresses().devices, profile: "pico" }
    }

    /// Gives a device a new link; the server knows it then.
    pub async fn rotate_link(&self, id: &str) -> LinkDevice {
        let id: DeviceId = id.parse().unwrap();
        self.registry.rotate_device(&id, Duration::from_secs(3_600)).unwrap();
        let DeviceKey::Tls(links) = self.registry.device_key(&id).unwrap() else { panic!("no link") };
        self.known().await;
        LinkDevice {
            id: id.to_string(),
            link: links.current,
            address: self.server().addresses().devices,
            profile: "pico",
        }
    }

    /// Waits until `done`.
    pub async fn eventually(&self, what: &str, done: impl Fn() -> bool) {
        self.until(what, |_| done()).await;
    }

    /// Waits until the server knows what is in the registry.
    pub async fn known(&self) {
        let version = self.registry.directory().unwrap().version;
        self.until("the registry's change", |stats| stats.registry_version >= version).await;
    }

    pub async fn subscribe(&self, filters: &[&str]) -> Subscriber {
        let mqtt = self.server().addresses().mqtt.unwrap();
        Subscriber::connect(mqtt.port(), filters, true).await
    }

    /// Waits until `done` holds of the server's counts.
    pub async fn until(&self, what: &str, done: impl Fn(vitalwire_gateway::Stats) -> bool) {
        let reached = async {
            while !done(self.server().stats()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reached).await;
        assert!(in_time.is_ok(), "{what} did not happen: {:?}", self.server().stats());
    }
}

#[derive(Clone)]
pub struct Device {
    pub id: String,
    pub secret: CbcSecret,
    pub address: SocketAddr,
}

impl Device {
    pub fn frame(&self, variant: Variant, json: &str) -> Vec<u8> {
        let mut frame = vec![0; FRAME_LEN_MAX.max(json.len() * 3)];
        let len = FrameEncoder::new(&self.secret, variant).encode(json.as_bytes(), &mut frame).unwrap();
        frame.truncate(len);
        frame
    }

    /// The ciphertext of `len` bytes of JSON in the `blockwise` variant, put together from frames that an honest
    /// encoder would make: it refuses to make one so long.
    pub fn endless_frame(&self, len: usize) -> Vec<u8> {
        let block = |text: &str| self.frame(Variant::Blockwise, &format!("{text}}}"))[..32].to_vec();
        let mut frame = block("{\"Temp\":\"111111");
        let middle = block("1111111111111111");
        for _ in 1..len / 16 {
            frame.push(b'+');
            frame.extend_from_slice(&middle);
        }
        frame
    }

    /// A frame whose pulse signal is `number`, to tell it from others.
    pub fn numbered(&self, number: usize) -> Vec<u8> {
        self.frame(Variant::Chained, &numbered_json(number))
    }

    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Connects and delivers one reading.
    pub async fn connect_delivering(&self, subscriber: &mut Subscriber) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(&self.frame(Variant::Chained, JSON)).await.unwrap();
        subscriber.until(&format!("vitalwire/v1/{}/reading", self.id)).await;
        stream
    }
}

pub fn numbered_json(number: usize) -> String {
    JSON.replace("1.802", &number.to_string())
}

/// Waits until the peer has closed, whether by FIN or RST.
pub async fn closed(stream: &mut TcpStream) {
    if let Ok(len) = stream.read(&mut [0; 64]).await {
        assert_eq!(len, 0, "the server never answers on this protocol");
    }
}

pub async fn closes(stream: &mut TcpStream, what: &str) {
    let in_time = tokio::time::timeout(PATIENCE, closed(stream)).await;
    assert!(in_time.is_ok(), "the connection stays open after {what}");
}

/// Writes, and does not care when the peer has closed meanwhile.
pub async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

pub struct Subscriber {
    messages: mpsc::UnboundedReceiver<(String, String)>,
    pub client: AsyncClient,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    pub async fn connect(port: u16, filters: &[&str], clean_session: bool) -> Self {
        let mut options = MqttOptions::new(format!("test-{}", fresh()), "127.0.0.1", port);
        options.set_credentials("watcher", PASSWORD).set_clean_session(clean_session);
        options.set_max_packet_size(1 << 20, 1 << 20).set_inflight(1_000);
        let (client, mut events) = AsyncClient::new(options, 100);
        let (sender, messages) = mpsc::unbounded_channel();
        let (ready, mut subscribed) = mpsc::channel(filters.len());
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).await.unwrap();
        }
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = ready.try_send(());
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let text = String::from_utf8_lossy(&publish.payload).into_owned();
                        let _ = sender.send((publish.topic, text));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        for _ in filters {
            tokio::time::timeout(PATIENCE, subscribed.recv()).await.expect("subscribed").unwrap();
        }
        Self { messages, client, task }
    }

    pub async fn next(&mut self) -> (String, String) {
        let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        message.expect("a message arrives").expect("the client runs")
    }

    /// Waits for a message of `topic`, leaving out all others.
    pub async fn until(&mut self, topic: &str) {
        self.value(topic).await;
    }

    /// The next payload of `topic`, leaving out all others.
    pub async fn value(&mut self, topic: &str) -> String {
        loop {
            let (got, payload) = self.next().await;
            if got == topic {
                return payload;
            }
        }
    }

    /// Takes messages until each topic of `topics` was seen; the last payload of each.
    pub async fn collect(&mut self, topics: &[String]) -> HashMap<String, String> {
        let mut seen = HashMap::new();
        while !topics.iter().all(|topic| seen.contains_key(topic)) {
            let (topic, payload) = self.next().await;
            seen.insert(topic, payload);
        }
        seen
    }

    /// What has arrived and was not taken.
    pub fn rest(&mut self) -> Vec<(String, String)> {
        std::iter::from_fn(|| self.messages.try_recv().ok()).collect()
    }
}

fn fresh() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 20 | NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn eleven_topics(id: &str) -> Vec<String> {
    [
        "Physiological_Data/Temperature",
        "Physiological_Data/Pulse_Signal",
        "Physiological_Data/Accelerometer/x",
        "Physiological_Data/Accelerometer/y",
        "Physiological_Data/Accelerometer/z",
        "Internal_Device_Data/Temperature/MCU",
        "Internal_Device_Data/Temperature/MPU",
        "Ip_address",
        "Port_address",
        "Internal_Server/Ip_address",
        "Internal_Server/Port_address",
    ]
    .map(|suffix| format!("Pico/{id}/{suffix}"))
    .into()
}
