//! The settings of `serve`: defaults, `vitalwire.toml`, the environment, flags; the later wins. Reads files, opens no
//! sockets.

mod args;
mod file;
mod setting;
mod sign_on;
mod table;
mod template;
mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub(crate) use args::SettingArgs;
pub(crate) use setting::Setting;
pub(crate) use sign_on::SignOnSettings;
pub(crate) use table::{Names, settings};
pub(crate) use template::{lowercase, template, wrap};
use vitalwire_access::{Networks, Origins, Proxies};
use vitalwire_broker::{BrokerLimits, TlsIdentity};
use vitalwire_dashboard::{DashboardLimits, HostNames};
use vitalwire_gateway::{JournalLimits, Limits, WebHookUrl};
use vitalwire_vitals::alarm::Timing;

use self::sign_on::SignOnValues;
use self::value::Hosts;
use crate::listen::{Listen, is_loopback};
use crate::mqtt::MqttUrl;

/// Name of the settings file in the data folder.
pub(crate) const FILE_NAME: &str = "vitalwire.toml";

/// Where people find the dashboard.
pub(crate) const DASHBOARD_PORT: u16 = 8080;

/// Every setting, read but not yet judged. A row of the table fills each field.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    data: Option<PathBuf>,
    master_key: Option<PathBuf>,
    devices_listen: SocketAddr,
    device_proxies: Option<Proxies>,
    batch_ms: Option<u32>,
    mqtt_listen: Listen,
    mqtt_allow_plain: Option<Networks>,
    mqtt_tls_listen: Option<Listen>,
    mqtt_websocket_listen: Listen,
    mqtt_proxies: Option<Proxies>,
    mqtt_websocket_proxies: Option<Proxies>,
    mqtt_origins: Option<Origins>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    mqtt_url: Option<MqttUrl>,
    mqtt_ca: Option<PathBuf>,
    mqtt_password_file: Option<PathBuf>,
    metrics_listen: Listen,
    alarm_timing: Timing,
    web_hooks: Option<Vec<WebHookUrl>>,
    web_hook_secret_file: Option<PathBuf>,
    web_hook_values: Option<bool>,
    web_hook_allowed_hosts: Option<Hosts>,
    web_hook_ca: Option<PathBuf>,
    dashboard_listen: Option<Listen>,
    dashboard_tls_cert: Option<PathBuf>,
    dashboard_tls_key: Option<PathBuf>,
    dashboard_hosts: Option<HostNames>,
    dashboard_proxies: Option<Proxies>,
    sign_on: SignOnValues,
    dashboard: DashboardLimits,
    limits: Limits,
    broker: BrokerLimits,
    journal: JournalLimits,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            data: None,
            master_key: None,
            devices_listen: everywhere(9998),
            device_proxies: None,
            batch_ms: None,
            mqtt_listen: Listen::At(loopback(1883)),
            mqtt_allow_plain: None,
            mqtt_tls_listen: None,
            mqtt_websocket_listen: Listen::At(loopback(8083)),
            mqtt_proxies: None,
            mqtt_websocket_proxies: None,
            mqtt_origins: None,
            tls_cert: None,
            tls_key: None,
            mqtt_url: None,
            mqtt_ca: None,
            mqtt_password_file: None,
            metrics_listen: Listen::At(loopback(9090)),
            alarm_timing: Timing::default(),
            web_hooks: None,
            web_hook_secret_file: None,
            web_hook_values: None,
            web_hook_allowed_hosts: None,
            web_hook_ca: None,
            dashboard_listen: None,
            dashboard_tls_cert: None,
            dashboard_tls_key: None,
            dashboard_hosts: None,
            dashboard_proxies: None,
            sign_on: SignOnValues::default(),
            dashboard: DashboardLimits::default(),
            limits: Limits::default(),
            broker: BrokerLimits::default(),
            journal: JournalLimits::default(),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// What `serve` does.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) master_key: Option<PathBuf>,
    pub(crate) devices: SocketAddr,
    pub(crate) trust: TrustSettings,
    pub(crate) broker: BrokerSettings,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) dashboard: Option<DashboardSettings>,
    /// Asked of devices on the secure link: milliseconds of values in a batch.
    pub(crate) batch_ms: Option<u32>,
    pub(crate) alarm_timing: Timing,
    pub(crate) web_hooks: Option<WebHookSettings>,
    pub(crate) limits: Limits,
    pub(crate) journal: JournalLimits,
}

