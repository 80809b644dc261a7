//! How the sensors are. One condition may have several causes: it is there while one of them is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::silence::{Kind, Silence};
use crate::alarm::{Alarm, BadSignal, BadSignals, Condition};
use crate::wave::{Signal, WaveKind};

/// Sensors whose loss is remembered: more than any device has. Of further ones it is known that they are lost, not that they
/// are found.
const LOST_MAX: usize = 16;
/// What the firmware calls the sensor of the wave: while it is lost, no one wonders that its signal is bad.
const PULSE_SENSOR: &str = "pulse sensor";
/// The same for the temperature.
const THERMOMETER: &str = "DS18B20";
/// A wave that was bad is good again after so many good seconds one after the other.
const GOOD_S_MIN: u32 = 10;

/// What values say of their sensor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    /// How the wave is.
    pub(super) wave: Option<Signal>,
    /// Whether it was bad in between.
    pub(super) is_wave_bad: bool,
    /// Good seconds since it was last anything else,
    pub(super) good_s: u32,
    /// if that was in these values.
    pub(super) is_broken_off: bool,
    /// Whether the last temperature was one that no body has.
    pub(super) temperature_implausible: Option<bool>,
    /// The same for a rate.
    pub(super) rate_implausible: Option<bool>,
    /// When the wave went flat within its range where beats were just before: the sensor, or the heart.
    pub(super) stopped_us: Option<i64>,
    /// When a wave that was good, and is too coarse to show a pause of the heart, was not good any more.
    pub(super) blind_us: Option<i64>,
}

impl Signs {
    pub(super) fn second(&mut self, signal: Signal) {
        self.wave = Some(signal);
        self.is_wave_bad |= signal == Signal::Bad;
        self.is_broken_off |= signal != Signal::Good;
        self.good_s = if signal == Signal::Good { self.good_s.saturating_add(1) } else { 0 };
    }
}

#[derive(Clone, Debug)]
pub(super) struct Sensors {
    lost: Vec<Box<str>>,
    wave: Option<Signal>,
    /// One more is off than before.
    is_one_more_off: bool,
    /// From the first bad second on, until it was good for long enough.
    is_wave_bad: bool,
    /// It was seen; otherwise it was so before a restart, and may have been another signal.
    is_wave_seen_bad: bool,
    good_s: u32,
    temperature_implausible: bool,
    rate_implausible: bool,
    /// One was off before a restart, and no one knows which: it is until the device says that one was found, or the wave and a
    /// temperature are there, as far as it has them.
    was_off: bool,
    has_wave: bool,
    has_temperature: bool,
    wave_is_there: bool,
    temperature_is_there: bool,
    /// The same for an implausible value.
    was_implausible: bool,
}

impl Sensors {
    /// What was so before a restart is so until something says otherwise.
    pub(super) fn restored(open: &[Alarm]) -> Self {
        let was = |condition| open.iter().any(|alarm| alarm.condition == condition && alarm.is_active());
        Self {
            was_off: was(Condition::SensorOff),
            is_wave_bad: was(Condition::BadSignal),
            was_implausible: was(Condition::Implausible),
            lost: Vec::new(),
            wave: None,
            is_one_more_off: false,
            is_wave_seen_bad: false,
            good_s: 0,
            temperature_implausible: false,
            rate_implausible: false,
            has_wave: true,
            has_temperature: true,
            wave_is_there: false,
            temperature_is_there: false,
        }
    }

    /// What the device has, by its profile. Until that is known it may have anything.
    pub(super) fn has(&mut self, silence: &Silence) {
        (self.has_wave, self.has_temperature) = (silence.has(Kind::Wave), silence.has(Kind::Temperature));
        self.is_wave_bad &= self.has_wave;
    }

