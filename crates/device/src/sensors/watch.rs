//! The tasks that read the sensors which take their time. They never end, whatever a sensor does: one that does not answer
//! is looked for again, and used again when it is there.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_hal_async::i2c::I2c;

use super::ds18b20::{CONVERSION_MS, Ds18b20, OneWire};
use super::mpu6050::Mpu6050;
use super::{MOVEMENT_AGE_MS_MAX, Readings};
use crate::clock::{Clock, within};

/// A bus that takes longer for a transfer is stuck, in milliseconds.
const BUS_MS_MAX: u64 = 100;
/// How often a sensor that does not answer is looked for, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// From temperature to temperature, in milliseconds.
const TEMPERATURE_EVERY_MS: u64 = 1_000;

/// Reads the movement sensor for ever.
///
/// A transfer that takes longer than 100 ms is dropped in the middle: the bus must stand that.
pub async fn watch_movement<I: I2c, C: Clock, M: RawMutex>(
    mut i2c: I,
    clock: C,
    readings: &Readings<M>,
) -> ! {
    loop {
        if let Ok(Ok(mut sensor)) = within(&clock, BUS_MS_MAX, Mpu6050::start(&mut i2c)).await {
            read_movement(&mut sensor, &clock, readings).await;
        }
        clock.wait_ms(RETRY_MS).await;
    }
}

/// Reads a sensor that was found, until it is gone.
async fn read_movement<I: I2c, C: Clock, M: RawMutex>(
    sensor: &mut Mpu6050<I>,
    clock: &C,
    readings: &Readings<M>,
) {
    let mut measured_us = clock.now_us();
    loop {
        clock.wait_until_us(readings.movement_due_us(clock.now_us())).await;
        let Ok(Ok(movement)) = within(clock, BUS_MS_MAX, sensor.read()).await else { return };
        let now_us = clock.now_us();
        if let Some(movement) = movement {
            measured_us = now_us;
            readings.set_movement(now_us, movement);
        } else if now_us.saturating_sub(measured_us) > MOVEMENT_AGE_MS_MAX * 1_000 {
            // It answers, and measures nothing: it lost its supply for a moment, and with it its setup.
            return;
        }
    }
}

/// Reads the thermometer once a second for ever.
pub async fn watch_temperature<O: OneWire, C: Clock, M: RawMutex>(
    one_wire: O,
    clock: C,
    readings: &Readings<M>,
) -> ! {
    let mut sensor = Ds18b20::new(one_wire);
    let mut due_us = clock.now_us();
    loop {
        if sensor.convert().await.is_ok() {
            clock.wait_ms(CONVERSION_MS).await;
            if let Ok(milli) = sensor.read().await {
                readings.set_body_temperature_milli(clock.now_us(), milli);
            }
        }
        due_us = (due_us + TEMPERATURE_EVERY_MS * 1_000).max(clock.now_us());
        clock.wait_until_us(due_us).await;
    }
}

#[cfg(test)]
mod tests;