/// Which broker gets the readings.
#[derive(Debug)]
pub(crate) enum BrokerSettings {
    /// Our own.
    Embedded {
        plain: Option<SocketAddr>,
        tls: Option<TlsSettings>,
        websocket: Option<SocketAddr>,
        limits: BrokerLimits,
    },
    /// Another one.
    External { url: MqttUrl, ca: Option<PathBuf>, password_file: Option<PathBuf> },
}

/// Who is believed about whom a connection is for, and what may be sent where.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustSettings {
    /// Networks in which MQTT may be plain.
    pub(crate) plain_mqtt: Networks,
    /// Proxies before the devices' port.
    pub(crate) device_proxies: Proxies,
    /// Proxies before MQTT, plain and over TLS.
    pub(crate) mqtt_proxies: Proxies,
    /// Proxies before MQTT over WebSocket.
    pub(crate) websocket_proxies: Proxies,
    /// Web sites whose pages may connect over WebSocket.
    pub(crate) origins: Origins,
}

/// Who is told of escalations by HTTP.
#[derive(Debug)]
pub(crate) struct WebHookSettings {
    pub(crate) urls: Vec<WebHookUrl>,
    pub(crate) secret_file: PathBuf,
    pub(crate) tells_values: bool,
    pub(crate) allowed_hosts: BTreeSet<String>,
    pub(crate) ca: Option<PathBuf>,
}

/// MQTT over TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The page for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DashboardSettings {
    pub(crate) address: SocketAddr,
    /// No one asked for that address: when it is taken, the server runs without the page.
    pub(crate) is_default: bool,
    /// What it speaks TLS with, if it does.
    pub(crate) tls: Option<TlsIdentity>,
    pub(crate) hosts: HostNames,
    pub(crate) proxies: Proxies,
    /// Where people may log in instead.
    pub(crate) sign_on: Option<SignOnSettings>,
    pub(crate) limits: DashboardLimits,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the settings file {path}")]
    Read { path: String, source: io::Error },
    #[error("{path}, line {line}: {reason}\n  {line} | {text}")]
    File { path: String, line: usize, text: String, reason: String },
    /// The text is left out: it may hold a password.
    #[error("{origin} ({key} in the settings file): {reason}")]
    Given { origin: String, key: &'static str, reason: String },
    #[error(
        "which data folder? Say --data DIR, set VITALWIRE_DATA, or write `data = \"DIR\"` in the settings file"
    )]
    NoData,
    #[error(
        "MQTT over TLS on {0} needs a certificate: --tls-cert FILE --tls-key FILE, or a data folder made by `vitalwire init`"
    )]
    NoCertificate(SocketAddr),
    #[error("a certificate and its key belong together: {0} is missing")]
    HalfIdentity(&'static str),
    #[error(
        "web hooks need a secret that signs what they are told: \
         (umask 077; echo \"whsec_$(openssl rand -base64 32)\" > FILE) and --webhook-secret-file FILE"
    )]
    NoHookSecret,
    #[error(
        "logging in at the provider of --oidc-issuer needs --oidc-client-id ID: as what this server is registered there"
    )]
    NoClientId,
    #[error("the URL of the external broker names no user: write mqtts://USER@HOST:PORT")]
    NoUser,
}

impl ConfigError {
    fn in_file(path: &Path, text: &str, line: usize, reason: String) -> Self {
        let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim().to_owned();
        Self::File { path: path.display().to_string(), line, text, reason }
    }
}

/// All settings, and where each comes from.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    values: Values,
    /// In the order of the table.
    origins: Vec<Origin>,
}

