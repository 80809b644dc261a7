//! CPU a sample of server and broker together while many readers are away whose sessions wait for them, against none.

use std::path::Path;

use anyhow::{Context, Result};

use super::cpu::{LOAD_SECONDS, TEMPERATURE, Window, peer_load, window};
use super::pair::{Pair, Situation, compare};
use super::{Plan, RATE_HZ, Scale};
use crate::load::Shape;
use crate::ours::Gateway;
use crate::peer::{Peer, Queues, Tuning};
use crate::report::Report;
use crate::subscriber::{Login, Subscriber, Subscription};

/// mosquitto's own limits. Without one, it would take gigabytes: it queues a message once for each session.
const PEER_QUEUES: Queues = Queues { queued_max: 1_000, unacknowledged_max: 20 };

const EXPLANATION: &str = "Absent sessions: each subscribed to everything at QoS 1, kept when its reader went. Ours miss \
    nothing that the journal has; the peer's hold 1,000 messages each, in memory only (mosquitto's default), and drop what \
    comes then. The peer's devices publish at QoS 1.";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    let Scale { absent_devices: devices, absent_sessions: sessions, .. } = plan.scale;
    let pair = Pair {
        devices,
        what: "absent",
        plain: "no absent session".into(),
        other: format!("{sessions} absent sessions"),
    };
    let count = |situation| if situation == Situation::Plain { 0 } else { sessions };
    let ours = |binary: &Path, situation| ours(binary, plan.scale, count(situation));
    compare(plan, report, &pair, ours, |situation| peer(plan.scale, count(situation)));
}

fn ours(binary: &Path, scale: Scale, sessions: usize) -> Result<Window> {
    let devices = scale.absent_devices;
    // One more for the subscriber.
    let gateway = Gateway::start_for_sessions(binary, devices, sessions + 1)?;
    gateway.explain((|| {
        let everything = ["Pico/#", "vitalwire/#"];
        let mut subscriber = Subscriber::start(&gateway.login, &everything, TEMPERATURE)?;
        leave(&gateway.login, sessions, &everything)?;
        let _fleet = gateway.fleet(devices, RATE_HZ, LOAD_SECONDS)?;
        window(&gateway.server, &mut subscriber, devices, settled(scale))
    })())
}

fn peer(scale: Scale, sessions: usize) -> Result<Window> {
    let (devices, shape) = (scale.absent_devices, Shape::SevenAcknowledged);
    let peer = Peer::start_with(devices, Tuning::Cpu, PEER_QUEUES)?;
    let mut subscriber = Subscriber::start(&peer.login, &["#"], shape.marker())?;
    leave(&peer.login, sessions, &["#"])?;
    let _load = peer_load(&peer, devices, shape)?;
    window(&peer.broker, &mut subscriber, devices, settled(scale))
}

/// What is measured is the state in which absent sessions are for hours.
fn settled(scale: Scale) -> Scale {
    Scale { cpu_settle_seconds: scale.absent_settle_seconds, ..scale }
}

/// Readers that subscribe and go.
fn leave(login: &Login, count: usize, filters: &[&str]) -> Result<()> {
    let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
    for number in 0..count {
        let name = format!("bench-absent-{number}");
        Subscription::leave(login, &name, &filters).with_context(|| format!("{name} of {count}"))?;
    }
    Ok(())
}
