//! `vitalwire serve`: the gateway and the broker, until a signal. Starts nothing that would expose patients or keys.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use secrecy::ExposeSecret as _;
use vitalwire_broker::{BrokerConfig, TlsIdentity};
use vitalwire_dashboard::{Dashboard, DashboardConfig, DashboardError};
use vitalwire_gateway::{
    Addresses, BrokerChoice, ExternalBroker, Server, ServerConfig, ServerHandle, WebHookConfig,
};
use vitalwire_registry::master_key_path;

use crate::args::LogFormat;
use crate::config::{
    BrokerSettings, DashboardSettings, Layers, SettingArgs, Settings, SignOnSettings, WebHookSettings,
};
use crate::listen::is_loopback;
use crate::output::{Output, OutputError, even_if_closed, note};
use crate::signals::Signals;
use crate::supervisor::Supervisor;
use crate::{data, limits, page, safety, secrets};

const EXAMPLES: &str = "\
Examples:
  vitalwire serve --data ./data
  vitalwire serve --data ./data --listen 127.0.0.1:0   # a port that is free
  VITALWIRE_MQTT_PASSWORD=… vitalwire serve --data ./data \\
      --mqtt-url mqtts://gateway@emqx.example:8883

Settings come from DIR/vitalwire.toml, the environment (VITALWIRE_…) and flags;
the later wins. Standard output gets one line `listening devices=… mqtt=… …`
when all is ready. Ctrl-C, SIGTERM or SIGHUP stops in order within 2 s.
`vitalwire config show` lists every setting and limit; each has a flag.";

/// Beyond the time for an orderly stop: supervisors kill after their own patience, and then no one is told.
const STOP_PATIENCE: Duration = Duration::from_millis(400);

/// Arguments of `vitalwire serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs<true>,
}

/// Runs `vitalwire serve`.
///
/// # Errors
/// When settings are wrong or unsafe, or something cannot start.
pub(crate) fn run(args: &ServeArgs, log_format: LogFormat, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let mut settings = Layers::load(&args.settings)?.resolve(data::own_certificate)?;
    refuse_unsafe(&settings)?;
    if !data::has_registry(&settings.data)? {
        // Says what to do better than the missing master key would.
        data::open(&settings.data, settings.master_key.as_deref())?;
    }
    limits::raise_open_files();
    let shown = settings.data.clone();
    let stop_patience = settings.limits.stop_timeout + STOP_PATIENCE;
    let page = settings.dashboard.take();
    let config = server_config(settings)?;
    let page = page.map(|settings| Page::new(settings, &config)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let ended = runtime.block_on(serve(config, page, &shown, stop_patience, log_format, out));
    // A password check may still be running on a blocking thread; no one waits for its answer.
    runtime.shutdown_background();
    ended
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
        BrokerSettings::Embedded { plain, tls, websocket, limits } => {
            let tls =
                tls.map(|tls| (tls.address, TlsIdentity { certificate: tls.certificate, key: tls.key }));
            let storage = settings.data.join(data::BROKER_FOLDER);
            BrokerChoice::Embedded(Box::new(BrokerConfig {
                plain,
                plain_peers: settings.trust.plain_mqtt,
                tls,
                websocket,
                proxies: settings.trust.mqtt_proxies,
                websocket_proxies: settings.trust.websocket_proxies,
                origins: settings.trust.origins,
                limits,
                ..BrokerConfig::new(storage)
            }))
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
        device_proxies: settings.trust.device_proxies,
        broker,
        metrics_listen: settings.metrics,
        limits: settings.limits,
        journal: settings.journal,
        batch_ms: settings.batch_ms,
        alarm_timing: settings.alarm_timing,
        web_hooks: settings.web_hooks.map(web_hooks).transpose()?,
    })
}

/// With their secret, which must be readable for no one else.
///
/// # Errors
/// When there is none.
pub(crate) fn web_hooks(settings: WebHookSettings) -> anyhow::Result<WebHookConfig> {
    let WebHookSettings { urls, secret_file, tells_values, allowed_hosts, ca } = settings;
    let secret = secrets::from_file(&secret_file)?;
    let secret = secret.expose_secret().parse().with_context(|| secret_file.display().to_string())?;
    Ok(WebHookConfig { urls, secret, tells_values, allowed_hosts, ca })
}

/// A dashboard that is to be started.
struct Page {
    config: DashboardConfig,
    is_default: bool,
}

