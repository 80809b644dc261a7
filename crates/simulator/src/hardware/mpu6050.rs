//! An MPU6050 on an I²C bus: its registers as far as a driver of accelerometer and thermometer uses them, with sampling and
//! FIFO in time. The gyroscope is at rest.
//!
//! Source: InvenSense, MPU-6000 and MPU-6050 Register Map and Descriptions, revision 4.2 (RM below, by section).

use std::collections::VecDeque;

use embedded_hal_async::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};

use super::{HostClock, Sensor, Wearer};

/// Its address with AD0 low (RM §4.34).
const MPU6050_ADDRESS: SevenBitAddress = 0x68;
/// Bytes of the FIFO (RM §4.30).
const FIFO_LEN: usize = 1_024;
/// Registers, whether they mean something or not.
const REGISTERS: usize = 128;

/// Addresses of registers (RM §3).
mod register {
    pub(super) const SMPLRT_DIV: u8 = 0x19;
    pub(super) const CONFIG: u8 = 0x1a;
    pub(super) const ACCEL_CONFIG: u8 = 0x1c;
    pub(super) const FIFO_EN: u8 = 0x23;
    pub(super) const INT_STATUS: u8 = 0x3a;
    pub(super) const ACCEL_XOUT_H: u8 = 0x3b;
    pub(super) const GYRO_ZOUT_L: u8 = 0x48;
    pub(super) const USER_CTRL: u8 = 0x6a;
    pub(super) const PWR_MGMT_1: u8 = 0x6b;
    pub(super) const FIFO_COUNTH: u8 = 0x72;
    pub(super) const FIFO_COUNTL: u8 = 0x73;
    pub(super) const FIFO_R_W: u8 = 0x74;
    pub(super) const WHO_AM_I: u8 = 0x75;
}

const DEVICE_RESET: u8 = 1 << 7;
const SLEEP: u8 = 1 << 6;
const FIFO_ON: u8 = 1 << 6;
const FIFO_RESET: u8 = 1 << 2;
const FIFO_OVERFLOW: u8 = 1 << 4;
const DATA_READY: u8 = 1;

/// An MPU6050 and the bus that it is alone on.
#[derive(Debug)]
pub struct VirtualMpu6050 {
    clock: HostClock,
    wearer: Wearer,
    registers: [u8; REGISTERS],
    /// The register of the next byte.
    pointer: u8,
    fifo: VecDeque<u8>,
    /// What an empty FIFO gives: its last byte.
    last: u8,
    /// When the next sample is due, in microseconds; none while it sleeps.
    next_us: Option<u64>,
    was_unplugged: bool,
}

impl VirtualMpu6050 {
    /// A sensor that has just got power.
    #[must_use]
    pub fn new(clock: HostClock, wearer: Wearer) -> Self {
        let mut sensor = Self {
            clock,
            wearer,
            registers: [0; REGISTERS],
            pointer: 0,
            fifo: VecDeque::with_capacity(FIFO_LEN),
            last: 0,
            next_us: None,
            was_unplugged: false,
        };
        sensor.reset();
        sensor
    }

    /// The reset values (RM §3): all zero but these two.
    fn reset(&mut self) {
        self.registers = [0; REGISTERS];
        self.set(register::PWR_MGMT_1, SLEEP);
        self.set(register::WHO_AM_I, MPU6050_ADDRESS);
        self.fifo.clear();
        self.next_us = None;
    }

    fn register(&self, at: u8) -> u8 {
        self.registers.get(usize::from(at)).copied().unwrap_or_default()
    }

    fn set(&mut self, at: u8, value: u8) {
        if let Some(register) = self.registers.get_mut(usize::from(at)) {
            *register = value;
        }
    }

    /// Microseconds from sample to sample: the gyroscope's rate, 8 kHz without and 1 kHz with its low-pass filter, divided
    /// (RM §4.2, §4.3).
    fn interval_us(&self) -> u64 {
        let is_filtered = !matches!(self.register(register::CONFIG) & 7, 0 | 7);
        let base_us = if is_filtered { 1_000 } else { 125 };
        base_us * (1 + u64::from(self.register(register::SMPLRT_DIV)))
    }

    /// Takes the samples that were due since it was last asked.
    fn catch_up(&mut self) {
        use vitalwire_device::clock::Clock as _;
        let (now_us, interval_us) = (self.clock.now_us(), self.interval_us());
        if self.register(register::PWR_MGMT_1) & SLEEP != 0 {
            self.next_us = None;
            return;
        }
        let next_us = self.next_us.unwrap_or(now_us + interval_us);
        if next_us > now_us {
            self.next_us = Some(next_us);
            return;
        }
        let due = (now_us - next_us) / interval_us + 1;
        let end_us = next_us + due * interval_us;
        // Of more samples than the FIFO holds only the last matter; the rest went over.
        let kept = due.min(FIFO_LEN as u64);
        if kept < due && self.fills_fifo() {
            self.overflow();
        }
        for back in (1..=kept).rev() {
            self.sample(end_us - back * interval_us);
        }
        self.next_us = Some(end_us);
    }

