//! How the sensors are. One condition may have several causes: it is there while one of them is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::alarm::{Alarm, Condition};
use crate::wave::Signal;

/// Sensors whose loss is remembered: more than any device has. Of further ones it is known that they are lost, not that they
/// are found.
const LOST_MAX: usize = 16;
/// What the firmware calls the sensor of the wave: while it is lost, no one wonders that its signal is bad.
const PULSE_SENSOR: &str = "pulse sensor";

/// What values say of their sensor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    /// How the wave is.
    pub(super) wave: Option<Signal>,
    /// Whether the last temperature was one that no body has.
    pub(super) temperature_implausible: Option<bool>,
    /// The same for a rate.
    pub(super) rate_implausible: Option<bool>,
    /// When the wave went flat within its range where beats were just before: the sensor, or the heart.
    pub(super) stopped_us: Option<i64>,
    /// When a wave that was good, and is too coarse to show a pause of the heart, was not good any more.
    pub(super) blind_us: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sensors {
    lost: Vec<Box<str>>,
    wave: Option<Signal>,
    /// One more is off than before.
    is_one_more_off: bool,
    is_silent: bool,
    temperature_implausible: bool,
    rate_implausible: bool,
    /// One was off before a restart, and no one knows which: it is until the device says that one was found, or both the wave
    /// and a temperature are there.
    was_off: bool,
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
            is_silent: was(Condition::BadSignal),
            was_implausible: was(Condition::Implausible),
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, signs: Signs) {
        if let Some(wave) = signs.wave {
            self.is_one_more_off |= wave == Signal::Off && self.wave != Some(Signal::Off);
            self.wave = Some(wave);
            self.is_silent = false;
            self.wave_is_there = wave != Signal::Off;
        }
        self.temperature_is_there |= signs.temperature_implausible == Some(false);
        self.was_off &= !(self.wave_is_there && self.temperature_is_there);
        let says = signs.temperature_implausible.or(signs.rate_implausible).is_some();
        self.was_implausible &= !says;
        self.temperature_implausible = signs.temperature_implausible.unwrap_or(self.temperature_implausible);
        self.rate_implausible = signs.rate_implausible.unwrap_or(self.rate_implausible);
    }

    pub(super) fn silent(&mut self) {
        self.is_silent = true;
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// The device says nothing: only what it said of its sensors still holds.
    pub(super) fn forget_signal(&mut self) {
        if self.wave != Some(Signal::Off) {
            self.wave = None;
        }
        self.is_silent = false;
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
    pub(super) fn is_bad(&self) -> bool {
        let is_wave_off =
            self.wave == Some(Signal::Off) || self.lost.iter().any(|lost| **lost == *PULSE_SENSOR);
        !is_wave_off && (self.is_silent || self.wave == Some(Signal::Bad))
    }

    pub(super) fn is_implausible(&self) -> bool {
        self.was_implausible || self.temperature_implausible || self.rate_implausible
    }
}
