//! What values say: the same for those that are live and those of a backlog.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::sensors::Signs;
use super::steady::Steady;
use super::{Derived, Measured, Quantity};
use crate::alarm::{Alarms, Step};
use crate::score::Score;
use crate::wave::{Found, Second, Signal, WaveKind, WaveMonitor};

/// A rate that a body can have, in beats a minute.
const RATE_PLAUSIBLE: (f64, f64) = (20.0, 300.0);
/// What the DS18B20 says after power-on, before it measured (its datasheet, p. 6).
const POWER_ON_TEMPERATURE: f64 = 85.0;
/// Without a beat for so long, in a signal that would show one, the heart stands still.
const ASYSTOLE_US: u64 = 4_000_000;
/// A wave that stops within so long of a good second stops where beats were.
const STOP_US_MAX: i64 = 10_000_000;
/// Of a range, what is as near to its end as this part of it stands at its end.
const END_SHARE: f64 = 0.02;
/// An ECG whose samples are further apart shows no pause of the heart: a beat may lie between two.
const ECG_INTERVAL_US_MAX: u32 = 25_000;
/// A rate that is older counts in no score,
const RATE_AGE_US_MAX: i64 = 10_000_000;
/// and so does a temperature.
const TEMPERATURE_AGE_US_MAX: i64 = 300_000_000;
/// Samples that a wave is given at once.
const CHUNK: usize = 128;
const US_PER_S: i64 = 1_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    wave: Option<Box<WaveMonitor>>,
    found: Vec<Found>,
    temperature: Steady,
    last_temperature: Option<(i64, f64)>,
    last_rate: Option<(i64, f64)>,
    /// The last good second of the wave.
    good_us: Option<i64>,
    derived_us: Option<i64>,
    /// Beats that were found and that no one has taken yet.
    pub(super) beats: Vec<i64>,
}

impl Watch {
    pub(super) fn has_wave(&self) -> bool {
        self.wave.is_some()
    }

    pub(super) fn wave_kind(&self) -> Option<WaveKind> {
        self.wave.as_ref().map(|wave| wave.kind())
    }

    /// Judges values; says how the sensors are.
    pub(super) fn take(
        &mut self,
        measured: &Measured<'_>,
        alarms: &mut Alarms,
        step: &mut Step<'_>,
        derived: &mut Vec<Derived>,
    ) -> Signs {
        match measured.quantity {
            Quantity::Wave(kind) => self.take_wave(kind, measured, alarms, step, derived),
            Quantity::Temperature => self.take_temperatures(measured, alarms, step, derived),
            Quantity::Rate if self.has_wave() => Signs::default(),
            Quantity::Rate => self.take_rates(measured, alarms, step, derived),
        }
    }

    fn take_wave(
        &mut self,
        kind: WaveKind,
        measured: &Measured<'_>,
        alarms: &mut Alarms,
        step: &mut Step<'_>,
        derived: &mut Vec<Derived>,
    ) -> Signs {
        // The clock was set, or samples are missing: what has not lasted for its delay yet begins again.
        alarms.rate_unknown(measured.first_us, step);
        let wave = match &mut self.wave {
            Some(wave) if wave.kind() == kind => wave,
            other => other.insert(Box::new(WaveMonitor::new(kind))),
        };
        let mut found = core::mem::take(&mut self.found);
        let mut first_us = measured.first_us;
        for values in measured.values.chunks(CHUNK) {
            let mut samples = [f32::NAN; CHUNK];
            for (sample, value) in samples.iter_mut().zip(values) {
                *sample = if is_within(*value, measured.plausible) { to_f32(*value) } else { f32::NAN };
            }
            wave.step(
                first_us,
                measured.interval_us,
                samples.get(..values.len()).unwrap_or_default(),
                &mut found,
            );
            first_us = time_us(first_us, measured.interval_us, values.len());
        }
        let mut signs = Signs::default();
        for found in found.drain(..) {
            match found {
                Found::Beat { time_us } => self.beats.push(time_us),
                Found::Second(second) => {
                    self.note_stop(measured, &second, &mut signs);
                    self.take_second(kind, &second, alarms, step, derived, &mut signs);
                }
            }
        }
        self.found = found;
        signs
    }

    /// A wave that was good just before stops, and no one can say whether the heart does.
    fn note_stop(&mut self, measured: &Measured<'_>, second: &Second, signs: &mut Signs) {
        let time_us = second.time_us;
        let was_good =
            self.good_us.is_some_and(|at_us| (0..=STOP_US_MAX).contains(&time_us.saturating_sub(at_us)));
        let is_coarse =
            measured.quantity == Quantity::Wave(WaveKind::Ecg) && measured.interval_us > ECG_INTERVAL_US_MAX;
        let at_an_end =
            second.stands_at.is_none_or(|value| is_at_an_end(f64::from(value), measured.plausible));
        match second.signal {
            Signal::Good => self.good_us = Some(time_us),
            Signal::Off if was_good && !at_an_end => signs.stopped_us = Some(time_us),
            Signal::Bad if was_good && is_coarse => signs.blind_us = Some(time_us),
            Signal::Off | Signal::Bad => {}
        }
    }

