//! What the devices did and when, for those who watch the fleet: the time of every write, counts, the latest values.
//!
//! It is written by the devices and read by anyone. Each device has its own lock, held for a few instructions and never
//! across a wait. Memory is bounded: see [`SENT_LOG_LEN_MAX`]. It never slows a device down to keep more.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batches::{BatchCounts, BatchSeen, Batches};
use super::{DeviceClock, FleetDevice, FleetReport};

/// Times of writes kept of each device, unless the observer is made with fewer: 64 KiB a device once full.
pub const SENT_LOG_LEN_MAX: usize = 8_192;
/// Connections kept of each device; the oldest is forgotten.
pub const CONNECTIONS_KEPT_MAX: usize = 64;

/// A connection of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSeen {
    /// Counted from 1 for each device; only tries that succeeded count.
    pub number: u64,
    /// Just before the try to connect.
    pub connect_started: Instant,
    /// When the connection stood.
    pub connected: Instant,
    /// Frames written whole, or batches handed to the network.
    pub sent: u64,
}

/// A device at one moment. It holds a patient's values, so it has no `Debug`.
#[derive(Clone, Default)]
pub struct DeviceSeen {
    /// Whether it is connected now.
    pub connected: bool,
    /// The values of its newest sample, in the order of `Channel::ALL`.
    pub values: Option<[f64; 7]>,
    /// The modelled heart rate at its newest sample, in beats per minute; `None` when a recording is played.
    pub heart_rate_per_min: Option<f64>,
    /// Samples sent; on the secure link, in batches that were handed to the network.
    pub sent: u64,
    /// Samples that were due and never sent; on the secure link, that went for want of room, unacknowledged.
    pub dropped: u64,
    /// On the secure link: samples measured. Those not in a batch yet are not sent, dropped or held.
    pub measured: u64,
    /// On the secure link: what became of the batches.
    pub batches: BatchCounts,
    /// Connections that stood, over all time.
    pub connections: u64,
    /// Just before its very first try to connect.
    pub first_connect_started: Option<Instant>,
    /// Tries to connect that failed.
    pub connect_errors: u64,
    /// Why the last failed try failed.
    pub connect_error: Option<Arc<str>>,
}

/// Watches a fleet. Made from the same list of devices as the fleet; a device is named by its place in that list.
pub struct FleetObserver {
    origin: Instant,
    log_len: usize,
    ids: Vec<String>,
    places: HashMap<String, usize>,
    devices: Vec<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    seen: DeviceSeen,
    connections: VecDeque<Connection>,
    /// Nanoseconds from the observer's origin to each write, the newest last. Full: the oldest is forgotten.
    writes: VecDeque<u64>,
    /// Writes ever logged; the last `writes.len()` of them are kept.
    logged: u64,
    clock: Option<DeviceClock>,
    batches: Batches,
}

struct Connection {
    seen: ConnectionSeen,
    /// Writes that were logged before this connection.
    logged_before: u64,
}

impl FleetObserver {
    /// Watches `devices` and keeps the times of the last [`SENT_LOG_LEN_MAX`] writes of each.
    #[must_use]
    pub fn new(devices: &[FleetDevice]) -> Arc<Self> {
        Self::with_log_len(devices, SENT_LOG_LEN_MAX)
    }

    /// As [`Self::new`], but keeps the times of at most `log_len` writes of each device (8 bytes each; 0 keeps none).
    #[must_use]
    pub fn with_log_len(devices: &[FleetDevice], log_len: usize) -> Arc<Self> {
        let ids: Vec<String> = devices.iter().map(|device| device.id.clone()).collect();
        Arc::new(Self {
            origin: Instant::now(),
            log_len: log_len.min(SENT_LOG_LEN_MAX),
            places: ids.iter().cloned().enumerate().map(|(place, id)| (id, place)).collect(),
            devices: ids.iter().map(|_| Mutex::default()).collect(),
            ids,
        })
    }

