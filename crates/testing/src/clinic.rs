//! A clinic for tests: a real server on ports of the system's choice, devices on raw sockets, and an independent MQTT
//! client (rumqttc) that sees what subscribers see.

pub mod child;
mod frames;
mod subscriber;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use frames::{Device, closed, closes, send};
use secrecy::SecretString;
pub use subscriber::{Reader, Subscriber};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_access::{DeviceId, Proxies, Role, Scope};
use vitalwire_broker::BrokerConfig;
use vitalwire_gateway::{
    BrokerChoice, ExternalBroker, JournalLimits, Limits, Server, ServerConfig, ServerHandle, Stats,
    WebHookConfig,
};
use vitalwire_registry::{DeviceKey, MasterKey, Registry};
use vitalwire_vitals::alarm::Timing;

use crate::link::LinkDevice;
use crate::{LOOK, PASSWORD, PATIENCE};

/// Where a clinic's files are.
pub enum Folder {
    /// Removed with the clinic.
    Own(TempDir),
    /// Of another process, which removes it.
    Anothers(PathBuf),
}

impl Folder {
    /// The folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Anothers(path) => path,
        }
    }
}

/// A data folder, and the server on it.
pub struct Clinic {
    /// Where `data` and `master-key` lie.
    pub folder: Folder,
    /// The command line's end of it.
    pub registry: Registry,
    /// `None` before it starts and after it stopped.
    pub server: Option<Server>,
    /// What the server asks of devices on the secure link: milliseconds of a batch.
    pub batch_ms: Option<u32>,
    /// Proxies before the devices' port.
    pub device_proxies: Proxies,
    /// When people are told again of an alarm, and when others are.
    pub alarm_timing: Timing,
    /// Those others.
    pub web_hooks: Option<WebHookConfig>,
}

impl Clinic {
    /// With a server that has the usual limits.
    pub async fn open() -> Self {
        Self::with_limits(Limits::default()).await
    }

    /// With a server that has these limits.
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
        Self::of(folder, registry)
    }

    fn of(folder: Folder, registry: Registry) -> Self {
        let device_proxies = Proxies::default();
        let (alarm_timing, web_hooks) = (Timing::default(), None);
        Self { folder, registry, server: None, batch_ms: None, device_proxies, alarm_timing, web_hooks }
    }

    /// The clinic of another process.
    pub fn existing(folder: &Path) -> Self {
        let folder = Folder::Anothers(folder.to_owned());
        let key = MasterKey::load(&folder.path().join("master-key")).unwrap();
        let registry = Registry::open(&folder.path().join("data"), &key).unwrap();
        Self::of(folder, registry)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server; by default with the embedded broker.
    pub async fn start(&mut self, limits: Limits, broker: Option<BrokerChoice>) {
        self.start_with(limits, broker, JournalLimits::default()).await;
    }

    /// Starts the server, and says what the journal may hold.
    pub async fn start_with(&mut self, limits: Limits, broker: Option<BrokerChoice>, journal: JournalLimits) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let embedded = || {
            let storage = self.data().join("mqtt");
            BrokerChoice::Embedded(Box::new(BrokerConfig { plain: Some(any), ..BrokerConfig::new(storage) }))
        };
        let config = ServerConfig {
            journal,
            batch_ms: self.batch_ms,
            alarm_timing: self.alarm_timing,
            web_hooks: self.web_hooks.clone(),
            data: self.data(),
            master_key: self.folder.path().join("master-key"),
            device_listen: any,
            device_proxies: self.device_proxies.clone(),
            broker: broker.unwrap_or_else(embedded),
            metrics_listen: Some(any),
            // However busy the machine: what a stop must leave undone when time is short is no part of these tests.
            limits: Limits { stop_timeout: PATIENCE, ..limits },
        };
        self.server = Some(Server::start(config).await.unwrap());
    }

    /// The server, which must run.
    pub fn server(&self) -> ServerHandle {
        self.server.as_ref().unwrap().handle()
    }

    /// Stops the server in the orderly way.
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

    /// Where readers connect to the embedded broker.
    pub fn mqtt(&self) -> SocketAddr {
        self.server().addresses().mqtt.unwrap()
    }

    /// What the port of metrics and health answers.
    pub async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.server().addresses().metrics.unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A subscriber of the embedded broker that may read everything.
    pub async fn subscribe(&self, filters: &[&str]) -> Subscriber {
        Subscriber::connect(self.mqtt().port(), filters, true).await
    }

    /// Waits until `done` holds of the server's counts.
    pub async fn until(&self, what: &str, done: impl Fn(Stats) -> bool) {
        let reached = async {
            while !done(self.server().stats()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reached).await;
        assert!(in_time.is_ok(), "{what} did not happen: {:?}", self.server().stats());
    }
}

/// A clinic whose broker is the [`Mosquitto`](crate::mosquitto::Mosquitto) at this port.
pub async fn clinic_with(port: u16) -> Clinic {
    clinic_at(&format!("mqtt://watcher@127.0.0.1:{port}"), None).await
}

/// A clinic whose broker is elsewhere.
pub async fn clinic_at(url: &str, ca: Option<PathBuf>) -> Clinic {
    let mut clinic = Clinic::closed();
    let mut broker = ExternalBroker::from_url(url, SecretString::from(PASSWORD)).unwrap();
    broker.ca = ca;
    clinic.start(Limits::default(), Some(BrokerChoice::External(broker))).await;
    clinic
}
