//! The device crate's sensor buses on the Pico's hardware: the converter, OneWire by a PIO state machine.

use embassy_rp::Peri;
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::gpio::Pull;
use embassy_rp::interrupt::typelevel::{Binding, PIO0_IRQ_0};
use embassy_rp::peripherals::{self, ADC_TEMP_SENSOR, PIN_16, PIN_26, PIO0};
use embassy_rp::pio::{self, Pio};
use embassy_rp::pio_programs::onewire::{PioOneWire, PioOneWireProgram};
use vitalwire_device::sensors::{self, AdcInput};

/// The converter with its two inputs. A conversion takes 2 µs (RP2040 datasheet §4.9): waiting for it costs a tenth of what an
/// interrupt and another turn of the executor would.
pub(crate) struct Converter {
    adc: Adc<'static, adc::Blocking>,
    pulse: Channel<'static>,
    mcu: Channel<'static>,
}

impl Converter {
    /// The converter; the pulse sensor is at ADC0.
    pub(crate) fn new(
        adc: Peri<'static, peripherals::ADC>,
        pulse: Peri<'static, PIN_26>,
        mcu: Peri<'static, ADC_TEMP_SENSOR>,
    ) -> Self {
        let pulse = Channel::new_pin(pulse, Pull::None);
        Self {
            adc: Adc::new_blocking(adc, adc::Config::default()),
            pulse,
            mcu: Channel::new_temp_sensor(mcu),
        }
    }
}

impl sensors::Adc for Converter {
    async fn read(&mut self, input: AdcInput) -> Option<u16> {
        let channel = match input {
            AdcInput::Pulse => &mut self.pulse,
            AdcInput::McuTemperature => &mut self.mcu,
        };
        self.adc.blocking_read(channel).ok()
    }
}

/// The thermometer's line.
pub(crate) struct OneWire {
    pio: PioOneWire<'static, PIO0, 0>,
}

impl OneWire {
    /// The line at GP16, which has a pull-up of 4.7 kΩ.
    pub(crate) fn new(
        pio: Peri<'static, PIO0>,
        pin: Peri<'static, PIN_16>,
        interrupts: impl Binding<PIO0_IRQ_0, pio::InterruptHandler<PIO0>>,
    ) -> Self {
        let Pio { mut common, sm0, .. } = Pio::new(pio, interrupts);
        let program = PioOneWireProgram::new(&mut common);
        Self { pio: PioOneWire::new(&mut common, sm0, pin, &program) }
    }
}

impl sensors::OneWire for OneWire {
    /// embassy-rp 0.10 says that a sensor is there whenever the line was high at some time: what an absent one says has a wrong
    /// checksum, which the driver looks at.
    async fn reset(&mut self) -> bool {
        self.pio.reset().await
    }

    async fn write_byte(&mut self, byte: u8) {
        self.pio.write_bytes(&[byte]).await;
    }

    async fn read_byte(&mut self) -> u8 {
        let mut byte = [0];
        self.pio.read_bytes(&mut byte).await;
        let [byte] = byte;
        byte
    }
}