    /// How many devices are watched.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.ids.len()
    }

    /// The id of the device at `place`.
    #[must_use]
    pub fn id(&self, place: usize) -> Option<&str> {
        self.ids.get(place).map(String::as_str)
    }

    /// The place of the device with this id.
    #[must_use]
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// The device as it is now.
    #[must_use]
    pub fn seen(&self, place: usize) -> Option<DeviceSeen> {
        let log = self.log(place)?;
        let counts = log.batches.counts;
        let mut seen = log.seen.clone();
        seen.batches = counts;
        // A device speaks one protocol: the other's counts are 0.
        seen.sent += counts.sent.samples;
        seen.dropped += counts.dropped.samples;
        Some(seen)
    }

    /// The device's last [`CONNECTIONS_KEPT_MAX`] connections, the oldest first.
    #[must_use]
    pub fn connections(&self, place: usize) -> Vec<ConnectionSeen> {
        self.log(place).map(|log| log.connections.iter().map(|c| c.seen).collect()).unwrap_or_default()
    }

    /// The moment just before frame `sequence` (counted from 1) of a connection was written; `None` if it was not, or
    /// is no longer kept.
    #[must_use]
    pub fn sent_at(&self, place: usize, connection: u64, sequence: u64) -> Option<Instant> {
        let log = self.log(place)?;
        let at = log.connections.iter().position(|c| c.seen.number == connection)?;
        self.moment(&log, at, sequence)
    }

    /// As [`Self::sent_at`], of the newest connection that has written a frame of this `sequence`.
    #[must_use]
    pub fn latest_sent_at(&self, place: usize, sequence: u64) -> Option<Instant> {
        let log = self.log(place)?;
        (0..log.connections.len()).rev().find_map(|at| self.moment(&log, at, sequence))
    }

    /// The clock of a device on the secure link, which says when what was measured.
    #[must_use]
    pub fn clock(&self, place: usize) -> Option<DeviceClock> {
        self.log(place)?.clock
    }

    /// A batch of a device on the secure link, by its sequence; `None` if there is none, or it is no longer kept.
    #[must_use]
    pub fn batch(&self, place: usize, sequence: u64) -> Option<BatchSeen> {
        self.log(place)?.batches.find(sequence).copied()
    }

    /// When a device on the secure link measured its `n`-th sample, from 1: the moment at which it was due. `None` if it is
    /// in no batch yet, or no longer kept.
    #[must_use]
    pub fn measured_at(&self, place: usize, n: u64) -> Option<Instant> {
        self.log(place)?.batches.measured(n)
    }

    /// Counts over all devices, so far.
    #[must_use]
    pub fn report(&self) -> FleetReport {
        let mut report = FleetReport { devices: self.devices(), ..FleetReport::default() };
        for seen in (0..self.devices()).filter_map(|place| self.seen(place)) {
            report.connected += usize::from(seen.connections > 0);
            report.sent += seen.sent;
            report.dropped += seen.dropped;
            report.measured += seen.measured;
            report.batches.include(&seen.batches);
            report.reconnects += seen.connections.saturating_sub(1);
            report.connect_errors += seen.connect_errors;
        }
        report
    }

    /// The log is whole at every moment a panic could happen, so a poisoned lock is as good as any.
    fn log(&self, place: usize) -> Option<MutexGuard<'_, Log>> {
        Some(self.devices.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn moment(&self, log: &Log, connection: usize, sequence: u64) -> Option<Instant> {
        let number = log.connections.get(connection)?.logged_before + sequence.checked_sub(1)?;
        let end = log.connections.get(connection + 1).map_or(log.logged, |next| next.logged_before);
        if number >= end {
            return None;
        }
        let kept_from = log.logged - log.writes.len() as u64;
        let at = usize::try_from(number.checked_sub(kept_from)?).ok()?;
        log.writes.get(at).map(|nanoseconds| self.origin + Duration::from_nanos(*nanoseconds))
    }
}

/// What a device tells. Nothing here waits.
impl FleetObserver {
    pub(super) fn connect_started(&self, place: usize, now: Instant) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.first_connect_started.get_or_insert(now);
    }

    pub(super) fn connected(&self, place: usize, connect_started: Instant, connected: Instant) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.connected = true;
        log.seen.connections += 1;
        if log.connections.len() == CONNECTIONS_KEPT_MAX {
            log.connections.pop_front();
        }
        let seen = ConnectionSeen { number: log.seen.connections, connect_started, connected, sent: 0 };
        let logged_before = log.logged;
        log.connections.push_back(Connection { seen, logged_before });
    }

    pub(super) fn disconnected(&self, place: usize) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.connected = false;
    }

    pub(super) fn connect_failed(&self, place: usize, error: &impl Display) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.connect_errors += 1;
        log.seen.connect_error = Some(error.to_string().into());
    }

    /// Before the write, so that a reading that comes back at once finds its time.
    pub(super) fn about_to_write(
        &self,
        place: usize,
        now: Instant,
        values: [f64; 7],
        heart_rate: Option<f64>,
    ) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.values = Some(values);
        log.seen.heart_rate_per_min = heart_rate;
        if log.writes.len() >= self.log_len {
            log.writes.pop_front();
        }
        if self.log_len > 0 {
            let since = now.saturating_duration_since(self.origin).as_nanos();
            log.writes.push_back(u64::try_from(since).unwrap_or(u64::MAX));
        }
        log.logged += 1;
    }

    /// Nothing of the frame was written after all.
    pub(super) fn not_written(&self, place: usize) {
        let Some(mut log) = self.log(place) else { return };
        log.writes.pop_back();
        log.logged -= 1;
    }

    pub(super) fn written(&self, place: usize) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.sent += 1;
        if let Some(connection) = log.connections.back_mut() {
            connection.seen.sent += 1;
        }
    }

    pub(super) fn dropped(&self, place: usize, samples: u64) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.dropped += samples;
    }
}

