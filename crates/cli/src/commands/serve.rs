//! `vitalwire serve`: the gateway and the broker, until a signal. Starts nothing that would expose patients or keys.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vitalwire_broker::{BrokerConfig, TlsIdentity};
use vitalwire_gateway::{
    Addresses, BrokerChoice, ExternalBroker, JournalLimits, Limits, Server, ServerConfig,
};
use vitalwire_registry::master_key_path;

use crate::args::LogFormat;
use crate::config::{self, BrokerSettings, Overrides, Settings};
use crate::listen::Listen;
use crate::mqtt::MqttUrl;
use crate::output::{Output, OutputError, even_if_closed, note};
use crate::{data, limits, safety, secrets};

const EXAMPLES: &str = "\
Examples:
  vitalwire serve --data ./data
  vitalwire serve --data ./data --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0     (ports of the system's choice)
  VITALWIRE_MQTT_PASSWORD=… vitalwire serve --data ./data --mqtt-url mqtts://gateway@emqx.example:8883

Settings come from DIR/vitalwire.toml, the environment (VITALWIRE_…) and flags; the later wins. Standard output
gets one line `listening devices=… mqtt=… …` when all is ready. Ctrl-C or SIGTERM stops in order within 2 s.";

/// A stop that takes longer is cut off: supervisors kill after their own patience, and then no one is told.
const STOP_PATIENCE: Duration = Duration::from_millis(1_900);

/// Arguments of `vitalwire serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The data folder, made by `vitalwire init`
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// The settings file [default: DIR/vitalwire.toml]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The file with the master key [default: a systemd credential, else DIR.master-key]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MASTER_KEY", hide_env_values = true)]
    master_key: Option<PathBuf>,
    /// Where devices connect [default: 0.0.0.0:9998]
    #[arg(long, value_name = "ADDR", env = "VITALWIRE_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,
    /// Asked of devices on the secure link: milliseconds of values in a batch [default: the device's, 1000]
    #[arg(long, value_name = "MS", env = "VITALWIRE_BATCH_MS", hide_env_values = true)]
    batch_ms: Option<u32>,
    /// How much the journal keeps; the oldest goes for the newest [default: 4096]
    #[arg(long, value_name = "MIB", env = "VITALWIRE_JOURNAL_MAX_MIB", hide_env_values = true)]
    journal_max_mib: Option<u64>,
    /// How long the journal keeps it [default: 90]
    #[arg(long, value_name = "DAYS", env = "VITALWIRE_JOURNAL_MAX_DAYS", hide_env_values = true)]
    journal_max_days: Option<u64>,
    /// Plain MQTT, this machine only; or off [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR", env = "VITALWIRE_MQTT_LISTEN", hide_env_values = true)]
    mqtt_listen: Option<Listen>,
    /// MQTT over TLS; or off [default: 0.0.0.0:8883 when there is a certificate]
    #[arg(long, value_name = "ADDR", env = "VITALWIRE_MQTT_TLS_LISTEN", hide_env_values = true)]
    mqtt_tls_listen: Option<Listen>,
    /// MQTT over WebSocket, path /mqtt, this machine only; or off [default: 127.0.0.1:8083]
    #[arg(long, value_name = "ADDR", env = "VITALWIRE_MQTT_WEBSOCKET_LISTEN", hide_env_values = true)]
    mqtt_websocket_listen: Option<Listen>,
    /// Metrics, /healthz and /readyz, this machine only; or off [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR", env = "VITALWIRE_METRICS_LISTEN", hide_env_values = true)]
    metrics_listen: Option<Listen>,
    /// Certificate (PEM) of MQTT over TLS [default: the one that init made]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_TLS_CERT", hide_env_values = true)]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM, mode 0600)
    #[arg(long, value_name = "FILE", env = "VITALWIRE_TLS_KEY", hide_env_values = true)]
    tls_key: Option<PathBuf>,
    /// An external broker instead of the embedded one: mqtts://USER@HOST:PORT
    #[arg(
        long,
        value_name = "URL",
        env = "VITALWIRE_MQTT_URL",
        hide_env_values = true,
        help_heading = "External broker"
    )]
    mqtt_url: Option<String>,
    /// The CA certificate that vouches for it [default: the system's]
    #[arg(
        long,
        value_name = "FILE",
        env = "VITALWIRE_MQTT_CA",
        hide_env_values = true,
        help_heading = "External broker"
    )]
    mqtt_ca: Option<PathBuf>,
    /// File with its password, mode 0600 [default: VITALWIRE_MQTT_PASSWORD]
    #[arg(
        long,
        value_name = "FILE",
        env = "VITALWIRE_MQTT_PASSWORD_FILE",
        hide_env_values = true,
        help_heading = "External broker"
    )]
    mqtt_password_file: Option<PathBuf>,
}

