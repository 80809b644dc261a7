//! What `simulate device` and `simulate pico` have in common: the device's arguments, and what they are made into.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_device::identity::{Credentials, Identity};
use vitalwire_device::mode::Switch;
use vitalwire_device::settings::{Settings, WIFI_PASSWORD_LEN_MAX};
use vitalwire_simulator::desk::DeskConfig;
use vitalwire_simulator::hardware::{HostClock, Wearer};
use vitalwire_simulator::patient::{EventOf, PatientConfig, Waveform};
use zeroize::Zeroizing;

use crate::args::ProtocolName;
use crate::label;
use crate::safety::check_secret_file;

/// The Wi-Fi network of a device that was set up by --server.
const NETWORK: &[u8] = b"desk";
/// Shortest password of a network (IEEE 802.11, WPA2).
const WIFI_PASSWORD_LEN_MIN: usize = 8;

/// A device on virtual hardware.
#[derive(Debug, Args)]
pub(crate) struct DeskArgs {
    /// The device's identity, as `vitalwire device provision NAME --bin FILE` wrote it
    #[arg(long, value_name = "FILE", required_unless_present = "flash")]
    identity: Option<PathBuf>,
    /// Keep the device's flash in this file: settings, what was not delivered, and the identity [default: forgotten at the end]
    #[arg(long, value_name = "FILE")]
    pub(super) flash: Option<PathBuf>,
    /// Start with the mode switch in the configuration position; a device that was never set up starts so anyway
    #[arg(long)]
    setup: bool,
    /// Where the configuration page is served: an address of this computer; port 0 is any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    page_listen: SocketAddr,
    /// The server, without the configuration page
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "setup")]
    server: Option<String>,
    /// The only password that the made-up Wi-Fi networks take [default: what the person chooses is right]
    #[arg(long, value_name = "PASSWORD")]
    wifi_password: Option<String>,
    /// Refuse an identity that is for another protocol
    #[arg(long, value_enum)]
    protocol: Option<ProtocolName>,
    /// What the modelled patient's pulse signal is: a pulse wave (ppg) or an ECG (ecg)
    #[arg(long, value_name = "FORM", default_value = "ppg", conflicts_with = "recording")]
    waveform: Waveform,
    /// Play this CSV file instead of a modelled patient: a header with Temp, PulseSig, …, or one column
    #[arg(long, value_name = "CSV")]
    recording: Option<PathBuf>,
    /// Rows a second of the recording [default: its column `time`, in seconds]
    #[arg(long, value_name = "HZ", requires = "recording")]
    recording_rate: Option<f64>,
    /// Something that happens to the patient, as in 'fever at=20s to=39.5 rise=10s'; several are allowed, and `vitalwire simulate fleet --help` lists them
    #[arg(long = "event", value_name = "EVENT", conflicts_with = "recording")]
    events: Vec<EventOf>,
    /// Where the patient comes from: the same seed is the same patient
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl DeskArgs {
    /// The device that they describe.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub(super) fn config(&self) -> anyhow::Result<DeskConfig> {
        let identity = self.identity.as_deref().map(read_identity).transpose()?;
        if let Some(password) = &self.wifi_password
            && !(WIFI_PASSWORD_LEN_MIN..=WIFI_PASSWORD_LEN_MAX).contains(&password.len())
        {
            bail!(
                "--wifi-password: a Wi-Fi password has {WIFI_PASSWORD_LEN_MIN} to {WIFI_PASSWORD_LEN_MAX} characters"
            );
        }
        let recording = match &self.recording {
            Some(path) => Some(super::recording(path, self.recording_rate)?),
            None => None,
        };
        let mut patient = PatientConfig::varied(self.seed, self.waveform);
        patient.events = super::events(&self.events, 1)?.into_iter().map(|of| of.event).collect();
        Ok(DeskConfig {
            identity,
            flash: self.flash.clone(),
            page: &vitalwire_web::CONFIGURATION_PAGE,
            page_listen: self.page_listen,
            switch: if self.setup { Switch::Configuration } else { Switch::Collector },
            settings: self.server.as_deref().map(settings).transpose()?,
            wifi_password: self.wifi_password.clone(),
            wearer: Wearer::new(self.seed, &patient, recording),
            world: HostClock::start(),
        })
    }

    /// Refuses an identity for another protocol than the wanted one.
    ///
    /// # Errors
    /// It is.
    pub(super) fn check(&self, identity: &Identity) -> anyhow::Result<()> {
        let found = match identity.credentials {
            Credentials::Link { .. } => ProtocolName::Tls,
            Credentials::Frames { .. } => ProtocolName::AesCbc,
        };
        match self.protocol {
            Some(wanted) if wanted != found => {
                bail!("{} is enrolled for {}", identity.name, protocol_text(identity));
            }
            _ => Ok(()),
        }
    }
}

/// What a device speaks, for people.
pub(super) fn protocol_text(identity: &Identity) -> &'static str {
    match identity.credentials {
        Credentials::Link { .. } => "TLS 1.3",
        Credentials::Frames { .. } => "AES-CBC frames",
    }
}

/// The address that opens the configuration page, with the setup key.
pub(super) fn page_url(page: SocketAddr, setup_key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(format!("http://{page}/#{}", label::key_digits(setup_key).as_str()))
}

fn read_identity(path: &Path) -> anyhow::Result<Identity> {
    let shown = path.display();
    check_secret_file(path)?;
    let sector = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let identity = Identity::decode(&Zeroizing::new(sector)).with_context(|| shown.to_string())?;
    identity.with_context(|| {
        format!("{shown} is an erased sector; `vitalwire device provision` writes an identity")
    })
}

fn settings(server: &str) -> anyhow::Result<Settings> {
    let wanted = || format!("--server {server}: want HOST:PORT, as in 127.0.0.1:9998");
    let (host, port) = server.rsplit_once(':').with_context(wanted)?;
    let port = port.parse().ok().with_context(wanted)?;
    Settings::new(host, port, NETWORK, "").with_context(wanted)
}
