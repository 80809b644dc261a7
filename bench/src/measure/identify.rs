//! CPU to find out who a new connection is, by the number of enrolled devices.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use vitalwire_protocol::{CbcSecret, first_block_fits};

use super::Plan;
use crate::enrolment::secret;
use crate::hold::{HoldArguments, Holder, Opening};
use crate::load::Shape;
use crate::ours::Gateway;
use crate::peer::{Peer, Tuning};
use crate::report::{Report, Row};
use crate::subscriber::Subscriber;

const SERVED_TIMEOUT: Duration = Duration::from_secs(60);
/// Fewer known devices than this take less CPU together than the clock can tell.
const KNOWN_DEVICES_MIN: usize = 100;

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let sizes = plan.scale.identify_enrolled.into_iter().zip(plan.scale.identify_connections);
    for (enrolled, connections) in sizes {
        let goal = if enrolled == 100_000 { "< 15" } else { "" };
        let name = |what: &str| format!("CPU ms a new connection, {enrolled} enrolled: {what}");
        let mut stranger = Row::new(name("no key fits (peer: the last identity)"), goal);
        let mut known = Row::new(name("devices from all over the list"), goal);
        let mut trial = Row::new(format!("ns a trial decryption, {enrolled} keys, in process"), "");
        let known_connections = connections.min(enrolled);
        for round in 1..=plan.scale.rounds {
            eprintln!("identify: {enrolled} enrolled, round {round}");
            trial.add_ours(trial_ns(enrolled));
            if let Some(binary) = plan.ours {
                let cpu = ours_stranger(binary, enrolled, connections);
                stranger.add_ours(report.keep("our identification", cpu));
                if known_connections >= KNOWN_DEVICES_MIN {
                    let cpu = ours_known(binary, enrolled, known_connections);
                    known.add_ours(report.keep("our identification", cpu));
                }
            }
            if plan.peer {
                let cpu = peer(enrolled, connections, enrolled - 1, 0);
                stranger.add_peer(report.keep("the peer's handshake", cpu));
                if known_connections >= KNOWN_DEVICES_MIN {
                    let cpu = peer(enrolled, known_connections, 0, enrolled / known_connections);
                    known.add_peer(report.keep("the peer's handshake", cpu));
                }
            }
        }
        report.add([stranger, trial]);
        if known_connections >= KNOWN_DEVICES_MIN {
            report.add([known]);
        }
    }
}

fn ours_stranger(binary: &Path, enrolled: usize, count: usize) -> Result<f64> {
    let gateway = Gateway::start(binary, enrolled)?;
    gateway.explain((|| {
        // Its login shows that the server is up.
        let _subscriber = Subscriber::start(&gateway.login, &["Pico/#"], "/Physiological_Data/Temperature")?;
        let before = gateway.server.cpu()?;
        let target = gateway.devices;
        Holder::open(HoldArguments {
            target,
            opening: Opening::Stranger,
            count,
            first: 0,
            stride: 1,
            links: None,
        })?;
        Ok(milliseconds_each(gateway.server.cpu()? - before, count))
    })())
}

fn ours_known(binary: &Path, enrolled: usize, count: usize) -> Result<f64> {
    let gateway = Gateway::start(binary, enrolled)?;
    gateway.explain((|| {
        let mut subscriber =
            Subscriber::start(&gateway.login, &["Pico/#"], "/Physiological_Data/Temperature")?;
        let before = gateway.server.cpu()?;
        let (target, stride) = (gateway.devices, enrolled / count);
        let _holder = Holder::open(HoldArguments {
            target,
            opening: Opening::Frame,
            count,
            first: 0,
            stride,
            links: None,
        })?;
        subscriber.wait_for_samples(count, SERVED_TIMEOUT)?;
        Ok(milliseconds_each(gateway.server.cpu()? - before, count))
    })())
}

/// The peer finds a device by its identity and makes a TLS handshake.
fn peer(enrolled: usize, count: usize, first: usize, stride: usize) -> Result<f64> {
    let peer = Peer::start(enrolled, Tuning::Latency)?;
    let mut subscriber = Subscriber::start(&peer.login, &["#"], Shape::SevenInOne.marker())?;
    let before = peer.broker.cpu()?;
    let arguments =
        HoldArguments { target: peer.devices, opening: Opening::Psk, count, first, stride, links: None };
    let _holder = Holder::open(arguments)?;
    subscriber.wait_for_samples(count, SERVED_TIMEOUT)?;
    Ok(milliseconds_each(peer.broker.cpu()? - before, count))
}

fn milliseconds_each(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1e3 / count as f64
}

/// Nanoseconds of one trial, over a list of `enrolled` keys none of which fits.
fn trial_ns(enrolled: usize) -> f64 {
    let secrets: Vec<CbcSecret> = (0..enrolled)
        .map(|index| {
            let (key, iv) = secret(index);
            CbcSecret::new(key, iv)
        })
        .collect();
    let block = [0x5A; 16];
    let rounds = 1_000_000_usize.div_ceil(enrolled);
    let began = Instant::now();
    let mut fitting = 0_usize;
    for _ in 0..rounds {
        let fits = secrets.iter().filter(|it| first_block_fits(black_box(it), black_box(&block)));
        fitting += black_box(fits.count());
    }
    let elapsed = began.elapsed();
    black_box(fitting);
    elapsed.as_nanos() as f64 / (rounds * enrolled) as f64
}
