//! Resident memory that an idle connection costs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::hold::{HoldArguments, Holder, Opening};
use crate::load::Shape;
use crate::ours::{Gateway, Protocol};
use crate::peer::{Peer, Tuning};
use crate::process::{Started, wait_for};
use crate::report::{Report, Row};
use crate::subscriber::Subscriber;

const ACCEPTED_TIMEOUT: Duration = Duration::from_secs(60);

/// It has settled when it has fallen by no more than so much in so many looks: 15 s, for the allocator gives back in 10.
const SETTLED_BYTES: u64 = 1 << 19;
const SETTLED_LOOKS: u32 = 15;
const SETTLING_LOOK: Duration = Duration::from_secs(1);

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let count = plan.scale.idle_connections;
    let name = |what: &str| format!("resident KiB a connection, {count} {what}");
    let mut silent = Row::new(name("that have sent nothing"), "≤ 8");
    let mut known = Row::new(name("of devices silent after one sample"), "≤ 8");
    for round in 1..=plan.scale.rounds {
        eprintln!("memory: round {round}");
        for (row, is_silent) in [(&mut silent, true), (&mut known, false)] {
            if let Some(binary) = plan.ours {
                let opening = if is_silent { Opening::Silent } else { Opening::Frame };
                let grown = ours(binary, count, opening);
                row.add_ours(report.keep("our memory", grown));
            }
            if plan.peer {
                let opening = if is_silent { Opening::Silent } else { Opening::Psk };
                let grown = peer(count, opening);
                row.add_peer(report.keep("the peer's memory", grown));
            }
        }
    }
    report.add([silent, known]);
}

pub(super) fn ours(binary: &Path, count: usize, opening: Opening) -> Result<f64> {
    let is_link = matches!(opening, Opening::Link | Opening::StalledLink);
    let protocol = if is_link { Protocol::Link } else { Protocol::Frames };
    let gateway = Gateway::start_with(binary, count, protocol)?;
    let links = is_link.then(|| gateway.keys().to_owned());
    gateway.explain((|| {
        let subscriber = Subscriber::start(&gateway.login, &["Pico/#"], "/Physiological_Data/Temperature")?;
        let holding = HoldArguments { target: gateway.devices, opening, count, first: 0, stride: 1, links };
        grown_kib(&gateway.server, subscriber, holding)
    })())
}

pub(super) fn peer(count: usize, opening: Opening) -> Result<f64> {
    let peer = Peer::start(count, Tuning::Latency)?;
    let subscriber = Subscriber::start(&peer.login, &["#"], Shape::SevenInOne.marker())?;
    let holding = HoldArguments { target: peer.devices, opening, count, first: 0, stride: 1, links: None };
    grown_kib(&peer.broker, subscriber, holding)
}

/// What the server needs for good. What it freed goes back to the system within some seconds, and an idle connection lasts longer.
fn settled_bytes(server: &Started) -> Result<u64> {
    let (mut least, mut looks) = (server.resident_bytes()?, 0);
    while looks < SETTLED_LOOKS {
        std::thread::sleep(SETTLING_LOOK);
        let now = server.resident_bytes()?;
        // By less than a page for each of some hundred connections, it does not count.
        looks = if now + SETTLED_BYTES < least { 0 } else { looks + 1 };
        least = least.min(now);
    }
    Ok(least)
}

fn grown_kib(server: &Started, mut subscriber: Subscriber, holding: HoldArguments) -> Result<f64> {
    let (count, opening, port) = (holding.count, holding.opening, holding.target.port());
    // The subscriber may be at the same port.
    let (before, connections) = (server.resident_bytes()?, server.connections(port)?);
    let mut holder = Holder::open(holding)?;
    let accepted =
        wait_for(ACCEPTED_TIMEOUT, || Ok((server.connections(port)? >= connections + count).then_some(())))?;
    accepted.with_context(|| format!("the server did not hold {count} connections at once"))?;
    if matches!(opening, Opening::Frame | Opening::Psk) {
        subscriber.wait_for_samples(count, ACCEPTED_TIMEOUT)?;
    }
    // Those who have not said who they are do not last that long.
    let after = match opening {
        Opening::Frame | Opening::Psk | Opening::Link => settled_bytes(server)?,
        _ => server.resident_bytes()?,
    };
    let held = holder.held()?;
    anyhow::ensure!(held.open == count, "the server closed {} of {count} connections", held.closed);
    Ok(after.saturating_sub(before) as f64 / 1_024.0 / count as f64)
}
