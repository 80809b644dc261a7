//! The settings of `serve`: `vitalwire.toml`, then the environment, then flags; the later wins. Reads files, but
//! no environment (clap has merged it into the flags), and opens no sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use vitalwire_protocol::batch::BATCH_MS_MAX;

use crate::listen::Listen;
use crate::mqtt::MqttUrl;

/// Name of the settings file in the data folder.
pub(crate) const FILE_NAME: &str = "vitalwire.toml";

/// The journal's bounds when no one says others.
const JOURNAL_MAX_MIB: u64 = 4_096;
const JOURNAL_MAX_DAYS: u64 = 90;

/// What `vitalwire.toml` may hold. Unknown keys are refused: a misspelt key must not be silently without effect.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSettings {
    data: Option<PathBuf>,
    master_key: Option<PathBuf>,
    #[serde(default)]
    devices: FileDevices,
    #[serde(default)]
    mqtt: FileMqtt,
    #[serde(default)]
    metrics: FileMetrics,
    #[serde(default)]
    journal: FileJournal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDevices {
    listen: Option<SocketAddr>,
    batch_ms: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJournal {
    max_mib: Option<u64>,
    max_days: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMqtt {
    listen: Option<Listen>,
    tls_listen: Option<Listen>,
    websocket_listen: Option<Listen>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(default, deserialize_with = "url")]
    url: Option<MqttUrl>,
    ca: Option<PathBuf>,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMetrics {
    listen: Option<Listen>,
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<MqttUrl>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// What flags and environment say; `None` where they say nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Overrides {
    pub(crate) data: Option<PathBuf>,
    pub(crate) master_key: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) batch_ms: Option<u32>,
    pub(crate) journal_max_mib: Option<u64>,
    pub(crate) journal_max_days: Option<u64>,
    pub(crate) mqtt_listen: Option<Listen>,
    pub(crate) mqtt_tls_listen: Option<Listen>,
    pub(crate) mqtt_websocket_listen: Option<Listen>,
    pub(crate) metrics_listen: Option<Listen>,
    pub(crate) mqtt_url: Option<MqttUrl>,
    pub(crate) mqtt_ca: Option<PathBuf>,
    pub(crate) mqtt_password_file: Option<PathBuf>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
}

/// What `serve` does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) master_key: Option<PathBuf>,
    pub(crate) devices: SocketAddr,
    pub(crate) broker: BrokerSettings,
    pub(crate) metrics: Option<SocketAddr>,
    /// Asked of devices on the secure link: milliseconds of values in a batch.
    pub(crate) batch_ms: Option<u32>,
    pub(crate) journal: JournalSettings,
}

/// How much of what devices sent is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JournalSettings {
    pub(crate) max_mib: u64,
    pub(crate) max_days: u64,
}

/// Which broker gets the readings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BrokerSettings {
    /// Our own.
    Embedded { plain: Option<SocketAddr>, tls: Option<TlsSettings>, websocket: Option<SocketAddr> },
    /// Another one.
    External { url: MqttUrl, ca: Option<PathBuf>, password_file: Option<PathBuf> },
}

/// MQTT over TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read the settings file {path}: {reason}")]
    Read { path: String, reason: String },
    /// A file that says something that cannot be understood.
    #[error("{path}, line {line}: {reason}{hint}\n  {line} | {text}")]
    Parse { path: String, line: usize, text: String, reason: String, hint: &'static str },
    /// No data folder.
    #[error(
        "which data folder? Say --data DIR, set VITALWIRE_DATA, or write `data = \"DIR\"` in the settings file"
    )]
    NoData,
    /// A TLS address but nothing to prove who we are.
    #[error(
        "MQTT over TLS on {0} needs a certificate: --tls-cert FILE --tls-key FILE, or a data folder made by `vitalwire init`"
    )]
    NoCertificate(SocketAddr),
    /// A batch that no device can make.
    #[error("batches of {0} ms: want 1 to {BATCH_MS_MAX} (--batch-ms, or batch_ms below [devices])")]
    BatchLength(u32),
    /// Room for nothing.
    #[error(
        "a journal of {max_mib} MiB and {max_days} days: want at least 1 of each (--journal-max-mib, --journal-max-days)"
    )]
    Journal { max_mib: u64, max_days: u64 },
    /// Half an identity.
    #[error("--tls-cert and --tls-key belong together: {0} is missing")]
    HalfIdentity(&'static str),
    /// An external broker without a name to log in with.
    #[error("the URL of the external broker names no user: write mqtts://USER@HOST:PORT")]
    NoUser,
}

