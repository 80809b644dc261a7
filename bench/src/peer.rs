//! The peer: Debian's mosquitto, devices on a TLS-PSK listener, readers on a plain loopback listener with a password.
//! Set up to be fast rather than strict (no ACL, no connection log, unlimited queue unless told otherwise), so that it is
//! not held back.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::enrolment::psk_file;
use crate::process::{Started, free_address, run, wait_for};
use crate::psk::random_password;
use crate::subscriber::Login;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const USER: &str = "bench";

/// Which of its two settings of Nagle's algorithm suits what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// Its default: fewer, larger segments.
    Cpu,
    /// `set_tcp_nodelay true`: without it each of its TLS handshakes waits 40 ms for a delayed acknowledgement.
    Latency,
}

/// What it keeps for readers that are away or slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queues {
    /// Messages that wait for one reader; 0 is no limit.
    pub(crate) queued_max: usize,
    /// Messages sent to one reader and not acknowledged yet.
    pub(crate) unacknowledged_max: usize,
}

impl Queues {
    /// Readers at QoS 0 only.
    const UNUSED: Self = Self { queued_max: 0, unacknowledged_max: 20 };
}

/// A running mosquitto.
pub(crate) struct Peer {
    pub(crate) broker: Started,
    /// The TLS-PSK listener.
    pub(crate) devices: SocketAddr,
    /// The plain listener.
    pub(crate) login: Login,
    _folder: TempDir,
}

impl Peer {
    /// Starts mosquitto with `enrolled` devices in its `psk_file`.
    pub(crate) fn start(enrolled: usize, tuning: Tuning) -> Result<Self> {
        Self::start_with(enrolled, tuning, Queues::UNUSED)
    }

    /// The same for readers that are away.
    pub(crate) fn start_with(enrolled: usize, tuning: Tuning, queues: Queues) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vitalwire-bench-peer").tempdir()?;
        let (devices, readers) = (free_address()?, free_address()?);
        let password = random_password()?;
        fs::write(folder.path().join("psk"), psk_file(enrolled))?;
        let passwords = folder.path().join("passwords");
        let mut command = Command::new("mosquitto_passwd");
        run("mosquitto_passwd", command.arg("-b").arg("-c").arg(&passwords).args([USER, &password]), "")?;
        let configuration = folder.path().join("mosquitto.conf");
        fs::write(&configuration, configure(folder.path(), devices, readers, tuning, queues))?;
        let log = folder.path().join("log");
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&configuration).stdin(Stdio::null());
        command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let broker = Started::spawn("mosquitto", &mut command)?;
        let listening = wait_for(START_TIMEOUT, || {
            broker.check_running().with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
            Ok(TcpStream::connect(readers).ok())
        })?;
        if listening.is_none() {
            bail!("mosquitto does not listen on {readers}: {}", fs::read_to_string(&log)?);
        }
        let login = Login { address: readers, user: USER.into(), password };
        Ok(Self { broker, devices, login, _folder: folder })
    }
}

/// The installed mosquitto's version, or what to install.
pub(crate) fn version() -> Result<String> {
    let missing = "mosquitto is not installed: apt-get install mosquitto (and stop the service it starts)";
    // `mosquitto -h` prints its version and exits with 3.
    let output = Command::new("mosquitto").arg("-h").output().context(missing)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().context(missing)?.replace("mosquitto version ", ""))
}

fn configure(
    folder: &Path,
    devices: SocketAddr,
    readers: SocketAddr,
    tuning: Tuning,
    queues: Queues,
) -> String {
    let Queues { queued_max, unacknowledged_max } = queues;
    let nodelay = tuning == Tuning::Latency;
    let folder = folder.display();
    format!(
        "per_listener_settings true\n\
         user root\n\
         log_type error\n\
         log_dest stderr\n\
         connection_messages false\n\
         persistence false\n\
         sys_interval 0\n\
         max_queued_messages {queued_max}\n\
         max_inflight_messages {unacknowledged_max}\n\
         set_tcp_nodelay {nodelay}\n\
         listener {} 127.0.0.1\n\
         psk_file {folder}/psk\n\
         psk_hint vitalwire\n\
         use_identity_as_username true\n\
         allow_anonymous false\n\
         listener {} 127.0.0.1\n\
         password_file {folder}/passwords\n\
         allow_anonymous false\n",
        devices.port(),
        readers.port(),
    )
}
