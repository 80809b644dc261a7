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
    let after = server.resident_bytes()?;
    let held = holder.held()?;
    anyhow::ensure!(held.open == count, "the server closed {} of {count} connections", held.closed);
    Ok(after.saturating_sub(before) as f64 / 1_024.0 / count as f64)
}