impl Layers {
    /// Puts the layers on top of one another. The file is the one named, else `vitalwire.toml` in the data folder if there
    /// is one.
    ///
    /// # Errors
    /// When a value cannot be read; the message names flag, variable, or file and line, and what is wanted.
    pub(crate) fn load<const SHOWN: bool>(args: &SettingArgs<SHOWN>) -> Result<Self, ConfigError> {
        let mut layers = Self::defaults();
        if let Some(path) = file_path(args)? {
            layers.take_file(&path)?;
        }
        for given in &args.given {
            let Some((_, names)) = settings().nth(given.index) else { continue };
            let origin = match given.is_flag {
                true => Origin::Flag(&names.flag),
                false => Origin::Variable(&names.variable),
            };
            layers.set(given.index, &given.text, origin, None)?;
        }
        Ok(layers)
    }

    fn defaults() -> Self {
        Self { values: Values::default(), origins: settings().map(|_| Origin::Default).collect() }
    }

    fn take_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let (text, entries) = file::read(path)?;
        self.take_entries(&text, path, entries)
    }

    fn take_entries(
        &mut self,
        text: &str,
        path: &Path,
        entries: Vec<file::Entry>,
    ) -> Result<(), ConfigError> {
        for file::Entry { index, text: value, line } in entries {
            let origin = Origin::File { path: path.to_owned(), line };
            self.set(index, &value, origin, path.parent()).map_err(|error| match error {
                ConfigError::Given { reason, .. } => ConfigError::in_file(path, text, line, reason),
                error => error,
            })?;
        }
        Ok(())
    }

    fn set(
        &mut self,
        index: usize,
        text: &str,
        origin: Origin,
        folder: Option<&Path>,
    ) -> Result<(), ConfigError> {
        let Some((setting, _)) = settings().nth(index) else { return Ok(()) };
        let reading = value::Reading { unit: setting.unit, least: setting.least, most: setting.most, folder };
        setting.place.set(&mut self.values, text, reading).map_err(|reason| ConfigError::Given {
            origin: origin.to_string(),
            key: setting.key,
            reason,
        })?;
        if let Some(place) = self.origins.get_mut(index) {
            *place = origin;
        }
        Ok(())
    }

    /// Each setting with its value, if it has one, and where that comes from.
    pub(crate) fn list(
        &self,
    ) -> impl Iterator<Item = (&'static Setting, &'static Names, Option<String>, &Origin)> {
        settings().zip(&self.origins).map(|((setting, names), origin)| {
            (setting, names, setting.place.show(&self.values, setting.unit), origin)
        })
    }

    /// The data folder, if one is named.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.values.data.as_deref()
    }

    /// Where the server tells how it is, if it does.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.values.metrics_listen.address()
    }

    /// With this data folder where none is named.
    pub(crate) fn or_data(mut self, data: &Path) -> Self {
        self.values.data.get_or_insert_with(|| data.to_owned());
        self
    }

    /// What `serve` does with these settings. `own_certificate` looks for the certificate that `init` made in a data
    /// folder.
    ///
    /// # Errors
    /// When something that belongs together is incomplete.
    pub(crate) fn resolve(
        self,
        own_certificate: impl Fn(&Path) -> Option<(PathBuf, PathBuf)>,
    ) -> Result<Settings, ConfigError> {
        let mut values = self.values;
        let data = values.data.take().ok_or(ConfigError::NoData)?;
        let named = identity([values.tls_cert.take(), values.tls_key.take()], ["--tls-cert", "--tls-key"])?;
        let of_server = named.or_else(|| own_certificate(&data));
        let dashboard = dashboard(&mut values, of_server.as_ref())?;
        let broker = match values.mqtt_url {
            Some(url) if url.user.is_none() => return Err(ConfigError::NoUser),
            Some(url) => {
                let (ca, password_file) = (values.mqtt_ca, values.mqtt_password_file);
                BrokerSettings::External { url, ca, password_file }
            }
            None => BrokerSettings::Embedded {
                plain: values.mqtt_listen.address(),
                tls: tls(values.mqtt_tls_listen, of_server)?,
                websocket: values.mqtt_websocket_listen.address(),
                limits: values.broker,
            },
        };
        let trust = TrustSettings {
            plain_mqtt: values.mqtt_allow_plain.unwrap_or_default(),
            device_proxies: values.device_proxies.unwrap_or_default(),
            mqtt_proxies: values.mqtt_proxies.unwrap_or_default(),
            websocket_proxies: values.mqtt_websocket_proxies.unwrap_or_default(),
            origins: values.mqtt_origins.unwrap_or_default(),
        };
        let web_hooks = match (values.web_hooks, values.web_hook_secret_file) {
            (None, _) => None,
            (Some(_), None) => return Err(ConfigError::NoHookSecret),
            (Some(urls), Some(secret_file)) => Some(WebHookSettings {
                urls,
                secret_file,
                tells_values: values.web_hook_values.unwrap_or_default(),
                allowed_hosts: values.web_hook_allowed_hosts.unwrap_or_default().0,
                ca: values.web_hook_ca,
            }),
        };
        Ok(Settings {
            trust,
            data,
            master_key: values.master_key,
            devices: values.devices_listen,
            broker,
            metrics: values.metrics_listen.address(),
            dashboard,
            batch_ms: values.batch_ms,
            alarm_timing: values.alarm_timing,
            web_hooks,
            limits: values.limits,
            journal: values.journal,
        })
    }
}