/// What a device on the secure link tells.
impl FleetObserver {
    pub(super) fn clock_started(&self, place: usize, clock: DeviceClock) {
        let Some(mut log) = self.log(place) else { return };
        log.clock = Some(clock);
    }

    pub(super) fn measured(&self, place: usize, values: [f64; 7], heart_rate: Option<f64>) {
        let Some(mut log) = self.log(place) else { return };
        log.seen.values = Some(values);
        log.seen.heart_rate_per_min = heart_rate;
        log.seen.measured += 1;
    }

    pub(super) fn made(&self, place: usize, sequence: u64, samples: u64, measured: (Instant, Instant)) {
        let Some(mut log) = self.log(place) else { return };
        log.batches.made(sequence, samples, measured, self.log_len);
    }

    pub(super) fn batch_sent(&self, place: usize, sequence: u64, now: Instant) {
        let Some(mut log) = self.log(place) else { return };
        log.batches.sent(sequence, now);
        if let Some(connection) = log.connections.back_mut() {
            connection.seen.sent += 1;
        }
    }

    /// The device holds nothing below `oldest` any more: acknowledged at this moment, or dropped.
    pub(super) fn settled(&self, place: usize, oldest: u64, acknowledged: Option<Instant>) {
        let Some(mut log) = self.log(place) else { return };
        log.batches.settled(oldest, acknowledged, self.log_len);
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_protocol::{CbcSecret, Variant};

    use super::*;

    fn observer(log_len: usize) -> Arc<FleetObserver> {
        let secret = CbcSecret::new([1; 16], [2; 16]);
        let device = FleetDevice::frames("dev_1", secret, Variant::Chained);
        FleetObserver::with_log_len(&[device], log_len)
    }

    fn write(observer: &FleetObserver, at: Instant) {
        observer.about_to_write(0, at, [0.0; 7], None);
        observer.written(0);
    }

    #[test]
    fn writes_are_found_by_connection_and_sequence() {
        let observer = observer(SENT_LOG_LEN_MAX);
        let at = |ms| observer.origin + Duration::from_millis(ms);
        observer.connected(0, at(0), at(1));
        write(&observer, at(10));
        write(&observer, at(20));
        observer.disconnected(0);
        observer.connected(0, at(25), at(26));
        write(&observer, at(30));
        observer.about_to_write(0, at(40), [0.0; 7], None);
        observer.not_written(0);
        assert_eq!(observer.sent_at(0, 1, 1), Some(at(10)));
        assert_eq!(observer.sent_at(0, 1, 2), Some(at(20)));
        assert_eq!(observer.sent_at(0, 1, 3), None);
        assert_eq!(observer.sent_at(0, 2, 1), Some(at(30)));
        assert_eq!(observer.sent_at(0, 2, 2), None);
        assert_eq!(observer.sent_at(0, 3, 1), None);
        assert_eq!(observer.sent_at(0, 1, 0), None);
        assert_eq!(observer.latest_sent_at(0, 1), Some(at(30)));
        assert_eq!(observer.latest_sent_at(0, 2), Some(at(20)));
        let sent: Vec<u64> = observer.connections(0).iter().map(|c| c.sent).collect();
        assert_eq!(sent, [2, 1]);
        assert_eq!(observer.place("dev_1"), Some(0));
    }

    #[test]
    fn log_is_bounded_and_keeps_the_newest() {
        let observer = observer(4);
        let at = |ms| observer.origin + Duration::from_millis(ms);
        observer.connected(0, at(0), at(0));
        (1..=100).for_each(|ms| write(&observer, at(ms)));
        assert_eq!(observer.sent_at(0, 1, 96), None);
        assert_eq!(observer.sent_at(0, 1, 97), Some(at(97)));
        assert_eq!(observer.sent_at(0, 1, 100), Some(at(100)));
        (0..1_000).for_each(|_| observer.connected(0, at(200), at(200)));
        assert_eq!(observer.connections(0).len(), CONNECTIONS_KEPT_MAX);
        assert_eq!(observer.report().reconnects, 1_000);
    }

    #[test]
    fn without_a_log_only_counts_are_kept() {
        let observer = observer(0);
        observer.connected(0, observer.origin, observer.origin);
        write(&observer, observer.origin);
        assert_eq!(observer.sent_at(0, 1, 1), None);
        assert_eq!(observer.report().sent, 1);
    }
}