    fn fills_fifo(&self) -> bool {
        self.register(register::USER_CTRL) & FIFO_ON != 0 && self.register(register::FIFO_EN) != 0
    }

    fn overflow(&mut self) {
        self.set(register::INT_STATUS, self.register(register::INT_STATUS) | FIFO_OVERFLOW);
    }

    /// Measures into the output registers, and into the FIFO what is enabled, in the order of the registers (RM §4.30).
    fn sample(&mut self, at_us: u64) {
        let seconds = at_us as f64 / 1e6;
        // Counts in 1 g: 16,384 at ±2 g, half as many with each wider range (RM §4.17).
        let range = self.register(register::ACCEL_CONFIG) >> 3 & 3;
        let counts_of_g = f64::from(16_384_u32 >> range);
        let axes = self.wearer.acceleration_g(seconds).map(|g| word(g * counts_of_g));
        // °C = counts / 340 + 36.53 (RM §4.18).
        let temperature = word((self.wearer.mpu_celsius(seconds) - 36.53) * 340.0);
        let outputs = [axes[0], axes[1], axes[2], temperature, 0, 0, 0];
        let enabled = self.register(register::FIFO_EN);
        let is_in_fifo = [3, 3, 3, 7, 6, 5, 4].map(|bit| enabled >> bit & 1 == 1);
        let fills_fifo = self.fills_fifo();
        for ((value, is_in_fifo), place) in outputs.into_iter().zip(is_in_fifo).zip(0_u8..) {
            for (byte, low) in value.to_be_bytes().into_iter().zip(0_u8..) {
                self.set(register::ACCEL_XOUT_H + 2 * place + low, byte);
                if fills_fifo && is_in_fifo {
                    self.push(byte);
                }
            }
        }
        self.set(register::INT_STATUS, self.register(register::INT_STATUS) | DATA_READY);
    }

    /// A full FIFO loses its oldest byte (RM §4.30).
    fn push(&mut self, byte: u8) {
        if self.fifo.len() == FIFO_LEN {
            self.fifo.pop_front();
            self.overflow();
        }
        self.fifo.push_back(byte);
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some((pointer, values)) = bytes.split_first() else { return };
        self.pointer = *pointer;
        for value in values {
            self.write_register(*value);
        }
    }

    fn write_register(&mut self, value: u8) {
        let at = self.pointer;
        if at != register::FIFO_R_W {
            self.pointer = at.wrapping_add(1);
        }
        match at {
            register::PWR_MGMT_1 if value & DEVICE_RESET != 0 => self.reset(),
            register::USER_CTRL => {
                // RM §4.29: it resets while FIFO_EN is 0, and the bit clears itself.
                if value & FIFO_RESET != 0 && value & FIFO_ON == 0 {
                    self.fifo.clear();
                }
                self.set(at, value & !FIFO_RESET);
            }
            // Outputs cannot be written.
            register::INT_STATUS
            | register::ACCEL_XOUT_H..=register::GYRO_ZOUT_L
            | register::FIFO_COUNTH..=register::WHO_AM_I => {}
            register::CONFIG | register::SMPLRT_DIV => {
                self.set(at, value);
                // The new rate counts from here.
                self.next_us = None;
                self.catch_up();
            }
            _ => self.set(at, value),
        }
    }

    fn read_register(&mut self) -> u8 {
        let at = self.pointer;
        if at != register::FIFO_R_W {
            self.pointer = at.wrapping_add(1);
        }
        let [high, low] = u16::try_from(self.fifo.len()).unwrap_or(u16::MAX).to_be_bytes();
        match at {
            register::FIFO_COUNTH => high,
            register::FIFO_COUNTL => low,
            register::FIFO_R_W => {
                self.last = self.fifo.pop_front().unwrap_or(self.last);
                self.last
            }
            register::INT_STATUS => {
                let status = self.register(at);
                self.set(at, 0);
                status
            }
            _ => self.register(at),
        }
    }
}

/// A value as the sensor's 16 bits: it stops at their ends.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, as the sensor does")]
fn word(counts: f64) -> i16 {
    counts.round() as i16
}

impl ErrorType for VirtualMpu6050 {
    type Error = ErrorKind;
}

impl I2c for VirtualMpu6050 {
    async fn transaction(
        &mut self,
        address: SevenBitAddress,
        operations: &mut [Operation<'_>],
    ) -> Result<(), ErrorKind> {
        let is_unplugged = self.wearer.is_unplugged(Sensor::Movement);
        if std::mem::replace(&mut self.was_unplugged, is_unplugged) && !is_unplugged {
            // It has had no power.
            self.reset();
        }
        if address != MPU6050_ADDRESS || is_unplugged {
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        self.catch_up();
        for operation in operations {
            match operation {
                Operation::Write(bytes) => self.take(bytes),
                Operation::Read(bytes) => bytes.fill_with(|| self.read_register()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
