//! The demonstration: fresh secrets, a server, a fleet of modelled patients and a real MQTT subscriber that counts.
//! Everything goes over real sockets; nothing is counted that the subscriber did not receive.

mod findings;
mod parts;
mod report;
mod setup;
mod snapshot;
mod subscriber;
mod tally;
mod topic;
mod view;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parts::{FleetThread, ServerThread};
use report::{Percentiles, Report};
use setup::Setup;
use subscriber::SubscriberThread;
use tally::Tally;
use tokio_util::sync::CancellationToken;
use vitalwire_protocol::Variant;
use vitalwire_registry::Protocol;
use vitalwire_simulator::fleet::{FleetConfig, FleetDevice, FleetObserver, FleetReport};
use vitalwire_simulator::patient::EventOf;

use crate::limits;

/// After the last device has stopped, how long nothing may arrive before the rest counts as lost.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// Milliseconds of values in a batch: short, so that the waves on the screen flow.
const BATCH_MS: u32 = 250;
/// It crosses the limit, 38.5 °C, after about 4 of the 6 s.
const FEVER: &str = "fever at=20s to=39.5 rise=6s";
/// Whose it is, from 1, where there are so many.
const FEVERISH: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What to demonstrate.
pub(crate) struct Plan {
    pub(crate) devices: usize,
    pub(crate) rate_hz: f64,
    /// What the devices speak; with TLS the last of several speaks the paper's frames.
    pub(crate) protocol: Protocol,
    /// `None`: until the person stops it.
    pub(crate) duration: Option<Duration>,
    pub(crate) seed: u64,
    /// Addresses; `None` is the usual port if it is free.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) mqtt_listen: Option<SocketAddr>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) dashboard_listen: Option<SocketAddr>,
    /// `None`: a temporary folder.
    pub(crate) data: Option<PathBuf>,
    pub(crate) live: bool,
}

/// Runs the demonstration to its end. `ready` gets the link to the dashboard.
///
/// # Errors
/// When something cannot start, or the subscriber loses the broker.
pub(crate) fn run(plan: &Plan, ready: impl FnOnce(&str) -> anyhow::Result<()>) -> anyhow::Result<Report> {
    limits::raise_open_files();
    let setup = Setup::prepare(plan)?;
    let config = setup.server_config(plan)?;
    let dashboard = Setup::dashboard_config(plan, &config);
    let server = ServerThread::start(config, dashboard, plan.dashboard_listen.is_none(), setup::viewer()?)?;
    ready(&server.link)?;
    let devices = setup.devices.clone();
    let observer = FleetObserver::new(&devices);
    let seen = devices.iter().map(|device| (device.id.clone(), speaks(device)));
    let tally = Arc::new(Mutex::new(Tally::new(seen, plan.rate_hz, plan.live)));
    let subscriber =
        SubscriberThread::start(&setup.login(&server)?, Arc::clone(&tally), Arc::clone(&observer))?;

    let mut config = FleetConfig::new(devices, server.addresses.devices.to_string(), plan.seed);
    config.rate_hz = plan.rate_hz;
    config.duration = plan.duration;
    config.link.batch_ms = BATCH_MS;
    config.events = events(plan.devices)?;
    let ended = CancellationToken::new();
    let fleet = FleetThread::start(config, Arc::clone(&observer), ended.clone())?;

    let watched = if plan.live {
        show(plan, &setup, &server, &tally, &observer, &ended)
    } else {
        tell_progress(plan, &tally, &observer, &ended);
        Ok(())
    };
    let done = fleet.stop()?;
    settle(&tally, done.sent);
    subscriber.stop()?;
    server.stop()?;
    watched?;
    Ok(report(plan, &locked(&tally), &observer, &done))
}

/// One of the patients gets a fever, so that there is an alarm to see.
fn events(devices: usize) -> anyhow::Result<Vec<EventOf>> {
    let patient = devices.min(FEVERISH);
    Ok(vec![format!("{FEVER} device={patient}").parse()?])
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(
    plan: &Plan,
    setup: &Setup,
    server: &ServerThread,
    tally: &Mutex<Tally>,
    observer: &FleetObserver,
    ended: &CancellationToken,
) -> anyhow::Result<()> {
    let addresses = &server.addresses;
    let metrics = addresses.metrics.map_or(String::new(), |at| format!("   metrics http://{at}/metrics"));
    let mqtt = addresses.mqtt.map_or(String::new(), |at| format!("   MQTT {at}"));
    let scene = view::Scene {
        title: format!(
            "{} simulated patients × {} Hz, {}",
            plan.devices,
            plan.rate_hz,
            match (plan.protocol, plan.devices) {
                (Protocol::Tls, 1) => "TLS 1.3",
                (Protocol::Tls, _) => "TLS 1.3, and one with AES-CBC frames",
                (Protocol::AesCbc, _) => "AES-CBC frames",
            }
        ),
        link: server.link.clone(),
        addresses: format!("devices {}{mqtt}{metrics}", addresses.devices),
        command: setup.command(server),
        tally,
        sent: &|| observer.report().sent,
    };
    view::show(&scene, ended)
}

fn tell_progress(plan: &Plan, tally: &Mutex<Tally>, observer: &FleetObserver, ended: &CancellationToken) {
    let start = Instant::now();
    let mut next = start + PROGRESS_EVERY;
    while !ended.is_cancelled() {
        std::thread::sleep(LOOK_EVERY);
        if Instant::now() < next {
            continue;
        }
        next += PROGRESS_EVERY;
        let sent = observer.report().sent;
        let (served, delivered) = {
            let tally = locked(tally);
            (tally.served(), tally.delivered())
        };
        // Progress is a courtesy: that no one reads it is no reason to stop.
        let _ = writeln!(
            std::io::stderr(),
            "{:4} s  {served} of {} served  {sent} sent  {delivered} delivered",
            start.elapsed().as_secs(),
            plan.devices,
        );
    }
}

/// Waits until everything that was sent has arrived, or nothing more does.
fn settle(tally: &Mutex<Tally>, sent: u64) {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let delivered = locked(tally).delivered();
        if delivered >= sent || since.elapsed() > SETTLE_PATIENCE {
            return;
        }
        if delivered > before {
            (before, since) = (delivered, Instant::now());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a device speaks, in words for the view.
fn speaks(device: &FleetDevice) -> &'static str {
    match device.variant() {
        None => "TLS 1.3",
        Some(Variant::Chained) => "AES-CBC chained",
        Some(Variant::Blockwise) => "AES-CBC blockwise",
    }
}

fn report(plan: &Plan, tally: &Tally, observer: &FleetObserver, done: &FleetReport) -> Report {
    let sent = done.sent;
    let delivered = tally.delivered();
    let connect = tally.devices.iter().enumerate().filter_map(|(place, device)| {
        let started = observer.connections(place).first()?.connect_started;
        Some(device.first_reading?.saturating_duration_since(started))
    });
    Report {
        devices: plan.devices,
        served: tally.served(),
        sent,
        acknowledged: done.batches.acknowledged.samples,
        delivered,
        lost: sent.saturating_sub(delivered),
        connect_ms: Percentiles::of_durations(connect),
        latency_ms: Percentiles::of_micros(tally.delay_us()),
        alarms: tally.alarms_seen(),
    }
}
