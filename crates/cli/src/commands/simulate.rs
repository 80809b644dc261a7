//! `vitalwire simulate`: software devices against a gateway: a fleet of them here, one with everything in its own modules.
//! Reads keys only from the file it is given.

mod desk;
mod device;
mod links;
mod pico;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;
use vitalwire_protocol::Variant;
use vitalwire_registry::parse_paper_keys;
use vitalwire_simulator::fleet::{
    BatchCount, FlashChoice, FleetConfig, FleetDevice, FleetObserver, FleetReport, LinkOptions, Pacing,
    Signal, run_fleet,
};
use vitalwire_simulator::patient::{EventOf, Waveform};
use vitalwire_simulator::recording::{Recording, RecordingOptions};

use crate::limits;
use crate::output::{Output, OutputError, even_if_closed, note};
use crate::signals::asked_to_stop;

/// The commands of `vitalwire simulate`.
#[derive(Debug, Subcommand)]
pub(crate) enum SimulateCommand {
    /// Run many software devices at once over real TCP
    Fleet(FleetArgs),
    /// Run the device itself on virtual hardware: set it up in a browser, then it collects
    Device(device::DeviceArgs),
    /// The same on the whole screen: live values, and keys that change patient, sensors and network
    Pico(pico::PicoArgs),
}

const EXAMPLES: &str = "\
Examples:
  vitalwire simulate fleet --target 127.0.0.1:9998 --keys DEVICES_KEYS.txt \\
      --devices 50 --rate 20 --seconds 60
  vitalwire simulate fleet --target gateway:9998 --keys DEVICES_KEYS.txt \\
      --devices 1 --rate 250 --waveform ecg
  vitalwire simulate fleet --target gateway:9998 --keys DEVICES_KEYS.txt \\
      --devices 1 --rate 250 --recording ecg.csv --recording-rate 250
  vitalwire simulate fleet --target ward:9998 --links LINKS.txt --protocol tls \\
      --event 'fever at=20s to=39.5 rise=10s device=1' \\
      --event 'asystole at=1m for=15s device=2' --event 'noise snr=7'

The key file of --protocol aes-cbc is the paper's: one { \"id\":…, \"key\":…,
\"iv\":… } a line, as `vitalwire device add --protocol aes-cbc` prints them. The
file of --protocol tls has one `name identity psk` a line, 32 and 64
hexadecimal digits as `vitalwire device links` prints them, and is yours alone
(chmod 600). Lines that begin with # are comments.

An event has a name, and what is said of it: at=TIME when it begins (0s),
for=TIME how long it lasts (for ever), device=N whose it is (all devices').
Names, with what else each takes, and what it is when nothing is said:
  asystole                          the heart stands still
  bradycardia to=35 rise=5s         a slow heart, beats a minute
  tachycardia to=150 rise=5s        a fast one
  premature every=8                 one of 8 beats comes too early
  fibrillation                      every beat comes when it likes
  fever to=39.5 rise=10s            degrees Celsius, reached within rise
  sensor-off                        the pulse sensor reads nothing
  motion snr=DB                     movement; the wave over it in decibels
  noise snr=DB                      white noise
  hum hz=50 amplitude=0.2           the mains; V of a pulse wave, mV of an ECG
Of two events of a kind the later ends the earlier; asystole, premature and
fibrillation are of one kind, bradycardia and tachycardia of another.";

/// Arguments of `vitalwire simulate fleet`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FleetArgs {
    /// What the devices speak: the paper's frames, or batches over TLS
    #[arg(long, value_enum, default_value_t = Protocol::AesCbc)]
    protocol: Protocol,
    /// How many devices; they take the first keys of the file [default: all of them]
    #[arg(long, value_name = "N")]
    devices: Option<usize>,
    /// Samples a second of each device
    #[arg(long, value_name = "HZ", default_value_t = 20.0)]
    rate: f64,
    /// How frames are chained: as real devices do, as the paper's simulator does, or half and half
    #[arg(long, value_enum, default_value_t = VariantChoice::Chained)]
    variant: VariantChoice,
    /// The key file of --protocol aes-cbc
    #[arg(long, value_name = "FILE", required_if_eq("protocol", "aes-cbc"), conflicts_with = "links")]
    keys: Option<PathBuf>,
    /// The file of link ids and keys of --protocol tls
    #[arg(long, value_name = "FILE", required_if_eq("protocol", "tls"))]
    links: Option<PathBuf>,
    /// Milliseconds of values in a batch, for --protocol tls
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    batch_ms: u32,
    /// Keep what was not delivered in files of this folder, for --protocol tls; the next run delivers it
    #[arg(long, value_name = "FOLDER", requires = "links")]
    flash: Option<PathBuf>,
    /// The gateway
    #[arg(long, value_name = "HOST:PORT")]
    target: String,
    /// How long; 0 is until Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    seconds: f64,
    /// What the modelled patients' pulse signal is: a pulse wave (ppg) or an ECG (ecg)
    #[arg(long, value_name = "FORM", default_value = "ppg", conflicts_with = "recording")]
    waveform: Waveform,
    /// Play this CSV file instead of a modelled patient: a header with Temp, PulseSig, …, or one column
    #[arg(long, value_name = "CSV")]
    recording: Option<PathBuf>,
    /// Rows a second of the recording [default: its column `time`, in seconds]
    #[arg(long, value_name = "HZ", requires = "recording")]
    recording_rate: Option<f64>,
    /// Something that happens to the patients, as in 'fever at=20s to=39.5 rise=10s'; several are allowed, see below
    #[arg(long = "event", value_name = "EVENT", conflicts_with = "recording")]
    events: Vec<EventOf>,
    /// Where the patients come from: the same seed gives the same values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connect over this many seconds rather than all at once
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    ramp: f64,
    /// Sample all devices at the same moment rather than spread over the period
    #[arg(long)]
    together: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// What the fleet speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// The paper's AES-CBC frames.
    AesCbc,
    /// Batches over TLS 1.3 with a pre-shared key, acknowledged.
    Tls,
}