impl Page {
    fn new(settings: DashboardSettings, server: &ServerConfig) -> anyhow::Result<Self> {
        let DashboardSettings { address: listen, is_default, tls, hosts, proxies, sign_on, limits } =
            settings;
        let sign_on = sign_on.map(SignOnSettings::with_secret).transpose()?;
        let (data, master_key) = (server.data.clone(), server.master_key.clone());
        let config = DashboardConfig { data, master_key, listen, tls, hosts, proxies, sign_on, limits };
        Ok(Self { config, is_default })
    }

    /// Starts it; nothing when no one asked for its address and that is taken.
    async fn start(self, server: ServerHandle) -> Result<Option<Dashboard>, DashboardError> {
        match Dashboard::start(self.config, server).await {
            // Patients are served all the same.
            Err(DashboardError::Bind { address, cause }) if self.is_default => {
                tracing::warn!(%address, %cause, "no dashboard: choose another address by --dashboard-listen, or `off`");
                Ok(None)
            }
            started => started.map(Some),
        }
    }
}

async fn start_page(page: Option<Page>, server: &Server) -> Result<Option<Dashboard>, DashboardError> {
    match page {
        Some(page) => page.start(server.handle()).await,
        None => Ok(None),
    }
}

async fn serve(
    config: ServerConfig,
    page: Option<Page>,
    data: &Path,
    stop_patience: Duration,
    log_format: LogFormat,
    out: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during the start is not lost.
    let mut signals = Signals::listen()?;
    let supervisor = Supervisor::of_environment();
    let server = tokio::select! {
        started = Server::start(config) => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let dashboard = match start_page(page, &server).await {
        Ok(dashboard) => dashboard,
        Err(error) => {
            server.stop().await;
            return Err(error.into());
        }
    };
    let named = named(&server.handle().addresses(), dashboard.as_ref().map(Dashboard::address));
    supervisor.ready(&listening(&named));
    let is_tls = dashboard.as_ref().is_some_and(Dashboard::is_tls);
    if let Err(error) = even_if_closed(announce(&named, is_tls, data, log_format, out)) {
        // Devices are served all the same.
        tracing::warn!(%error, "the line `listening …` could not be written");
    }
    tokio::select! {
        () = signals.next() => {}
        () = supervisor.keep_alive() => {}
    }
    supervisor.stopping();
    tracing::info!("stopping");
    let stop = async {
        // At once: neither waits for the other.
        let page = async {
            if let Some(dashboard) = dashboard {
                dashboard.stop().await;
            }
        };
        tokio::join!(page, server.stop());
    };
    tokio::select! {
        stopped = tokio::time::timeout(stop_patience, stop) => {
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

/// Says what listens where: a line for scripts on standard output, and lines for people on standard error.
fn announce(
    named: &[(&'static str, SocketAddr)],
    is_dashboard_tls: bool,
    data: &Path,
    log_format: LogFormat,
    out: &mut Output<'_>,
) -> Result<(), OutputError> {
    match log_format {
        LogFormat::Text => {
            note!("vitalwire {} is ready, data in {}", env!("CARGO_PKG_VERSION"), data.display());
            for (name, address) in named {
                note!("  {name:15} {}", meaning(name, *address, is_dashboard_tls));
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
    writeln!(out, "{}", listening(named))?;
    out.flush()
}

fn listening(named: &[(&'static str, SocketAddr)]) -> String {
    let words = named.iter().map(|(name, address)| format!(" {name}={address}"));
    "listening".to_owned() + &words.collect::<String>()
}

fn named(addresses: &Addresses, dashboard: Option<SocketAddr>) -> Vec<(&'static str, SocketAddr)> {
    let all = [
        ("devices", Some(addresses.devices)),
        ("mqtt", addresses.mqtt),
        ("mqtt_tls", addresses.mqtt_tls),
        ("mqtt_websocket", addresses.mqtt_websocket),
        ("metrics", addresses.metrics),
        ("dashboard", dashboard),
    ];
    all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
}

fn meaning(name: &str, address: SocketAddr, is_dashboard_tls: bool) -> String {
    match name {
        "devices" => format!("{address}, TLS 1.3 and AES-CBC frames"),
        "mqtt" if is_loopback(address.ip()) => format!("mqtt://{address}, this machine only"),
        "mqtt" => format!("mqtt://{address}, this machine and the networks of --allow-plain-mqtt"),
        "mqtt_tls" => format!("mqtts://{address}"),
        "dashboard" => page::meaning(address, is_dashboard_tls),
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
        assert_eq!(named(&addresses, None), [("devices", address), ("mqtt", address)]);
    }
}
