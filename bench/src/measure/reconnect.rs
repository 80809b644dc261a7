//! Devices on the secure link that all reconnect at the same moment, and each deliver a batch.

use std::path::Path;

use anyhow::{Context, Result};

use super::Plan;
use crate::link_load::{Errand, LinkLoadArguments, LinkLoadReport, start};
use crate::ours::{Gateway, Protocol};
use crate::peer::{Peer, Tuning};
use crate::report::{Report, Row};
use crate::subscriber::Subscriber;

const EXPLANATION: &str = "Reconnecting over TLS: every device connects, is cut, and connects again at the same moment as all \
    others; ours then deliver a batch of a second and wait for its acknowledgement, which comes when it is on the disk; \
    the peer's publish one JSON message at QoS 1 and wait for its acknowledgement, which the peer gives without storing it. \
    The devices share the server's cores.";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    let devices = plan.scale.reconnecting_devices;
    let name = |what: &str| format!("{devices} devices reconnect at once over TLS: {what}");
    let mut all = Row::new(name("all acknowledged, s"), "≤ 10");
    let mut p50 = Row::new(name("acknowledged, p50, ms"), "");
    let mut p99 = Row::new(name("acknowledged, p99, ms"), "");
    for round in 1..=plan.scale.rounds {
        eprintln!("reconnect: round {round}");
        if let Some(binary) = plan.ours
            && let Some(load) = report.keep("our reconnection", ours(binary, devices))
        {
            all.add_ours(load.seconds);
            p50.add_ours(load.p50_ms);
            p99.add_ours(load.p99_ms);
        }
        if plan.peer
            && let Some(load) = report.keep("the peer's reconnection", peer(devices))
        {
            all.add_peer(load.seconds);
            p50.add_peer(load.p50_ms);
            p99.add_peer(load.p99_ms);
        }
    }
    report.add([all, p50, p99]);
}

fn ours(binary: &Path, devices: usize) -> Result<LinkLoadReport> {
    let gateway = Gateway::start_with(binary, devices, Protocol::Link)?;
    gateway.explain((|| {
        let _subscriber = Subscriber::start(&gateway.login, &["Pico/#"], "/Physiological_Data/Temperature")?;
        again(LinkLoadArguments {
            target: gateway.devices,
            errand: Errand::Batch,
            count: devices,
            at_once: devices,
            rounds: 2,
            links: Some(gateway.keys().to_owned()),
        })
    })())
}

fn peer(devices: usize) -> Result<LinkLoadReport> {
    let peer = Peer::start(devices, Tuning::Latency)?;
    let _subscriber = Subscriber::start(&peer.login, &["#"], "/reading")?;
    again(LinkLoadArguments {
        target: peer.devices,
        errand: Errand::Publish,
        count: devices,
        at_once: devices,
        rounds: 2,
        links: None,
    })
}

/// The last of the rounds.
fn again(arguments: LinkLoadArguments) -> Result<LinkLoadReport> {
    let mut load = start(&arguments)?;
    let mut last = None;
    for _ in 0..arguments.rounds {
        last = Some(serde_json::from_value(load.listen()?)?);
    }
    last.context("there is at least one round")
}
