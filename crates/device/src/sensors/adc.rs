//! What the analogue inputs mean. The converter itself is the firmware's.

use core::future::Future;

/// The highest value of the converter (12 bits), which stands for just below the reference.
pub const ADC_MAX: u16 = 4_095;

/// Millivolts at the reference pin of a Pico.
const REFERENCE_MILLIVOLTS: u32 = 3_300;
/// Steps of the converter up to the reference.
const STEPS: u32 = 4_096;

/// An analogue input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdcInput {
    /// The pulse sensor: ADC0, GP26.
    Pulse,
    /// The microcontroller's own thermometer: ADC4.
    McuTemperature,
}

/// The analogue-to-digital converter.
pub trait Adc {
    /// One conversion, 12 bits; `None` when it failed. It takes microseconds: the recorder waits for it.
    fn read(&mut self, input: AdcInput) -> impl Future<Output = Option<u16>>;
}

/// Millivolts at the input, which is what channel `Pulse_Signal` has: volts in thousandths.
#[must_use]
pub fn pulse_millivolts(raw: u16) -> i32 {
    let raw = u32::from(raw.min(ADC_MAX));
    // Below the reference, which fits.
    i32::try_from((raw * REFERENCE_MILLIVOLTS + STEPS / 2) / STEPS).unwrap_or(0)
}

/// The microcontroller's temperature in thousandths of a degree Celsius: `27 − (V − 0.706) / 0.001721` (RP2040 datasheet
/// §4.9.5). A step of the converter is half a degree.
#[must_use]
pub fn mcu_temperature_milli(raw: u16) -> i32 {
    // In units of a microvolt over STEPS; 1,721 µV a degree are 1.721 a thousandth of it.
    let volts = i64::from(raw.min(ADC_MAX)) * i64::from(REFERENCE_MILLIVOLTS) * 1_000;
    let above = 706_000 * i64::from(STEPS) - volts;
    let degree = 1_721 * i64::from(STEPS);
    let above_milli = (above * 1_000 + degree / 2).div_euclid(degree);
    // The converter reaches from −1,481 to 437 °C.
    27_000 + i32::try_from(above_milli).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pulse_is_the_voltage_at_the_input() {
        assert_eq!([0, 1, 2_048, 2_236, 4_095].map(pulse_millivolts), [0, 1, 1_650, 1_801, 3_299]);
        assert_eq!(pulse_millivolts(u16::MAX), 3_299);
    }

    #[test]
    fn the_temperature_is_the_data_sheets_formula() {
        for raw in 0..=ADC_MAX {
            let volts = f64::from(raw) * 3.3 / 4_096.0;
            let celsius = 27.0 - (volts - 0.706) / 0.001_721;
            let milli = f64::from(mcu_temperature_milli(raw));
            assert!((milli - celsius * 1_000.0).abs() <= 0.501, "{raw}: {milli} is not {celsius}");
        }
        // 0.706 V is 27 °C.
        assert_eq!(mcu_temperature_milli(876), 27_138);
        assert_eq!(mcu_temperature_milli(877), 26_670);
    }
}
