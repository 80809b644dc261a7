//! What the subscriber has seen: counts, delays and, when someone looks, the latest values. Counts only what came
//! out of the broker's socket.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use vitalwire_protocol::Channel;

use super::findings::{self, Alarms, Rate};
use super::topic::{End, Kind};
use crate::wave::Point;

/// A reading is eight messages: the reading as a whole and its seven values.
const MESSAGES_PER_READING: usize = 8;
/// Longest delay that is told apart, in microseconds.
const DELAY_US_MAX: u64 = 60_000_000;
/// How much of the wave is kept, in seconds: what is shown, however far it runs ahead.
const WAVE_SECONDS: f64 = 11.0;
/// How long a derived rate stands for the present one.
const RATE_SECONDS_MAX: f64 = 5.0;
/// How far a wave may run ahead of the arrival of its values, in seconds.
const WAVE_AHEAD_SECONDS: f64 = 2.0;
/// Bound on the points kept of one wave, whatever its rate.
const WAVE_POINTS_MAX: usize = 4096;
/// Delays of the latest readings, for the live view.
const DELAYS_RECENT_MAX: usize = 256;
/// Longest text kept of one value or address, in bytes.
const TEXT_LEN_MAX: usize = 48;

/// Everything seen so far.
pub(crate) struct Tally {
    /// In the order of the fleet.
    pub(crate) devices: Vec<DeviceTally>,
    index: HashMap<String, usize>,
    delay_us: Histogram<u64>,
    /// Each alarm that was ever open, by its number, and its condition.
    alarms_seen: BTreeMap<u64, String>,
    started: Instant,
    /// From one value of a device to its next.
    interval_seconds: f64,
    /// Whether values are kept for a view; without one only counting is paid for.
    watched: bool,
}

/// What was seen of one device.
pub(crate) struct DeviceTally {
    pub(crate) id: String,
    pub(crate) speaks: &'static str,
    /// Whole readings, then values in the order of `Channel`.
    seen: [u64; MESSAGES_PER_READING],
    /// When its first reading arrived.
    pub(crate) first_reading: Option<Instant>,
    pub(crate) delays_recent_us: VecDeque<u32>,
    pub(crate) texts: [String; 7],
    pub(crate) wave: VecDeque<Point>,
    pub(crate) status: String,
    pub(crate) peer: [String; 2],
    pub(crate) gateway: [String; 2],
    pub(crate) sequence: u64,
    pub(crate) alarms: Alarms,
    /// With the moment at which it came.
    rate: Option<(f64, Rate)>,
}

impl DeviceTally {
    fn new(id: String, speaks: &'static str) -> Self {
        Self {
            id,
            speaks,
            seen: [0; MESSAGES_PER_READING],
            first_reading: None,
            delays_recent_us: VecDeque::new(),
            texts: Default::default(),
            wave: VecDeque::new(),
            status: String::new(),
            peer: Default::default(),
            gateway: Default::default(),
            sequence: 0,
            alarms: Alarms::default(),
            rate: None,
        }
    }

    /// Readings that arrived whole: the message itself and all seven values.
    pub(crate) fn delivered(&self) -> u64 {
        self.seen.iter().copied().min().unwrap_or(0)
    }

    /// Beats a minute, as long as the server tells them.
    pub(crate) fn rate_per_minute(&self, now: f64) -> Option<f64> {
        let (came, rate) = self.rate.as_ref()?;
        rate.per_minute.filter(|_| now - came < RATE_SECONDS_MAX)
    }

    fn count(&mut self, message: usize) {
        if let Some(count) = self.seen.get_mut(message) {
            *count += 1;
        }
    }
}

/// One message, as the subscriber hands it over.
pub(crate) struct Message<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
    pub(crate) arrived: Instant,
    /// For a reading: its number, and how long ago its device began to write it.
    pub(crate) sequence: Option<u64>,
    pub(crate) delay: Option<Duration>,
}

