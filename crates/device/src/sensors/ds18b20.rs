//! The body's thermometer DS18B20 on a 1-Wire bus of its own, with its own supply. Datasheet: Maxim 19-7487 revision 6.
//!
//! It reads with CRC, at 12 bits, and never takes the value after power-on, 85.000 °C, for a temperature.

use core::future::Future;

/// What a conversion of 12 bits takes, in milliseconds, at most (datasheet, AC electrical characteristics).
pub const CONVERSION_MS: u64 = 750;

/// Bytes of the scratchpad (figure 9).
const SCRATCHPAD_LEN: usize = 9;
/// How often a scratchpad whose CRC is wrong is read again.
const READS_MAX: usize = 3;
/// The temperature register after power-on, before a conversion: 85 °C (table 1, note).
const POWER_ON_RAW: i16 = 0x0550;
/// What it can measure, in sixteenths of a degree: −55 to 125 °C.
const RAW_RANGE: core::ops::RangeInclusive<i16> = -55 * 16..=125 * 16;

/// Commands (datasheet, "ROM commands" and "Function commands").
mod command {
    /// Whichever sensor is there.
    pub(super) const SKIP_ROM: u8 = 0xcc;
    pub(super) const CONVERT: u8 = 0x44;
    pub(super) const READ_SCRATCHPAD: u8 = 0xbe;
    pub(super) const WRITE_SCRATCHPAD: u8 = 0x4e;
}

/// The configuration register (figure 10): its resolution bits, and those that always are what they are.
mod configuration {
    pub(super) const TWELVE_BITS: u8 = 0x7f;
    pub(super) const FIXED_MASK: u8 = 0x9f;
    pub(super) const FIXED: u8 = 0x1f;
}

/// A 1-Wire bus; the firmware's state machine makes its slots. All of it takes a bounded time.
pub trait OneWire {
    /// Resets the bus; whether a sensor is there.
    fn reset(&mut self) -> impl Future<Output = bool>;
    /// Writes a byte, least significant bit first.
    fn write_byte(&mut self, byte: u8) -> impl Future<Output = ()>;
    /// Reads a byte, least significant bit first.
    fn read_byte(&mut self) -> impl Future<Output = u8>;
}

/// Why there is no temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ThermometerError {
    #[error("the thermometer does not answer: check its wires, its supply and the pull-up of its data line")]
    Absent,
    #[error("what the thermometer says arrives altered: its cable is too long or its pull-up too weak")]
    Altered,
    /// It lost its supply during the conversion: the register has its value after power-on.
    #[error("the thermometer has just been switched on: its supply is interrupted")]
    PowerOn,
    #[error("the thermometer measured with fewer than 12 bits: it is set up again")]
    Coarse,
    #[error("the thermometer says a temperature outside -55 to 125 degrees Celsius")]
    OutOfRange,
}

/// The sensor.
#[derive(Debug)]
pub struct Ds18b20<O> {
    bus: O,
}

impl<O: OneWire> Ds18b20<O> {
    /// The sensor on this bus.
    #[must_use]
    pub fn new(bus: O) -> Self {
        Self { bus }
    }

    /// Begins a conversion: [`Self::read`] in [`CONVERSION_MS`].
    ///
    /// # Errors
    /// No sensor answers.
    pub async fn convert(&mut self) -> Result<(), ThermometerError> {
        self.begin(command::CONVERT).await
    }

    /// What the conversion found, in thousandths of a degree Celsius.
    ///
    /// # Errors
    /// It found nothing, see [`ThermometerError`].
    pub async fn read(&mut self) -> Result<i32, ThermometerError> {
        let [low, high, alarm_high, alarm_low, configuration, ..] = self.scratchpad().await?;
        if configuration != configuration::TWELVE_BITS {
            self.begin(command::WRITE_SCRATCHPAD).await?;
            for byte in [alarm_high, alarm_low, configuration::TWELVE_BITS] {
                self.bus.write_byte(byte).await;
            }
            return Err(ThermometerError::Coarse);
        }
        let raw = i16::from_le_bytes([low, high]);
        if raw == POWER_ON_RAW {
            return Err(ThermometerError::PowerOn);
        }
        if !RAW_RANGE.contains(&raw) {
            return Err(ThermometerError::OutOfRange);
        }
        // A sixteenth is 62.5 thousandths; halves up.
        Ok((i32::from(raw) * 125 + 1) >> 1)
    }

    async fn begin(&mut self, command: u8) -> Result<(), ThermometerError> {
        if !self.bus.reset().await {
            return Err(ThermometerError::Absent);
        }
        self.bus.write_byte(command::SKIP_ROM).await;
        self.bus.write_byte(command).await;
        Ok(())
    }

    async fn scratchpad(&mut self) -> Result<[u8; SCRATCHPAD_LEN], ThermometerError> {
        for _ in 0..READS_MAX {
            self.begin(command::READ_SCRATCHPAD).await?;
            let mut scratchpad = [0; SCRATCHPAD_LEN];
            for byte in &mut scratchpad {
                *byte = self.bus.read_byte().await;
            }
            // A line that is stuck low reads as zeros, whose CRC is right: the fixed bits tell.
            let [_, _, _, _, configuration, ..] = scratchpad;
            let is_fixed = configuration & configuration::FIXED_MASK == configuration::FIXED;
            if crc8(&scratchpad) == 0 && is_fixed {
                return Ok(scratchpad);
            }
        }
        Err(ThermometerError::Altered)
    }
}

/// The CRC of 1-Wire (Maxim application note 27): `x⁸ + x⁵ + x⁴ + 1`, reflected. Over bytes and their CRC it is 0.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x8c } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests;