    pub(super) fn note(&mut self, signs: Signs) {
        if let Some(wave) = signs.wave {
            self.is_one_more_off |= wave == Signal::Off && self.wave != Some(Signal::Off);
            self.wave = Some(wave);
            let before = if signs.is_broken_off { 0 } else { self.good_s };
            self.good_s = before.saturating_add(signs.good_s);
            self.is_wave_seen_bad = signs.is_wave_bad || (self.is_wave_seen_bad && self.is_wave_bad);
            self.is_wave_bad |= signs.is_wave_bad;
            self.is_wave_bad &= wave != Signal::Off && !self.is_well();
            self.wave_is_there = wave != Signal::Off;
        }
        self.temperature_is_there |= signs.temperature_implausible == Some(false);
        let is_there = (self.wave_is_there || !self.has_wave)
            && (self.temperature_is_there || !self.has_temperature)
            && (self.has_wave || self.has_temperature);
        self.was_off &= !is_there;
        let says = signs.temperature_implausible.or(signs.rate_implausible).is_some();
        self.was_implausible &= !says;
        self.temperature_implausible = signs.temperature_implausible.unwrap_or(self.temperature_implausible);
        self.rate_implausible = signs.rate_implausible.unwrap_or(self.rate_implausible);
    }

    /// No wave comes any more. One that comes must be good for a while before it is.
    pub(super) fn no_wave(&mut self) {
        (self.is_wave_bad, self.is_wave_seen_bad, self.good_s) = (true, true, 0);
    }

    /// Whether the wave has been good for long enough.
    pub(super) fn is_well(&self) -> bool {
        self.good_s >= GOOD_S_MIN
    }

    /// The device has other channels from now on.
    pub(super) fn forget_channels(&mut self) {
        self.forget_signal();
        (self.wave, self.wave_is_there, self.temperature_is_there) = (None, false, false);
    }

    /// The device says nothing: only what it said of its sensors still holds.
    pub(super) fn forget_signal(&mut self) {
        if self.wave != Some(Signal::Off) {
            self.wave = None;
        }
        (self.is_wave_bad, self.good_s) = (false, 0);
        (self.temperature_implausible, self.rate_implausible) = (false, false);
    }

    pub(super) fn lost(&mut self, name: &str) {
        if self.lost.len() < LOST_MAX && !self.lost.iter().any(|lost| **lost == *name) {
            self.lost.push(name.into());
            self.is_one_more_off = true;
        }
    }

    pub(super) fn found(&mut self, name: &str) {
        self.lost.retain(|lost| **lost != *name);
        self.was_off = false;
    }

    pub(super) fn found_all(&mut self) {
        self.lost.clear();
        self.was_off = false;
    }

    pub(super) fn is_off(&self) -> bool {
        self.was_off || self.wave == Some(Signal::Off) || !self.lost.is_empty()
    }

    /// Whether a sensor went off since this was last asked, whatever was off before.
    pub(super) fn is_one_more_off(&mut self) -> bool {
        core::mem::take(&mut self.is_one_more_off)
    }

    /// A wave whose sensor is off says nothing else. That another one is off says nothing of the wave.
    pub(super) fn is_bad(&self, silence: &Silence) -> bool {
        self.is_wave_bad && !self.is_wave_off() || !self.bad(silence, Some(WaveKind::Ppg)).is_empty()
    }

    /// Which are; the wave is one of this kind.
    pub(super) fn bad(&self, silence: &Silence, kind: Option<WaveKind>) -> BadSignals {
        let is_wave_bad = (self.is_wave_bad && self.is_wave_seen_bad) || silence.is_silent(Kind::Wave);
        let of_wave = kind.map(|kind| match kind {
            WaveKind::Ecg => BadSignal::Ecg,
            WaveKind::Ppg => BadSignal::Pulse,
        });
        let is_temperature_silent = silence.is_silent(Kind::Temperature) && !self.is_lost(THERMOMETER);
        let all = [
            (is_wave_bad && !self.is_wave_off(), of_wave),
            (is_temperature_silent, Some(BadSignal::Temperature)),
            (silence.is_silent(Kind::Rate), Some(BadSignal::Rate)),
            (silence.is_silent(Kind::Anything), Some(BadSignal::All)),
        ];
        let mut bad = BadSignals::NONE;
        all.into_iter()
            .filter_map(|(is_bad, signal)| signal.filter(|_| is_bad))
            .for_each(|one| bad.insert(one));
        bad
    }

    fn is_lost(&self, name: &str) -> bool {
        self.lost.iter().any(|lost| **lost == *name)
    }

    fn is_wave_off(&self) -> bool {
        self.wave == Some(Signal::Off) || self.is_lost(PULSE_SENSOR)
    }

    pub(super) fn is_implausible(&self) -> bool {
        self.was_implausible || self.temperature_implausible || self.rate_implausible
    }
}
