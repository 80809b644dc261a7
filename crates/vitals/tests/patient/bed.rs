//! A monitor, and what it said; pulses of any rate.

use vitalwire_vitals::alarm::{Alarm, Change, Condition, Limits, Numbers, Timing, Which};
use vitalwire_vitals::monitor::{DeviceEvent, Measured, Outcome, PatientMonitor, Quantity};
use vitalwire_vitals::wave::WaveKind;

pub(crate) const US_PER_S: i64 = 1_000_000;
/// A time on some day.
pub(crate) const DAY_US: i64 = 1_700_000_000_000_000;

/// A patient at whose bed seconds pass.
pub(crate) struct Bed {
    pub(crate) monitor: PatientMonitor,
    pub(crate) numbers: Numbers,
    pub(crate) outcome: Outcome,
    /// The device's time, which is the server's, too.
    pub(crate) now_us: i64,
    phase: f64,
}

impl Bed {
    pub(crate) fn new(limits: &str) -> Self {
        let monitor = PatientMonitor::new(limits.parse().unwrap(), Timing::default(), Vec::new());
        let numbers = Numbers::starting_at(1);
        let mut bed = Self { monitor, numbers, outcome: Outcome::default(), now_us: DAY_US, phase: 0.0 };
        bed.status(true);
        bed
    }

    pub(crate) fn restart(&mut self) {
        let open: Vec<Alarm> = self.monitor.alarms().open().cloned().collect();
        let limits: Limits = *self.monitor.alarms().limits();
        self.monitor = PatientMonitor::new(limits, Timing::default(), open);
        self.status(true);
    }

    pub(crate) fn status(&mut self, is_online: bool) {
        self.monitor.status(is_online, self.now_us, &mut self.numbers, &mut self.outcome);
    }

    pub(crate) fn watch(&mut self, channels: &[(Quantity, u32)]) {
        self.monitor.watch(channels, self.now_us, &mut self.numbers, &mut self.outcome);
    }

    pub(crate) fn end_stay(&mut self) {
        let limits = *self.monitor.alarms().limits();
        self.monitor.end_stay(limits, self.now_us, &mut self.numbers, &mut self.outcome);
    }

    pub(crate) fn event(&mut self, event: DeviceEvent<'_>) {
        self.monitor.event(event, self.now_us, self.now_us, &mut self.numbers, &mut self.outcome);
    }

    pub(crate) fn acknowledge_all(&mut self) {
        let by = ("nurse.a", None);
        self.monitor.acknowledge(Which::All, by, self.now_us, &mut self.numbers, &mut self.outcome).unwrap();
    }

    /// Values whose first is measured now, and which come when the last is measured.
    pub(crate) fn give(&mut self, quantity: Quantity, interval_us: u32, values: &[f64]) {
        let first_us = self.now_us;
        self.now_us += i64::from(interval_us) * i64::try_from(values.len()).unwrap();
        self.give_at(quantity, first_us, interval_us, values, true);
        self.monitor.tick(self.now_us, &mut self.numbers, &mut self.outcome);
    }

    /// Values of any time.
    pub(crate) fn give_at(
        &mut self,
        quantity: Quantity,
        first_us: i64,
        interval_us: u32,
        values: &[f64],
        is_live: bool,
    ) {
        let plausible = match quantity {
            Quantity::Temperature => (25.0, 45.0),
            Quantity::Rate => (0.0, 500.0),
            Quantity::Wave(_) => (0.0, 3.3),
        };
        let measured = Measured { quantity, plausible, first_us, interval_us, values, is_live };
        self.monitor.measured(&measured, self.now_us, &mut self.numbers, &mut self.outcome);
    }

    /// So many seconds of temperatures, 20 a second.
    pub(crate) fn temperature(&mut self, seconds: u32, value: f64) {
        for _ in 0..seconds {
            self.give(Quantity::Temperature, 50_000, &[value; 20]);
        }
    }

    /// A second of a pulse of this rate at so many samples a second; with none it is at rest.
    pub(crate) fn second_of_pulse(&mut self, rate: f64, rate_hz: u32) -> Vec<f64> {
        let bump = |at: f64, centre: f64, width: f64| (-((at - centre) / width).powi(2)).exp();
        (0..rate_hz)
            .map(|_| {
                self.phase = (self.phase + rate / 60.0 / f64::from(rate_hz)).fract();
                1.0 + bump(self.phase, 0.25, 0.1) + 0.35 * bump(self.phase, 0.6, 0.12)
            })
            .collect()
    }

    pub(crate) fn pulse(&mut self, seconds: u32, rate: f64) {
        self.pulse_at(seconds, rate, 20);
    }

    pub(crate) fn pulse_at(&mut self, seconds: u32, rate: f64, rate_hz: u32) {
        for _ in 0..seconds {
            let values = self.second_of_pulse(rate, rate_hz);
            self.give(Quantity::Wave(WaveKind::Ppg), 1_000_000 / rate_hz, &values);
        }
    }

    /// Time passes, and nothing comes.
    pub(crate) fn wait(&mut self, seconds: i64) {
        let until_us = self.now_us + seconds * US_PER_S;
        while let Some(due_us) = self.monitor.next_due_us().filter(|due_us| *due_us <= until_us) {
            // A tick that does nothing would be asked for again at once, for ever.
            self.now_us = due_us.max(self.now_us);
            let before = self.monitor.next_due_us();
            self.monitor.tick(self.now_us, &mut self.numbers, &mut self.outcome);
            assert!(self.monitor.next_due_us() != before, "a tick at {due_us} did nothing");
        }
        self.now_us = until_us;
        self.monitor.tick(self.now_us, &mut self.numbers, &mut self.outcome);
    }

    /// What changed since it was last asked: `alarm-raised asystole`.
    pub(crate) fn said(&mut self) -> Vec<String> {
        let words = |change: &Change| {
            let condition = change.alarm().map(|alarm| alarm.condition.name()).unwrap_or_default();
            format!("{} {condition}", change.name().trim_start_matches("alarm-")).trim().to_owned()
        };
        std::mem::take(&mut self.outcome.changes).iter().map(words).collect()
    }

    /// The rates of the last seconds, rounded.
    pub(crate) fn rates(&self) -> Vec<Option<f64>> {
        self.outcome.derived.iter().map(|derived| derived.rate_per_min.map(f64::round)).collect()
    }

    pub(crate) fn open(&self) -> Vec<Condition> {
        self.monitor.alarms().open().map(|alarm| alarm.condition).collect()
    }
}