fn file_path<const SHOWN: bool>(args: &SettingArgs<SHOWN>) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(named) = &args.config {
        return Ok(Some(named.clone()));
    }
    let is_data =
        |given: &&args::Given| settings().nth(given.index).is_some_and(|(setting, _)| setting.key == "data");
    let Some(data) = args.given.iter().find(is_data) else { return Ok(None) };
    let path = Path::new(&data.text).join(FILE_NAME);
    match path.try_exists() {
        Ok(true) => Ok(Some(path)),
        Ok(false) => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.display().to_string(), source }),
    }
}

/// Its own certificate, else that of the server where others reach it; this machine alone can do without.
fn dashboard(
    values: &mut Values,
    of_server: Option<&(PathBuf, PathBuf)>,
) -> Result<Option<DashboardSettings>, ConfigError> {
    let own = identity(
        [values.dashboard_tls_cert.take(), values.dashboard_tls_key.take()],
        ["--dashboard-tls-cert", "--dashboard-tls-key"],
    )?;
    let sign_on = values.sign_on.clone().resolve()?;
    let listen = values.dashboard_listen.unwrap_or(Listen::At(loopback(DASHBOARD_PORT)));
    let Some(address) = listen.address() else { return Ok(None) };
    let tls = own.or_else(|| of_server.cloned().filter(|_| !is_loopback(address.ip())));
    Ok(Some(DashboardSettings {
        address,
        is_default: values.dashboard_listen.is_none(),
        tls: tls.map(|(certificate, key)| TlsIdentity { certificate, key }),
        hosts: values.dashboard_hosts.take().unwrap_or_default(),
        proxies: values.dashboard_proxies.take().unwrap_or_default(),
        sign_on,
        limits: values.dashboard.clone(),
    }))
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn everywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// A certificate and its key, when both are named. Their flags are for who named one alone.
fn identity(
    [certificate, key]: [Option<PathBuf>; 2],
    [certificate_flag, key_flag]: [&'static str; 2],
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::HalfIdentity(key_flag)),
        (None, Some(_)) => Err(ConfigError::HalfIdentity(certificate_flag)),
    }
}

fn tls(
    wish: Option<Listen>,
    identity: Option<(PathBuf, PathBuf)>,
) -> Result<Option<TlsSettings>, ConfigError> {
    let address = match (wish, &identity) {
        (Some(Listen::Off), _) | (None, None) => return Ok(None),
        (Some(Listen::At(address)), _) => address,
        (None, Some(_)) => everywhere(8883),
    };
    let (certificate, key) = identity.ok_or(ConfigError::NoCertificate(address))?;
    Ok(Some(TlsSettings { address, certificate, key }))
}

#[cfg(test)]
mod tests;
