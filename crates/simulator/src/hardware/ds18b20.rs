//! A DS18B20 alone on its bus, at the level of bytes: presence, commands, conversion in its time, scratchpad with its check.
//!
//! Source: Maxim, DS18B20 datasheet (19-7487), by heading.

use vitalwire_device::clock::Clock as _;
use vitalwire_device::sensors::OneWire;

use super::{HostClock, Sensor, Wearer};

/// Commands ("ROM Commands", "DS18B20 Function Commands").
mod command {
    pub(super) const SKIP_ROM: u8 = 0xcc;
    pub(super) const CONVERT: u8 = 0x44;
    pub(super) const WRITE_SCRATCHPAD: u8 = 0x4e;
    pub(super) const READ_SCRATCHPAD: u8 = 0xbe;
}

/// 85.000 °C, which the scratchpad holds after power-on ("Scratchpad").
const POWER_ON: i16 = 0x0550;
/// Microseconds of a conversion at 12 bits ("Thermometer Resolution Configuration"); each bit less halves them.
const CONVERSION_US: u64 = 750_000;
/// The configuration register at 12 bits.
const CONFIG_12_BITS: u8 = 0x7f;

/// What the bytes of the bus mean now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing until a reset.
    Idle,
    /// The master names a sensor.
    Rom,
    /// The master says what to do.
    Function,
    /// The scratchpad goes out, from this byte on.
    Reading(usize),
    /// The master writes alarms and configuration, from this byte on.
    Writing(usize),
    /// Read slots tell whether the conversion is done.
    Converting,
}

/// A thermometer on a patient.
#[derive(Debug)]
pub struct VirtualDs18b20 {
    clock: HostClock,
    wearer: Wearer,
    phase: Phase,
    temperature: i16,
    /// Alarms and configuration.
    kept: [u8; 3],
    /// When the conversion will be done.
    converted_us: Option<u64>,
    was_unplugged: bool,
}

impl VirtualDs18b20 {
    /// A sensor that has just got power.
    #[must_use]
    pub fn new(clock: HostClock, wearer: Wearer) -> Self {
        Self {
            clock,
            wearer,
            phase: Phase::Idle,
            temperature: POWER_ON,
            kept: [0x4b, 0x46, CONFIG_12_BITS],
            converted_us: None,
            was_unplugged: false,
        }
    }

    /// The master pulls the bus down for long; whether a sensor answers.
    fn answers_reset(&mut self) -> bool {
        let is_unplugged = self.wearer.is_unplugged(Sensor::Temperature);
        if std::mem::replace(&mut self.was_unplugged, is_unplugged) && !is_unplugged {
            (self.temperature, self.converted_us) = (POWER_ON, None);
            self.kept = [0x4b, 0x46, CONFIG_12_BITS];
        }
        self.phase = if is_unplugged { Phase::Idle } else { Phase::Rom };
        !is_unplugged
    }

    /// The master writes a byte.
    fn take(&mut self, byte: u8) {
        self.finish_conversion();
        self.phase = match (self.phase, byte) {
            (Phase::Rom, command::SKIP_ROM) => Phase::Function,
            (Phase::Function, command::CONVERT) => {
                self.converted_us = Some(self.clock.now_us() + (CONVERSION_US >> (12 - self.bits())));
                Phase::Converting
            }
            (Phase::Function, command::READ_SCRATCHPAD) => Phase::Reading(0),
            (Phase::Function, command::WRITE_SCRATCHPAD) => Phase::Writing(0),
            (Phase::Writing(place), byte) => {
                if let Some(kept) = self.kept.get_mut(place) {
                    // Only the resolution can be written ("Configuration Register").
                    *kept = if place == 2 { byte & 0x60 | 0x1f } else { byte };
                }
                if place < 2 { Phase::Writing(place + 1) } else { Phase::Idle }
            }
            _ => Phase::Idle,
        };
    }

    /// The master reads a byte. A bus that no one holds down reads as ones.
    fn give(&mut self) -> u8 {
        if self.wearer.is_unplugged(Sensor::Temperature) {
            return 0xff;
        }
        self.finish_conversion();
        match self.phase {
            Phase::Converting if self.converted_us.is_some() => 0x00,
            Phase::Reading(place) => {
                self.phase = Phase::Reading(place + 1);
                self.scratchpad().get(place).copied().unwrap_or(0xff)
            }
            _ => 0xff,
        }
    }

    /// Bits of a conversion, 9 to 12.
    fn bits(&self) -> u8 {
        9 + (self.kept[2] >> 5 & 3)
    }

