//! CPU a sample of server and broker together, with one subscriber at QoS 0.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Plan, RATE_HZ, Scale};
use crate::load::{LoadArguments, Shape};
use crate::ours::{Gateway, Protocol};
use crate::peer::{Peer, Tuning};
use crate::process::{Started, Talking};
use crate::report::{Report, Row};
use crate::subscriber::Subscriber;

const SERVED_TIMEOUT: Duration = Duration::from_secs(60);
/// Far past every window; the load is stopped when the window is over.
pub(super) const LOAD_SECONDS: f64 = 600.0;
/// Below this share of what the devices should have sent, a note says so.
const DELIVERED_SHARE_MIN: f64 = 0.98;

/// What is compared with what.
pub(super) struct Comparison {
    pub(super) name: &'static str,
    /// What our subscriber subscribes to, and the end of the topic that marks a sample.
    pub(super) filters: &'static [&'static str],
    pub(super) marker: &'static str,
    /// How the peer's devices publish.
    pub(super) shape: Shape,
    /// At [`Scale::cpu_devices`].
    pub(super) goals: [&'static str; 2],
}

pub(super) const TEMPERATURE: &str = "/Physiological_Data/Temperature";

const COMPARISONS: [Comparison; 3] = [
    Comparison {
        name: "all topics",
        filters: &["Pico/#", "vitalwire/#"],
        marker: TEMPERATURE,
        shape: Shape::SevenInOne,
        goals: ["≤ 30 (moonshot 20)", "≤ 15 (moonshot 10)"],
    },
    Comparison {
        name: "the paper's seven",
        filters: &["Pico/#"],
        marker: TEMPERATURE,
        shape: Shape::Seven,
        goals: ["", ""],
    },
    Comparison {
        name: "one JSON message",
        filters: &["vitalwire/v1/+/reading"],
        marker: "/reading",
        shape: Shape::Json,
        goals: ["", ""],
    },
];

const EXPLANATION: &str = "CPU a sample is of server and broker together. \"All topics\": our subscriber gets eight \
    messages a sample (`Pico/#` and `vitalwire/#`), the peer's seven, which its devices write in one TLS record. \
    \"The paper's seven\": our subscriber gets the seven of `Pico/#`; the peer's devices write each by itself, as \
    client libraries do. \"One JSON message\": our subscriber gets `vitalwire/v1/+/reading` (the seven are \
    published all the same), the peer's devices publish only that.";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    compare(plan, report, &COMPARISONS, Protocol::Frames);
}

pub(super) fn compare(plan: Plan<'_>, report: &mut Report, comparisons: &[Comparison], protocol: Protocol) {
    for (size, devices) in plan.scale.cpu_devices.into_iter().enumerate() {
        let mut outcomes: Vec<_> = comparisons
            .iter()
            .map(|it| {
                let goal = it.goals.get(size).copied().unwrap_or_default();
                Outcome::new(Row::new(format!("CPU µs a sample, {devices} × 20 Hz, {}", it.name), goal))
            })
            .collect();
        for round in 1..=plan.scale.rounds {
            for (comparison, outcome) in comparisons.iter().zip(&mut outcomes) {
                eprintln!("cpu: {devices} devices, round {round}: {}", comparison.name);
                if let Some(binary) = plan.ours {
                    let window = ours(binary, plan.scale, devices, comparison, protocol);
                    report.keep("our CPU", window).into_iter().for_each(|it| outcome.add_ours(it));
                }
                if plan.peer {
                    let window = peer(plan.scale, devices, comparison);
                    report.keep("the peer's CPU", window).into_iter().for_each(|it| outcome.add_peer(it));
                }
            }
        }
        for (comparison, outcome) in comparisons.iter().zip(outcomes) {
            for (side, least) in [("ours", outcome.ours_least), ("the peer", outcome.peer_least)] {
                note_undelivered(report, devices, comparison.name, side, least);
            }
            report.add([outcome.row]);
        }
    }
}

/// Says so when less came than the devices should have sent.
pub(super) fn note_undelivered(
    report: &mut Report,
    devices: usize,
    name: &str,
    side: &str,
    samples_per_second: f64,
) {
    let expected = devices as f64 * RATE_HZ;
    if samples_per_second < expected * DELIVERED_SHARE_MIN {
        report.note(format!(
            "{devices} × 20 Hz, {name}: {side} delivered {samples_per_second:.0} of {expected:.0} samples a second."
        ));
    }
}

/// A row, and the least that each side delivered in a round, in samples a second.
struct Outcome {
    row: Row,
    ours_least: f64,
    peer_least: f64,
}

impl Outcome {
    fn new(row: Row) -> Self {
        Self { row, ours_least: f64::INFINITY, peer_least: f64::INFINITY }
    }

    fn add_ours(&mut self, window: Window) {
        self.row.add_ours(window.us_per_sample);
        self.ours_least = self.ours_least.min(window.samples_per_second);
    }

    fn add_peer(&mut self, window: Window) {
        self.row.add_peer(window.us_per_sample);
        self.peer_least = self.peer_least.min(window.samples_per_second);
    }
}

pub(super) struct Window {
    pub(super) us_per_sample: f64,
    pub(super) samples_per_second: f64,
}

fn ours(
    binary: &Path,
    scale: Scale,
    devices: usize,
    comparison: &Comparison,
    protocol: Protocol,
) -> Result<Window> {
    let gateway = Gateway::start_with(binary, devices, protocol)?;
    gateway.explain((|| {
        let mut subscriber = Subscriber::start(&gateway.login, comparison.filters, comparison.marker)?;
        let _fleet = gateway.fleet(devices, RATE_HZ, LOAD_SECONDS)?;
        window(&gateway.server, &mut subscriber, devices, scale)
    })())
}

fn peer(scale: Scale, devices: usize, comparison: &Comparison) -> Result<Window> {
    let peer = Peer::start(devices, Tuning::Cpu)?;
    let mut subscriber = Subscriber::start(&peer.login, &["#"], comparison.shape.marker())?;
    let _load = peer_load(&peer, devices, comparison.shape)?;
    window(&peer.broker, &mut subscriber, devices, scale)
}

/// Devices that publish to the peer at the usual rate, until this is dropped.
pub(super) fn peer_load(peer: &Peer, devices: usize, shape: Shape) -> Result<Talking> {
    let load = LoadArguments {
        target: peer.devices,
        devices,
        rate_hz: RATE_HZ,
        seconds: LOAD_SECONDS,
        shape,
        timed_at: None,
        user: None,
    };
    Talking::spawn("the load", &load.to_words(), "")
}

/// Measures once samples of `devices` devices have come.
pub(super) fn window(
    server: &Started,
    subscriber: &mut Subscriber,
    devices: usize,
    scale: Scale,
) -> Result<Window> {
    subscriber.wait_for_devices(devices, SERVED_TIMEOUT)?;
    sleep(Duration::from_secs(scale.cpu_settle_seconds));
    let (began, cpu, seen) = (Instant::now(), server.cpu()?, subscriber.seen()?);
    sleep(Duration::from_secs(scale.cpu_window_seconds));
    let (cpu, seen_after, elapsed) = (server.cpu()? - cpu, subscriber.seen()?, began.elapsed());
    let samples = seen_after.samples - seen.samples;
    ensure!(samples > 0, "no sample came in {} s", elapsed.as_secs());
    Ok(Window {
        us_per_sample: cpu.as_secs_f64() * 1e6 / samples as f64,
        samples_per_second: samples as f64 / elapsed.as_secs_f64(),
    })
}