/// Runs `vitalwire serve`.
///
/// # Errors
/// When settings are wrong or unsafe, or something cannot start.
pub(crate) fn run(args: ServeArgs, log_format: LogFormat, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let settings = load(args)?;
    refuse_unsafe(&settings)?;
    if !data::has_registry(&settings.data) {
        // Says what to do better than the missing master key would.
        data::open(&settings.data, settings.master_key.as_deref())?;
    }
    limits::raise_open_files();
    let shown = settings.data.clone();
    let config = server_config(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let ended = runtime.block_on(serve(config, &shown, log_format, out));
    // A password check may still be running on a blocking thread; no one waits for its answer.
    runtime.shutdown_background();
    ended
}

/// Reads settings file and flags.
///
/// # Errors
/// When they cannot be understood.
pub(crate) fn load(args: ServeArgs) -> anyhow::Result<Settings> {
    let file = config::read_file(args.config.as_deref(), args.data.as_deref())?;
    Ok(Settings::resolve(args.try_into()?, file, data::own_certificate)?)
}

impl TryFrom<ServeArgs> for Overrides {
    type Error = anyhow::Error;

    fn try_from(args: ServeArgs) -> anyhow::Result<Self> {
        // Not parsed by clap: its messages repeat what was typed, and that may hold a password.
        let mqtt_url = args.mqtt_url.map(|url| url.parse::<MqttUrl>()).transpose().context("--mqtt-url")?;
        Ok(Self {
            data: args.data,
            master_key: args.master_key,
            listen: args.listen,
            batch_ms: args.batch_ms,
            journal_max_mib: args.journal_max_mib,
            journal_max_days: args.journal_max_days,
            mqtt_listen: args.mqtt_listen,
            mqtt_tls_listen: args.mqtt_tls_listen,
            mqtt_websocket_listen: args.mqtt_websocket_listen,
            metrics_listen: args.metrics_listen,
            mqtt_url,
            mqtt_ca: args.mqtt_ca,
            mqtt_password_file: args.mqtt_password_file,
            tls_cert: args.tls_cert,
            tls_key: args.tls_key,
        })
    }
}

fn refuse_unsafe(settings: &Settings) -> anyhow::Result<()> {
    let refusals = safety::refusals(settings);
    if refusals.is_empty() {
        return Ok(());
    }
    let mut reasons = String::new();
    for refusal in refusals {
        write!(reasons, "\n  - {refusal}")?;
    }
    bail!("refused, for the patients' sake:{reasons}")
}

fn server_config(settings: Settings) -> anyhow::Result<ServerConfig> {
    let master_key = master_key_path(&settings.data, settings.master_key.as_deref());
    let broker = match settings.broker {
        BrokerSettings::Embedded { plain, tls, websocket } => {
            let tls =
                tls.map(|tls| (tls.address, TlsIdentity { certificate: tls.certificate, key: tls.key }));
            let storage = settings.data.join(data::BROKER_FOLDER);
            BrokerChoice::Embedded(BrokerConfig {
                plain,
                tls,
                websocket,
                storage,
                limits: Default::default(),
            })
        }
        BrokerSettings::External { url, ca, password_file } => {
            let username = url.user.unwrap_or_default();
            let password = secrets::mqtt_password(password_file.as_deref(), &username)?;
            let (host, port, tls) = (url.host, url.port, url.tls);
            BrokerChoice::External(ExternalBroker { host, port, tls, username, password, ca })
        }
    };
    Ok(ServerConfig {
        data: settings.data,
        master_key,
        device_listen: settings.devices,
        broker,
        metrics_listen: settings.metrics,
        limits: Limits::default(),
        journal: JournalLimits {
            bytes_max: settings.journal.max_mib.saturating_mul(1 << 20),
            age_max: Some(Duration::from_secs(settings.journal.max_days.saturating_mul(24 * 3_600))),
            ..JournalLimits::default()
        },
        batch_ms: settings.batch_ms,
    })
}

async fn serve(
    config: ServerConfig,
    data: &Path,
    log_format: LogFormat,
    out: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during the start is not lost.
    let mut signals = Signals::listen()?;
    let server = tokio::select! {
        started = Server::start(config) => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    if let Err(error) = even_if_closed(announce(&server.addresses(), data, log_format, out)) {
        // Devices are served all the same.
        tracing::warn!(%error, "the line `listening …` could not be written");
    }
    signals.next().await;
    tracing::info!("stopping");
    tokio::select! {
        stopped = tokio::time::timeout(STOP_PATIENCE, server.stop()) => {
            if stopped.is_err() {
                tracing::error!("stopped before everything was handed on");
            }
            Ok(ExitCode::SUCCESS)
        }
        () = signals.next() => {
            tracing::error!("stopped at once, at the second signal");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Says what listens where: a line for scripts on standard output, and lines for people on standard error.
fn announce(
    addresses: &Addresses,
    data: &Path,
    log_format: LogFormat,
    out: &mut Output<'_>,
) -> Result<(), OutputError> {
    let named = named(addresses);
    match log_format {
        LogFormat::Text => {
            note!("vitalwire {} is ready, data in {}", env!("CARGO_PKG_VERSION"), data.display());
            for (name, address) in &named {
                note!("  {name:15} {}", meaning(name, *address));
            }
            note!("  Ctrl-C stops it.");
        }
        LogFormat::Json => {
            let addresses: serde_json::Map<_, _> = named
                .iter()
                .map(|(name, address)| ((*name).to_owned(), address.to_string().into()))
                .collect();
            writeln!(out, "{}", serde_json::json!({ "listening": addresses }))?;
        }
    }
    let words: Vec<_> = named.iter().map(|(name, address)| format!("{name}={address}")).collect();
    writeln!(out, "listening {}", words.join(" "))?;
    out.flush()
}

fn named(addresses: &Addresses) -> Vec<(&'static str, SocketAddr)> {
    let all = [
        ("devices", Some(addresses.devices)),
        ("mqtt", addresses.mqtt),
        ("mqtt_tls", addresses.mqtt_tls),
        ("mqtt_websocket", addresses.mqtt_websocket),
        ("metrics", addresses.metrics),
    ];
    all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
}

fn meaning(name: &str, address: SocketAddr) -> String {
    match name {
        "devices" => format!("{address}, TLS 1.3 and AES-CBC frames"),
        "mqtt" => format!("mqtt://{address}, this machine only"),
        "mqtt_tls" => format!("mqtts://{address}"),
        "mqtt_websocket" => format!("ws://{address}/mqtt, this machine only"),
        _ => format!("http://{address}/metrics, /healthz, /readyz"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_listens_is_announced() {
        let address: SocketAddr = ([127, 0, 0, 1], 9).into();
        let addresses = Addresses {
            devices: address,
            mqtt: Some(address),
            mqtt_tls: None,
            mqtt_websocket: None,
            metrics: None,
        };
        assert_eq!(named(&addresses), [("devices", address), ("mqtt", address)]);
    }
}
