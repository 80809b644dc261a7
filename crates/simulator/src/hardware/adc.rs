//! The microcontroller's analogue inputs: the pulse sensor, and its own thermometer.

use vitalwire_device::sensors::{Adc, AdcInput};

use super::{HostClock, Sensor, Wearer};

/// Volts at full scale.
const REFERENCE_VOLTS: f64 = 3.3;
/// Steps of 12 bits.
const STEPS: f64 = 4_096.0;

/// A converter of 12 bits on a patient.
#[derive(Debug)]
pub struct VirtualAdc {
    clock: HostClock,
    wearer: Wearer,
}

impl VirtualAdc {
    /// On this patient.
    #[must_use]
    pub fn new(clock: HostClock, wearer: Wearer) -> Self {
        Self { clock, wearer }
    }

    /// The pulse sensor's voltage; nothing while it is unplugged.
    fn pulse(&self) -> Option<u16> {
        let is_there = !self.wearer.is_unplugged(Sensor::Pulse);
        is_there.then(|| counts(self.wearer.pulse_volts(self.clock.seconds())))
    }

    /// The voltage of the thermometer: 0.706 V at 27 °C, 1.721 mV less for each degree more (RP2040 datasheet §4.9.5).
    fn mcu_temperature(&self) -> u16 {
        counts(0.706 - (self.wearer.mcu_celsius(self.clock.seconds()) - 27.0) * 0.001_721)
    }
}

impl Adc for VirtualAdc {
    async fn read(&mut self, input: AdcInput) -> Option<u16> {
        match input {
            AdcInput::Pulse => self.pulse(),
            AdcInput::McuTemperature => Some(self.mcu_temperature()),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "brought into 12 bits")]
fn counts(volts: f64) -> u16 {
    (volts / REFERENCE_VOLTS * STEPS).round().clamp(0.0, STEPS - 1.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patient::PatientConfig;

    #[tokio::test(start_paused = true)]
    async fn counts_are_what_the_datasheets_say() {
        let wearer = Wearer::new(7, &PatientConfig::default(), None);
        let adc = VirtualAdc::new(HostClock::start(), wearer.clone());
        let volts = f64::from(adc.mcu_temperature()) * 3.3 / 4_096.0;
        let celsius = 27.0 - (volts - 0.706) / 0.001_721;
        assert!((celsius - wearer.mcu_celsius(0.0)).abs() < 0.47, "{celsius}");
        let pulse = f64::from(adc.pulse().unwrap()) * 3.3 / 4_096.0;
        assert!((pulse - wearer.pulse_volts(0.0)).abs() < 0.001);
        wearer.set_unplugged(Sensor::Pulse, true);
        assert_eq!(adc.pulse(), None);
        assert_eq!((counts(-1.0), counts(5.0)), (0, 4_095));
    }
}
