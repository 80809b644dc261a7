//! Many devices that connect at the same moment, and then go on at 20 Hz.

use anyhow::Result;

use super::{Plan, RATE_HZ};
use crate::load::{LoadArguments, LoadReport, Shape};
use crate::ours::demo;
use crate::peer::{Peer, Tuning};
use crate::process::Talking;
use crate::report::{Report, Row};

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let (devices, seconds) = (plan.scale.storm_devices, plan.scale.storm_seconds);
    let name = |what: &str| format!("{devices} devices connect at once, 20 Hz each: {what}");
    let mut served = Row::new(name("served"), "all");
    let mut lost = Row::new(name("readings lost"), "0");
    let mut first_p50 = Row::new(name("first message, p50, ms"), "");
    let mut first_p99 = Row::new(name("first message, p99, ms"), "≤ 1000");
    let mut first_max = Row::new(name("first message, last device, ms"), "≤ 1000");
    for round in 1..=plan.scale.rounds {
        eprintln!("storm: round {round}");
        if let Some(binary) = plan.ours
            && let Some(demo) = report.keep("our storm", demo(binary, devices, RATE_HZ, seconds))
        {
            served.add_ours(demo.served as f64);
            lost.add_ours(demo.lost as f64);
            first_p50.add_ours(demo.connect_ms.p50);
            first_p99.add_ours(demo.connect_ms.p99);
            first_max.add_ours(demo.connect_ms.max);
        }
        if plan.peer
            && let Some(load) = report.keep("the peer's storm", peer(devices, seconds))
        {
            served.add_peer(load.served as f64);
            lost.add_peer(load.sent.saturating_sub(load.delivered) as f64);
            first_p50.add_peer(load.first_p50_ms);
            first_p99.add_peer(load.first_p99_ms);
            first_max.add_peer(load.first_max_ms);
            note_errors(report, &load);
        }
    }
    report.add([served, lost, first_p50, first_p99, first_max]);
}

/// A run of the peer in which the load generator times every sample.
pub(super) fn peer(devices: usize, seconds: u64) -> Result<LoadReport> {
    let peer = Peer::start(devices, Tuning::Latency)?;
    let load = LoadArguments {
        target: peer.devices,
        devices,
        rate_hz: RATE_HZ,
        seconds: seconds as f64,
        shape: Shape::SevenInOne,
        timed_at: Some(peer.login.address),
        user: Some(peer.login.user.clone()),
    };
    let mut load = Talking::spawn("the load", &load.to_words(), &peer.login.password)?;
    Ok(serde_json::from_value(load.listen()?)?)
}

fn note_errors(report: &mut Report, load: &LoadReport) {
    if load.connect_errors > 0 {
        let errors = load.connect_errors;
        report.note(format!("In a storm {errors} connections to the peer failed and were made again."));
    }
}