/// Bytes of a device's file in the folder of `--flash`: some hours of a device at 20 Hz.
const FLASH_LEN: u32 = 4 * 1024 * 1024;

/// How the fleet's frames are chained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VariantChoice {
    /// As real devices.
    Chained,
    /// As the paper's software device.
    Blockwise,
    /// Every other device.
    Mixed,
}

impl VariantChoice {
    /// The variant of the device at a place in the list.
    pub(crate) fn of(self, place: usize) -> Variant {
        match self {
            Self::Chained => Variant::Chained,
            Self::Blockwise => Variant::Blockwise,
            Self::Mixed if place.is_multiple_of(2) => Variant::Chained,
            Self::Mixed => Variant::Blockwise,
        }
    }
}

/// Runs `vitalwire simulate`.
///
/// # Errors
/// When keys, recording or target cannot be used.
pub(crate) fn run(command: SimulateCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        SimulateCommand::Fleet(args) => run_fleet_of(&args, out),
        SimulateCommand::Device(args) => device::run(&args, out),
        SimulateCommand::Pico(args) => pico::run(&args, out),
    }
}

fn run_fleet_of(args: &FleetArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let config = config(args)?;
    limits::raise_open_files();
    let observer = FleetObserver::with_log_len(&config.devices, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let stop = CancellationToken::new();
        let fleet = run_fleet(config, Arc::clone(&observer), stop.clone());
        let progress = async {
            tokio::select! {
                () = tell_progress(&observer) => {}
                () = asked_to_stop() => stop.cancel(),
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            report = fleet => report,
            () = progress => unreachable!("progress never ends"),
        }
    })?;
    if let Some(reason) = (0..observer.devices()).find_map(|place| observer.seen(place)?.connect_error) {
        note!("connecting failed {} times; the last reason of one device: {reason}", report.connect_errors);
    }
    even_if_closed(print(&report, args.json, out))?;
    let complete = report.connected == report.devices
        && report.dropped == 0
        && report.batches.held() == BatchCount::default();
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn config(args: &FleetArgs) -> anyhow::Result<FleetConfig> {
    let mut config = FleetConfig::new(devices(args)?, args.target.clone(), args.seed);
    config.link = link_options(args);
    config.rate_hz = args.rate;
    config.duration = seconds("--seconds", args.seconds)?.filter(|duration| !duration.is_zero());
    config.ramp = seconds("--ramp", args.ramp)?.unwrap_or_default();
    config.events = events(&args.events, config.devices.len())?;
    config.pacing = if args.together { Pacing::Together } else { Pacing::Staggered };
    config.signal = match &args.recording {
        None => Signal::Modelled(args.waveform),
        Some(path) => Signal::Recording(recording(path, args.recording_rate)?),
    };
    Ok(config)
}

/// Events, each of a device that there is.
fn events(events: &[EventOf], devices: usize) -> anyhow::Result<Vec<EventOf>> {
    let of_none = events.iter().find(|event| event.device.is_some_and(|number| number.get() > devices));
    if let Some(event) = of_none {
        bail!("--event '{event}': devices have the numbers 1 to {devices} here");
    }
    Ok(events.to_vec())
}

/// A recording, with so many rows a second or with a column of times.
fn recording(path: &Path, rate_hz: Option<f64>) -> anyhow::Result<Arc<Recording>> {
    let options = rate_hz.map_or_else(RecordingOptions::default, RecordingOptions::at_rate);
    Ok(Arc::new(Recording::open_csv(path, &options)?))
}

fn seconds(flag: &str, number: f64) -> anyhow::Result<Option<Duration>> {
    Duration::try_from_secs_f64(number)
        .map(Some)
        .with_context(|| format!("{flag} {number}: want seconds, 0 or more"))
}

fn link_options(args: &FleetArgs) -> LinkOptions {
    let mut options = LinkOptions { batch_ms: args.batch_ms, ..LinkOptions::default() };
    if let Some(path) = &args.flash {
        options.flash = FlashChoice::Folder { path: path.clone(), len: FLASH_LEN };
    }
    options
}

/// As many devices as wanted, with the first keys of the file.
fn devices(args: &FleetArgs) -> anyhow::Result<Vec<FleetDevice>> {
    let (path, mut devices) = match (args.protocol, &args.keys, &args.links) {
        (Protocol::AesCbc, Some(keys), _) => (keys, frame_devices(keys, args.variant)?),
        (Protocol::Tls, _, Some(path)) => (path, links::read(path)?),
        (Protocol::AesCbc, None, _) => bail!("--protocol aes-cbc needs --keys FILE"),
        (Protocol::Tls, _, None) => bail!("--protocol tls needs --links FILE"),
    };
    let wanted = args.devices.unwrap_or(devices.len());
    if wanted == 0 {
        bail!("a fleet needs at least one device and its key");
    }
    if wanted > devices.len() {
        bail!("{} holds {} keys, {wanted} devices need one each", path.display(), devices.len());
    }
    devices.truncate(wanted);
    Ok(devices)
}

fn frame_devices(keys: &Path, variant: VariantChoice) -> anyhow::Result<Vec<FleetDevice>> {
    let file = File::open(keys).with_context(|| format!("cannot open the key file {}", keys.display()))?;
    let keys_read = parse_paper_keys(file).with_context(|| keys.display().to_string())?;
    let with_place = keys_read.into_iter().enumerate();
    Ok(with_place
        .map(|(place, (id, secret))| FleetDevice::frames(id.to_string(), secret, variant.of(place)))
        .collect())
}

async fn tell_progress(observer: &FleetObserver) {
    let start = Instant::now();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let report = observer.report();
        let connected = (0..observer.devices())
            .filter(|place| observer.seen(*place).is_some_and(|seen| seen.connected))
            .count();
        let on_link =
            match (report.measured, report.batches.acknowledged.samples, report.batches.held().samples) {
                (0, ..) => String::new(),
                (_, acknowledged, held) => format!("  {acknowledged} acknowledged  {held} held"),
            };
        note!(
            "{:4} s  {connected} of {} connected  {} sent{on_link}  {} dropped  {} failed connects",
            start.elapsed().as_secs(),
            report.devices,
            report.sent,
            report.dropped,
            report.connect_errors,
        );
    }
}

fn print(report: &FleetReport, json: bool, out: &mut Output<'_>) -> Result<(), OutputError> {
    if json {
        let FleetReport { devices, connected, sent, dropped, measured, batches, reconnects, connect_errors } =
            report;
        let (acknowledged, held) = (batches.acknowledged.samples, batches.held().samples);
        let (made, resent) = (batches.made.batches, batches.resent.batches);
        writeln!(
            out,
            "{{\"devices\":{devices},\"connected\":{connected},\"sent\":{sent},\"dropped\":{dropped},\
             \"measured\":{measured},\"acknowledged\":{acknowledged},\"held\":{held},\"batches\":{made},\
             \"batches_resent\":{resent},\"reconnects\":{reconnects},\"connect_errors\":{connect_errors}}}"
        )
    } else {
        writeln!(out, "{report}")
    }
}
