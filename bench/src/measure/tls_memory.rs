//! Resident memory that an idle connection of the secure link costs, and a handshake that stalls.

use super::Plan;
use super::memory::{ours, peer};
use crate::hold::Opening;
use crate::report::{Report, Row};

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let count = plan.scale.link_connections;
    let name = |what: &str| format!("resident KiB a TLS connection, {count} {what}");
    let mut idle = Row::new(name("idle after Welcome (peer: after one sample)"), "≤ 24");
    let mut stalled = Row::new(name("silent after a handshake's first flight"), "");
    for round in 1..=plan.scale.rounds {
        eprintln!("tls-memory: round {round}");
        let openings = [
            (&mut idle, Opening::Link, Opening::Psk),
            (&mut stalled, Opening::StalledLink, Opening::StalledPsk),
        ];
        for (row, of_ours, of_peer) in openings {
            if let Some(binary) = plan.ours {
                row.add_ours(report.keep("our memory over TLS", ours(binary, count, of_ours)));
            }
            if plan.peer {
                row.add_peer(report.keep("the peer's memory", peer(count, of_peer)));
            }
        }
    }
    report.add([idle, stalled]);
}
