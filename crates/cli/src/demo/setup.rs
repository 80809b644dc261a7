//! What the demonstration stands on: a data folder with fresh secrets, enrolled devices, a user, and addresses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use vitalwire_access::{DeviceId, Proxies, Role, Scope, UserName};
use vitalwire_broker::{BrokerConfig, BrokerLimits};
use vitalwire_dashboard::DashboardConfig;
use vitalwire_gateway::{BrokerChoice, JournalLimits, Limits, ServerConfig};
use vitalwire_protocol::{CbcSecret, Variant};
use vitalwire_registry::{DeviceKey, MasterKey, Protocol, Registry, RegistryError, master_key_path};
use vitalwire_simulator::fleet::{FleetDevice, Link};

use super::Plan;
use super::parts::ServerThread;
use crate::config::DASHBOARD_PORT;
use crate::listen::is_loopback;
use crate::mqtt::MqttUrl;
use crate::output::note;
use crate::safety::Refusal;
use crate::{data, secrets};

const USER: &str = "demo";
/// Whom the link to the dashboard logs in: may also acknowledge alarms.
const VIEWER: &str = "demo-nurse";
/// Five seconds of 1,000 devices at 20 Hz; more is dropped, and the report says so.
const QUEUED_MESSAGES_MAX: usize = 800_000;
const QUEUED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The data folder and what was put into it.
pub(crate) struct Setup {
    pub(crate) devices: Vec<FleetDevice>,
    password: SecretString,
    data: PathBuf,
    master_key: PathBuf,
    /// Removed with everything in it when the demonstration ends.
    _temporary: Option<tempfile::TempDir>,
}

/// How the subscriber logs in.
pub(crate) struct Login {
    pub(crate) url: MqttUrl,
    pub(crate) password: SecretString,
}

impl Setup {
    /// Makes the folder, or uses the one that is kept, and enrols the patients.
    ///
    /// # Errors
    /// When the folder cannot be made or opened.
    pub(crate) fn prepare(plan: &Plan) -> anyhow::Result<Self> {
        let temporary = match plan.data {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("vitalwire-demo-").tempdir()?),
        };
        let (data, master_key) = match (&plan.data, &temporary) {
            (Some(data), _) => (data.clone(), master_key_path(data, None)),
            (None, Some(folder)) => (folder.path().join("data"), folder.path().join("master-key")),
            (None, None) => bail!("no folder for the demonstration"),
        };
        let registry = open_or_create(&data, &master_key)?;
        let devices = enrol(&registry, plan)?;
        let password = secrets::generate_password();
        add_user(&registry, &USER.parse()?, Role::Reader { devices: Scope::All }, &password)?;
        // No one knows this one: there is the link.
        add_user(&registry, &viewer()?, Role::Admin, &secrets::generate_password())?;
        Ok(Self { devices, password, data, master_key, _temporary: temporary })
    }

    /// The server's configuration.
    ///
    /// # Errors
    /// When an address would let others read what is not encrypted.
    pub(crate) fn server_config(&self, plan: &Plan) -> anyhow::Result<ServerConfig> {
        let mqtt = choose(plan.mqtt_listen, 1883, "MQTT");
        let metrics = choose(plan.metrics_listen, 9090, "metrics");
        if !is_loopback(mqtt.ip()) {
            bail!(Refusal::PlainMqtt(mqtt));
        }
        if !is_loopback(metrics.ip()) {
            bail!(Refusal::Metrics(metrics));
        }
        // All devices come from one address here, and all are welcome.
        let mut limits = Limits::default();
        limits.connections_max = limits.connections_max.max(plan.devices * 2);
        limits.connections_per_address_max = limits.connections_per_address_max.max(plan.devices * 2);
        Ok(ServerConfig {
            data: self.data.clone(),
            master_key: self.master_key.clone(),
            device_listen: choose(plan.listen, 9998, "devices"),
            device_proxies: Proxies::default(),
            broker: BrokerChoice::Embedded(Box::new(BrokerConfig {
                plain: Some(mqtt),
                limits: broker_limits(),
                ..BrokerConfig::new(self.data.join(data::BROKER_FOLDER))
            })),
            metrics_listen: Some(metrics),
            limits,
            journal: JournalLimits::default(),
            batch_ms: None,
            alarm_timing: Default::default(),
            web_hooks: None,
        })
    }

    /// The dashboard's configuration, beside that server.
    pub(crate) fn dashboard_config(plan: &Plan, server: &ServerConfig) -> DashboardConfig {
        let listen = choose(plan.dashboard_listen, DASHBOARD_PORT, "the dashboard");
        DashboardConfig::new(&server.data, &server.master_key, listen)
    }

    /// How to log in to the running server's broker.
    ///
    /// # Errors
    /// When it has no plain listener.
    pub(crate) fn login(&self, server: &ServerThread) -> anyhow::Result<Login> {
        let address = server.addresses.mqtt.context("the broker has no plain listener")?;
        let url = MqttUrl {
            tls: false,
            user: Some(USER.to_owned()),
            host: address.ip().to_string(),
            port: address.port(),
        };
        Ok(Login { url, password: self.password.clone() })
    }

    /// The command that shows the same topics in another terminal. The password lives as long as the demonstration.
    pub(crate) fn command(&self, server: &ServerThread) -> String {
        let password = self.password.expose_secret();
        server.addresses.mqtt.map_or(String::new(), |address| {
            format!(
                "mosquitto_sub -h {} -p {} -u {USER} -P {password} -t 'Pico/#' -v",
                address.ip(),
                address.port()
            )
        })
    }
}

