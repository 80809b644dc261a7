//! `vitalwire demo`: its arguments, and how its result is shown. What it does is in [`crate::demo`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::demo::{self, Plan};
use crate::output::{Output, even_if_closed};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  vitalwire demo
  vitalwire demo --devices 50 --rate 20 --seconds 30
  vitalwire demo --devices 1000 --seconds 10 --json

Everything is real but the patients: devices encrypt and send over TCP, the
gateway identifies and decrypts them, the broker hands each value to an MQTT
client that counts, and a dashboard shows them in a browser, by a link that
logs in once. With --json or without a terminal the first line printed is
  {\"dashboard\":\"http://…\"} with that link, and the last line
  {\"devices\":…,\"served\":…,\"sent\":…,\"acknowledged\":…,\"delivered\":…,
   \"lost\":…,\"connect_ms\":{\"p50\":…,\"p99\":…},\"latency_ms\":{…},
   \"alarms\":{\"temperature-high\":1}}
where a reading is acknowledged when the server told its device that it holds
it (frames are not acknowledged), and delivered when it and its seven values
arrived; connect_ms runs from the start of a device's TCP connect to its first
reading, latency_ms from just before a write to the reading's arrival. Exit
status 0 only if every device was served and nothing was lost.";

/// Most devices of a demonstration: each takes two sockets of this process.
const DEVICES_MAX: usize = 20_000;

/// Arguments of `vitalwire demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// How many simulated patients
    #[arg(long, value_name = "N", default_value_t = 5)]
    devices: usize,
    /// Samples a second of each
    #[arg(long, value_name = "HZ", default_value_t = 20.0)]
    rate: f64,
    /// What the devices speak: tls (the last of several speaks AES-CBC frames), or aes-cbc for all
    #[arg(long, value_name = "PROTOCOL", default_value = "tls", value_parser = ["tls", "aes-cbc"])]
    protocol: String,
    /// How long; 0 is until q or Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    seconds: f64,
    /// No live view; one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Where the gateway listens for devices [default: 127.0.0.1:9998 if free, else any port]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the broker listens, this machine only [default: 127.0.0.1:1883 if free, else any port]
    #[arg(long, value_name = "ADDR")]
    mqtt_listen: Option<SocketAddr>,
    /// Where metrics are served, this machine only [default: 127.0.0.1:9090 if free, else any port]
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,
    /// Where the dashboard is, this machine only [default: 127.0.0.1:8080 if free, else any port]
    #[arg(long, value_name = "ADDR")]
    dashboard_listen: Option<SocketAddr>,
    /// Keep everything in this data folder [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the patients come from: the same seed gives the same values
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl DemoArgs {
    /// Whether the live view is shown.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && terminal::is_interactive()
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        if self.devices == 0 || self.devices > DEVICES_MAX {
            bail!("--devices {}: want 1 to {DEVICES_MAX}", self.devices);
        }
        let seconds = Duration::try_from_secs_f64(self.seconds)
            .with_context(|| format!("--seconds {}: want seconds, 0 or more", self.seconds))?;
        Ok(Plan {
            devices: self.devices,
            rate_hz: self.rate,
            protocol: self.protocol.parse()?,
            duration: Some(seconds).filter(|seconds| !seconds.is_zero()),
            seed: self.seed,
            listen: self.listen,
            mqtt_listen: self.mqtt_listen,
            metrics_listen: self.metrics_listen,
            dashboard_listen: self.dashboard_listen,
            data: self.data.clone(),
            live: self.is_live(),
        })
    }
}

/// Runs `vitalwire demo`.
///
/// # Errors
/// When something cannot start.
pub(crate) fn run(args: &DemoArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let is_live = args.is_live();
    let report = demo::run(&args.plan()?, |link| {
        // The live view shows it.
        if !is_live {
            even_if_closed(writeln!(out, "{}", serde_json::json!({ "dashboard": link })))?;
            even_if_closed(out.flush())?;
        }
        Ok(())
    })?;
    if is_live {
        even_if_closed(writeln!(out, "{}", report.for_people()))?;
    } else {
        even_if_closed(writeln!(out, "{}", serde_json::to_string(&report)?))?;
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
