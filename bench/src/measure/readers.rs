//! CPU a sample of server and broker together with many readers, each of one device, against one reader of everything.

use std::path::Path;

use anyhow::Result;

use super::cpu::{LOAD_SECONDS, TEMPERATURE, Window, peer_load, window};
use super::pair::{Pair, Situation, compare};
use super::{Plan, RATE_HZ, Scale};
use crate::load::Shape;
use crate::ours::Gateway;
use crate::peer::{Peer, Tuning};
use crate::report::Report;
use crate::subscriber::Subscriber;

const EXPLANATION: &str = "Readers: a sample is one that a device sent, whether or not someone reads it; each reader of one \
    device gets only that device's messages (ours: eight a sample; the peer's: seven, written in one TLS record).";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    let Scale { readers_devices: devices, readers, .. } = plan.scale;
    let pair = Pair {
        devices,
        what: "readers",
        plain: "one reader of everything".into(),
        other: format!("{readers} readers, each of one device"),
    };
    let ours = |binary: &Path, situation| ours(binary, plan.scale, situation);
    compare(plan, report, &pair, ours, |situation| peer(plan.scale, situation));
}

fn ours(binary: &Path, scale: Scale, situation: Situation) -> Result<Window> {
    let devices = scale.readers_devices;
    let gateway = Gateway::start_for_sessions(binary, devices, scale.readers + 1)?;
    gateway.explain((|| {
        let (everything, of_device) =
            (["Pico/#", "vitalwire/#"], ["Pico/{device}/#", "vitalwire/v1/{device}/#"]);
        let mut subscribers = match situation {
            Situation::Plain => Subscriber::start(&gateway.login, &everything, TEMPERATURE),
            Situation::Other => {
                Subscriber::start_many(&gateway.login, scale.readers, &of_device, TEMPERATURE)
            }
        }?;
        let _fleet = gateway.fleet(devices, RATE_HZ, LOAD_SECONDS)?;
        let read = if situation == Situation::Plain { devices } else { scale.readers };
        Ok(of_all(&window(&gateway.server, &mut subscribers, read, scale)?, read, devices))
    })())
}

fn peer(scale: Scale, situation: Situation) -> Result<Window> {
    let (devices, shape) = (scale.readers_devices, Shape::SevenInOne);
    let peer = Peer::start(devices, Tuning::Cpu)?;
    let mut subscribers = match situation {
        Situation::Plain => Subscriber::start(&peer.login, &["#"], shape.marker()),
        Situation::Other => {
            Subscriber::start_many(&peer.login, scale.readers, &["Pico/{device}/#"], shape.marker())
        }
    }?;
    let _load = peer_load(&peer, devices, shape)?;
    let read = if situation == Situation::Plain { devices } else { scale.readers };
    Ok(of_all(&window(&peer.broker, &mut subscribers, read, scale)?, read, devices))
}

/// A window that counted the samples of the devices that are read, as one of all devices: each sends as many.
fn of_all(window: &Window, read: usize, devices: usize) -> Window {
    let share = read as f64 / devices as f64;
    Window {
        us_per_sample: window.us_per_sample * share,
        samples_per_second: window.samples_per_second / share,
    }
}
