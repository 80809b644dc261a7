//! What the live view shows at one moment: copied out of the tally in one short look, so that drawing never makes the
//! subscriber wait. Draws nothing.

use vitalwire_protocol::Channel;
use vitalwire_vitals::alarm::Priority;

use super::findings::Alarms;
use super::report::Percentiles;
use super::tally::{DeviceTally, Tally};
use crate::wave::Point;

/// Over how long a device's rate is measured, in seconds.
const RATE_SECONDS: f64 = 2.0;

/// One moment.
pub(crate) struct Snapshot {
    pub(crate) now: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) devices: usize,
    pub(crate) served: usize,
    pub(crate) delivered: u64,
    pub(crate) latency: Percentiles,
    /// Of all patients, how many are open, and the most urgent priority.
    pub(crate) alarms: Option<(usize, Priority)>,
    pub(crate) detail: Option<Detail>,
}

/// One device in the list.
pub(crate) struct Row {
    pub(crate) index: usize,
    pub(crate) id: String,
    pub(crate) speaks: &'static str,
    pub(crate) wave: Vec<Point>,
    pub(crate) pulse_per_minute: Option<f64>,
    pub(crate) temperature: String,
    pub(crate) acceleration: [String; 3],
    pub(crate) rate: f64,
    pub(crate) latency: Percentiles,
    pub(crate) alarms: Alarms,
}

/// The selected device, with its topics.
pub(crate) struct Detail {
    pub(crate) id: String,
    pub(crate) wave: Vec<Point>,
    pub(crate) pulse_per_minute: Option<f64>,
    pub(crate) texts: [String; 7],
    pub(crate) status: String,
    pub(crate) peer: [String; 2],
    pub(crate) gateway: [String; 2],
    pub(crate) sequence: u64,
    pub(crate) alarms: Alarms,
}

impl Snapshot {
    /// Copies the rows `first..first + count` and the selected device.
    pub(crate) fn take(tally: &Tally, first: usize, count: usize, selected: usize) -> Self {
        let now = tally.now_seconds();
        let rows = tally.devices.iter().enumerate().skip(first).take(count);
        Self {
            now,
            rows: rows.map(|(index, device)| row(index, device, now)).collect(),
            devices: tally.devices.len(),
            served: tally.served(),
            delivered: tally.delivered(),
            latency: Percentiles::of_micros(tally.delay_us()),
            alarms: alarms(tally),
            detail: tally.devices.get(selected).map(|device| detail(device, now)),
        }
    }
}

fn alarms(tally: &Tally) -> Option<(usize, Priority)> {
    let open = || tally.devices.iter().flat_map(|device| &device.alarms.open);
    Some((open().count(), open().map(|alarm| alarm.priority).max()?))
}

fn row(index: usize, device: &DeviceTally, now: f64) -> Row {
    let wave: Vec<Point> = device.wave.iter().copied().collect();
    let axes = [Channel::AccelX, Channel::AccelY, Channel::AccelZ];
    let delays = device.delays_recent_us.iter();
    Row {
        index,
        id: device.id.clone(),
        speaks: device.speaks,
        pulse_per_minute: device.rate_per_minute(now),
        alarms: device.alarms.clone(),
        rate: rate(&wave, now),
        wave,
        temperature: text(device, Channel::Temp),
        acceleration: axes.map(|axis| text(device, axis)),
        latency: Percentiles::of_durations(delays.map(|us| std::time::Duration::from_micros(u64::from(*us)))),
    }
}

fn detail(device: &DeviceTally, now: f64) -> Detail {
    let wave: Vec<Point> = device.wave.iter().copied().collect();
    Detail {
        id: device.id.clone(),
        pulse_per_minute: device.rate_per_minute(now),
        alarms: device.alarms.clone(),
        wave,
        texts: device.texts.clone(),
        status: device.status.clone(),
        peer: device.peer.clone(),
        gateway: device.gateway.clone(),
        sequence: device.sequence,
    }
}

fn text(device: &DeviceTally, channel: Channel) -> String {
    device.texts.get(channel.index()).cloned().unwrap_or_default()
}

/// Readings a second over the last two seconds.
fn rate(wave: &[Point], now: f64) -> f64 {
    let recent = wave.iter().rev().take_while(|point| now - point.0 <= RATE_SECONDS).count();
    f64::from(u32::try_from(recent).unwrap_or(u32::MAX)) / RATE_SECONDS
}
