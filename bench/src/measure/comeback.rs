//! A reader with a session that is kept goes, comes back, and is handed what was published meanwhile: what it missed, how
//! long that takes, and what a reader that stayed notices of it.

use std::path::Path;

use anyhow::Result;

use super::{Plan, RATE_HZ, Scale};
use crate::away::{AwayArguments, AwayReport, Speech};
use crate::ours::{Gateway, Protocol};
use crate::peer::{Peer, Queues, Tuning};
use crate::process::Talking;
use crate::report::{Report, Row};
use crate::subscriber::Login;

/// Nothing is dropped, and as many may be under way as by our broker's default.
const PEER_QUEUES: Queues = Queues { queued_max: 0, unacknowledged_max: 128 };

const EXPLANATION: &str = "Return: seven messages a sample at QoS 1, `Pico/#`, on both sides; the reader that stays is at QoS 0. \
    A message is missed when it was sent and the reader has not had it two seconds after the last one came. The time to catch up \
    is from its connection, login included, to the last of what was published before. \"Before\" is the second half of its \
    absence, \"meanwhile\" the time in which it catches up; devices and both readers are one process. What waits comes out of \
    our journal, and out of the peer's memory.";

/// How long the reader is away from how many devices.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ReturnArguments {
    /// Seconds that the reader is away.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Devices that send meanwhile, at 20 Hz.
    #[arg(long)]
    pub(crate) devices: Option<usize>,
}

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    let Scale { away_devices: devices, away_seconds: seconds, .. } = plan.scale;
    let name = |what: &str| format!("a reader back after {seconds} s of {devices} × 20 Hz: {what}");
    let mut rows = [
        Row::new(name("messages published meanwhile"), ""),
        Row::new(name("messages missed"), "0"),
        Row::new(name("time to catch up, ms"), ""),
        Row::new(name("delay of another, p50, before, ms"), ""),
        Row::new(name("delay of another, p99, before, ms"), ""),
        Row::new(name("delay of another, p50, meanwhile, ms"), ""),
        Row::new(name("delay of another, p99, meanwhile, ms"), ""),
    ];
    for round in 1..=plan.scale.rounds {
        eprintln!("return: round {round}");
        if let Some(binary) = plan.ours
            && let Some(away) = report.keep("our return", ours(binary, plan.scale))
        {
            rows.iter_mut().zip(figures(&away)).for_each(|(row, value)| row.add_ours(value));
        }
        if plan.peer
            && let Some(away) = report.keep("the peer's return", peer(plan.scale))
        {
            rows.iter_mut().zip(figures(&away)).for_each(|(row, value)| row.add_peer(value));
        }
    }
    report.add(rows);
}

/// In the order of the rows.
fn figures(away: &AwayReport) -> [Option<f64>; 7] {
    [
        Some(away.published as f64),
        Some(away.missed as f64),
        Some(away.caught_up_ms),
        away.before_p50_ms,
        away.before_p99_ms,
        away.meanwhile_p50_ms,
        away.meanwhile_p99_ms,
    ]
}

fn ours(binary: &Path, scale: Scale) -> Result<AwayReport> {
    let gateway = Gateway::start_with(binary, scale.away_devices, Protocol::Frames)?;
    let arguments = arguments(scale, Speech::Frames, gateway.devices, &gateway.login);
    gateway.explain(away(&arguments, &gateway.login))
}

fn peer(scale: Scale) -> Result<AwayReport> {
    let peer = Peer::start_with(scale.away_devices, Tuning::Latency, PEER_QUEUES)?;
    away(&arguments(scale, Speech::Mqtt, peer.devices, &peer.login), &peer.login)
}

fn arguments(scale: Scale, speech: Speech, target: std::net::SocketAddr, login: &Login) -> AwayArguments {
    AwayArguments {
        target,
        speech,
        devices: scale.away_devices,
        rate_hz: RATE_HZ,
        seconds: scale.away_seconds,
        broker: login.address,
        user: login.user.clone(),
    }
}

fn away(arguments: &AwayArguments, login: &Login) -> Result<AwayReport> {
    let mut process = Talking::spawn("the load while away", &arguments.to_words(), &login.password)?;
    Ok(serde_json::from_value(process.listen()?)?)
}
