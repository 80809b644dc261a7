//! Our side: the release binary as a user runs it, through its command line. Never links the gateway.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::enrolment::key_file;
use crate::link;
use crate::process::{Started, free_address, output_within, run};
use crate::psk::random_password;
use crate::subscriber::Login;

const USER: &str = "bench";
/// What a demo may take beside the seconds that it was told to run.
const DEMO_OVERHEAD_MAX: Duration = Duration::from_secs(60);

/// A running `vitalwire serve` with its own data folder.
pub(crate) struct Gateway {
    pub(crate) server: Started,
    pub(crate) devices: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) login: Login,
    protocol: Protocol,
    binary: PathBuf,
    keys: PathBuf,
    folder: TempDir,
}

/// What the devices speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The paper's frames.
    Frames,
    /// Batches over TLS.
    Link,
}

impl Gateway {
    /// Starts a server with `enrolled` devices with frames and one reader.
    pub(crate) fn start(binary: &Path, enrolled: usize) -> Result<Self> {
        Self::start_with(binary, enrolled, Protocol::Frames)
    }

    /// Starts a server with `enrolled` devices and one reader.
    pub(crate) fn start_with(binary: &Path, enrolled: usize, protocol: Protocol) -> Result<Self> {
        Self::start_with_settings(binary, enrolled, protocol, &[])
    }

    /// Starts a server with `enrolled` devices with frames, and one reader that may have `sessions` sessions.
    pub(crate) fn start_for_sessions(binary: &Path, enrolled: usize, sessions: usize) -> Result<Self> {
        let settings = ["--mqtt-sessions-per-user-max", &sessions.to_string()];
        Self::start_with_settings(binary, enrolled, Protocol::Frames, &settings)
    }

    fn start_with_settings(
        binary: &Path,
        enrolled: usize,
        protocol: Protocol,
        settings: &[&str],
    ) -> Result<Self> {
        Self::start_filled(binary, enrolled, protocol, settings, |_| Ok(()))
    }

    /// The same, with a data folder that `fill` may write into before the server starts.
    pub(crate) fn start_filled(
        binary: &Path,
        enrolled: usize,
        protocol: Protocol,
        settings: &[&str],
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vitalwire-bench").tempdir()?;
        let data = folder.path().join("data");
        let keys = folder.path().join("DEVICES_KEYS.txt");
        let password = random_password()?;
        let vitalwire = |words: &[&str]| {
            let mut command = Command::new(binary);
            command.args(words).arg("--data").arg(&data);
            command
        };
        run("vitalwire init", &mut vitalwire(&["init"]), "")?;
        match protocol {
            Protocol::Frames => {
                fs::write(&keys, key_file(enrolled))?;
                run("vitalwire device import", vitalwire(&["device", "import"]).arg(&keys), "")?;
            }
            Protocol::Link => link::enrol(&data, enrolled, &keys)?,
        }
        let add = ["user", "add", USER, "--role", "reader", "--password-stdin"];
        run("vitalwire user add", &mut vitalwire(&add), &format!("{password}\n"))?;
        fill(&data)?;
        let (devices, mqtt, metrics) = (free_address()?, free_address()?, free_address()?);
        let log = File::create(folder.path().join("serve.log"))?;
        let mut serve = vitalwire(&["serve"]);
        serve.args(["--listen", &devices.to_string(), "--mqtt-listen", &mqtt.to_string()]);
        serve.args(["--metrics-listen", &metrics.to_string()]);
        serve.args(["--mqtt-tls-listen", "off", "--mqtt-websocket-listen", "off"]);
        serve.args(settings);
        serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let server = Started::spawn("vitalwire serve", &mut serve)?;
        let login = Login { address: mqtt, user: USER.into(), password };
        Ok(Self { server, devices, metrics, login, protocol, binary: binary.to_owned(), keys, folder })
    }

    /// The server's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The devices' keys: of the paper's kind, or one of [`link::enrol`].
    pub(crate) fn keys(&self) -> &Path {
        &self.keys
    }

    /// Explains a failure with the last lines of the server's log.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| {
            let log = fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(5).collect();
            format!("the server's log ends: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" / "))
        })
    }

    /// Starts the simulator's fleet against it, until it is dropped or `seconds` are over.
    pub(crate) fn fleet(&self, devices: usize, rate_hz: f64, seconds: f64) -> Result<Started> {
        let mut command = Command::new(&self.binary);
        command.args(["simulate", "fleet"]);
        match self.protocol {
            Protocol::Frames => command.args(["--variant", "chained", "--keys"]),
            Protocol::Link => command.args(["--protocol", "tls", "--links"]),
        };
        command.arg(&self.keys);
        command.args(["--devices", &devices.to_string(), "--rate", &rate_hz.to_string()]);
        command.args(["--target", &self.devices.to_string(), "--seconds", &seconds.to_string()]);
        let log = File::create(self.folder.path().join("fleet.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Started::spawn("vitalwire simulate fleet", &mut command)
    }
}

/// The last line of `vitalwire demo --json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DemoReport {
    pub(crate) served: usize,
    pub(crate) lost: u64,
    pub(crate) connect_ms: Percentiles,
    pub(crate) latency_ms: Percentiles,
}

/// Milliseconds; `None` when nothing came that could be timed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// Not in every version's report.
    pub(crate) max: Option<f64>,
}

/// Runs a demo to its end.
pub(crate) fn demo(binary: &Path, devices: usize, rate_hz: f64, seconds: u64) -> Result<DemoReport> {
    let mut command = Command::new(binary);
    command.args([
        "demo",
        "--protocol",
        "aes-cbc",
        "--json",
        "--devices",
        &devices.to_string(),
        "--rate",
        &rate_hz.to_string(),
    ]);
    command.args(["--seconds", &seconds.to_string()]);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--mqtt-listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    let at_most = Duration::from_secs(seconds) + DEMO_OVERHEAD_MAX;
    let (status, output) = output_within("vitalwire demo", &mut command, at_most)?;
    // A demo that lost something exits with a failure and reports all the same.
    let line = output.lines().last().with_context(|| format!("vitalwire demo printed nothing ({status})"))?;
    serde_json::from_str(line)
        .with_context(|| format!("the last line of vitalwire demo is not its report: {line}"))
}

/// `vitalwire --version`.
pub(crate) fn version(binary: &Path) -> Result<String> {
    Ok(run("vitalwire --version", Command::new(binary).arg("--version"), "")?.trim().to_owned())
}

/// Builds the release binary and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the bench lies in the workspace")?;
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", "vitalwire"]).current_dir(root);
    ensure!(
        command.status()?.success(),
        "the vitalwire binary does not build; --binary PATH takes a built one"
    );
    // This program lies in the same target folder, unless it was built without --release.
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).context("cargo builds below a target folder")?;
    Ok(target.join("release").join("vitalwire"))
}