    fn take_second(
        &mut self,
        kind: WaveKind,
        second: &Second,
        alarms: &mut Alarms,
        step: &mut Step<'_>,
        derived: &mut Vec<Derived>,
        signs: &mut Signs,
    ) {
        let time_us = second.time_us;
        let is_good = second.signal == Signal::Good;
        let rate = second.rate_per_min.map(f64::from).filter(|_| is_good);
        let plausible = rate.filter(|rate| is_within(*rate, RATE_PLAUSIBLE));
        signs.second(second.signal);
        signs.rate_implausible = Some(rate.is_some() && plausible.is_none());
        match plausible {
            Some(rate) => {
                self.last_rate = Some((time_us, rate));
                alarms.rate(time_us, rate, step);
            }
            None => alarms.rate_unknown(time_us, step),
        }
        // Of a signal that is not good no one knows whether the heart beats: what was so stays so.
        if is_good {
            alarms.asystole(time_us, second.without_beat_us >= ASYSTOLE_US, step);
        }
        derived.push(Derived {
            time_us,
            wave: Some(kind),
            rate_per_min: plausible,
            quality: Some(f64::from(second.quality)),
            score: self.score(plausible, time_us),
            is_live: true,
        });
    }

    fn take_temperatures(
        &mut self,
        measured: &Measured<'_>,
        alarms: &mut Alarms,
        step: &mut Step<'_>,
        derived: &mut Vec<Derived>,
    ) -> Signs {
        let mut signs = Signs::default();
        for (time_us, value) in measured.times() {
            let is_plausible = is_within(value, measured.plausible) && !is_power_on(value);
            signs.temperature_implausible = Some(!is_plausible);
            if is_plausible {
                let judged = self.temperature.take(time_us, measured.interval_us, value);
                self.last_temperature = Some((time_us, judged));
                alarms.temperature(time_us, judged, step);
                self.derive_without_wave(time_us, derived);
            }
        }
        signs
    }

    fn take_rates(
        &mut self,
        measured: &Measured<'_>,
        alarms: &mut Alarms,
        step: &mut Step<'_>,
        derived: &mut Vec<Derived>,
    ) -> Signs {
        let mut signs = Signs::default();
        for (time_us, value) in measured.times() {
            let is_plausible = is_within(value, measured.plausible) && is_within(value, RATE_PLAUSIBLE);
            signs.rate_implausible = Some(!is_plausible);
            if is_plausible {
                self.last_rate = Some((time_us, value));
                alarms.rate(time_us, value, step);
                self.derive_without_wave(time_us, derived);
            } else {
                alarms.rate_unknown(time_us, step);
            }
        }
        signs
    }

    /// With a wave its seconds are told; otherwise values are, once a second at most.
    fn derive_without_wave(&mut self, time_us: i64, derived: &mut Vec<Derived>) {
        let is_soon = |last_us: i64| (0..US_PER_S).contains(&time_us.saturating_sub(last_us));
        if self.has_wave() || self.derived_us.is_some_and(is_soon) {
            return;
        }
        self.derived_us = Some(time_us);
        let rate = self.last_rate.filter(|(at_us, _)| is_fresh(*at_us, time_us, RATE_AGE_US_MAX));
        let rate_per_min = rate.map(|(_, rate)| rate);
        let score = self.score(rate_per_min, time_us);
        derived.push(Derived { time_us, wave: None, rate_per_min, quality: None, score, is_live: true });
    }

    fn score(&self, rate: Option<f64>, time_us: i64) -> Option<Score> {
        let temperature =
            self.last_temperature.filter(|(at_us, _)| is_fresh(*at_us, time_us, TEMPERATURE_AGE_US_MAX));
        Score::of(rate, temperature.map(|(_, temperature)| temperature))
    }
}

impl Measured<'_> {
    /// When the last value was measured.
    pub(super) fn last_us(&self) -> i64 {
        time_us(self.first_us, self.interval_us, self.values.len().saturating_sub(1))
    }

    /// The values that are numbers, each with its time.
    fn times(&self) -> impl Iterator<Item = (i64, f64)> {
        let numbered = self.values.iter().enumerate().filter(|(_, value)| value.is_finite());
        numbered.map(|(number, value)| (time_us(self.first_us, self.interval_us, number), *value))
    }
}

fn time_us(first_us: i64, interval_us: u32, number: usize) -> i64 {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    first_us.saturating_add(number.saturating_mul(i64::from(interval_us)))
}

fn is_fresh(at_us: i64, time_us: i64, age_us_max: i64) -> bool {
    (-age_us_max..=age_us_max).contains(&time_us.saturating_sub(at_us))
}

fn is_within(value: f64, (least, greatest): (f64, f64)) -> bool {
    (least..=greatest).contains(&value)
}

/// Where a sensor that is off, or an input that is cut off, stands.
fn is_at_an_end(value: f64, (least, greatest): (f64, f64)) -> bool {
    let near = END_SHARE * (greatest - least);
    value - least <= near || greatest - value <= near
}

fn is_power_on(temperature: f64) -> bool {
    (temperature - POWER_ON_TEMPERATURE).abs() < 0.000_5
}

fn to_f32(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a sample has fewer digits than an f32")]
    let value = value as f32;
    value
}