    fn finish_conversion(&mut self) {
        let Some(at_us) = self.converted_us.filter(|at_us| *at_us <= self.clock.now_us()) else { return };
        self.converted_us = None;
        // Sixteenths of a degree, the lowest bits undefined at lower resolutions; here zero ("Temperature Register Format").
        let sixteenths = sixteenths(self.wearer.body_celsius(at_us as f64 / 1e6));
        self.temperature = sixteenths & (-1 << (12 - self.bits()));
    }

    fn scratchpad(&self) -> [u8; 9] {
        let [low, high] = self.temperature.to_le_bytes();
        let [alarm_high, alarm_low, config] = self.kept;
        let mut bytes = [low, high, alarm_high, alarm_low, config, 0xff, 0x0c, 0x10, 0];
        let [data @ .., check] = &mut bytes;
        *check = crc_8(data);
        bytes
    }
}

impl OneWire for VirtualDs18b20 {
    async fn reset(&mut self) -> bool {
        self.answers_reset()
    }

    async fn write_byte(&mut self, byte: u8) {
        self.take(byte);
    }

    async fn read_byte(&mut self) -> u8 {
        self.give()
    }
}

/// A temperature as the sensor holds it; it measures from -55 to 125 °C.
#[expect(clippy::cast_possible_truncation, reason = "within the sensor's range")]
fn sixteenths(celsius: f64) -> i16 {
    (celsius.clamp(-55.0, 125.0) * 16.0).round() as i16
}

/// CRC of the 1-Wire bus, x⁸ + x⁵ + x⁴ + 1, lowest bit first ("CRC Generation").
fn crc_8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| (crc >> 1) ^ (0x8c & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::patient::PatientConfig;

    fn sensor() -> (VirtualDs18b20, Wearer) {
        let wearer = Wearer::new(7, &PatientConfig::default(), None);
        (VirtualDs18b20::new(HostClock::start(), wearer.clone()), wearer)
    }

    fn say(sensor: &mut VirtualDs18b20, bytes: &[u8]) {
        assert!(sensor.answers_reset());
        bytes.iter().for_each(|byte| sensor.take(*byte));
    }

    fn scratchpad(sensor: &mut VirtualDs18b20) -> [u8; 9] {
        say(sensor, &[0xcc, 0xbe]);
        std::array::from_fn(|_| sensor.give())
    }

    #[test]
    fn the_check_is_that_of_the_datasheet_s_example() {
        // Maxim application note 27: the ROM 02 1C B8 01 00 00 00 has the check A2.
        assert_eq!(crc_8(&[0x02, 0x1c, 0xb8, 0x01, 0x00, 0x00, 0x00]), 0xa2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_reads_85_degrees_until_the_first_conversion_is_done() {
        let (mut sensor, wearer) = sensor();
        assert_eq!(scratchpad(&mut sensor)[..5], [0x50, 0x05, 0x4b, 0x46, 0x7f]);
        say(&mut sensor, &[0xcc, 0x44]);
        assert_eq!(sensor.give(), 0x00);
        advance(Duration::from_millis(749)).await;
        assert_eq!(sensor.give(), 0x00);
        assert_eq!(scratchpad(&mut sensor)[..2], [0x50, 0x05]);
        advance(Duration::from_millis(1)).await;
        let bytes = scratchpad(&mut sensor);
        let celsius = f64::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 16.0;
        assert!((celsius - wearer.body_celsius(0.75)).abs() < 0.04, "{celsius}");
        assert_eq!(crc_8(&bytes), 0, "the check over data and check is zero");
    }

    #[tokio::test(start_paused = true)]
    async fn nine_bits_convert_in_an_eighth_of_the_time() {
        let (mut sensor, _) = sensor();
        say(&mut sensor, &[0xcc, 0x4e, 0, 0, 0x1f]);
        say(&mut sensor, &[0xcc, 0x44]);
        advance(Duration::from_micros(93_750)).await;
        assert_eq!(sensor.give(), 0xff);
        assert_eq!(scratchpad(&mut sensor)[0] & 7, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unplugged_sensor_is_not_present_and_comes_back_with_85_degrees() {
        let (mut sensor, wearer) = sensor();
        say(&mut sensor, &[0xcc, 0x44]);
        advance(Duration::from_secs(1)).await;
        assert_ne!(scratchpad(&mut sensor)[..2], [0x50, 0x05]);
        wearer.set_unplugged(Sensor::Temperature, true);
        assert!(!sensor.answers_reset());
        assert_eq!(sensor.give(), 0xff);
        wearer.set_unplugged(Sensor::Temperature, false);
        assert_eq!(scratchpad(&mut sensor)[..2], [0x50, 0x05]);
    }
}