/// Reads the settings file: the one named, else `vitalwire.toml` in the data folder if there is one.
///
/// # Errors
/// When it cannot be read or understood; the message names file, line and what is allowed.
pub(crate) fn read_file(named: Option<&Path>, data: Option<&Path>) -> Result<FileSettings, ConfigError> {
    let path = match (named, data) {
        (Some(path), _) => path.to_owned(),
        (None, Some(data)) if data.join(FILE_NAME).exists() => data.join(FILE_NAME),
        (None, _) => return Ok(FileSettings::default()),
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| ConfigError::Read { path: shown.clone(), reason: error.to_string() })?;
    let mut settings = parse(&text, &shown)?;
    settings.resolve_paths(path.parent().unwrap_or(Path::new("")));
    Ok(settings)
}

fn parse(text: &str, path: &str) -> Result<FileSettings, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let shown = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
        let reason = error.message().to_owned();
        let hint = if reason.contains("unknown field") { ". Correct the key or remove the line" } else { "" };
        ConfigError::Parse { path: path.to_owned(), line, text: shown, reason, hint }
    })
}

impl FileSettings {
    /// Paths in the file are relative to the file.
    fn resolve_paths(&mut self, folder: &Path) {
        let paths = [
            &mut self.data,
            &mut self.master_key,
            &mut self.mqtt.tls_cert,
            &mut self.mqtt.tls_key,
            &mut self.mqtt.ca,
            &mut self.mqtt.password_file,
        ];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }
}

impl Settings {
    /// Puts the layers on top of one another. `own_certificate` looks for the certificate that `init` made in a
    /// data folder.
    ///
    /// # Errors
    /// When something that belongs together is incomplete.
    pub(crate) fn resolve(
        flags: Overrides,
        file: FileSettings,
        own_certificate: impl Fn(&Path) -> Option<(PathBuf, PathBuf)>,
    ) -> Result<Self, ConfigError> {
        let data = flags.data.or(file.data).ok_or(ConfigError::NoData)?;
        let mqtt = file.mqtt;
        let url = flags.mqtt_url.or(mqtt.url);
        let broker = if let Some(url) = url {
            if url.user.is_none() {
                return Err(ConfigError::NoUser);
            }
            BrokerSettings::External {
                url,
                ca: flags.mqtt_ca.or(mqtt.ca),
                password_file: flags.mqtt_password_file.or(mqtt.password_file),
            }
        } else {
            let identity = identity(flags.tls_cert.or(mqtt.tls_cert), flags.tls_key.or(mqtt.tls_key))?
                .or_else(|| own_certificate(&data));
            BrokerSettings::Embedded {
                plain: address(flags.mqtt_listen.or(mqtt.listen), loopback(1883)),
                tls: tls(flags.mqtt_tls_listen.or(mqtt.tls_listen), identity)?,
                websocket: address(flags.mqtt_websocket_listen.or(mqtt.websocket_listen), loopback(8083)),
            }
        };
        let batch_ms = flags.batch_ms.or(file.devices.batch_ms);
        if let Some(batch_ms) = batch_ms.filter(|batch_ms| !(1..=BATCH_MS_MAX).contains(batch_ms)) {
            return Err(ConfigError::BatchLength(batch_ms));
        }
        let max_mib = flags.journal_max_mib.or(file.journal.max_mib).unwrap_or(JOURNAL_MAX_MIB);
        let max_days = flags.journal_max_days.or(file.journal.max_days).unwrap_or(JOURNAL_MAX_DAYS);
        if max_mib == 0 || max_days == 0 {
            return Err(ConfigError::Journal { max_mib, max_days });
        }
        Ok(Self {
            batch_ms,
            journal: JournalSettings { max_mib, max_days },
            data,
            master_key: flags.master_key.or(file.master_key),
            devices: flags.listen.or(file.devices.listen).unwrap_or(everywhere(9998)),
            broker,
            metrics: address(flags.metrics_listen.or(file.metrics.listen), loopback(9090)),
        })
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn everywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn address(wish: Option<Listen>, default: SocketAddr) -> Option<SocketAddr> {
    wish.unwrap_or(Listen::At(default)).address()
}

fn identity(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::HalfIdentity("--tls-key")),
        (None, Some(_)) => Err(ConfigError::HalfIdentity("--tls-cert")),
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
#[path = "config_tests.rs"]
mod tests;
