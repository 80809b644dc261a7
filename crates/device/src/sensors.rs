//! The device's sensors, and what they said last. Values are integers of thousandths: of degrees Celsius, of volts, of
//! standard gravity; scale −3 in PROTOCOL.md §4.1. No floats: the RP2040 has no unit for them.
//!
//! Sensors that take their time (movement, body temperature) are watched by a task each, which puts what it read into
//! [`Readings`]; what is read at once (the ADC) the recorder asks for itself. A sensor that does not answer is asked again
//! for ever. A value that is too old is none, and nothing here makes one up.

mod adc;
mod ds18b20;
mod mpu6050;
#[cfg(test)]
pub(crate) mod virtual_sensors;
mod watch;

use core::cell::Cell;

pub use adc::{ADC_MAX, Adc, AdcInput, mcu_temperature_milli, pulse_millivolts};
pub use ds18b20::{CONVERSION_MS, Ds18b20, OneWire, ThermometerError};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
pub use mpu6050::{MPU6050_ADDRESS, Movement, MovementError, Mpu6050, SAMPLE_US};
pub use watch::{watch_movement, watch_temperature};

/// What the movement sensor said is good for so long, in milliseconds: three times that between two readings. Usually it is the
/// mean of 50 ms that ended 5 ms before it is wanted.
pub const MOVEMENT_AGE_MS_MAX: u64 = 150;
/// What the thermometer said is good for so long, in milliseconds: it measures once a second.
pub const TEMPERATURE_AGE_MS_MAX: u64 = 1_500;
/// How often the movement sensor is read unless someone wants it more often, in microseconds.
const MOVEMENT_EVERY_US_MAX: u32 = 50_000;
/// How long before someone wants it, in microseconds: a reading takes less than 1 ms.
const MOVEMENT_LEAD_US: u64 = 5_000;

/// The sensors of the device; the name is what an event calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensor {
    /// The body's thermometer.
    Thermometer,
    /// The movement sensor with its own thermometer.
    Movement,
    /// The pulse sensor, at the ADC.
    Pulse,
    /// The microcontroller's own thermometer, at the ADC.
    Mcu,
}

impl Sensor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Thermometer, Self::Movement, Self::Pulse, Self::Mcu];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Thermometer => "DS18B20",
            Self::Movement => "MPU-6050",
            Self::Pulse => "pulse sensor",
            Self::Mcu => "RP2040 temperature",
        }
    }
}

/// A value and when it was measured, in microseconds of the clock.
type Timed<T> = Option<(u64, T)>;

/// What the watched sensors said last. Patient values: it is never printed.
pub struct Readings<M: RawMutex> {
    latest: Mutex<M, Cell<Latest>>,
}

#[derive(Clone, Copy)]
struct Latest {
    movement: Timed<Movement>,
    body_temperature_milli: Timed<i32>,
    movement_wanted: Wanted,
}

/// When someone takes the movement: at one moment, and then at an even pace.
#[derive(Clone, Copy)]
struct Wanted {
    at_us: u64,
    every_us: u32,
}

impl<M: RawMutex> Default for Readings<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: RawMutex> core::fmt::Debug for Readings<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Readings(..)")
    }
}

impl<M: RawMutex> Readings<M> {
    /// Nothing was measured yet.
    #[must_use]
    pub const fn new() -> Self {
        let movement_wanted = Wanted { at_us: 0, every_us: MOVEMENT_EVERY_US_MAX };
        let latest = Latest { movement: None, body_temperature_milli: None, movement_wanted };
        Self { latest: Mutex::new(Cell::new(latest)) }
    }

    /// The movement, if it was measured lately.
    pub fn movement(&self, now_us: u64) -> Option<Movement> {
        fresh(self.latest.lock(Cell::get).movement, now_us, MOVEMENT_AGE_MS_MAX)
    }

    /// The body's temperature in thousandths of a degree Celsius, if it was measured lately.
    pub fn body_temperature_milli(&self, now_us: u64) -> Option<i32> {
        fresh(self.latest.lock(Cell::get).body_temperature_milli, now_us, TEMPERATURE_AGE_MS_MAX)
    }

    /// The movement sensor said this.
    pub fn set_movement(&self, at_us: u64, movement: Movement) {
        self.update(|latest| latest.movement = Some((at_us, movement)));
    }

    /// The thermometer said this, in thousandths of a degree Celsius.
    pub fn set_body_temperature_milli(&self, at_us: u64, milli: i32) {
        self.update(|latest| latest.body_temperature_milli = Some((at_us, milli)));
    }

    /// Someone takes the movement at this moment, and then so often, in microseconds; more often than the sensor measures is no
    /// use.
    pub(crate) fn want_movement(&self, at_us: u64, every_us: u32) {
        let every_us = every_us.clamp(SAMPLE_US, MOVEMENT_EVERY_US_MAX);
        self.update(|latest| latest.movement_wanted = Wanted { at_us, every_us });
    }

    /// When the movement sensor is to be read next, after now: soon before someone takes what it says.
    fn movement_due_us(&self, now_us: u64) -> u64 {
        let Wanted { at_us, every_us } = self.latest.lock(Cell::get).movement_wanted;
        let read_us = at_us.saturating_sub(MOVEMENT_LEAD_US);
        let away_us = |us: u64| u32::try_from(us).ok().map(|us| u64::from(us % every_us));
        // At the same pace before and after; the first microsecond after now is the first that counts. The recorder says so
        // again every few seconds: of what is over an hour away the phase does not matter.
        match read_us.checked_sub(now_us + 1) {
            Some(left_us) => now_us + 1 + away_us(left_us).unwrap_or(u64::from(every_us)),
            None => now_us + u64::from(every_us) - away_us(now_us - read_us).unwrap_or(0),
        }
    }

    fn update(&self, change: impl FnOnce(&mut Latest)) {
        self.latest.lock(|cell| {
            let mut latest = cell.get();
            change(&mut latest);
            cell.set(latest);
        });
    }
}

fn fresh<T>(timed: Timed<T>, now_us: u64, age_ms_max: u64) -> Option<T> {
    let (at_us, value) = timed?;
    (now_us.saturating_sub(at_us) <= age_ms_max * 1_000).then_some(value)
}

/// `numerator / denominator` to the nearest integer, halves up. `denominator` is positive, and both are far from the limits
/// of their type.
fn rounded(numerator: i32, denominator: i32) -> i32 {
    (2 * numerator + denominator).div_euclid(2 * denominator)
}

#[cfg(test)]
mod tests {
    use embassy_sync::blocking_mutex::raw::NoopRawMutex;

    use super::*;

    #[test]
    fn a_value_is_there_until_it_is_too_old() {
        let readings = Readings::<NoopRawMutex>::new();
        assert!(readings.movement(0).is_none() && readings.body_temperature_milli(0).is_none());
        let movement = Movement { acceleration_milli: [1, -2, 1_000], temperature_milli: 23_400 };
        readings.set_movement(1_000_000, movement);
        readings.set_body_temperature_milli(1_000_000, 36_625);
        assert_eq!(readings.movement(1_150_000), Some(movement));
        assert_eq!(readings.movement(1_150_001), None);
        assert_eq!(readings.body_temperature_milli(2_500_000), Some(36_625));
        assert_eq!(readings.body_temperature_milli(2_500_001), None);
    }

    #[test]
    fn halves_are_rounded_up_on_both_sides_of_zero() {
        assert_eq!([1, 2, 3, -1, -2, -3, 5].map(|n| rounded(n, 2)), [1, 1, 2, 0, -1, -1, 3]);
    }
}