/// Whom the link to the dashboard logs in.
pub(super) fn viewer() -> anyhow::Result<UserName> {
    Ok(VIEWER.parse()?)
}

fn add_user(registry: &Registry, user: &UserName, role: Role, password: &SecretString) -> anyhow::Result<()> {
    match registry.add_user(user, role, password) {
        Err(RegistryError::UserExists(_)) => registry.set_password(user, password)?,
        added => added?,
    }
    Ok(())
}

/// Everything runs on one machine here, and the one subscriber is ours: when the processor is busy elsewhere for some
/// seconds, its messages wait rather than count as lost.
fn broker_limits() -> BrokerLimits {
    BrokerLimits {
        queued_messages_max: QUEUED_MESSAGES_MAX,
        queued_bytes_max: QUEUED_BYTES_MAX,
        outgoing_bytes_max: QUEUED_BYTES_MAX,
        ..BrokerLimits::default()
    }
}

fn open_or_create(folder: &Path, master_key: &Path) -> anyhow::Result<Registry> {
    if data::has_registry(folder)? {
        return data::open(folder, Some(master_key));
    }
    let master =
        if master_key.exists() { MasterKey::load(master_key)? } else { MasterKey::create(master_key)? };
    Ok(Registry::create(folder, &master)?)
}

/// What the patients' devices speak. With TLS the last of several speaks the paper's frames, to show that both are served.
fn protocol_of(plan: &Plan, place: usize) -> Protocol {
    let is_last = plan.devices > 1 && place + 1 == plan.devices;
    if is_last { Protocol::AesCbc } else { plan.protocol }
}

/// Patients of an earlier demonstration in this folder keep their keys.
fn enrol(registry: &Registry, plan: &Plan) -> anyhow::Result<Vec<FleetDevice>> {
    let known = registry.directory()?.devices;
    let ids: Vec<DeviceId> =
        (1..=plan.devices).map(|number| format!("patient_{number:02}").parse()).collect::<Result<_, _>>()?;
    let fresh = |protocol| {
        let wanted = ids.iter().enumerate().filter(move |(place, _)| protocol_of(plan, *place) == protocol);
        wanted.map(|(_, id)| id.clone()).filter(|id| !known.contains_key(id))
    };
    let secrets = fresh(Protocol::AesCbc).map(|id| (id, CbcSecret::new(rand::random(), rand::random())));
    registry.add_cbc_devices(&secrets.collect::<Vec<_>>())?;
    registry.add_tls_devices(&fresh(Protocol::Tls).collect::<Vec<_>>())?;
    let enrolled = registry.directory()?.devices;
    let mut fleet = Vec::with_capacity(ids.len());
    for (place, id) in ids.iter().enumerate() {
        let device = enrolled.get(id).with_context(|| format!("{id} is not enrolled"))?;
        let wanted = protocol_of(plan, place);
        fleet.push(match &device.key {
            key if key.protocol() != wanted => bail!(
                "{id} of this folder speaks {}, not {wanted}; take another folder or the same --devices and --protocol",
                key.protocol()
            ),
            DeviceKey::Tls(links) => {
                let link = &links.current;
                FleetDevice::batches(id.as_str(), Link::new(&link.id.to_string(), *link.psk.bytes())?)
            }
            DeviceKey::AesCbc(secret) => {
                let variant = if place.is_multiple_of(2) { Variant::Chained } else { Variant::Blockwise };
                FleetDevice::frames(id.as_str(), secret.clone(), variant)
            }
        });
    }
    Ok(fleet)
}

/// The address asked for, or the usual port, or any when that is taken.
fn choose(wish: Option<SocketAddr>, usual: u16, what: &str) -> SocketAddr {
    wish.unwrap_or_else(|| {
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, usual).into();
        match TcpListener::bind(address) {
            Ok(_) => address,
            Err(error) => {
                note!("{address} is not free for {what} ({error}); the system chooses a port");
                (Ipv4Addr::LOCALHOST, 0).into()
            }
        }
    })
}
