//! From the device's write to the subscriber, at an everyday load.

use super::{Plan, RATE_HZ, storm};
use crate::ours::demo;
use crate::report::{Report, Row};

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let (devices, seconds) = (plan.scale.latency_devices, plan.scale.latency_seconds);
    let mut p50 = Row::new(format!("latency ms, p50, {devices} × 20 Hz"), "");
    let mut p99 = Row::new(format!("latency ms, p99, {devices} × 20 Hz"), "< 5");
    for round in 1..=plan.scale.rounds {
        eprintln!("latency: round {round}");
        if let Some(binary) = plan.ours
            && let Some(demo) = report.keep("our latency", demo(binary, devices, RATE_HZ, seconds))
        {
            p50.add_ours(demo.latency_ms.p50);
            p99.add_ours(demo.latency_ms.p99);
        }
        if plan.peer
            && let Some(load) = report.keep("the peer's latency", storm::peer(devices, seconds))
        {
            p50.add_peer(load.latency_p50_ms);
            p99.add_peer(load.latency_p99_ms);
        }
    }
    report.add([p50, p99]);
}
