//! A wearable's hardware in software: sensors at the level of their registers and buses, clock, flash, switch and LED, all on
//! one modelled patient. The device crate's own drivers run on it; it never helps them by more than the real parts do.
//!
//! Values come from the [`Wearer`], whom a person can change while the device runs. The parts have a clock of their own, that
//! of the world: it goes on when the device restarts.

mod adc;
mod clock;
mod ds18b20;
mod flash;
mod mpu6050;
mod wearer;

pub use adc::VirtualAdc;
pub use clock::HostClock;
pub use ds18b20::VirtualDs18b20;
pub use flash::{FLASH_SECTOR_LEN, SimulatedFlash};
pub use mpu6050::VirtualMpu6050;
pub use wearer::{Adjustment, Axis, Direction, Knobs, Sensor, Wearer};