impl Tally {
    /// An empty tally for these devices.
    pub(crate) fn new(
        devices: impl Iterator<Item = (String, &'static str)>,
        rate_hz: f64,
        watched: bool,
    ) -> Self {
        let devices: Vec<_> = devices.map(|(id, speaks)| DeviceTally::new(id, speaks)).collect();
        let index = devices.iter().enumerate().map(|(index, device)| (device.id.clone(), index)).collect();
        let delay_us = Histogram::new_with_bounds(1, DELAY_US_MAX, 3).expect("1..=60 s is a valid range");
        let interval_seconds = 1.0 / rate_hz;
        let alarms_seen = BTreeMap::new();
        Self { devices, index, delay_us, alarms_seen, started: Instant::now(), interval_seconds, watched }
    }

    pub(crate) fn device(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Takes in one message.
    pub(crate) fn record(&mut self, device: usize, message: &Message<'_>) {
        if let Some(delay) = message.delay {
            let micros = u64::try_from(delay.as_micros()).unwrap_or(DELAY_US_MAX);
            self.delay_us.saturating_record(micros.max(1));
        }
        let Some(device) = self.devices.get_mut(device) else { return };
        match message.kind {
            Kind::Reading => {
                device.count(0);
                device.first_reading.get_or_insert(message.arrived);
            }
            Kind::Value(channel) => device.count(channel.index() + 1),
            Kind::Alarm => {
                if let Some(alarms) = findings::alarms(message.payload) {
                    let seen = alarms.open.iter().map(|alarm| (alarm.number, alarm.condition.clone()));
                    self.alarms_seen.extend(seen);
                    device.alarms = alarms;
                }
            }
            Kind::Derived | Kind::Status | Kind::Peer(_) | Kind::Gateway(_) => {}
        }
        if self.watched {
            let seconds = message.arrived.duration_since(self.started).as_secs_f64();
            device.show(message, seconds, self.interval_seconds);
        }
    }

    /// Readings that arrived whole, of all devices.
    pub(crate) fn delivered(&self) -> u64 {
        self.devices.iter().map(DeviceTally::delivered).sum()
    }

    /// Devices of which at least one reading arrived whole.
    pub(crate) fn served(&self) -> usize {
        self.devices.iter().filter(|device| device.delivered() > 0).count()
    }

    /// How many alarms there were of each condition.
    pub(crate) fn alarms_seen(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for condition in self.alarms_seen.values() {
            *counts.entry(condition.clone()).or_default() += 1;
        }
        counts
    }

    /// Delays from just before the device's write to the arrival of the reading, in microseconds.
    pub(crate) fn delay_us(&self) -> &Histogram<u64> {
        &self.delay_us
    }

    /// Seconds on the clock of the waves.
    pub(crate) fn now_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl DeviceTally {
    fn show(&mut self, message: &Message<'_>, seconds: f64, interval_seconds: f64) {
        let text = std::str::from_utf8(message.payload).unwrap_or("?");
        match message.kind {
            Kind::Reading => {
                self.sequence = message.sequence.unwrap_or(self.sequence);
                if let Some(delay) = message.delay {
                    if self.delays_recent_us.len() == DELAYS_RECENT_MAX {
                        self.delays_recent_us.pop_front();
                    }
                    self.delays_recent_us.push_back(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX));
                }
            }
            Kind::Value(channel) => {
                if channel == Channel::PulseSig
                    && let Ok(value) = text.parse()
                {
                    // The values of a batch arrive together, and were measured one after the other.
                    let next = self.wave.back().map_or(seconds, |last| last.0 + interval_seconds);
                    let is_near = (next - seconds).abs() < WAVE_AHEAD_SECONDS;
                    self.extend_wave((if is_near { next.max(seconds) } else { seconds }, value));
                }
                if let Some(slot) = self.texts.get_mut(channel.index()) {
                    keep(slot, text);
                }
            }
            Kind::Derived => {
                let rate = findings::rate(message.payload);
                // Readings that were held up come later than newer ones.
                let is_newer =
                    |rate: &Rate| self.rate.as_ref().is_none_or(|(_, last)| last.time <= rate.time);
                if let Some(rate) = rate.filter(is_newer) {
                    self.rate = Some((seconds, rate));
                }
            }
            Kind::Alarm => {}
            Kind::Status => keep(&mut self.status, text),
            Kind::Peer(end) => keep(half(&mut self.peer, end), text),
            Kind::Gateway(end) => keep(half(&mut self.gateway, end), text),
        }
    }

    fn extend_wave(&mut self, point: Point) {
        while self.wave.len() >= WAVE_POINTS_MAX
            || self.wave.front().is_some_and(|first| point.0 - first.0 > WAVE_SECONDS)
        {
            self.wave.pop_front();
        }
        self.wave.push_back(point);
    }
}

fn half(pair: &mut [String; 2], end: End) -> &mut String {
    let [ip, port] = pair;
    match end {
        End::Ip => ip,
        End::Port => port,
    }
}

/// Keeps a text in the space of the last one.
fn keep(slot: &mut String, text: &str) {
    slot.clear();
    slot.extend(text.chars().take(TEXT_LEN_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::findings::tests::{DERIVED, FEVER};

    fn tally() -> Tally {
        Tally::new([("bed_07".to_owned(), "TLS 1.3")].into_iter(), 20.0, true)
    }

    fn message(kind: Kind, payload: &[u8]) -> Message<'_> {
        Message { kind, payload, arrived: Instant::now(), sequence: None, delay: None }
    }

    #[test]
    fn reading_counts_only_when_all_eight_messages_came() {
        let mut tally = tally();
        tally.record(0, &message(Kind::Reading, b"{}"));
        for channel in &Channel::ALL[..6] {
            tally.record(0, &message(Kind::Value(*channel), b"1.000"));
        }
        assert_eq!((tally.delivered(), tally.served()), (0, 0));
        tally.record(0, &message(Kind::Value(Channel::ALL[6]), b"1.000"));
        assert_eq!((tally.delivered(), tally.served()), (1, 1));
    }

    #[test]
    fn keeps_a_bounded_wave_and_the_latest_texts() {
        let mut tally = tally();
        for _ in 0..WAVE_POINTS_MAX + 10 {
            tally.record(0, &message(Kind::Value(Channel::PulseSig), b"1.802"));
        }
        tally.record(0, &message(Kind::Status, b"online"));
        let device = &tally.devices[0];
        assert_eq!(device.wave.len(), WAVE_POINTS_MAX);
        assert_eq!(device.texts[Channel::PulseSig.index()], "1.802");
        assert_eq!(device.status, "online");
    }

    #[test]
    fn an_alarm_is_seen_once_however_often_it_is_told_and_also_when_it_is_gone() {
        let mut tally = tally();
        for payload in [FEVER, FEVER, &FEVER.replace(r#""number":12"#, r#""number":13"#), ""] {
            tally.record(0, &message(Kind::Alarm, payload.as_bytes()));
        }
        assert_eq!(tally.alarms_seen(), BTreeMap::from([("temperature-high".to_owned(), 2)]));
        assert!(tally.devices[0].alarms.open.is_empty());
    }

    #[test]
    fn a_rate_stands_for_a_while_and_an_older_one_does_not_replace_it() {
        let mut tally = tally();
        tally.record(0, &message(Kind::Derived, DERIVED.as_bytes()));
        let held_up = DERIVED.replace("18:00:41", "18:00:31").replace("71.6", "60.0");
        tally.record(0, &message(Kind::Derived, held_up.as_bytes()));
        let device = &tally.devices[0];
        assert_eq!(device.rate_per_minute(1.0), Some(71.6));
        assert_eq!(device.rate_per_minute(RATE_SECONDS_MAX + 60.0), None);
    }

    #[test]
    fn delays_are_kept_in_microseconds() {
        let mut tally = tally();
        let delay = Some(Duration::from_millis(3));
        tally.record(0, &Message { delay, sequence: Some(9), ..message(Kind::Reading, b"{}") });
        assert_eq!(tally.delay_us().max() / 10, 300);
        assert_eq!(tally.devices[0].sequence, 9);
    }
}
